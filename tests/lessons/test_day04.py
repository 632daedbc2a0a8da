"""In Day 04 the learner's five functions are the ones that run: broken ones fold no towel, and teach and ask other things."""

import numpy as np
import pytest
import torch
from lesson_cells import cells, run

from vla_course import assets
from vla_course.action_tokens import normalize_actions
from vla_course.data.augmentation import center_crop_box
from vla_course.data.demonstrations import CollectConfig, make_demonstrations
from vla_course.data.episodes import Episode
from vla_course.data.statistics import action_quantiles
from vla_course.data.token_rows import build_labels

LESSON = "day04_demonstrations"
CELLS = cells(
    LESSON,
    (
        "import gymnasium",
        "dataset = LeRobotDataset",
        "def replay_demo",
        "# exercise",
        "q01, q99 = action_quantiles",
        "mask = normalized_dimensions",
        "UNIT = ",
        "def in_words",
        "kept_apart = ",
        "def middle",
        "nano = load_vla",
        "SAMPLE = 5",
        "size = nano.config",
        "def as_the_robot_asks",
        "def right_words",
        "begins, opened = ",
        "def reproduce_training_accuracy",
    ),
    {"0.1, seed=0": "0.34, seed=0"},
)


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    """Three folds of a towel, where the lesson looks for two hundred."""
    root = tmp_path_factory.mktemp("assets")
    make_demonstrations(CollectConfig(episodes=3, workers=1), root / "data/demos/towel", progress=False)
    return root


@pytest.fixture(autouse=True)
def found_there(demonstrations, monkeypatch):
    monkeypatch.setenv("VLA_COURSE_ASSETS", str(demonstrations))


def run_lesson(until=None, **replaced):
    """The names the lesson defines, with some of the exercised functions replaced by others."""
    names = {"assets": assets}  # imported by the cell that shows the picture
    return run(CELLS, names, until, **replaced)


@pytest.fixture(scope="module")
def lesson(demonstrations):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VLA_COURSE_ASSETS", str(demonstrations))
        return run_lesson()


def folds(lesson, change):
    """How many of the three."""
    return sum(lesson["replay_demo"](number, change)[0]["is_success"] for number in range(3))


def test_demonstrations_fold_the_towel_again_and_so_do_their_words(lesson):
    assert folds(lesson, lambda actions: actions) == 3
    assert folds(lesson, lesson["in_words"]) >= 1, "eyes closed, some are lost"


@pytest.mark.parametrize(
    "broken",
    [
        {"normalize_actions": lambda a, low, high, mask: normalize_actions(-a, low, high, mask)},
        {"action_quantiles": lambda episodes: tuple(end / 3 for end in action_quantiles(episodes))},
    ],
    ids=["turned round", "a third of the range"],
)
def test_with_broken_numbers_the_words_fold_nothing(broken):
    lesson = run_lesson("def in_words", **broken)
    assert not folds(lesson, lesson["in_words"])


def test_fifteen_words_are_learned_of_each_sample(lesson):
    assert int(lesson["learned"].sum()) == 15
    assert len(lesson["action_ids"]) == 14
    right = lesson["right_words"](np.flatnonzero(~lesson["kept_apart"])[[5]])
    assert right.tolist() == [lesson["action_ids"].tolist()]


def test_another_choice_of_labels_is_what_is_learned(lesson):
    greedy = run_lesson("begins, opened = ", build_labels=lambda ids, length, pad: build_labels(ids, 1, pad))
    for names, learned in ((lesson, 15), (greedy, len(lesson["ids"]) - 1)):
        labels = names["samples"].words(np.arange(2))["labels"]
        assert (labels != names["UNLEARNED"]).sum(1).tolist() == [learned] * 2


def test_the_kept_episodes_are_the_learners_choice(lesson):
    index = lesson["dataset"].episode_index
    assert len(np.unique(index[lesson["kept_apart"]])) == 1
    first = run_lesson("begins, opened = ", split_by_episode=lambda index, share, seed: index == 0)
    assert len(first["samples"]) == (index != 0).sum()


