"""The frame by itself, on the tiny environment of `puck.py`; what it promises for every environment is in test_registration.py."""

import numpy as np
import pytest
from puck import PuckEnv

from vla_course.envs.course_env import CourseEnv


def test_an_environment_without_its_own_parts_names_what_is_missing():
    class Unfinished(CourseEnv):
        pass

    with pytest.raises(TypeError, match=r"abstract methods? '?_sense'?, '?data'?, '?model'?"):
        Unfinished(num_actions=1, action_meaning="", state={}, known_cameras=("close",), time_limit_steps=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": ("moon",)}, "unknown camera 'moon': the known ones are close"),
        ({"render_camera": "moon"}, "unknown camera 'moon': the known ones are close"),
        ({"observations": ("speed",)}, "unknown observation key 'speed': the known ones are position"),
        ({"render_mode": "human"}, "unknown render_mode 'human': the known ones are rgb_array"),
        ({"image_size": (0, 8)}, "image_size is a height and a width"),
        ({"render_size": (8, 0)}, "render_size is a height and a width"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        PuckEnv(**arguments)


def test_images_are_observed_beside_the_chosen_keys():
    env = PuckEnv(observations=(), cameras=("close",), image_size=(12, 16))
    observation, _ = env.reset(seed=0)
    assert list(observation) == ["image_close"] and observation in env.observation_space
    np.testing.assert_array_equal(observation["image_close"], env.picture("close", (12, 16)))
    env.close()


def test_the_first_known_camera_renders_unless_another_is_named():
    env = PuckEnv(render_mode="rgb_array", render_size=(20, 24))
    env.reset(seed=0)
    shown = env.render()
    np.testing.assert_array_equal(shown, env.picture("close", (20, 24), pretty=True))
    assert shown.std() > 5
    env.close()
    assert PuckEnv().render() is None


def test_the_time_that_is_left_runs_from_one_to_zero():
    env = PuckEnv()
    env.reset(seed=0)
    left = [env.time_left]
    truncated = False
    while not truncated:
        *_, truncated, _ = env.step(np.zeros(2))
        left.append(env.time_left)
    np.testing.assert_allclose(left, np.linspace(1, 0, env.time_limit_steps + 1))


def test_success_at_the_last_moment_is_no_truncation():
    env = PuckEnv()
    env.reset(seed=0)
    for _ in range(env.time_limit_steps - 1):
        env.step(np.zeros(2))
    env.data.qpos[0] = 2.0
    _, _, terminated, truncated, info = env.step(np.zeros(2))
    assert terminated and not truncated and info["is_success"]
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(2))
