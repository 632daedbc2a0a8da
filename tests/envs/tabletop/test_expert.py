"""The scripted expert does every task, from any state, whatever was said."""

import numpy as np
import pytest

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.tabletop.config import VERBS
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert


@pytest.fixture(scope="module")
def env():
    return TabletopEnv()


def success_of_expert(env, *, noisy_steps: int = 0, **reset) -> bool:
    env.reset(**reset)
    expert, rng = TabletopExpert(env), np.random.default_rng(reset["seed"])
    terminated = truncated = False
    while not (terminated or truncated):
        action = expert.act()
        assert action.dtype == np.float32 and np.abs(action).max() <= 1
        if env.elapsed_steps < noisy_steps:
            action = np.clip(action + rng.normal(0, 0.4, 7), -1, 1).astype(np.float32)
        *_, terminated, truncated, info = env.step(action)
    return info["is_success"]


@pytest.mark.parametrize("split", ["seen", "unseen_both"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_expert_succeeds_at_every_task(env, verb, split):
    assert [success_of_expert(env, seed=s, options={"task": verb, "split": split}) for s in (10, 11, 12)] == [
        True
    ] * 3


@pytest.mark.parametrize("kind", ["towel", "t-shirt", "trousers"])
def test_the_expert_touches_parts_of_every_garment(env, kind):
    options = {"garment": ("yellow", kind)}
    assert all(success_of_expert(env, seed=seed, options=options) for seed in range(4))


@pytest.mark.parametrize("verb", ["push_to", "pick_up", "put"])
def test_the_expert_takes_over_wherever_another_policy_left_off(env, verb):
    """It has no memory, so it finds its way after three noisy steps."""
    assert sum(success_of_expert(env, seed=s, noisy_steps=3, options={"task": verb}) for s in range(5)) >= 4


@pytest.mark.parametrize("height_m", [0.03, 0.08, 0.15, 0.25])
@pytest.mark.parametrize("verb", ["touch", "push_to", "pick_up"])
def test_a_hand_a_millimetre_further_on_is_sent_nearly_the_same_way(env, verb, height_m, monkeypatch):
    """A pupil that is unsure of a place by centimetres cannot learn an expert that jumps from one answer to another."""
    env.reset(seed=4, options={"task": verb})
    expert, (_, rotation) = TabletopExpert(env), env.control.pose(env.joint_target)
    middle = env.world.anchor(env.goal.task.target)[:2]
    answers = []
    for offset in np.arange(-0.3, 0.3, 0.001):
        here = np.array([middle[0] + 0.01, middle[1] + offset, height_m])
        monkeypatch.setattr(env.control, "pose", lambda joints, here=here: (here, rotation))
        answers.append(expert.act()[:3] * env.config.translation_m)
    jumps_m = np.linalg.norm(np.diff(answers, axis=0), axis=1)
    # Two jumps are meant: fingers that are near enough close while the hand goes on down, and do not before.
    allowed = 2 if verb == "pick_up" else 0
    assert (jumps_m > 0.012).sum() <= allowed


def test_the_expert_does_what_is_scored_not_what_is_said(env):
    options = {"task": "pick_up", "wrong_instruction": True}
    assert all(success_of_expert(env, seed=seed, options=options) for seed in range(3))


def test_the_expert_wants_a_tabletop():
    with pytest.raises(TypeError, match="needs a TabletopEnv, not a FoldingEnv"):
        TabletopExpert(FoldingEnv("towel"))
