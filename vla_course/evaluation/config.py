"""What an evaluation is, in plain values that a file, a command line and a later check can say again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vla_course.envs.arguments import check_known
from vla_course.evaluation.robustness import PLAIN, TESTS
from vla_course.settings import both_sides

EXPERT, NANO = "expert", "nano"
POLICIES = f"a run's folder, a model's folder, {NANO} or {EXPERT}"
ACTIONS = ("auto", "own", "end_effector", "left_hand", "right_hand")
WORDS = ("own", "paraphrase", "wrong", "empty")


@dataclass(frozen=True)
class EvaluationConfig:
    """Which policy acts where, from which starts, and under which condition.

    Two evaluations with the same `env`, `episodes` and `first_seed` begin from the same starts, whatever else differs, so
    they can be compared in pairs.

    Raises:
        ValueError: a value that may not be; the message names those that may.
    """

    policy: str = NANO
    """"expert" (folding only), "nano" for the model that ships with the course, or the folder of a run or of a model."""
    label: str = ""
    """What reports call the policy; the name of `policy` where none is given."""
    env: str = "FoldTowel-v0"
    """The environment in which the policy acts."""
    episodes: int = 100
    """How many are played; both policies of a comparison need the same."""
    first_seed: int = 0
    """Starts are seeded first_seed, first_seed + 1, and so on. Demonstrations have other seeds."""
    words: str = "own"
    """What is said: the task's own words, a "paraphrase", another task's ("wrong"), or nothing ("empty")."""
    test: str = PLAIN
    """"none", or the name of a robustness test."""
    action: str = "auto"
    """How the robot is moved: "own" is the environment's way; "auto" is that for the expert, one hand for the nano, two for others."""
    rate_hz: int = 5
    """Actions a second, where hands are moved."""
    cameras: tuple[str, ...] = ()
    """The policy's cameras, in the order of its run's training; none: those that its run learned with, else "close"."""
    state_key: str | None = None
    """The observation that a policy with a state is told; None: the one that its run learned with, else where the hands are."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels of what the policy sees, one number for a square; None: of the pictures that its run learned from, else as its model looks."""
    unnorm_key: str | None = None
    """The data set whose statistics turn the model's numbers into actions; None: the model's only one, or the tabletop's."""
    center_crop: bool | None = None
    """Whether the model sees the middle of the picture only, as after training on random crops; None: as the run says, else not."""
    max_steps: int | None = None
    """Steps after which an episode ends at the latest; None: as the environment has it."""
    workers: int | None = None
    """Processes that play episodes at once; None: one for each core; 0: none but this one."""
    env_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the environment."""

    def __post_init__(self) -> None:
        """Refuse what cannot be evaluated."""
        if self.image_size is not None:
            object.__setattr__(self, "image_size", both_sides(self.image_size))
        for name, known in (("action", ACTIONS), ("words", WORDS), ("test", tuple(TESTS))):
            check_known(name, [getattr(self, name)], known)
        for name, least in (("episodes", 1), ("first_seed", 0), ("rate_hz", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {least} or more, not {getattr(self, name)}")
        for name, least in (("workers", 0), ("max_steps", 1), ("image_size", 1)):
            value = getattr(self, name)
            if value is not None and (min(value) if isinstance(value, tuple) else value) < least:
                raise ValueError(f"{name} is {least} or more, not {value}")
        if self.on_tabletop and (self.policy == EXPERT or self.test != PLAIN):
            raise ValueError("the expert and the robustness tests are for folding, not for the tabletop")

    @property
    def seeds(self) -> Sequence[int]:
        """One for each episode."""
        return range(self.first_seed, self.first_seed + self.episodes)

    @property
    def moves(self) -> str:
        """The way of acting that "auto" comes to."""
        if self.action != "auto":
            return self.action
        if self.policy == EXPERT or self.on_tabletop:
            return "own"
        return "right_hand" if self.policy == NANO else "end_effector"

    @property
    def on_tabletop(self) -> bool:
        """Whether this is the tabletop, not folding."""
        return self.env.split("/")[-1].startswith("Tabletop")

    @property
    def said(self) -> str:
        """The words in use: those of the test, if it changes them."""
        return self.words if self.words != "own" else TESTS[self.test].words

    @property
    def name(self) -> str:
        """What reports call the policy."""
        return self.label or self.policy.rstrip("/").split("/")[-1]
