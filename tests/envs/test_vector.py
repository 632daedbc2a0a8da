"""Vector environments: text unharmed, pictures after the parent rendered, no torch in workers, plain scripts and notebooks."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import gymnasium
import numpy as np
import psutil
import pytest
from episodes import IDS, same
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from vla_course.envs.folding.config import FoldingConfig
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.processes import WorkerDied
from vla_course.envs.vector import has_text, known_spec, make_vector_env
from vla_course.envs.wrappers import ActionChunk, InstructionText

SHORT = FoldingConfig(time_limit_steps=3)


def idle(env) -> np.ndarray:
    return np.zeros(env.action_space.shape, np.float32)


def test_instructions_and_pictures_arrive_through_two_processes():
    """After this process has used OpenGL, which hangs workers that are forked."""
    single = FoldingEnv("towel", cameras=("top",), image_size=(32, 32), observations=("stage",))
    alone = single.reset(seed=7)[0]["image_top"]
    env = make_vector_env(
        "FoldTowel-v0",
        2,
        wrappers=[InstructionText],
        cameras=("top",),
        image_size=(32, 32),
        observations=("stage",),
        config=SHORT,
    )
    try:
        assert isinstance(env, AsyncVectorEnv) and not env.shared_memory
        observations, _ = env.reset(seed=6)
        assert observations["instruction"] == ("fold the towel in half",) * 2
        np.testing.assert_array_equal(observations["image_top"][1], alone)  # seed 6 + 1
        assert observations in env.observation_space
        for step in range(4):  # the end of an episode included
            observations, rewards, terminated, truncated, infos = env.step(idle(env))
            assert observations["instruction"] == ("fold the towel in half",) * 2
            assert observations["image_top"].shape == (2, 32, 32, 3) and observations["image_top"].std() > 5
            assert truncated.all() == (step == 2) and not terminated.any() and np.isfinite(rewards).all()
            if truncated.all():
                for final in infos["final_obs"]:
                    assert final["instruction"] == "fold the towel in half" and final["image_top"].std() > 5
                assert not infos["final_info"]["is_success"].any()
    finally:
        env.close()
        single.close()


SCRIPT = """
import sys
import numpy as np, gymnasium
from vla_course.envs.vector import make_vector_env

print("main runs")

class Nosy(gymnasium.Wrapper):
    def modules(self):
        import multiprocessing
        return multiprocessing.parent_process() is not None, "torch" in sys.modules, "__main__" in type(self).__module__

env = make_vector_env("FoldTowel-v0", 2, wrappers=[Nosy])
print(env.shared_memory, env.reset(seed=0)[0]["keypoints"].shape)
env.step(np.zeros((2, 61), np.float32))
print(env.call("modules"))
env.close()
print("torch" in sys.modules)
"""


def test_a_plain_script_may_make_one_and_no_process_loads_torch(tmp_path):
    """No `if __name__ == "__main__"`, and a wrapper that only the script knows: as in a lesson or a notebook."""
    script = tmp_path / "lesson.py"
    script.write_text(textwrap.dedent(SCRIPT))
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "main runs",
        "True (2, 6, 3)",
        "((True, False, True), (True, False, True))",
        "False",
    ]


def test_policies_and_wrappers_load_no_torch_either():
    code = """
        import sys
        import vla_course.envs.end_effector, vla_course.envs.wrappers, vla_course.envs.folding.expert
        import vla_course.policies.residual, vla_course.policies.vla_features, vla_course.robot.inverse_kinematics
        print("torch" in sys.modules)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("env_id", IDS[:1])
def test_gymnasiums_own_way_works_for_the_default(env_id):
    env = gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="async")
    try:
        observations, _ = env.reset(seed=0)
        assert observations in env.observation_space
        alone = gymnasium.make(env_id).reset(seed=1)[0]
        for key, value in alone.items():
            np.testing.assert_array_equal(observations[key][1], value)
        assert np.isfinite(env.step(idle(env))[1]).all()
    finally:
        env.close()


def test_one_process_gives_what_many_give():
    def trajectory(asynchronous: bool):
        env = make_vector_env("FoldTowel-v0", 2, asynchronous=asynchronous, config=SHORT)
        rng = np.random.default_rng(0)
        seen = [env.reset(seed=3)[0]]
        for _ in range(5):
            observations, rewards, *_ = env.step(rng.uniform(-1, 1, (2, 61)).astype(np.float32))
            seen.append({**observations, "reward": rewards})
        env.close()
        return seen

    one, many = trajectory(False), trajectory(True)
    assert all(same(a, b) for a, b in zip(one, many, strict=True))


