"""Widgets are building blocks: their traits can be set, linked and interacted with, and they fit into ipywidgets' boxes."""

import ipywidgets
import numpy as np
import pytest
import traitlets
from shown_pictures import shown

from vla_course.action_tokens import detokenize_actions, tokenize_actions, unnormalize_actions
from vla_course.robot.inverse_kinematics import damped_least_squares
from vla_course.widgets.ik_playground import IKPlayground
from vla_course.widgets.interval_playground import IntervalPlayground
from vla_course.widgets.patch_eraser import PatchEraser
from vla_course.widgets.pictured import Pictured, PicturedBox
from vla_course.widgets.token_explorer import TokenExplorer

VIEW = "application/vnd.jupyter.widget-view+json"


def look(picture):
    """One dimension whose number is the brightness of the picture."""
    probabilities = np.full((1, 255), 1 / 255)
    return probabilities, np.array([float(picture.mean())])


def playground():
    return IKPlayground(damped_least_squares)


def explorer():
    return TokenExplorer(tokenize_actions, detokenize_actions, unnormalize_actions)


def eraser():
    return PatchEraser(np.zeros((6, 6, 3), np.uint8), look, grid=2, names=["bright"], units=["%"])


def test_a_float_slider_moves_the_number_and_the_number_moves_it():
    widget, slider = explorer(), ipywidgets.FloatSlider(min=-1.2, max=1.2, step=0.001)
    traitlets.link((slider, "value"), (widget, "number"))
    slider.value = 0.5
    assert (widget.state["id"], widget.state["number"]) == (31808, 0.5)
    widget.number = -1.0
    assert slider.value == -1.0 and widget.state["id"] == 31999


def test_an_int_slider_ticks_the_arm():
    """Each new value of `tick` is one step towards the target."""
    widget, slider = playground(), ipywidgets.IntSlider(max=100)
    widget.damping, widget.target = 0.05, [0.5, 0.5]
    traitlets.link((slider, "value"), (widget, "tick"))
    before = widget.state["distance"]
    slider.value = 1
    assert widget.state["tick"] == 1 and widget.state["distance"] < before


def test_interact_drives_a_widget():
    widget = playground()
    control = ipywidgets.interactive(
        lambda damping: widget.set_trait("damping", damping), damping=(0.0, 0.5, 0.1)
    )
    control.children[0].value = 0.3
    assert widget.damping == pytest.approx(0.3)


def test_patches_erased_in_python_are_looked_at():
    widget = eraser()
    widget.erased = [True, False, False, True]
    assert widget.state["erased"] == 2 and widget.state["action"] == [63.5]


@pytest.mark.parametrize("make", [playground, explorer, eraser, IntervalPlayground])
def test_it_stands_beside_others_in_a_box(make):
    widget = make()
    box = ipywidgets.HBox([ipywidgets.IntSlider(), widget])
    assert box.get_state()["children"][1] == f"IPY_MODEL_{widget.model_id}"
    for name in ("damping", "number", "erased", "alike"):
        if widget.has_trait(name):
            ipywidgets.jslink((ipywidgets.FloatSlider(), "value"), (widget, name))
            assert name in widget.keys, "the browser knows it, so a link in the browser works too"
            break
    else:
        pytest.fail("no trait to link")


@pytest.fixture
def box():
    return IntervalPlayground()


def test_the_controls_of_a_box_and_its_traits_are_one(box):
    episodes, before, _, alike = box.controls
    assert (episodes.value, before.value, alike.value, alike.label) == (20, 75, 50, "50 %")
    before.value, episodes.value = 50, 40
    assert (box.first, box.state["successes"][0]) == (50, 20)
    box.alike = 100
    assert alike.label == "fully" and box.state["lost"] == 0
    assert box.drawing.state == box.state


def test_a_value_that_no_control_can_show_is_refused_and_changes_nothing(box):
    with pytest.raises(traitlets.TraitError, match="30"):
        box.episodes = 30
    assert box.episodes == box.controls[0].value == 20 == box.state["episodes"]


def test_a_slider_of_a_learners_own_drives_a_box(box):
    mine = ipywidgets.IntSlider()
    traitlets.link((mine, "value"), (box, "second"))
    mine.value = 60
    assert box.state["successes"][1] == 12 and box.controls[2].value == 60


def test_a_box_brings_the_view_and_a_picture_with_words(box):
    data, metadata = box._repr_mimebundle_()
    assert data[VIEW]["model_id"] == box.model_id and metadata == {}
    assert box.alt in data["text/plain"]
    drawn, words = shown(box)
    assert words == box.alt and drawn.std() > 10


def test_in_colab_the_box_asks_for_anywidget_as_its_drawing_does(box, monkeypatch):
    asked = {VIEW: {"colab": {"custom_widget_manager": {"url": "https://manager"}}}}
    monkeypatch.setattr(type(box.drawing), "_repr_mimebundle_", lambda self, **_: ({}, asked))
    assert box._repr_mimebundle_()[1] == asked


def test_a_box_says_in_the_page_that_its_keys_are_its_own(box):
    assert "vla-box" in box._dom_classes


def test_who_draws_no_picture_is_told_so():
    box = PicturedBox([ipywidgets.IntSlider()], ipywidgets.HTML())
    with pytest.raises(NotImplementedError):
        box._repr_mimebundle_()
    assert issubclass(PicturedBox, Pictured) and Pictured.alt == ""