def paths(lesson, look=None):
    """What the model gets of two frames on training's path, and on the robot's."""
    numbers = np.flatnonzero(~lesson["kept_apart"])[:2]
    asked = lesson["as_the_robot_asks"](numbers, *([look] if look else []))
    return lesson["samples"].batch(np.arange(2)), asked


def test_what_is_trained_is_what_is_asked(lesson):
    trained, asked = paths(lesson)
    assert torch.equal(trained["pixel_values"], asked["pixel_values"])
    assert torch.equal(trained["input_ids"][:, : asked["input_ids"].shape[1]], asked["input_ids"])
    numbers = np.flatnonzero(~lesson["kept_apart"])
    found = lesson["action_token_loss"](lesson["nano"], lesson["samples"].batch(np.arange(len(numbers))))[1]
    after_right, _ = lesson["reproduce_training_accuracy"](numbers)
    assert after_right == pytest.approx(found["policy/token_accuracy"], abs=1e-6)


def test_the_learners_box_is_the_one_that_is_cut_out(lesson):
    cornered = run_lesson(center_crop_box=lambda h, w, area=0.9: (0, 0, *center_crop_box(h, w, area)[2:]))
    right, (trained, asked) = paths(lesson)[0], paths(cornered)
    assert torch.equal(trained["pixel_values"], asked["pixel_values"])
    assert not torch.equal(trained["pixel_values"], right["pixel_values"])


def test_without_the_crop_the_two_paths_differ(lesson):
    trained, asked = paths(lesson, lambda image: image)
    assert not torch.equal(trained["pixel_values"], asked["pixel_values"])


def parrots(lesson):
    """The lesson's parrot, on frames that come in runs of four alike."""
    definitions = cells(LESSON, ("class Parrot", "def asked_about"))
    names = run([source.partition("SPLITS = ")[0] for source in definitions], lesson)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (40, 84, 84, 3)).astype(np.uint8)
    actions = random.uniform(-1, 1, (40, 14))
    names.update(images=pictures.repeat(4, axis=0), actions=actions.repeat(4, axis=0))
    names["STEPS"] = [0, 1, 2]
    return names


def test_a_parrot_split_by_frame_looks_as_if_it_knew(lesson):
    names = parrots(lesson)
    by_frame = names["asked_about"](np.random.default_rng(0).random(160) < 0.2)
    by_run = names["asked_about"](np.isin(np.arange(160) // 4, range(8)))
    assert by_frame[0] > 90 and by_frame[1] < 2
    assert by_run[0] < 10 and by_run[1] > 10


def test_a_parrot_averages_as_many_answers_as_it_is_asked_to(lesson):
    names = parrots(lesson)
    pictures = names["images"][::4]
    once = names["Parrot"](pictures, names["actions"][::4])
    averaged = names["Parrot"](pictures, names["actions"][::4], neighbours=40)
    shown = {"image_close": pictures[:3]}
    np.testing.assert_allclose(once.act(shown)[:, 0], names["actions"][::4][:3])
    np.testing.assert_allclose(averaged.act(shown)[:, 0], [names["actions"][::4].mean(0)] * 3)


def test_recordings_that_failed_are_no_demonstrations(lesson):
    def failures(env, expert, seeds, camera):
        frame = np.zeros((1, 84, 84, 3), np.uint8)
        for seed in seeds:
            yield Episode(frame, np.zeros((1, 16)), np.zeros((1, 14)), "fold", seed != 712, seed)

    with pytest.raises(AssertionError, match="failures demonstrate nothing"):
        run(cells(LESSON, ("def fast_robot",)), {**lesson, "collect": failures})


def test_the_numbers_of_the_recap_hold():
    steps = np.linspace(-88, 88, 10_000)[:, None]
    steps[7] = 2000
    (low,), (high,) = action_quantiles([steps])
    assert np.ptp(steps) / 255 == pytest.approx(8.2, abs=0.05)
    assert (high - low) / 255 == pytest.approx(0.7, abs=0.05)
    steps[:200] = 2000
    assert action_quantiles([steps])[1] == 2000
