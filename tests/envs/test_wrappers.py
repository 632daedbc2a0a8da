"""Action chunks and instructions in words."""

import warnings

import gymnasium
import jaxtyping
import numpy as np
import pytest
from episodes import IDS, folding_env, same
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from vla_course.envs.end_effector import EndEffectorAction, SingleArmAction
from vla_course.envs.folding.config import FoldingConfig
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.observations import TEXT_LENGTH
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.wrappers import ActionChunk, FixedStart, InstructionText


class Counting(gymnasium.Env):
    """Five steps long; the reward is the action, the observation the number of steps."""

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012
    action_space = spaces.Box(-9, 9, (1,), np.float32)
    observation_space = spaces.Box(0, 9, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.steps += 1
        return (
            np.array([self.steps], np.float32),
            float(action[0]),
            self.steps == 5,
            False,
            {"at": self.steps},
        )


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def column(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)[:, None]


def test_a_chunk_is_its_actions_one_after_the_other():
    env = ActionChunk(Counting(), 3)
    assert env.action_space == spaces.Box(-9, 9, (3, 1), np.float32)
    env.reset()
    observation, reward, terminated, truncated, info = env.step(column(1, 2, 4))
    assert (observation, reward, terminated, truncated) == ([3], 7, False, False)
    assert info["executed_steps"] == 3 and info["at"] == 3
    np.testing.assert_array_equal(info["step_rewards"], [1, 2, 4])


def test_the_last_chunk_may_be_cut_short_by_the_end():
    env = ActionChunk(Counting(), 3)
    env.reset()
    env.step(column(1, 1, 1))
    observation, reward, terminated, _, info = env.step(column(5, 7, 100))
    assert (observation, reward, terminated) == ([5], 12, True) and env.unwrapped.steps == 5
    assert info["executed_steps"] == 2
    np.testing.assert_array_equal(info["step_rewards"], [5, 7, 0])  # always as long as the chunk


def test_a_chunk_of_one_is_the_environment():
    env = ActionChunk(Counting(), 1)
    env.reset()
    assert env.step(column(3))[:2] == ([1], 3)


def test_chunks_of_the_robot_equal_its_single_steps():
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (8, 61)).astype(np.float32)
    env = folding_env("towel")
    env.reset(seed=0)
    steps = [env.step(action) for action in actions]
    chunked = ActionChunk(env, 4)
    chunked.reset(seed=0)
    results = [chunked.step(chunk) for chunk in actions.reshape(2, 4, 61)]
    assert same(results[-1][0], steps[-1][0])
    for result, four in zip(results, (steps[:4], steps[4:]), strict=True):
        assert result[1] == pytest.approx(sum(step[1] for step in four))
        terms = result[4]["reward_terms"]
        assert sum(terms.values()) == pytest.approx(result[1])
        for name, term in terms.items():
            assert term == pytest.approx(sum(step[4]["reward_terms"][name] for step in four))


def test_chunks_of_hand_steps_end_with_the_episode():
    env = ActionChunk(
        EndEffectorAction(FoldingEnv("towel", config=FoldingConfig(time_limit_steps=10)), rate_hz=5), 3
    )
    assert env.action_space.shape == (3, 14) and env.metadata["render_fps"] == pytest.approx(5 / 3)
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(np.zeros((3, 14), np.float32))
    assert truncated and not terminated
    assert (
        info["executed_steps"] == 3 and env.unwrapped.elapsed_steps == 10
    )  # the third lasted two of four steps


def test_render_fps_is_slowed():
    assert ActionChunk(Counting(), 5).metadata["render_fps"] == 2
    assert Counting.metadata["render_fps"] == 10


def test_bad_chunks_are_one_clear_error(as_learners_run):
    with pytest.raises(ValueError, match="at least one action, not 0"):
        ActionChunk(Counting(), 0)
    with pytest.raises(TypeError, match="actions of a Box"):
        ActionChunk(gymnasium.make("CartPole-v1"), 2)
    env = ActionChunk(Counting(), 3)
    env.reset()
    for wrong in (column(1, 2), np.zeros(3), np.zeros((1, 3, 1))):
        with pytest.raises(ValueError, match=r"an action chunk has shape \(3, 1\)"):
            env.step(wrong)
    assert env.unwrapped.steps == 0


@pytest.mark.parametrize("case", ["towel", "towel, quarter", "tshirt", "trousers"])
def test_the_instruction_is_observed_in_words(case):
    env = InstructionText(folding_env(case))
    observation, info = env.reset(seed=0)
    assert observation["instruction"] == info["instruction"] and " " in observation["instruction"]
    assert observation in env.observation_space
    observation, *_ = env.step(np.zeros(61, np.float32))
    assert observation in env.observation_space and "joint_position" in observation
    assert "instruction" not in folding_env(case).observation_space.spaces


def test_the_space_takes_sentences():
    text = InstructionText(folding_env("towel")).observation_space["instruction"]
    for sentence in ("Fold the T-shirt, please!", 'Say "done" (at 3:00); don\'t rush.', "a" * TEXT_LENGTH):
        assert sentence in text
    assert "a" * (TEXT_LENGTH + 1) not in text and "" not in text and "línea" not in text


def test_an_instruction_that_does_not_fit_says_why(as_learners_run):
    env = FoldingEnv("towel")
    env.instruction = "plié"
    with pytest.raises(ValueError, match="an instruction has at most 128 letters"):
        InstructionText(env)


HAND_STEPS = (EndEffectorAction, SingleArmAction)


@pytest.mark.parametrize("env_id", [name for name in IDS if "/Fold" not in name])
@pytest.mark.parametrize("wrap", HAND_STEPS)
def test_hand_steps_are_for_folding_environments(env_id, wrap):
    with pytest.raises(TypeError, match="hand steps replace the 61 numbers of a folding environment"):
        wrap(gymnasium.make(env_id))


@pytest.mark.parametrize(
    ("env_id", "wrap"),
    [
        (env_id, wrap)
        for env_id in IDS
        for wrap in (InstructionText, *HAND_STEPS, lambda env: ActionChunk(env, 2))
        if "/Fold" in env_id or wrap not in HAND_STEPS
    ],
)
def test_wrapped_environments_pass_gymnasiums_check_too(env_id, wrap):
    env = wrap(gymnasium.make(env_id))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        check_env(env, skip_render_check=True)


def test_a_fixed_start_is_the_same_at_every_reset():
    env = FixedStart(TabletopEnv(), seed=5, options={"task": "pick_up"})
    assert env.instruction == env.unwrapped.start.instruction and env.unwrapped.task.verb == "pick_up"
    first, info = env.reset()
    env.step(np.ones(7, np.float32))
    again, _ = env.reset(seed=9, options={"task": "touch"})
    assert same(first, again) and env.instruction == info["instruction"]
