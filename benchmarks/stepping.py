"""What a control step costs, and how much of it is bare physics: the `mj_step` calls inside the very same steps.

State observation, one core, arms moving: the expert's episode is played once, then the same actions again and again from the same
start. CPU time of the process, so that neighbours on the machine count as little as possible; medians over repetitions.
"""

import statistics
import time

import mujoco
from measuring.report import GARMENTS, Row, asked_to_be_quick, finish

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert

REPETITIONS = 9
STEPS_PER_S = {"towel": "≥ 280", "tshirt": "≥ 180"}


class TimedSteps:
    """Stands in for `mujoco.mj_step` and adds up what it costs."""

    def __init__(self) -> None:
        self.bare, self.seconds = mujoco.mj_step, 0.0

    def __call__(self, *args, **kwargs) -> None:
        """What `mujoco.mj_step` does, timed."""
        start = time.process_time()
        self.bare(*args, **kwargs)
        self.seconds += time.process_time() - start


def recorded_actions(env: FoldingEnv, seed: int) -> list:
    expert, actions = FoldingExpert(env), []
    observation, _ = env.reset(seed=seed)
    terminated = truncated = False
    while not (terminated or truncated):
        actions.append(expert.act(observation))
        observation, _, terminated, truncated, _ = env.step(actions[-1])
    return actions


def replay_s(env: FoldingEnv, actions: list, seed: int) -> float:
    env.reset(seed=seed)
    start = time.process_time()
    for action in actions:
        env.step(action)
    return time.process_time() - start


def main() -> None:
    quick = asked_to_be_quick(__doc__.splitlines()[0])
    rows, details = [], {}
    for name, arguments in GARMENTS.items():
        env = FoldingEnv(**arguments)
        actions = recorded_actions(env, seed=0)
        ratios, plain_s, bare_s = [], [], []
        for _ in range(2 if quick else REPETITIONS):
            plain_s.append(replay_s(env, actions, seed=0))
            timed = TimedSteps()
            mujoco.mj_step = timed
            try:
                whole = replay_s(env, actions, seed=0)
            finally:
                mujoco.mj_step = timed.bare
            ratios.append(whole / timed.seconds)
            bare_s.append(timed.seconds)
        steps = len(actions)
        step_s = statistics.median(plain_s) / steps
        rows += [
            Row(f"{name}: env.step over its bare mj_step", statistics.median(ratios), "", "≤ 1.3"),
            Row(f"{name}: control steps", 1 / step_s, "per s", STEPS_PER_S.get(name, "")),
            Row(f"{name}: bare mj_step in a control step", 1000 * statistics.median(bare_s) / steps, "ms"),
        ]
        details[name] = {"ratios": ratios, "steps": steps, "vertices": len(env.vertices)}
    finish("stepping", rows, seeds=[0], quick=quick, details=details)


if __name__ == "__main__":
    main()
