"""All numbers of the nano model's making in one place. `tiny()` runs every stage in seconds, to see that the programs work."""

from dataclasses import dataclass, field

from vla_course.envs.tabletop.config import VERBS


@dataclass(frozen=True)
class ScenesConfig:
    """Pictures, labels, words and demonstrations, written as shards."""

    sight_shards: int = 40
    sight_frames: int = 1000
    """Frames in one shard of labelled pictures with captions and questions."""
    action_shards: int = 60
    action_episodes: int = 100
    """Episodes in one shard of demonstrations."""
    verbs: tuple[str, ...] = VERBS
    garment_share: float = 0.3
    alternatives: int = 3
    """How many other tasks of the same scene the expert answers at every frame, besides the one it does."""
    noise: float = 0.25
    """Spread of what is added to the executed action (never to the recorded one) in half of the episodes."""


@dataclass(frozen=True)
class TowersConfig:
    """Dense supervision per patch for both towers, image-text contrast for SigLIP."""

    steps: int = 4000
    batch: int = 64
    learning_rate: float = 1e-3
    contrast_weight: float = 0.3


@dataclass(frozen=True)
class LearnConfig:
    """Language, then actions, on frozen features."""

    language_steps: int = 2000
    action_steps: int = 6000
    batch: int = 128
    learning_rate: float = 1e-3
    words_share: float = 0.25
    """Share of a batch that stays questions and pointing while actions are learned."""
    warm_up_steps: int = 1200
    """Steps in which a linear head's L1 loss leads, before tokens do."""
    sigma_first: float = 12.0
    sigma_last: float = 1.5
    """Width, in bins, of the Gaussian over neighbouring bins that stands for a token, at the beginning and at the end."""
    decisive: float = 2.0
    """How many times as often states near contact are drawn."""


@dataclass(frozen=True)
class NanoConfig:
    """The whole recipe."""

    seed: int = 0
    image_size: int = 84
    tower_width: int = 128
    tower_depth: int = 5
    """Blocks in a tower; the last one is never run."""
    language_width: int = 128
    language_layers: int = 4
    vocabulary_size: int = 1024
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    towers: TowersConfig = field(default_factory=TowersConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    evaluation_starts: int = 100


def tiny() -> NanoConfig:
    """Everything as small as it can be: for tests."""
    return NanoConfig(
        tower_width=64,
        tower_depth=2,
        language_width=64,
        language_layers=2,
        scenes=ScenesConfig(
            sight_shards=1,
            sight_frames=8,
            action_shards=1,
            action_episodes=2,
            verbs=("touch",),
            alternatives=1,
        ),
        towers=TowersConfig(steps=2, batch=4),
        learn=LearnConfig(language_steps=2, action_steps=2, batch=4, warm_up_steps=1),
        evaluation_starts=1,
    )


def touch_first() -> NanoConfig:
    """The first complete pass: only touching things, an hour of two cores in all."""
    return NanoConfig(
        scenes=ScenesConfig(
            sight_shards=10, action_shards=12, action_episodes=200, verbs=("touch",), garment_share=0.0
        ),
        towers=TowersConfig(steps=800),
        learn=LearnConfig(language_steps=100, action_steps=1800, warm_up_steps=600),
    )


PRESETS = {"full": NanoConfig, "touch": touch_first, "tiny": tiny}
