"""What every environment of the course promises, in the manner of dm_control's suite.

The environments come from the registry, never from a list; beside them a tiny third one, which has nothing but the frame.
"""

import copy
import hashlib
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import jaxtyping
import numpy as np
import pytest
from episodes import IDS, expert_episode, same
from gymnasium.utils.env_checker import check_env
from puck import PUCK

from vla_course.envs.end_effector import EndEffectorAction
from vla_course.policies.expert import ExpertPolicy

ALL = (*IDS, PUCK)
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}
LOOK = {"cameras": ("close",), "image_size": (16, 16), "render_mode": "rgb_array", "render_size": (24, 24)}

TRAJECTORIES = """
import sys
import gymnasium, vla_course
sys.path.insert(0, sys.argv[1])
from envs.test_registration import trajectory_hash
for env_id in sys.argv[2:]:
    print(trajectory_hash(gymnasium.make(env_id)))
"""


@pytest.fixture(params=ALL, scope="module")
def env(request):
    env = gymnasium.make(request.param)
    yield env
    env.close()


def random_actions(env, count: int, seed: int = 0) -> list[np.ndarray]:
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(count)]


def trajectory_hash(env, seed: int = 3, steps: int = 40) -> str:
    """A fingerprint of all that an episode of random actions shows."""
    digest = hashlib.sha256()
    observation, _ = env.reset(seed=seed)
    for action in random_actions(env, steps):
        for key in sorted(observation):
            digest.update(np.ascontiguousarray(observation[key]).tobytes())
        observation, reward, terminated, truncated, info = env.step(action)
        digest.update(repr((float(reward), terminated, truncated, sorted(info.items(), key=str))).encode())
    return digest.hexdigest()


def test_the_course_has_environments():
    assert {"vla_course/FoldTowel-v0", "vla_course/FoldTShirt-v0", "vla_course/FoldTrousers-v0"} <= set(IDS)
    assert "vla_course/Tabletop-v0" in IDS


@pytest.mark.parametrize("env_id", ALL)
def test_gymnasium_finds_nothing_to_complain_about(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(env_id).unwrapped)


def test_observations_are_in_their_space_and_finite(env):
    observation, _ = env.reset(seed=0)
    for action in random_actions(env, 30):
        assert observation in env.observation_space
        assert all(np.isfinite(value).all() for value in observation.values())
        observation, *_ = env.step(action)


def test_the_same_seed_gives_the_same_trajectory_in_this_process(env):
    assert trajectory_hash(env) == trajectory_hash(env)
    assert trajectory_hash(env) != trajectory_hash(env, seed=4)


def test_the_same_seed_gives_the_same_trajectory_in_two_other_processes():
    command = [sys.executable, "-c", TRAJECTORIES, str(Path(__file__).parents[1]), *ALL]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=120)[0].split() for process in processes)
    here = [trajectory_hash(gymnasium.make(env_id)) for env_id in ALL]
    assert len(here) == len(ALL) and first == second == here


def test_no_two_observations_share_memory(env):
    first, _ = env.reset(seed=0)
    second, *_ = env.step(random_actions(env, 1)[0])
    third, _ = env.reset(seed=0)
    for key in first:
        for a, b in ((first, second), (second, third), (first, third)):
            assert not np.shares_memory(a[key], b[key]), key


def test_what_a_learner_writes_into_an_observation_changes_nothing(env):
    actions = random_actions(env, 5)

    def episode(spoil: bool):
        observation, _ = env.reset(seed=0)
        for action in actions:
            if spoil:
                for value in observation.values():
                    value[...] = 0
            observation, *_ = env.step(action)
        return observation

    assert same(episode(spoil=True), episode(spoil=False))


def test_an_action_is_left_as_it_was(env):
    env.reset(seed=0)
    action = random_actions(env, 1)[0] * 3
    kept = action.copy()
    env.step(action)
    np.testing.assert_array_equal(action, kept)


def test_the_reward_is_the_sum_of_its_terms(env):
    env.reset(seed=0)
    for action in random_actions(env, 30):
        _, reward, _, _, info = env.step(action)
        terms = info["reward_terms"]
        assert all(isinstance(term, float) and np.isfinite(term) for term in terms.values()), terms
        assert reward == sum(terms.values())


def test_info_says_the_instruction_and_whether_it_was_carried_out(env):
    _, info = env.reset(seed=0)
    for seen in (info, env.step(random_actions(env, 1)[0])[-1]):
        assert seen["instruction"] == env.unwrapped.instruction and seen["is_success"] is False


