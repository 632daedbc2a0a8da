"""Configuration of the tabletop task: rates, ranges, colours, and the combinations held out for the test of composition."""

from dataclasses import dataclass, field

Color = tuple[float, float, float]

COLORS: dict[str, Color] = {
    "red": (0.80, 0.10, 0.10),
    "orange": (0.96, 0.47, 0.06),
    "yellow": (0.95, 0.82, 0.12),
    "green": (0.13, 0.56, 0.20),
    "blue": (0.10, 0.27, 0.78),
    "purple": (0.47, 0.18, 0.65),
    "pink": (0.97, 0.52, 0.72),
    "black": (0.09, 0.09, 0.10),
}
VERBS = ("touch", "push_to", "push_direction", "pick_up", "put")
"""The verbs of tasks. Parts of garments can only be touched."""

SEEN, UNSEEN_COMBINATION, UNSEEN_PHRASING, UNSEEN_BOTH = (
    "seen",
    "unseen_combination",
    "unseen_phrasing",
    "unseen_both",
)
SPLITS = (SEEN, UNSEEN_COMBINATION, UNSEEN_PHRASING, UNSEEN_BOTH)

HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("blue", "cube"),
        ("green", "brick"),
        ("red", "can"),
        ("yellow", "ball"),
        ("purple", "cone"),
        ("pink", "star"),
        ("orange", "bowl"),
        ("black", "plate"),
        ("green", "t-shirt"),
        ("purple", "towel"),
        ("orange", "trousers"),
    }
)
"""Colour and kind that no action is ever about in the seen split, whatever the verb. They do stand about as distractors."""

HELD_OUT_TRIPLES: frozenset[tuple[str, str, str]] = frozenset(
    {
        ("touch", "red", "ball"),
        ("touch", "yellow", "bowl"),
        ("touch", "purple", "brick"),
        ("push_to", "green", "cube"),
        ("push_to", "black", "can"),
        ("push_to", "orange", "star"),
        ("push_direction", "pink", "brick"),
        ("push_direction", "blue", "ball"),
        ("push_direction", "red", "cone"),
        ("pick_up", "yellow", "cube"),
        ("pick_up", "purple", "can"),
        ("pick_up", "black", "star"),
        ("put", "orange", "ball"),
        ("put", "red", "brick"),
        ("put", "green", "cone"),
    }
)
"""Verb, colour and kind of the thing moved that never come together in the seen split, though each two of them do."""


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the reward terms: two differences of potentials between 0 and 1, a bonus, a small price."""

    discount: float = 0.99
    reach: float = 1.0
    progress: float = 2.0
    success_bonus: float = 5.0
    effort: float = 0.005
    """Price of the squared action, summed over its seven numbers."""


@dataclass(frozen=True)
class StartConfig:
    """Randomisation at reset."""

    x_range_m: tuple[float, float] = (-0.08, 0.26)
    y_range_m: tuple[float, float] = (-0.21, 0.21)
    min_gap_m: float = 0.025
    """Between the circles around two things."""
    max_distractors: int = 3
    similar_distractors: float = 0.6
    """Share of distractors that have the colour or the kind of what the task is about."""
    garment_share: float = 0.3
    """How often, where any task may be drawn, it is about a part of a garment."""
    garment_position_m: float = 0.03
    garment_yaw_rad: float = 0.35
    color_jitter: float = 0.05
    hand_position_m: float = 0.04
    hand_yaw_rad: float = 0.5
    camera_jitter_m: float = 0.012
    camera_turn_rad: float = 0.012
    brightness_range: tuple[float, float] = (0.75, 1.08)
    warmth: float = 0.10
    light_shift: float = 0.25


@dataclass(frozen=True)
class TabletopConfig:
    """Configuration of the tabletop task."""

    control_hz: int = 5
    ticks: int = 4
    """Control ticks in one step: inverse kinematics and grasp assist run at 20 Hz."""
    substeps: int = 6
    """Physics steps in one tick: 120 Hz."""
    time_limit_steps: int = 40
    translation_m: float = 0.12
    """How far an action of 1 moves the hand along one axis in one step."""
    rotation_rad: float = 0.20
    """How far it turns the hand about one axis."""
    start: StartConfig = field(default_factory=StartConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)

    @property
    def timestep_s(self) -> float:
        """One physics step, seconds."""
        return 1 / (self.control_hz * self.ticks * self.substeps)
