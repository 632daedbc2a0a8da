"""Write constraints.txt and requirements.lock from a clean environment: `make constraints`.

constraints.txt has the exact version of everything. requirements.lock has the same versions of what a learner installs, with the
sha256 of every file that the package index lists for them, so that one file serves all systems. torch and triton have no hashes:
the CPU builds of torch come from another index, as other files.
"""

import re
import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_HASHES = ("torch==2.13.0", "triton==3.7.1")
"""And the triton that this torch asks for where it comes from PyPI."""


def freeze(python: Path) -> list[str]:
    """The installed versions; the build suffix of torch (+cpu, +cu…) and NVIDIA's libraries are the machine's business."""
    command = [python, "-m", "pip", "freeze", "--exclude", "vla-course", "--exclude", "setuptools"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    kept = [line for line in lines if " @ " not in line and not line.startswith(("nvidia-", "cuda-"))]
    return [re.sub(r"\+(cpu|cu\d+)$", "", line) for line in kept]


def install(python: Path, *what: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-compile", *what], check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        torch, triton = WITHOUT_HASHES
        install(python, torch, f"{ROOT}[lab,gpu]")
        course = freeze(python)
        install(python, triton, f"{ROOT}[lab,gpu,test]")
        pins = freeze(python)
        install(python, "uv")  # pip lists the hash of this system's file alone
        options = ["--no-deps", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        hashed = "\n".join(line for line in course if line not in WITHOUT_HASHES)
        command = [python, "-m", "uv", "pip", "compile", "-", *options, "-o", ROOT / "requirements.lock"]
        subprocess.run(command, input=hashed, text=True, check=True, stdout=subprocess.DEVNULL)
    (ROOT / "constraints.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
