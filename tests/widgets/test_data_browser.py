import io

import numpy as np
import pytest
from demonstration_sets import write_set
from PIL import Image
from shown_pictures import shown

from vla_course.action_tokens import normalize_actions
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.statistics import action_quantiles
from vla_course.widgets.data_browser import DataBrowser

YOURS = {"quantiles": action_quantiles, "normalize": normalize_actions}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return LeRobotDataset(
        write_set(tmp_path_factory.mktemp("set") / "demos", episodes=3, frames=8, actions=7)
    )


def test_an_episode_is_shown_in_millimetres_and_degrees(dataset):
    widget = DataBrowser(dataset, translation_m=0.1, rotation_rad=0.5)
    widget.episode = 1
    track, state = dataset.track(1), widget.state
    assert (state["length"], state["fps"], state["instruction"]) == (8, 5, track.instruction)
    assert widget.names[:7] == ["Δx", "Δy", "Δz", "Δroll", "Δpitch", "Δyaw", "grip"]
    assert state["traces"][0]["raw"] == pytest.approx(100 * track.actions[:, 0], abs=1e-3)
    assert state["traces"][4]["raw"] == pytest.approx(np.degrees(0.5) * track.actions[:, 4], abs=1e-3)
    assert state["traces"][6]["raw"] == pytest.approx(track.actions[:, 6], abs=1e-3)
    assert state["traces"][0]["decoded"] is None and not widget.cuts


def test_all_pictures_of_an_episode_come_in_one_sheet(dataset):
    widget = DataBrowser(dataset)
    first = widget.png
    widget.frame = 5
    widget.episode = 2
    assert widget.png != first and widget.frame == 0
    sheet = np.asarray(Image.open(io.BytesIO(widget.png)))
    pictures = list(dataset.images(2))
    assert np.array_equal(sheet, np.concatenate(pictures, axis=1))


def test_the_controls_choose_episode_and_share_and_play_ends_where_the_episode_does(dataset):
    widget = DataBrowser(dataset, **YOURS)
    episode, play, slide, clip = widget.controls
    widget.frame = 7
    episode.value = 2
    assert (widget.episode, widget.frame) == (2, 0) and episode.label == "2, 1.6 s"
    assert play.max == slide.max == 7 and play.interval == 200
    clip.value = 5.0
    assert widget.clip == 5.0
    assert widget.state == widget.describe(2, 5.0)
    widget.frame = 3
    assert widget.drawing.frame == 3
    assert len(DataBrowser(dataset).controls) == 3, "nothing to cut without the learner's functions"


def test_cutting_more_leaves_a_narrower_band_and_finer_words(dataset):
    widget = DataBrowser(dataset, **YOURS)
    bands, stories = {}, {}
    for clip in (0.0, 1.0, 10.0):
        widget.clip = clip
        bands[clip], stories[clip] = widget.state["traces"][0]["band"], widget.state["story"]
    assert bands[0.0][0] < bands[1.0][0] < bands[10.0][0] < bands[10.0][1] < bands[1.0][1] < bands[0.0][1]
    assert stories[0.0].startswith("0.0 % of all numbers are cut, steps by up to 0 mm")
    assert len(set(stories.values())) == 3
    widget.clip = 1.0
    trace = widget.state["traces"][0]
    assert trace["yours"] == pytest.approx(trace["band"], abs=1e-6)
    assert widget.state["traces"][6]["band"] is None


def test_what_is_said_is_off_by_half_a_bin_inside_and_cut_outside(dataset):
    widget = DataBrowser(dataset, **YOURS)
    actions = dataset.track(0).actions.astype(float)
    low, high = widget.cut(5.0)
    decoded = widget.decoded(actions, 5.0)
    off = np.abs(decoded - np.clip(actions, low, high))[:, :6]
    assert (off <= (high - low)[:6] / 2 / 255 + 1e-9).all()


def test_the_learners_functions_are_the_ones_that_run(dataset):
    right = DataBrowser(dataset, **YOURS)
    turned = DataBrowser(
        dataset, quantiles=action_quantiles, normalize=lambda *given: -normalize_actions(*given)
    )
    assert turned.state["traces"][0]["decoded"] != right.state["traces"][0]["decoded"]
    narrow = DataBrowser(
        dataset,
        quantiles=lambda episodes: tuple(0.5 * end for end in action_quantiles(episodes)),
        normalize=normalize_actions,
    )
    assert narrow.state["traces"][0]["yours"] != right.state["traces"][0]["yours"]
    with pytest.raises(ValueError, match="both quantiles= and normalize="):
        DataBrowser(dataset, quantiles=action_quantiles)


@pytest.mark.parametrize("yours", [{}, YOURS], ids=["to browse", "to cut"])
def test_it_leaves_a_picture(dataset, yours):
    widget = DataBrowser(dataset, **yours)
    drawn, words = shown(widget)
    assert words == widget.alt
    assert drawn.shape[1] > 700 and drawn.std() > 10
    assert (drawn.shape[0] > 400) == bool(yours)
