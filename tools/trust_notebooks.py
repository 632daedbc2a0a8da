"""Let JupyterLab show the films and pictures that are stored in the course's own notebooks.

JupyterLab removes films and scripts from the stored outputs of notebooks that it does not trust, and a fresh clone is
untrusted: Day 01 would open on an empty film player. `jupyter trust` is asked for the notebooks whose content is exactly what
vla_course/assets.sha256 lists, and for no other: a notebook that anybody changed, or put here, stays as trusted as it was.
"""

import subprocess
import sys
from pathlib import Path

from vla_course.assets import CHECKOUT, manifest
from vla_course.files import sha256_of


def unchanged_notebooks(root: Path, listed: dict[str, str]) -> list[Path]:
    """The notebooks under `root` whose sha256 is the listed one."""
    notebooks = {root / name: digest for name, digest in listed.items() if name.endswith(".ipynb")}
    return [path for path, digest in notebooks.items() if path.is_file() and sha256_of(path) == digest]


def main() -> None:
    notebooks = unchanged_notebooks(CHECKOUT, manifest())
    if notebooks:
        subprocess.run(
            [sys.executable, "-m", "jupyter", "trust", *notebooks], check=True, stdout=subprocess.DEVNULL
        )
    print(
        f"{len(notebooks)} unchanged notebooks of the course may show their films and pictures (jupyter trust)."
    )


if __name__ == "__main__":
    main()
