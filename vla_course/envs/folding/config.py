"""Configuration of the folding task: rates, limits, randomisation, reward."""

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the reward terms. The dense ones are discounted differences of potentials between 0 and 1."""

    discount: float = 0.99
    """γ of the dense terms γΦ(s′) − Φ(s). Train with the same γ, or their sum is no longer neutral."""
    reach: float = 0.5
    grasp: float = 0.5
    fold: float = 4.0
    stage_bonus: float = 1.0
    success_bonus: float = 10.0
    early_advance: float = 0.02
    """Price of asking for the next stage before the fold is good."""
    smoothness: float = 0.002
    """Price of the squared change of the action, summed over its 61 numbers."""


@dataclass(frozen=True)
class StartConfig:
    """Randomisation at reset: each quantity within ± its range."""

    position_m: float = 0.05
    yaw_rad: float | None = None
    """None: any yaw for the towel, 25 degrees for the others."""
    size_range: tuple[float, float] = (0.94, 1.06)
    num_sizes: int = 3
    """How many sizes are compiled: they lie evenly over `size_range`, and `reset` chooses one."""
    joint_noise_rad: float = 0.01
    camera_jitter_m: float = 0.01
    color: bool = True
    table: bool = True

    @property
    def sizes(self) -> tuple[float, ...]:
        """The pool of sizes, as factors of the garment's middle size."""
        low, high = self.size_range
        if self.num_sizes == 1:
            return ((low + high) / 2,)
        return tuple(low + (high - low) * k / (self.num_sizes - 1) for k in range(self.num_sizes))


@dataclass(frozen=True)
class FoldingConfig:
    """Configuration of the folding task."""

    control_hz: int = 20
    substeps: int = 6
    time_limit_steps: int | None = None
    """None: 160 for the towel, 320 for the towel folded twice and the trousers, 400 for the T-shirt."""
    min_iou: float = 0.85
    rest_speed_m_s: float = 0.05
    start: StartConfig = field(default_factory=StartConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)

    @property
    def timestep_s(self) -> float:
        """One physics step, seconds."""
        return 1 / (self.control_hz * self.substeps)


TIME_LIMIT_STEPS = {"towel": 160, "tshirt": 400, "trousers": 320}
TIME_LIMIT_QUARTER_STEPS = 320
YAW_RANGE_RAD = {"towel": math.pi, "tshirt": math.radians(25), "trousers": math.radians(25)}
