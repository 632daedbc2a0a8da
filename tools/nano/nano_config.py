"""All numbers of the nano model's making in one place. `tiny()` runs every stage in seconds, to see that the programs work."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vla_course.envs.tabletop.config import VERBS


@dataclass(frozen=True)
class ScenesConfig:
    """Pictures, labels, words and demonstrations, written as shards."""

    sight_shards: int = 24
    sight_frames: int = 1000
    """Frames in one shard of labelled pictures with captions and questions."""
    action_shards: int = 96
    action_episodes: int = 100
    """Episodes in one shard of demonstrations."""
    verbs: tuple[str, ...] = VERBS
    verb_weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "touch": 0.2,
            "push_to": 0.25,
            "push_direction": 0.2,
            "pick_up": 0.15,
            "put": 0.2,
        }
    )
    """How often each is demonstrated, and corrected: a touch is over in six steps, a put in eighteen."""
    garment_share: float = 0.3
    """Share of the labelled pictures with a garment in them."""
    action_garment_share: float = 0.15
    """Share of the demonstrations that touch a part of a garment."""
    alternatives: int = 2
    """How many other tasks of the same scene the expert answers at every frame, besides the one it does."""
    correction_shards: int = 10
    """Shards of episodes in which the model acts and the expert says what it would have done."""
    helped: float = 0.3
    """How often, in half of those, the expert acts."""
    noise: tuple[float, float] = (0.04, 0.25)
    """Smallest and largest spread of what is added to the executed action, never to the recorded one; every episode has its own."""


@dataclass(frozen=True)
class TowersConfig:
    """Dense supervision per patch for both towers, image-text contrast for SigLIP."""

    steps: int = 6000
    batch: int = 64
    learning_rate: float = 1e-3
    contrast_weight: float = 0.3


@dataclass(frozen=True)
class LearnConfig:
    """Language and actions on frozen features, then everything together."""

    steps: Mapping[str, int] = field(
        default_factory=lambda: {
            "language": 1200,
            "actions": 3000,
            "blind": 600,
            "corrected": 1500,
            "whole": 1800,
            "last": 4200,
            "fourth": 4000,
            "fifth": 1500,
            "sixth": 1500,
        }
    )
    frames: int = 96
    """Pictures in a batch."""
    whole_frames: int = 48
    """The same while towers learn."""
    sentences: int = 2
    """Sentences of each, at most."""
    learning_rate: float = 1e-3
    later_rates: Mapping[str, float] = field(
        default_factory=lambda: {
            "corrected": 0.5,
            "whole": 0.3,
            "last": 0.5,
            "fourth": 0.3,
            "fifth": 0.3,
            "sixth": 0.3,
        }
    )
    """Stages that go on from one that has learned to act, and by how much slower."""
    words_share: float = 0.3
    """Share of a batch that stays questions and pointing while actions are learned."""
    later_words_shares: Mapping[str, float] = field(
        default_factory=lambda: {"last": 0.45, "fourth": 0.35, "fifth": 0.35, "sixth": 0.35}
    )
    """The same where a stage has its own: what still goes wrong at last is telling a brick from a star of the same colour."""
    warm_up_steps: int = 1200
    """Steps in which a linear head's L1 loss leads, before tokens do."""
    sigma_first: float = 12.0
    sigma_last: float = 3.0
    """Width, in bins, of the Gaussian over neighbouring bins that stands for a token, at the beginning and at the end."""
    later_sigmas: Mapping[str, float] = field(
        default_factory=lambda: {"fourth": 8.0, "fifth": 8.0, "sixth": 8.0}
    )
    """The same where a stage has its own. A bin is 0.7 mm and a thing is seen to a centimetre: narrow labels make many thin
    peaks of what is one broad guess, and the highest of them is not its middle."""
    spread: float = 0.03
    """Of normalised actions, before they become tokens: a Gaussian's width."""
    looking: float = 0.5
    """Weight of the loss that teaches two attention heads where to look."""
    pointing: float = 3.0
    """How many times as often a thing is pointed at as a question is asked."""
    own_task: float = 8.0
    """How many times as often the task that is being done is drawn as one of the others, where not all of a frame's are."""
    decisive: float = 2.0
    """How many times as often states near contact are drawn."""
    corrected: float = 3.0
    """How many times as often a frame of the corrections is drawn as one of the demonstrations."""


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
    evaluation_starts: int = 400


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
            correction_shards=1,
        ),
        towers=TowersConfig(steps=2, batch=4),
        learn=LearnConfig(
            steps=dict.fromkeys(LearnConfig().steps, 2),
            frames=4,
            whole_frames=4,
            sentences=2,
            warm_up_steps=1,
        ),
        evaluation_starts=1,
    )


def further() -> NanoConfig:
    """What goes on from a finished checkpoint: fewer demonstrations, more corrections, pushes above all."""
    weights = {"touch": 0.14, "push_to": 0.38, "push_direction": 0.24, "pick_up": 0.1, "put": 0.14}
    return NanoConfig(
        scenes=ScenesConfig(sight_shards=10, action_shards=30, correction_shards=24, verb_weights=weights)
    )


PRESETS = {"full": NanoConfig, "further": further, "tiny": tiny}
