"""A hundred thousand random actions over all garments, then cloth dragged at random: nothing may break, warn or leave its space."""

import warnings

import mujoco
import numpy as np
from measuring.report import GARMENTS, Row, asked_to_be_quick, finish

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert

ACTIONS, DRAGGED = 100_000, 20_000


def white(env: FoldingEnv, rng: np.random.Generator):
    """Full-scale, every number anew in every step."""
    while True:
        yield rng.uniform(-1, 1, 61).astype(np.float32)


def correlated(env: FoldingEnv, rng: np.random.Generator):
    """Full-scale, and going on in one direction for about a second."""
    drift = np.zeros(61)
    while True:
        drift = 0.95 * drift + 0.35 * rng.uniform(-1, 1, 61)
        yield np.clip(drift, -1, 1).astype(np.float32)


def dragging(env: FoldingEnv, rng: np.random.Generator):
    """The expert takes hold of cloth, then the arms pull at it at random, hands closed, until it slips."""
    expert = FoldingExpert(env)
    for action in correlated(env, rng):
        if any(env.held):
            action[6:30] = action[36:60] = action[60] = 0
            yield action
        else:
            yield expert.act()


def ordeal(env: FoldingEnv, kind, count: int, seed: int) -> dict:
    """Step through so many actions, and count what must not happen."""
    counts = dict.fromkeys(("mujoco_warnings", "outside_space", "not_finite", "holding"), 0)
    most = {"stretch": 0.0, "vertex_m": 0.0, "vertex_m_s": 0.0}
    actions, episodes, ended = kind(env, np.random.default_rng(seed)), 0, True
    for _ in range(count):
        if ended:
            env.reset(seed=seed + episodes)
            episodes += 1
            before = env.vertices.copy()
        observation, reward, terminated, truncated, _ = env.step(next(actions))
        ended = terminated or truncated
        counts["outside_space"] += observation not in env.observation_space
        finite = np.isfinite(reward) and all(np.isfinite(value).all() for value in observation.values())
        counts["not_finite"] += not finite
        counts["holding"] += any(env.held)
        counts["mujoco_warnings"] += sum(warning.number for warning in env.data.warning)
        ends = env.vertices[env.model.flex_edge]
        length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        speed = np.linalg.norm(env.vertices - before, axis=1).max() * env.control_hz
        before = env.vertices.copy()
        for name, value in (
            ("stretch", (length / env.model.flexedge_length0).max()),
            ("vertex_m", np.abs(env.vertices).max()),
            ("vertex_m_s", speed),
        ):
            most[name] = max(most[name], float(value))
    return {"actions": count, "episodes": episodes, **counts, **most}


def main() -> None:
    quick = asked_to_be_quick(__doc__)
    shrink = 100 if quick else 1
    runs, exceptions, complaints = {}, [], []
    for name, arguments in GARMENTS.items():
        env = FoldingEnv(**arguments)
        for kind, total in ((white, ACTIONS / 2), (correlated, ACTIONS / 2), (dragging, DRAGGED)):
            count = round(total / len(GARMENTS) / shrink)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    runs[f"{name}, {kind.__name__}"] = ordeal(env, kind, count, seed=1)
                except (ValueError, RuntimeError, FloatingPointError, mujoco.FatalError) as error:
                    exceptions.append(f"{name}, {kind.__name__}: {error!r}")
            complaints += [str(warning.message) for warning in caught]

    def total(key: str, *, only: str = "") -> float:
        return float(sum(run[key] for name, run in runs.items() if only in name))

    def most(key: str) -> float:
        return max(run[key] for run in runs.values())

    at_random = total("actions", only="white") + total("actions", only="correlated")
    rows = [
        Row("random actions", at_random, "", "" if quick else f"≥ {ACTIONS}"),
        Row("steps of dragging at random", total("holding", only="dragging")),
        Row("NaN or inf", total("not_finite"), "", "≤ 0"),
        Row("exceptions", len(exceptions), "", "≤ 0"),
        Row("MuJoCo warnings", total("mujoco_warnings"), "", "≤ 0"),
        Row("Python warnings", len(complaints), "", "≤ 0"),
        Row("observations outside their space", total("outside_space"), "", "≤ 0"),
        Row("largest stretch of an edge", most("stretch"), "×"),
        Row("furthest vertex from the middle", most("vertex_m"), "m"),
        Row("fastest vertex", most("vertex_m_s"), "m/s"),
    ]
    details = {"runs": runs, "exceptions": exceptions, "python_warnings": complaints}
    finish("random_actions", rows, seeds=[1], quick=quick, details=details)


if __name__ == "__main__":
    main()