def test_numbers_beyond_one_are_clipped(env):
    def after(action):
        env.reset(seed=0)
        return env.step(action)[:2]

    wild = np.array(random_actions(env, 1)[0]) * 5
    assert same(after(wild)[0], after(np.clip(wild, -1, 1))[0])
    assert after(wild)[1] == after(np.clip(wild, -1, 1))[1]
    huge = np.full(env.action_space.shape, 1e39)  # finite in float64, beyond what float32 holds
    assert same(after(huge)[0], after(np.ones_like(huge))[0])


def test_an_episode_is_truncated_at_its_limit_and_not_before(env):
    """Nothing solves itself: an idle episode runs to the limit."""
    env.reset(seed=0)
    idle = np.zeros(env.action_space.shape, np.float32)
    limit = env.unwrapped.time_limit_steps
    ends = []
    for _ in range(limit):
        _, _, terminated, truncated, info = env.step(idle)
        assert terminated is False and info["is_success"] is False
        ends.append(truncated)
    assert ends == [False] * (limit - 1) + [True]
    with pytest.raises(RuntimeError, match="call reset"):
        env.unwrapped.step(idle)
    env.reset()
    env.step(idle)


@pytest.mark.parametrize("env_id", ALL)
def test_stepping_before_reset_says_so(env_id):
    env = gymnasium.make(env_id)
    with pytest.raises(RuntimeError, match="call reset"):
        env.unwrapped.step(env.action_space.sample())


def test_a_bad_action_is_one_clear_error(env, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    env.reset(seed=0)
    size = env.action_space.shape[0]
    index = size - 2
    for shape in ((size - 1,), (1, size), ()):
        with pytest.raises(ValueError, match=rf"shape \({size},\)"):
            env.unwrapped.step(np.zeros(shape, np.float32))
    for bad, word in ((np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")):
        action = np.zeros(size, np.float32)
        action[index] = bad
        with pytest.raises(ValueError, match=rf"action\[{index}\] is {word}"):
            env.unwrapped.step(action)
    env.step(np.zeros(size, np.float32))


def test_a_bad_reset_option_names_the_known_ones(env):
    with pytest.raises(
        ValueError, match=r"unknown reset option 'colour': the known ones are .*position.*yaw"
    ):
        env.reset(options={"colour": "red"})
    assert env.reset(seed=0)[0] in env.observation_space


def seen(env, actions) -> list:
    """All that an environment shows as it goes on, pictures included."""
    return [[*env.step(action), env.render()] for action in actions]


def goes_on_alone(env, twin, actions) -> bool:
    """Whether a copy goes on as its original does, and the original stays where it was meanwhile."""
    before = env.unwrapped.data.qpos.copy(), env.render()
    alone = seen(twin, actions)
    untouched = same(before[0], env.unwrapped.data.qpos.copy()) and same(before[1], env.render())
    steps = zip(alone, seen(env, actions), strict=True)
    return untouched and all(same(a, b) for pair in steps for a, b in zip(*pair, strict=True))


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("env_id", ALL)
def test_a_copy_is_an_environment_of_its_own(env_id, how):
    """Through gymnasium.make's wrappers: before the first reset, and in the middle of an episode, after a picture."""
    env = gymnasium.make(env_id, **LOOK)
    fresh = COPIES[how](env)
    assert same(env.reset(seed=3)[0], fresh.reset(seed=3)[0])
    actions = random_actions(env, 12)
    seen(env, actions[:6])
    twin = COPIES[how](env)
    assert twin.unwrapped is not env.unwrapped and goes_on_alone(env, twin, actions[6:])
    assert same(env.reset()[0], twin.reset()[0]), "the same luck, too"
    twin.close()
    assert env.render().std() > 5


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_holds_the_cloth_that_its_original_holds(how):
    played = expert_episode("towel")
    grasp = next(step for step, seen in enumerate(played.observations) if seen["held"].any())
    env = gymnasium.make("vla_course/FoldTowel-v0", **LOOK)
    env.reset(seed=0)
    seen(env, played.actions[: grasp + 3])
    assert any(env.unwrapped.held)
    assert goes_on_alone(env, COPIES[how](env), played.actions[grasp + 3 : grasp + 11])


def test_wrappers_and_experts_are_copied_with_their_environment():
    hands = EndEffectorAction(gymnasium.make("vla_course/FoldTowel-v0"), rate_hz=5)
    expert = ExpertPolicy(hands)
    hands.reset(seed=1)
    ours, theirs = [], []
    twin, again = copy.deepcopy((hands, expert))
    for robot, policy, found in ((twin, again, theirs), (hands, expert, ours)):
        for _ in range(4):
            found.append(robot.step(policy.act({"instruction": ["fold"]})[0, 0])[0])
    assert all(same(a, b) for a, b in zip(ours, theirs, strict=True))
