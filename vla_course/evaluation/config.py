"""Settings of an evaluation, serialisable: a record, a command line and `--verify` use the same."""

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
    """The policy, the environment, the starts and the condition of an evaluation.

    Two evaluations with the same `env`, `episodes` and `first_seed` begin from the same starts, whatever else differs, so
    they can be compared in pairs.

    Raises:
        ValueError: a value is not allowed; the message names those that are.
    """

    policy: str = NANO
    """"expert" (folding only), "nano" for the model that ships with the course, or the folder of a run or of a model."""
    label: str = ""
    """Name of the policy in reports; by default the last part of `policy`."""
    env: str = "FoldTowel-v0"
    """The environment in which the policy acts."""
    episodes: int = 100
    """Number of episodes; both policies of a comparison need the same."""
    first_seed: int = 0
    """Starts are seeded first_seed, first_seed + 1, and so on. Demonstrations have other seeds."""
    words: str = "own"
    """Instruction: the task's "own", a "paraphrase", another task's ("wrong"), or an "empty" one."""
    test: str = PLAIN
    """"none", or the name of a robustness test."""
    action: str = "auto"
    """Action space: "own" is the environment's; "auto" is that for the expert, one hand for the nano, two hands for others."""
    rate_hz: int = 5
    """Actions per second, where they move hands."""
    cameras: tuple[str, ...] = ()
    """The policy's cameras, in the order of its run's training; none: those that its run was trained with, else "close"."""
    state_key: str | None = None
    """The observation that a policy with a state input gets as its state; None: that of its run's training, else the hands' poses."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels of the policy's pictures, one number for a square; None: as in its run's training data, else as its model takes them."""
    unnorm_key: str | None = None
    """The data set whose statistics unnormalize the model's actions; None: the model's only one, or the tabletop's."""
    center_crop: bool | None = None
    """Whether the model sees only the centre crop of its pictures; None: yes where its run was trained on random crops."""
    max_steps: int | None = None
    """Longest episode in steps; None: the environment's limit."""
    workers: int | None = None
    """Processes that play episodes in parallel; None: one per core; 0: only this process."""
    env_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the environment."""

    def __post_init__(self) -> None:
        """Check the values."""
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
        """The seed of each episode's start."""
        return range(self.first_seed, self.first_seed + self.episodes)

    @property
    def moves(self) -> str:
        """The action space, with "auto" resolved."""
        if self.action != "auto":
            return self.action
        if self.policy == EXPERT or self.on_tabletop:
            return "own"
        return "right_hand" if self.policy == NANO else "end_effector"

    @property
    def on_tabletop(self) -> bool:
        """Whether the environment is the tabletop."""
        return self.env.split("/")[-1].startswith("Tabletop")

    @property
    def said(self) -> str:
        """The kind of instruction: the robustness test's, if it changes the words."""
        return self.words if self.words != "own" else TESTS[self.test].words

    @property
    def name(self) -> str:
        """Name of the policy in reports."""
        return self.label or self.policy.rstrip("/").split("/")[-1]
