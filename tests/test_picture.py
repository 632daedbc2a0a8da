"""Alternative text goes where front ends read it: into HTML, as JupyterLab and nbconvert drop that of `image/png` outputs."""

import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter
from PIL import Image
from shown_pictures import images, shown

from vla_course.picture import Picture

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted([*ROOT.glob("notebooks/day*.ipynb"), *ROOT.glob("solutions/day*.ipynb")])
WORDS = 'a <b>"bold"</b> picture & two widgets'


def file(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 20, 3), 90, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def test_a_notebook_gets_one_image_with_its_words():
    for kind in ("PNG", "JPEG"):
        drawn, words = shown(Picture(file(kind), WORDS, width=200))
        assert drawn.shape == (8, 20, 3) and abs(int(drawn.mean()) - 90) < 3 and words == WORDS
    (image,) = images(Picture(file("JPEG"), WORDS, width=200).html)
    assert image["width"] == "200" and image["src"].startswith("data:image/jpeg;base64,")
    assert "width" not in images(Picture(file("PNG"), WORDS).html)[0]


def test_nbconvert_keeps_the_words():
    output = nbformat.v4.new_output("display_data", Picture(file("PNG"), WORDS).mime_bundle)
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert [image["alt"] for image in images(page)] == [WORDS]


def test_where_there_are_no_pictures_the_words_stand_alone():
    assert Picture(file("PNG"), WORDS).mime_bundle["text/plain"] == WORDS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_stored_picture_has_words(path):
    cells = nbformat.read(path, 4).cells
    bundles = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    assert [kind for bundle in bundles for kind in bundle if kind.startswith("image/")] == []
    stored = [image for bundle in bundles for image in images(bundle.get("text/html", ""))]
    assert [image.get("src", "")[:30] for image in stored if not image.get("alt")] == []
