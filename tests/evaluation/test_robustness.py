"""Sixteen tests, each one change; words for every task; models that act on the folding robot."""

from dataclasses import replace

import numpy as np
import pytest
from openvla_reference import nano

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.start import GARMENT_COLORS
from vla_course.envs.tabletop.language import parse
from vla_course.evaluation.assembly import make_env, trials
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.language import PARAPHRASES, folding_instructions, instructions
from vla_course.evaluation.robustness import PLAIN, TESTS, groups, reset_options
from vla_course.evaluation.run import evaluate_policy, verify
from vla_course.evaluation.trials import Trial, play
from vla_course.policies.folding import one_hand_policy, two_hand_policy
from vla_course.policy import Policy

STATISTICS = {
    "tabletop": {
        "action": {"q01": [-1.0] * 7, "q99": [1.0] * 7, "mask": [True] * 6 + [False]},
        "proprio": {"q01": [-1.0] * 7, "q99": [1.0] * 7},
    }
}
BOTH = {"fold_towel": {"action": {"q01": [-1.0] * 14, "q99": [1.0] * 14, "mask": [True] * 14}}}


def test_sixteen_tests_in_the_three_groups_of_rl4vla():
    tests = groups()
    assert tests.pop("none") == (PLAIN,)
    assert {group: len(names) for group, names in tests.items()} == {
        "vision": 7,
        "semantics": 6,
        "execution": 3,
    }
    assert all(test.changes for test in TESTS.values())


@pytest.mark.parametrize("name", [name for name, test in TESTS.items() if test.draw is not None])
def test_what_a_test_pins_follows_from_the_seed(name):
    first, again = reset_options(name, 5), reset_options(name, 5)
    np.testing.assert_equal(first, again)
    env = make_env(EvaluationConfig(policy="expert", test=name))
    plain = make_env(EvaluationConfig(policy="expert"))
    env.reset(seed=5, options=first)
    plain.reset(seed=5)
    starts = [vars(one.unwrapped.save().start) for one in (env, plain)]
    changed = {key for key in starts[0] if not np.array_equal(starts[0][key], starts[1][key])}
    assert changed == set(first) and len(changed) == 1


def test_what_is_unseen_is_outside_of_what_is_drawn():
    for seed in range(40):
        assert tuple(reset_options("color", seed)["color"]) not in GARMENT_COLORS.values()
        position = np.abs(reset_options("position", seed)["position"])
        assert 0.06 <= position.max() <= 0.08 and position.min() <= 0.05
        jitter = np.abs(reset_options("camera", seed)["camera_jitter"])
        assert (jitter >= 0.02).all() and (jitter <= 0.04).all()
        noise = np.abs(reset_options("joints", seed)["joint_noise"])
        assert noise[:6].max() > 0.01 and noise[6:30].max() <= 0.01 and noise[30:36].max() <= 0.15
    usual = FoldingEnv("towel").config.start.size_range
    for name in ("larger", "smaller"):
        size = make_env(EvaluationConfig(policy="expert", test=name)).unwrapped.config.start.sizes
        assert len(size) == 1 and not usual[0] <= size[0] <= usual[1]


def test_the_moved_garment_and_the_distractors_are_in_the_environment():
    idle = np.zeros(61, np.float32)
    env = make_env(EvaluationConfig(policy="expert", test="moved"))
    env.reset(seed=0)
    before = env.unwrapped.goal.position.copy()
    for _ in range(12):
        env.step(idle)
    assert np.linalg.norm(env.unwrapped.goal.position - before) >= 0.04
    for name, count in (("distractor", 1), ("distractors", 3)):
        env = make_env(EvaluationConfig(policy="expert", test=name))
        env.reset(seed=0)
        places = env.unwrapped.save().start.distractors
        assert (np.abs(places).max(axis=1) < 1).sum() == count


@pytest.mark.parametrize("name", ["noise_weak", "noise_strong", "light"])
def test_changed_pictures_reach_the_policy(name):
    plain = make_env(EvaluationConfig(action="own"))
    changed = make_env(EvaluationConfig(action="own", test=name))
    true, seen = (env.reset(seed=1)[0]["image_close"].astype(float) for env in (plain, changed))
    change = seen - true
    if name == "light":
        assert np.abs(seen - 0.6 * true).max() <= 0.5
    else:
        middle = (true > 90) & (true < 165)
        assert change[middle].std() == pytest.approx({"noise_weak": 15, "noise_strong": 45}[name], rel=0.1)


