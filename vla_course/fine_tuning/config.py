"""How a model is fine-tuned: everything a run depends on, in one record."""

from dataclasses import dataclass, field
from typing import Literal

from vla_course.adapters.lora_config import LoRAConfig

Mode = Literal["lora", "qlora", "full", "head"]
FREE_ON_RESUME = frozenset(
    {"out", "data", "init_from", "image_size", "state_key", "save_every", "log_every", "validate_every"}
    | {"cache_features", "cache_gb", "gradient_checkpointing"}
)
"""Settings that may change when a run is resumed, because they do not change what is learned (the last three: beyond rounding).
All others decide it. `data` and `init_from` are places, which have many spellings: the files found there are compared instead;
`image_size` and `state_key` are read off the data."""


@dataclass(frozen=True)
class TrainConfig:
    """One fine-tuning. Presets are files with some of these settings; `vla-course train key=value` changes any of them.

    Raises:
        ValueError: a number is out of range, or two settings contradict each other.
    """

    data: str
    """The folder of a LeRobot data set."""
    out: str
    """The run's folder."""
    scale: Literal["nano", "7b"] = "nano"
    """Size of the model: the nano that ships with the course, or openvla-7b."""
    init_from: str | None = None
    """A model or an earlier run to begin with, in place of the model that ships with the course."""
    training_mode: Mode = "lora"
    """What learns: low-rank changes of the weights, the same beside weights of four bits, all weights, or the last layer."""
    use_quantization: bool = False
    """Keep the frozen weights in four bits: with lora, the same as training_mode=qlora."""
    lora: LoRAConfig = field(default_factory=lambda: LoRAConfig(rank=8, alpha=16))
    """The adapters of training_mode lora and qlora."""
    unnorm_key: str | None = None
    """The name under which the data's statistics are kept, for `predict_action`; the data folder's name where none is given."""
    cameras: tuple[str, ...] = ()
    """The cameras that the model looks through, the main one first; may be left out where the data have only one. Several are looked
    at by the same eyes, one after the other, and the model reads the patches of all."""
    state_key: str | None = None
    """The observation that the data's states are, which an evaluation asks the environment for; None says as the data (what
    `vla-course collect` noted beside them), else end_effector."""
    state_dim: int | None = None
    """Numbers of the robot's state that the model is told: as many as the data have, or 0 for none; None says as the data."""
    waypoints: bool = False
    """Say ahead of each action where either hand will next take hold or let go, as the demonstration shows afterwards; how far that is
    is worked out and told before the action is said. For robots with two hands that feel what they hold."""
    action_dim: int | None = None
    """Numbers of an action; None says as the data, another number than theirs is an error."""
    unnormalized_dims: tuple[int, ...] | None = None
    """Numbers of an action, counted from 0, that are said as they are and must lie in [-1, 1], a gripper's for example; all others are
    stretched by their 1 % and 99 % quantiles. None finds them (see `fitting_dimensions`)."""
    image_size: tuple[int, int] | None = None
    """Height and width of the data's pictures, kept so that the model is evaluated on such ones; None says as the data, other
    sides than theirs are an error."""
    augment: bool = True
    """OpenVLA's random crop and colours. A model trained so looks at the middle of the picture when it acts."""
    crop_area: float = 0.9
    """Share of the picture's area that is left by augmentation's crop. 1 changes colours only."""
    shift_m: float = 0.0
    """Augmentation's scenes are moved along the table by at most this much, metres, with the hands' places in the state. The camera
    must be the one that ships, `close`."""
    phrasings: tuple[str, ...] = ()
    """Augmentation's other words for the instruction, for data that have only one: each time, one of these or its own words are said."""
    mirror: bool = False
    """Learn from every frame a second time as a mirror between left and right shows it: for robots with two equal hands."""
    cache_features: bool | None = None
    """Compute what the frozen towers see only once; None does so wherever it changes nothing and fits into `cache_gb`."""
    cache_gb: float = 2.0
    """Memory that cached features may take, gigabytes."""
    validation_share: float = 0.0
    """Share of the episodes that is not trained on, and measured instead."""
    validate_every: int = 100
    """Steps between two measurements on the episodes that are not trained on."""
    steps: int = 1000
    """Optimiser steps. The learning rate falls along half a cosine that ends with the last of them."""
    batch_size: int = 16
    """Samples in a batch."""
    gradient_accumulation: int = 1
    """Batches whose gradients one step adds up."""
    learning_rate: float = 5e-4
    """The highest learning rate, reached at the end of the warm-up."""
    warmup_steps: int = 20
    """Steps in which the learning rate climbs."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    max_gradient_norm: float = 1.0
    """Longer gradients are scaled down to this norm."""
    label_spread: float = 0.0
    """Width, in bins, of the bell curve that stands in for the one right word of each number: nearly right is nearly as good. It
    begins four times as wide and is as wide as this from the middle of the run on. 0, as OpenVLA, knows right and wrong only."""
    gradient_checkpointing: bool = False
    """Keep fewer activations and compute them again on the way back: less memory, about a third more time. With
    training_mode=head none is kept anyway, and this changes nothing."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number type of the forward pass."""
    seed: int = 0
    """Decides the first adapters, the order of the samples, their augmentation, dropout and the split."""
    save_every: int = 100
    """Steps between two checkpoints."""
    log_every: int = 10
    """Steps between two lines of metrics."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        at_least_one = (
            "steps",
            "batch_size",
            "gradient_accumulation",
            "save_every",
            "log_every",
            "validate_every",
        )
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: want at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "max_gradient_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: want a number above zero, got {getattr(self, name)}")
        if not 0 < self.crop_area <= 1:
            raise ValueError(f"crop_area: want a share above 0 and at most 1, got {self.crop_area}")
        if not 0 <= self.shift_m <= 0.2 or (self.shift_m and not self.augment):
            raise ValueError(
                f"shift_m: want 0 to 0.2 metres, and only where pictures are augmented, got {self.shift_m} (augment={self.augment})"
            )
        if self.phrasings and (not self.augment or not all(text.strip() for text in self.phrasings)):
            raise ValueError(
                f"phrasings: want words, and only where pictures are augmented, got {list(self.phrasings)} (augment={self.augment})"
            )
        if not 0 <= self.label_spread <= 64:
            raise ValueError(f"label_spread: want 0 to 64 bins, got {self.label_spread}")
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                f"warmup_steps: want 0 to {self.steps - 1} (steps={self.steps}), got {self.warmup_steps}"
            )
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"validation_share: want a share below 1, got {self.validation_share}")
        if self.use_quantization and self.training_mode not in ("lora", "qlora"):
            raise ValueError(
                f"use_quantization: weights of four bits cannot learn (training_mode={self.training_mode}); use qlora"
            )
        if self.cache_features and self.augment:
            raise ValueError(
                "cache_features: an augmented picture is another one every time; set augment=false"
            )
        if len(set(self.cameras)) != len(self.cameras):
            raise ValueError(f"cameras: want each camera once, got {', '.join(self.cameras)}")

    @property
    def num_images(self) -> int:
        """Pictures that the model looks at together."""
        return max(1, len(self.cameras))

    @property
    def crops(self) -> bool:
        """Whether pictures are cropped in training, so that the model looks at their middle when it acts."""
        return self.augment and self.crop_area < 1

    @property
    def adapts(self) -> bool:
        """Whether what learns are adapters, and the model itself stays as it is."""
        return self.training_mode in ("lora", "qlora")

    @property
    def bits(self) -> Literal[4] | None:
        """Bits of a frozen weight; None for whole ones."""
        return 4 if self.use_quantization or self.training_mode == "qlora" else None

    @property
    def samples_per_step(self) -> int:
        """Samples that one optimiser step sees."""
        return self.batch_size * self.gradient_accumulation
