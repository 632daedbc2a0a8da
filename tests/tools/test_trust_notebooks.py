"""Which notebooks JupyterLab is asked to trust, and that it does then."""

import importlib.util
import os
import subprocess
import sys

import nbformat
from nbformat.sign import NotebookNotary

from vla_course import assets
from vla_course.files import sha256_of

PROGRAM = assets.CHECKOUT / "tools" / "trust_notebooks.py"


def test_only_notebooks_with_the_listed_content_are_trusted(tmp_path):
    spec = importlib.util.spec_from_file_location("trust_notebooks", PROGRAM)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for name in ("same.ipynb", "changed.ipynb", "foreign.ipynb", "data.json"):
        (tmp_path / name).write_text(name)
    listed = {name: sha256_of(tmp_path / name) for name in ("same.ipynb", "changed.ipynb", "data.json")}
    listed["gone.ipynb"] = listed["same.ipynb"]
    (tmp_path / "changed.ipynb").write_text("<script>")
    assert tool.unchanged_notebooks(tmp_path, listed) == [tmp_path / "same.ipynb"]


def test_day01_may_show_its_film(tmp_path):
    environment = {**os.environ, "JUPYTER_DATA_DIR": str(tmp_path)}
    subprocess.run([sys.executable, PROGRAM], env=environment, check=True, timeout=120)
    (path,) = (assets.CHECKOUT / "notebooks").glob("day01_*.ipynb")
    notebook = nbformat.read(path, 4)
    with NotebookNotary(data_dir=str(tmp_path)) as notary:
        assert notary.check_signature(notebook)
        notebook.cells[-1].source += "changed"
        assert not notary.check_signature(notebook)
