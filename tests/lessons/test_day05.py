"""In Day 05 the learner's layer, schedule and count are the ones that run: broken ones do not learn, merge or add up."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from demonstration_sets import write_set
from lesson_cells import cells, run
from openvla_reference import nano

from vla_course.adapters.lora import LoRALinear, lora_parameter_count
from vla_course.training.schedule import warmup_cosine

CELLS = cells(
    "day05_lora",
    (
        "import copy",
        "# exercise",
        "KEY, MOST =",
        "zero_shot = copy",
        "features = look_once",
        "model = adapted()",
        "def train",
        "STEPS = 60",
        "def measure",
        "plain = copy.deepcopy(model)",
        "LAYER = ",
        "dead = begun",
    ),
    {
        "state_dim=dataset.track(0).states.shape[1]": "state_dim=7",
        "STEPS = 60": "STEPS = 12",
        "peak=2e-3": "peak=1e-2",
    },
)
COUNTING = cells("day05_lora", ("PARTS = {",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("demos") / "towel", episodes=20, frames=8)


def run_lesson(folder, until=None, **replaced):
    """The names the lesson defines, on a tiny model and a tiny set, with some of the exercises replaced by others."""
    names = {"assets": SimpleNamespace(find_folder=lambda name: folder)}
    return run(CELLS, names, until, **{"load_vla": lambda scale: nano(), **replaced})


def layer_with(name, method):
    return type("LoRALinear", (LoRALinear,), {name: method})


@pytest.fixture(scope="module")
def lesson(folder):
    return run_lesson(folder)


def fall(lesson):
    """How far the loss has come down."""
    lines = lesson["lines"]
    return lines[0]["loss/bc"] - lines[-1]["loss/bc"]


def test_the_loop_learns_and_only_the_adapters_do(lesson):
    assert fall(lesson) > 0.5
    assert len(lesson["lines"]) == 12
    assert all(type(one) is lesson["LoRALinear"] for one in lesson["adapters"](lesson["model"]).values())
    before, after = lesson["nano"].state_dict(), lesson["model"].state_dict()
    for name, weight in before.items():
        place = name if name in after else name.replace(".weight", ".base_layer.weight")
        place = place if place in after else name.replace(".bias", ".base_layer.bias")
        assert torch.equal(weight, after[place]), name


def test_what_is_measured_is_not_trained_on(lesson):
    assert len(lesson["train_frames"]) == 18 * 8 and len(lesson["test_frames"]) == 2 * 8
    assert not set(lesson["dataset"].episode_index[lesson["test_frames"]]) & set(
        lesson["dataset"].episode_index[lesson["train_frames"]]
    )


def test_a_layer_that_leaves_its_correction_out_learns_nothing(folder):
    def silent(self, x):
        return self.base_layer(x) + 0 * (x @ self.lora_A.T @ self.lora_B.T)

    broken = run_lesson(folder, "STEPS =", LoRALinear=layer_with("forward", silent))
    assert all(line["optimizer/gradient_norm"] == 0 for line in broken["lines"])
    assert not any(layer.lora_B.any() for layer in broken["adapters"](broken["model"]).values())


def test_a_schedule_of_zero_learns_nothing_and_another_one_something_else(folder, lesson):
    still = run_lesson(folder, "STEPS =", warmup_cosine=lambda *_: 0.0)
    assert not any(layer.lora_B.any() for layer in still["adapters"](still["model"]).values())
    half = run_lesson(folder, "STEPS =", warmup_cosine=lambda *given: 0.3 * warmup_cosine(*given))
    assert half["lines"][0]["loss/bc"] == pytest.approx(lesson["lines"][0]["loss/bc"])
    assert half["lines"][-1]["loss/bc"] != pytest.approx(lesson["lines"][-1]["loss/bc"], abs=1e-3)


def test_merged_says_the_same_and_a_wrong_merge_does_not(folder, lesson):
    assert torch.allclose(lesson["beside"], lesson["inside"], atol=1e-3)

    def forgets_the_scale(self):
        return self.base_layer.weight + self.lora_B @ self.lora_A

    wrong = run_lesson(folder, "plain = ", LoRALinear=layer_with("merged", forgets_the_scale))
    assert not torch.allclose(wrong["beside"], wrong["inside"], atol=0.05)


def test_what_learns_is_counted_by_the_learner(folder, lesson):
    assert lesson["mine"] == lesson["learn"]
    count = {"lora_parameter_count": lambda *given: 2 * lora_parameter_count(*given)}
    twice = run_lesson(folder, "model = adapted()", **count)
    assert twice["mine"] == 2 * twice["learn"]


def test_the_number_in_the_title_is_the_learners_sum(lesson, capsys):
    run(COUNTING, lesson)
    assert "all        published 110,828,288   ours 114,133,760" in capsys.readouterr().out
    run(COUNTING, {**lesson, "lora_parameter_count": lambda *given: 2 * lora_parameter_count(*given)})
    assert "all        published 221,656,576" in capsys.readouterr().out


def test_the_numbers_in_the_text_hold(lesson):
    shapes = lesson["published_lora_shapes"]()
    convolutions = [shape for shape in shapes.values() if len(shape) == 4]
    assert sum(lora_parameter_count([shape], 32) for shape in convolutions) == 107_264
    assert [lora_parameter_count([shape], 32) for shape in convolutions] == [51_584, 55_680]
    more = 114_133_760 / 110_828_288
    assert more == pytest.approx(1.03, abs=0.005)
    assert np.log(256) == pytest.approx(5.5, abs=0.05)


def test_two_zeros_never_move(lesson):
    assert lesson["moved"] == 0
    assert [line["optimizer/gradient_norm"] for line in lesson["dead_lines"]] == [0.0, 0.0, 0.0]


def test_the_microscope_is_given_real_changes(lesson):
    rank = np.linalg.matrix_rank(lesson["learned"], tol=1e-4 * np.linalg.norm(lesson["learned"]))
    assert 1 <= rank <= 8
    assert lesson["change"].any()
    assert sorted(lesson["shuffled"].ravel()) == sorted(lesson["change"].ravel())
