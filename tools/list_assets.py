"""Write vla_course/assets.sha256: what an installed package may download, and which notebooks are the course's own, with the
fingerprint of each file.

python tools/list_assets.py            write it
python tools/list_assets.py --check    fail where it is out of date
"""

import sys
from pathlib import Path

from vla_course.assets import CHECKOUT, MANIFEST
from vla_course.files import sha256_of


def listing(root: Path) -> str:
    files = [
        *root.glob("data/**/*"),
        *root.glob("notebooks/day??_*.ipynb"),
        *root.glob("solutions/day??_*.ipynb"),
    ]
    kept = sorted(
        path
        for path in files
        if path.is_file() and not path.name.startswith(".") and "before-reset" not in path.name
    )
    return "".join(f"{sha256_of(path)}  {path.relative_to(root).as_posix()}\n" for path in kept)


def main(check: bool) -> int:
    text = listing(CHECKOUT)
    if MANIFEST.exists() and MANIFEST.read_text(encoding="utf-8") == text:
        return 0
    if check:
        print(f"{MANIFEST.name} is out of date, run `make notebooks`", file=sys.stderr)
        return 1
    MANIFEST.write_text(text, encoding="utf-8")
    print(f"vla_course/{MANIFEST.name}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