def test_every_task_has_other_words_and_wrong_ones():
    assert set(PARAPHRASES) == set(folding_instructions()) and len(folding_instructions()) == 4
    for own in folding_instructions():
        said = {
            words: instructions(own, words, range(30)) for words in ("own", "paraphrase", "wrong", "empty")
        }
        assert set(said["own"]) == {own} and set(said["empty"]) == {""}
        assert set(said["paraphrase"]) == set(PARAPHRASES[own]) and own not in PARAPHRASES[own]
        assert set(said["wrong"]) == set(folding_instructions()) - {own}
        assert said["wrong"] == instructions(own, "wrong", range(30))
    with pytest.raises(ValueError, match="no other words"):
        instructions("fold the hat", "paraphrase", range(3))
    with pytest.raises(ValueError, match="words are"):
        instructions("fold the t-shirt", "loud", range(3))
    told = []
    instructions(
        "fold the t-shirt", "wrong", range(2), wrong=lambda all_, rng: told.extend(all_) or ["x"] * len(all_)
    )
    assert told[:2] == ["fold the t-shirt"] * 2 and set(told[2:]) == set(folding_instructions()) - {told[0]}


def test_trials_carry_words_and_pins():
    plain = trials(EvaluationConfig(policy="expert", episodes=2, first_seed=7))
    assert plain == [Trial(7), Trial(8)]
    said = trials(EvaluationConfig(policy="expert", episodes=2, test="paraphrase"))
    assert all(trial.instruction in PARAPHRASES["fold the towel in half"] for trial in said)
    empty = trials(EvaluationConfig(policy="expert", episodes=2, words="empty", test="table"))
    assert [trial.instruction for trial in empty] == ["", ""] and empty[0].options == {"table": 5}


def test_the_tabletop_has_its_own_right_and_wrong_words():
    config = EvaluationConfig(env="Tabletop-v0", episodes=4)
    env = make_env(config)
    for words in ("own", "paraphrase", "wrong"):
        for trial in trials(EvaluationConfig(env="Tabletop-v0", episodes=4, words=words)):
            _, info = env.reset(seed=trial.seed, options=trial.options)
            task, phrasing = parse(info["instruction"])
            assert phrasing.seen == (words != "paraphrase")
            assert (task == env.unwrapped.start.task) == (words != "wrong")
    assert trials(EvaluationConfig(env="Tabletop-v0", episodes=1, words="empty"))[0].instruction == ""


def test_one_hand_hears_of_the_hand_it_moves():
    model = nano(norm_stats=STATISTICS, state_dim=7)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), dtype=np.uint8)
    state = np.random.default_rng(1).uniform(-1, 1, (2, 16)).astype(np.float32)
    seen = {"image_close": pictures, "instruction": ["fold it"] * 2, "end_effector": state}
    for hand, numbers in (("left", state[:, :7]), ("right", state[:, 7:14])):
        policy = one_hand_policy(model, hand)
        assert isinstance(policy, Policy) and policy.action_dim == 7
        wanted = model.predict_action(list(pictures), ["fold it"] * 2, "tabletop", state=numbers)
        np.testing.assert_allclose(policy.act(seen)[:, 0], np.clip(wanted, -1, 1), atol=1e-6)
    with pytest.raises(ValueError, match="'left' or 'right'"):
        one_hand_policy(model, "third")


def test_a_model_of_two_hands_acts_on_the_folding_robot():
    model = nano(norm_stats=BOTH)
    config = EvaluationConfig(policy="runs/x", image_size=(28, 28), max_steps=2)
    env = make_env(config)
    assert env.action_space.shape == (14,)
    whole, cropped = (two_hand_policy(model, crop=crop) for crop in (False, True))
    episode = play(env, whole, Trial(0), 2)
    assert episode.steps == 2 and not episode.success and episode.instruction == "fold the towel in half"
    assert episode.sha256 != play(env, cropped, Trial(0), 2).sha256
    picture = np.arange(28 * 28 * 3, dtype=np.uint8).reshape(1, 28, 28, 3)
    np.testing.assert_array_equal(cropped.look(picture), picture[:, 1:27, 1:27])


def test_the_folder_of_a_model_is_a_policy(tmp_path):
    nano(norm_stats=BOTH).save_pretrained(tmp_path / "model")
    config = EvaluationConfig(
        policy=str(tmp_path / "model"), image_size=(28, 28), episodes=2, max_steps=2, workers=0, words="empty"
    )
    record = evaluate_policy(config, tmp_path / "x.json", films=False)
    assert record.config.name == "model" and not record.films
    assert [episode.instruction for episode in record.evaluation.episodes] == ["", ""]
    assert verify(tmp_path / "x.json", 1.0).passed
    spoken = evaluate_policy(replace(config, words="own"))
    assert [one.sha256 for one in spoken.evaluation.episodes] != [
        one.sha256 for one in record.evaluation.episodes
    ]
    with pytest.raises(ValueError, match=r"model says 14 numbers.*takes 61"):
        evaluate_policy(replace(config, action="own"))
