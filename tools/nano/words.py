"""Stage 1b: a small vocabulary, learned from the course's own sentences; its last 256 words are the action tokens."""

from pathlib import Path

import numpy as np
from nano_config import NanoConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from vla_course.envs.tabletop.config import COLORS
from vla_course.envs.tabletop.garments import PARTS
from vla_course.envs.tabletop.language import HELD_OUT_PHRASINGS, PHRASINGS, WAYS
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.openvla.processor import build_prompt

PAD, BOS, EOS, EMPTY = 0, 1, 2, 3
SPECIAL = ("<pad>", "<s>", "</s>", "<empty>")
ACTIONS = 256


def question_prompt(question: str) -> str:
    """How a question is put: as an instruction is, in other words."""
    return f"In: {question}\nOut:"


def point_prompt(thing: str) -> str:
    """How the model is asked to point: it answers with two action tokens, x and y on the table."""
    return question_prompt(f"point at {thing}")


def sentences() -> list[str]:
    """What the tokenizer is trained on besides the captions and questions of the shards: every word of the task."""
    things = [f"the {color} {kind}" for color in COLORS for kind in SHAPES]
    things += [
        f"the {part} of the {c} {kind}" for kind, parts in PARTS.items() for part in parts for c in COLORS
    ]
    rng = np.random.default_rng(0)
    found = [point_prompt(thing) for thing in things]
    templates = [
        text for group in (PHRASINGS, HELD_OUT_PHRASINGS) for texts in group.values() for text in texts
    ]
    for template in templates:
        for _ in range(60):
            a, b = (things[int(rng.integers(len(things)))] for _ in range(2))
            way = list(WAYS.values())[int(rng.integers(len(WAYS)))]
            on = "in" if rng.random() < 0.5 else "on"
            found.append(build_prompt(template.format(a=a, b=b, way=way, on=on, onto=f"{on}to")))
    return found


def train_tokenizer(config: NanoConfig, extra: list[str]) -> Tokenizer:
    """A byte-level BPE of exactly `config.vocabulary_size` words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary_size - ACTIONS,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*sentences(), *extra], trainer)
    missing = config.vocabulary_size - ACTIONS - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([f"<unused_{k}>" for k in range(missing)])
    tokenizer.add_special_tokens([f"<action_{k}>" for k in range(ACTIONS)])
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that `make_words` saved."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
