"""A third environment, as small as `CourseEnv` allows: the contract tests run over it as over the registered ones."""

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from vla_course.envs.arguments import check_known, pinned_value
from vla_course.envs.course_env import CourseEnv

PUCK = "vla_course_tests/Puck-v0"
MJCF = """<mujoco><option timestep="0.01" gravity="0 0 0"/><worldbody>
  <light pos="0 0 3"/><camera name="close" pos="0 0 3"/><geom type="plane" size="2 2 .1" rgba="0 .3 0 1"/>
  <body pos="0 0 .1"><joint name="x" type="slide" axis="1 0 0" damping="1"/><joint name="y" type="slide" axis="0 1 0" damping="1"/>
    <geom size=".3" mass="1" rgba="1 .9 .8 1" contype="0" conaffinity="0"/></body>
</worldbody><actuator><motor joint="x"/><motor joint="y"/></actuator></mujoco>"""


class PuckEnv(CourseEnv):
    """Push the puck one metre along x with two forces."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    instruction = "push the puck to the right"
    model, data = property(lambda env: env._model), property(lambda env: env._data)

    def __init__(self, **arguments) -> None:
        self._model = mujoco.MjModel.from_xml_string(MJCF)
        self._data = mujoco.MjData(self._model)
        state = {"position": spaces.Box(-9, 9, (2,), np.float32)}
        super().__init__(
            num_actions=2,
            action_meaning="two forces",
            state=state,
            known_cameras=("close",),
            time_limit_steps=40,
            **arguments,
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        check_known("reset option", options or {}, ("position", "yaw"))
        mujoco.mj_resetData(self.model, self.data)
        start = self.np_random.uniform(-0.1, 0.1, 2)
        self.data.qpos[:] = pinned_value("position", (options or {}).get("position", start), start)
        mujoco.mj_forward(self.model, self.data)
        return self._first_result(self._info())

    def step(self, action):
        before = self.data.qpos[0]
        self.data.ctrl[:] = self._checked(action)
        mujoco.mj_step(self.model, self.data, nstep=10)
        success = self._info()["is_success"]
        truncated = self._count_step(success)
        terms = {"progress": float(self.data.qpos[0] - before)}
        return self._step_result(terms, success, truncated, self._info())

    def _info(self):
        return {"instruction": self.instruction, "is_success": bool(self.data.qpos[0] > 1)}

    def _sense(self, key):
        return self.data.qpos


gymnasium.register(id=PUCK, entry_point=PuckEnv)
