"""What one call of the inverse kinematics costs, against `mink` on the same two arms and targets.

Both linearise four times and bring both hands towards poses near home; mink solves a quadratic program over all sixty joints with their
limits, ours two damped 6 × 6 systems. Turn by turn, CPU time, medians.
"""

import statistics
import time
from collections.abc import Callable

from measuring.report import Row, asked_to_be_quick, finish

import mink  # isort: skip  (after the thread count is set)
import numpy as np

from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import home_position, robot_model

TARGETS = 200


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    quick = asked_to_be_quick(__doc__.splitlines()[0])
    ik, model, rng = InverseKinematics(), robot_model(), np.random.default_rng(0)
    position, rotation = ik.forward(home_position())
    tasks = [
        mink.FrameTask(f"{side}_grasp", "site", position_cost=1.0, orientation_cost=0.25)
        for side in ("left", "right")
    ]
    limits = [mink.ConfigurationLimit(model)]
    turns = [mink.SO3.from_matrix(matrix) for matrix in rotation]

    def ours(target: np.ndarray) -> None:
        ik.solve(home_position(), target, rotation)

    def minks(target: np.ndarray) -> None:
        configuration = mink.Configuration(model, home_position())
        for task, turn, place in zip(tasks, turns, target, strict=True):
            task.set_target(mink.SE3.from_rotation_and_translation(turn, place))
        for _ in range(ik.iterations):
            step = mink.solve_ik(configuration, tasks, 1.0, solver="daqp", damping=1e-4, limits=limits)
            configuration.integrate_inplace(step, 1.0)

    mine_s, mink_s = [], []
    for _ in range(10 if quick else TARGETS):
        target = position + rng.uniform(-0.03, 0.03, (2, 3))
        mine_s.append(seconds(lambda target=target: ours(target)))
        mink_s.append(seconds(lambda target=target: minks(target)))
    ratios = [mine / theirs for mine, theirs in zip(mine_s, mink_s, strict=True)]
    rows = [
        Row("our solve over mink's", statistics.median(ratios), "", "≤ 1"),
        Row("our solve, both arms", 1000 * statistics.median(mine_s), "ms", "≤ 0.7"),
        Row("mink's", 1000 * statistics.median(mink_s), "ms"),
    ]
    finish("inverse_kinematics", rows, seeds=[0], quick=quick)


if __name__ == "__main__":
    main()
