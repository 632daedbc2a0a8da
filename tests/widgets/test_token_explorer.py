import pytest
from shown_pictures import shown

from vla_course.action_tokens import detokenize_actions, tokenize_actions, unnormalize_actions
from vla_course.widgets.token_explorer import BRIDGE_DX_MM, TokenExplorer

FUNCTIONS = {
    "tokenize": tokenize_actions,
    "detokenize": detokenize_actions,
    "unnormalize": unnormalize_actions,
}


def explorer(**changes):
    return TokenExplorer(**{**FUNCTIONS, **changes})


def pixels(widget):
    drawn, words = shown(widget)
    assert words == widget.alt
    return drawn


def test_a_number_on_its_way_to_millimetres():
    widget = explorer()
    widget.number = 0.5
    state = widget.state
    assert (state["id"], state["bin"], state["number"]) == (31808, 191, 0.5)
    assert state["decoded"] == pytest.approx((2 * 191 - 254) / 255)
    low, high = BRIDGE_DX_MM
    assert state["mm"] == pytest.approx(0.5 * (state["decoded"] + 1) * (high - low) + low)
    assert state["exact_mm"] == pytest.approx(0.75 * (high - low) + low)
    assert state["half_bin_mm"] == pytest.approx(57.0 / 2 / 255)


def test_quantiles_move_the_millimetres_and_not_the_token():
    widget = explorer(ranges={"a": (-10.0, 10.0), "b": (-100.0, 100.0)})
    assert list(widget.quantiles) == [-10.0, 10.0]
    before = widget.state
    widget.quantiles = widget.ranges["b"]
    assert widget.state["id"] == before["id"]
    assert widget.state["mm"] == pytest.approx(10 * before["mm"])


@pytest.mark.parametrize(
    ("number", "token", "own"), [(-1.2, 31999, 0), (-1.0, 31999, 0), (1.0, 31744, 254), (1.2, 31744, 254)]
)
def test_the_ends(number, token, own):
    state = explorer().describe(number, -1.0, 1.0)
    assert (state["id"], state["bin"]) == (token, own)
    around = [box["bin"] for box in state["around"]]
    assert len(around) == 9 and own in around and min(around) >= 0 and max(around) <= 254


def test_the_bins_around_carry_the_ids_that_the_function_gives():
    state = explorer().describe(0.0, -1.0, 1.0)
    assert [box["id"] for box in state["around"]] == list(range(31876, 31867, -1))
    for box in state["around"]:
        assert box["left"] < box["right"]


def test_the_learners_functions_are_the_ones_that_run():
    shifted = explorer(tokenize=lambda actions, size=32000: tokenize_actions(actions, size) - 1)
    assert shifted.state["id"] == explorer().state["id"] - 1
    turned = explorer(detokenize=lambda ids, size=32000: -detokenize_actions(ids, size))
    assert turned.state["decoded"] == -explorer().state["decoded"]
    doubled = explorer(unnormalize=lambda *given: 2 * unnormalize_actions(*given))
    assert doubled.state["mm"] == pytest.approx(2 * explorer().state["mm"])


def test_it_leaves_a_picture_of_nine_states():
    drawn = pixels(explorer())
    assert drawn.shape[0] > 350 and drawn.shape[1] > 700 and drawn.std() > 10
    other = pixels(explorer(unnormalize=lambda actions, *_: 0 * actions))
    assert other.shape == drawn.shape and (other != drawn).any()
