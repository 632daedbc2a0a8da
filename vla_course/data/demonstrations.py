"""Whole sets of demonstrations with one command: on all cores, with a progress bar, going on where they stopped."""

import itertools
import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float
from tqdm.auto import tqdm

from vla_course.data.episodes import Episode, Expert, collect
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.data.schema import COLLECT
from vla_course.data.statistics import HAND, HANDS, normalized_dimensions
from vla_course.data.tables import read_json, write
from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.end_effector_expert import EndEffectorExpert
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.processes import Workers
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.envs.vector import known_spec
from vla_course.files import remove_partials, writing_alone
from vla_course.settings import both_sides, with_present_names

FIRST_SEED = 40_000_000
"""Evaluations count their seeds from 0: no start of a test is ever in a demonstration."""
GRIP, TURN_NOISE = HAND - 1, 0.2
HIGH_M, SHUTS = 0.15, -0.5


@dataclass(frozen=True)
class CollectConfig:
    """What is demonstrated, and how it is seen and told.

    Raises:
        ValueError: a number is out of range.
    """

    env: str = "FoldTowel-v0"
    """The environment in which the expert shows its task."""
    episodes: int = 200
    """How many good demonstrations are kept. Those that fail are counted and thrown away."""
    cameras: tuple[str, ...] = ("close",)
    """The cameras that are recorded, the main one first: each as a video of its own."""
    image_size: tuple[int, int] = (84, 84)
    """Height and width of the recorded pictures, pixels; one number is a square's."""
    state_key: str = HANDS
    """The observation that is recorded as the robot's state, joint_position for example."""
    rate_hz: int = 5
    """Actions a second, for the folding robot: each is one step of its hands, evenly interpolated."""
    noise: float = 0.05
    """Spread of what is added to the hands' steps as they are carried out; a fifth of it to their turns, nothing to grips."""
    drift: float = 0.6
    """Share of a step's noise that is still there in the next step."""
    fumbles: float = 0.1
    """Chance that a hand high above the table closes when it should not, in each step: the expert then shows how to go on."""
    pushes: float = 0.3
    """Chance that a hand that holds nothing is pushed aside, in each step: the expert then shows the way back."""
    push_m: float = 0.03
    """How far, along each axis of the table: the spread."""
    stage_signal: bool = False
    """Whether actions have a last number that asks for the next fold."""
    first_seed: int = FIRST_SEED
    """Seed of the first episode; the next ones count up from it."""
    workers: int | None = None
    """Processes; None means one for each core."""

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded."""
        object.__setattr__(self, "image_size", both_sides(self.image_size))
        if self.episodes < 1 or min(self.image_size) < 1 or self.noise < 0 or self.first_seed < 0:
            raise ValueError(f"want at least one episode and pixel, and no negative noise or seed: {self}")
        if not (
            0 <= self.drift < 1 and 0 <= self.fumbles <= 1 and 0 <= self.pushes <= 1 and self.push_m >= 0
        ):
            raise ValueError(
                "want a drift of at least 0 and below 1, chances of fumbles and pushes of 0 to 1, and no push of less than nothing: "
                f"{self}"
            )
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"want at least one worker, not {self.workers}")
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise ValueError(
                f"want at least one camera, and each once, not {', '.join(self.cameras) or 'none'}"
            )


def demonstration_env(config: CollectConfig) -> tuple[gymnasium.Env[Any, np.ndarray], Expert]:
    """The environment as a pupil will meet it, and an expert that speaks its actions.

    Raises:
        ValueError: the environment, camera or state is unknown, or nobody here knows how to do its task.
    """
    env = gymnasium.make(
        known_spec(config.env),
        observations=(config.state_key,),
        cameras=config.cameras,
        image_size=config.image_size,
    )
    if isinstance(env.unwrapped, FoldingEnv):
        hands = EndEffectorAction(env, rate_hz=config.rate_hz, stage_signal=config.stage_signal)
        return hands, EndEffectorExpert(hands)
    if isinstance(env.unwrapped, TabletopEnv):
        return env, TabletopExpert(env.unwrapped)
    raise ValueError(f"there is no expert for {config.env}")


def noise_spread(config: CollectConfig, env: gymnasium.Env[Any, np.ndarray]) -> Float[np.ndarray, " A"]:
    """The noise of each dimension of an action: little on turns, none on grips, which are places, nor on the stage signal."""
    assert env.action_space.shape is not None
    spread = np.full(env.action_space.shape, config.noise)
    for turn in (3, 4, 5):
        spread[turn::HAND] *= TURN_NOISE
    spread[~normalized_dimensions(len(spread))] = 0.0
    return spread


class Mishaps:
    """Sometimes closes a hand of the folding robot that holds nothing, and sometimes pushes it aside."""

    def __init__(self, env: EndEffectorAction, fumbles: float, pushes: float, push_m: float) -> None:
        """`fumbles` and `pushes` are the chances of each such hand in each step, `push_m` is the spread of a push.

        Hands near the table never close by mistake, and none is pushed while it closes: they would take hold of cloth beside the
        place that they are after, and the demonstration would show how to take it there.
        """
        self._robot: Any = env.unwrapped
        self._chances, self._push = (fumbles, pushes), push_m / env.translation_m

    def __call__(self, action: Float[np.ndarray, " A"], luck: np.random.Generator) -> Float[np.ndarray, " A"]:
        """The action as it is carried out."""
        robot = self._robot
        fumbled, pushed = (luck.random(len(robot.held)) < chance for chance in self._chances)
        aside = luck.normal(0, self._push, (len(robot.held), 2))
        done = action.copy()
        for hand in [hand for hand, vertices in enumerate(robot.held) if not vertices]:
            first = HAND * hand
            if fumbled[hand] and robot.hand_position[hand, 2] > HIGH_M:
                done[first + GRIP] = -1.0
            if pushed[hand] and action[first + GRIP] > SHUTS:
                done[first : first + 2] += aside[hand]
        return done


def make_demonstrations(config: CollectConfig, root: str | Path, *, progress: bool = True) -> dict[str, int]:
    """Record a LeRobot v3.0 set of good demonstrations under `root`; returns how many were tried now, and are kept in all.

    Stopped at any moment, even killed, it goes on from the last finished episode when it is called again. The set does not
    depend on the number of workers: seeds are counted up from the first, and episodes are kept in their order.

    Raises:
        ValueError: as `demonstration_env`, or what lies under `root` was recorded otherwise.
        FileExistsError: the set is complete already.
        InUseError: another process records there.
    """
    env, _ = demonstration_env(config)  # what is unknown is said here, not in a worker
    fps = int(env.metadata["render_fps"])
    env.close()
    with writing_alone(root):
        remove_partials(root)
        return _record_missing(config, Path(root), fps, progress)


def _record_missing(config: CollectConfig, root: Path, fps: int, progress: bool) -> dict[str, int]:
    """Go on until the set is whole; only one process at a time may do that."""
    with LeRobotWriter(root, fps=fps, camera=config.cameras, robot_type=config.env) as writer:
        first = writer.last_seed + 1 if writer.num_episodes else config.first_seed
        _same_settings(config, root)
        before = kept = writer.num_episodes
        failed = 0
        with (
            tqdm(total=config.episodes, initial=kept, unit="episode", disable=not progress) as bar,
            closing(_in_order(config, first)) as episodes,
        ):
            while kept < config.episodes:
                episode = next(episodes)
                if episode.success:
                    writer.add(episode)
                    kept += 1
                    bar.update()
                else:
                    failed += 1
                    bar.set_postfix(failed=failed)
        writer.finalize()
    return {"tried": kept - before + failed, "kept": kept}


def _same_settings(config: CollectConfig, root: Path) -> None:
    """Note beside a set how it was made, and refuse to go on with one that was made otherwise."""
    path = root / COLLECT
    free = {"episodes", "workers"}  # these may be other ones when recording goes on
    wanted: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value  # as JSON has it
        for name, value in asdict(config).items()
        if name not in free
    }
    if not path.exists():
        write(path, wanted)
    noted = with_present_names(read_json(path), str(path), CollectConfig)
    different = [f"{name}={noted.get(name)!r}" for name, value in wanted.items() if noted.get(name) != value]
    if different:
        raise ValueError(f"{root} was recorded with {', '.join(different)}: go on so, or record elsewhere")


def _in_order(config: CollectConfig, first: int) -> Generator[Episode, None, None]:
    """Episodes of the seeds from `first` on, in order, worked out by several processes ahead of being asked for."""
    workers = config.workers or os.cpu_count() or 1
    if workers == 1:
        _begin(config)
        try:
            yield from map(_record, itertools.count(first))
        finally:
            _worker.pop("env").close()
        return
    with Workers(workers, _begin, config) as pool:
        ahead: deque[Future[Episode]] = deque()
        for seed in itertools.count(first):
            ahead.append(pool.ask(_record, seed))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()


_worker: dict[str, Any] = {}


def _begin(config: CollectConfig) -> None:
    """Prepare one process: its own environment, and one thread for drawing."""
    os.environ.setdefault("LP_NUM_THREADS", "1")
    env, expert = demonstration_env(config)
    mishap = None
    if isinstance(env, EndEffectorAction) and (config.fumbles or config.pushes):
        mishap = Mishaps(env, config.fumbles, config.pushes, config.push_m)
    _worker.update(config=config, env=env, expert=expert, noise=noise_spread(config, env), mishap=mishap)


def _record(seed: int) -> Episode:
    config: CollectConfig = _worker["config"]
    env, expert, noise, mishap = (_worker[name] for name in ("env", "expert", "noise", "mishap"))
    return next(
        collect(
            env,
            expert,
            [seed],
            camera=config.cameras,
            state=config.state_key,
            noise=noise,
            drift=config.drift,
            mishap=mishap,
        )
    )
