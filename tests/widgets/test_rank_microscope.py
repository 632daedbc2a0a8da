import base64
import io

import numpy as np
import pytest
from PIL import Image
from shown_pictures import shown

from vla_course.adapters.lora import LoRALinear
from vla_course.widgets.rank_microscope import RankMicroscope

RANDOM = np.random.default_rng(0)
NARROW = RANDOM.normal(size=(48, 3)) @ RANDOM.normal(size=(3, 32))
CHANGES = {"narrow": NARROW, "wide": RANDOM.normal(size=(48, 32)), "square": RANDOM.normal(size=(16, 16))}


def microscope(**options):
    return RankMicroscope(CHANGES, **options)


def decoded(picture):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))


def test_a_change_of_rank_three_is_whole_at_rank_four_and_not_at_two():
    widget = microscope()
    assert widget.state["name"] == "narrow" and widget.state["rank"] == 4
    assert widget.state["share"] == pytest.approx(1, abs=1e-9)
    widget.rank = 2
    assert 0.3 < widget.state["share"] < 0.999
    np.testing.assert_allclose(widget.best_pair("narrow", 3), NARROW, atol=1e-5)


def test_the_share_is_that_of_the_squared_singular_values():
    values = np.linalg.svd(CHANGES["wide"], compute_uv=False) ** 2
    assert microscope().describe("wide", 8)["share"] == pytest.approx(
        values[:8].sum() / values.sum(), rel=1e-5
    )


def test_what_it_costs_and_where_it_ends():
    widget = microscope()
    widget.change = "wide"
    assert (widget.state["numbers"], widget.state["whole_numbers"]) == (4 * (48 + 32), 48 * 32)
    widget.change, widget.rank = "square", 128
    assert widget.state["rank"] == widget.state["full_rank"] == 16
    assert widget.state["share"] == pytest.approx(1, abs=1e-9)


def test_the_controls_choose_change_and_rank():
    widget = microscope()
    change, rank = widget.controls
    change.value, rank.value = "wide", 8
    assert (widget.state["name"], widget.state["rank"]) == ("wide", 8)
    widget.rank = 16
    assert rank.value == 16 and widget.drawing.state["rank"] == 16


def test_the_learners_layer_and_count_are_the_ones_that_run():
    doubled = type("Doubled", (LoRALinear,), {"merged": lambda self: 2 * LoRALinear.merged(self)})
    np.testing.assert_allclose(
        microscope(layer=doubled).best_pair("wide", 4), 2 * microscope().best_pair("wide", 4), rtol=1e-5
    )
    assert microscope(count=lambda shapes, rank: 7).state["numbers"] == 7


def test_the_pictures_show_change_pair_and_rest():
    widget = microscope()
    widget.change = "wide"
    whole, rest = decoded(widget.state["whole"]), decoded(widget.state["rest"])
    assert whole.shape == (48, 32, 3) and whole.std() > 20
    widget.rank = 32
    assert decoded(widget.state["rest"]).std() < 8 < rest.std()


def test_of_a_large_matrix_a_corner_is_seen_and_all_is_counted():
    tall = np.concatenate([RANDOM.normal(size=(128, 40)), np.zeros((172, 40))])
    widget = RankMicroscope({"tall": tall})
    assert decoded(widget.state["whole"]).shape == (128, 40, 3)
    assert (widget.state["seen"], widget.state["shape"]) == ([128, 40], [300, 40])
    assert widget.state["whole_numbers"] == 300 * 40


def test_it_leaves_a_picture_of_nine_states_and_says_it_in_words():
    widget = microscope()
    drawn, words = shown(widget)
    assert words == widget.alt
    assert "narrow: rank 1 holds" in widget.alt and "rank 4 holds 100 %" in widget.alt
    assert drawn.shape[0] > 350 and drawn.shape[1] > 600 and drawn.std() > 10


@pytest.mark.parametrize("changes", [{}, {"nothing": np.zeros((4, 3))}])
def test_nothing_to_look_at_is_refused(changes):
    with pytest.raises(ValueError, match="want matrices with something in them"):
        RankMicroscope(changes)