def test_every_step_is_a_true_one():
    """SAME_STEP: the observation after an end is the next episode's first, the last one of the old is in the infos."""
    env = make_vector_env("FoldTowel-v0", 2, asynchronous=False, config=SHORT)
    assert isinstance(env, SyncVectorEnv) and env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    left = []
    for _ in range(6):
        observations, _, _, truncated, infos = env.step(idle(env))
        left.append(observations["time_left"][0, 0])
        if truncated.any():
            assert truncated.all() and infos["final_obs"][0]["time_left"] == 0
            assert infos["final_info"]["fold_error_m"][0] > 0
    np.testing.assert_allclose(left, [2 / 3, 1 / 3, 1, 2 / 3, 1 / 3, 1], atol=1e-6)
    other = make_vector_env("FoldTowel-v0", 1, asynchronous=False, autoreset_mode="NextStep")
    assert other.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_chunks_step_together():
    env = make_vector_env(
        "FoldTowel-v0", 2, asynchronous=False, wrappers=[lambda one: ActionChunk(one, 2)], config=SHORT
    )
    env.reset(seed=0)
    assert env.action_space.shape == (2, 2, 61)
    _, _, _, truncated, infos = env.step(idle(env))
    assert not truncated.any() and infos["executed_steps"].tolist() == [2, 2]
    _, _, _, truncated, infos = env.step(idle(env))
    assert truncated.all() and infos["final_info"]["executed_steps"].tolist() == [1, 1]
    assert infos["final_info"]["step_rewards"].shape == (2, 2)


def test_names_are_found_with_and_without_the_namespace():
    assert known_spec("FoldTShirt-v0") is known_spec("vla_course/FoldTShirt-v0")
    assert known_spec("CartPole-v1").id == "CartPole-v1"
    with pytest.raises(
        ValueError, match=r"unknown environment 'FoldSock-v0': the course has .*FoldTShirt-v0.*FoldTowel-v0"
    ):
        make_vector_env("FoldSock-v0", 1)
    with pytest.raises(ValueError, match="at least one environment, not 0"):
        make_vector_env("FoldTowel-v0", 0)


def test_text_is_found_wherever_it_is():
    box, text = spaces.Box(0, 1), spaces.Text(5)
    assert has_text(text) and has_text(spaces.Dict({"a": box, "b": spaces.Tuple([box, text])}))
    assert not has_text(spaces.Dict({"a": box, "b": spaces.Tuple([box])}))


def test_the_running_script_is_untouched_afterwards():
    main = sys.modules["__main__"]
    before = getattr(main, "__file__", None), main.__spec__
    make_vector_env("CartPole-v1", 1).close()
    assert (getattr(main, "__file__", None), main.__spec__) == before


class Mortal(gymnasium.Wrapper):
    """Its process dies in a step with a first number above 0.5, takes its time with one below -0.5, and tells who it is."""

    def step(self, action):
        if action[0] > 0.5:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.5 * (action[0] < -0.5))
        return self.env.step(action)

    def pid(self):
        return os.getpid()


def test_a_worker_that_dies_in_a_step_ends_the_run_with_one_error():
    env = make_vector_env("FoldTowel-v0", 2, wrappers=[Mortal], observations=("stage",), config=SHORT)
    env.reset(seed=0)
    pids = env.call("pid")
    deadly = idle(env)
    deadly[0, 0], deadly[1, 0] = -1, 1
    began = time.monotonic()
    with pytest.raises(WorkerDied, match=r"the process of environment 1 \(exit code -9\) died"):
        env.step(deadly)
    env.close()
    assert time.monotonic() - began < 20 and not any(map(psutil.pid_exists, pids))
    with pytest.raises(gymnasium.error.ClosedEnvironmentError):
        env.reset()


def test_close_returns_after_a_worker_died_unnoticed():
    env = make_vector_env("FoldTowel-v0", 2, wrappers=[Mortal], observations=("stage",), config=SHORT)
    env.reset(seed=0)
    pids = env.call("pid")
    os.kill(pids[1], signal.SIGKILL)
    env.step_async(idle(env))
    env.close()
    assert env.closed and not any(map(psutil.pid_exists, pids))
