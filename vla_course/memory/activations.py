"""What autograd keeps of one forward pass of an OpenVLA, counted from its sizes, module by module.

A frozen linear layer keeps nothing of its own: it needs its weight to pass a gradient on, not its input. Its adapter keeps
that input all the same, which is why LoRA saves weights' memory and hardly any of the activations'.
"""

from dataclasses import dataclass
from typing import Any

from vla_course.openvla.config import PATCH_SIZE, OpenVLAConfig

_REGISTERS_AND_CLASS = 5  # DINOv2's tokens besides its patches
_FLOAT32 = 4  # bytes; norms and softmax keep their statistics in it, whatever the activations are


@dataclass(frozen=True)
class Batch:
    """What goes through a model at once."""

    samples: int
    text_tokens: int
    """Tokens of the start, the prompt and the action; the image's patches come on top."""
    scored: int | None = None
    """Positions whose logits are computed; None means every one."""


@dataclass(frozen=True)
class Blocks:
    """Bytes that some like blocks keep, each."""

    count: int
    whole: int
    inputs: int
    """Of the block's input alone: what gradient checkpointing keeps."""
    again: int
    """What is saved besides that input when the block is computed a second time."""


@dataclass(frozen=True)
class Activations:
    """Bytes that the whole model keeps: its blocks, and what lies between them."""

    blocks: tuple[Blocks, ...]
    rest: int

    def kept(self, checkpointing: bool = False) -> int:
        """From the forward to the backward pass."""
        return self.rest + sum(
            kind.count * (kind.inputs if checkpointing else kind.whole) for kind in self.blocks
        )

    @property
    def recomputed(self) -> int:
        """Of the largest block, when blocks are computed again one at a time."""
        return max(kind.again for kind in self.blocks)


def saved_activations(config: OpenVLAConfig, batch: Batch, rank: int, number_bytes: int) -> Activations:
    """With all weights learning (rank 0), or with adapters of a rank beside frozen ones."""
    text, patches, full = config.text_config, config.num_patches, rank == 0
    pictures, each = config.num_images, config.patches_per_image
    towers = config.vision_towers
    tokens = patches + batch.text_tokens
    scored = tokens if batch.scored is None else batch.scored
    seen, width, vision_width = number_bytes, text.hidden_size, sum(t["embed_dim"] for t in towers)
    blocks = [
        _tower_block(
            tower, batch.samples * pictures * (each + extra), rank, seen, learned_scales=full and extra > 0
        )
        for tower, extra in zip(towers, (_REGISTERS_AND_CLASS, 0), strict=True)
    ]
    blocks.append(_llama_block(text, batch.samples * tokens, rank, seen))

    side = round(each**0.5) * PATCH_SIZE
    picture = seen * (6 * pictures * side * side + 2 * rank * patches)
    projector = seen * patches * (9 * vision_width + 2 * width + 3 * rank)
    turns = seen * tokens * 2 * (width // text.num_attention_heads)
    norm = tokens * ((_FLOAT32 + seen * full) * width + _FLOAT32)
    head = scored * (seen * (width + rank) + _FLOAT32 * text.vocab_size)
    return Activations(tuple(blocks), batch.samples * (picture + projector + turns + norm + head))


def saved_by_the_head(config: OpenVLAConfig, batch: Batch, number_bytes: int) -> int:
    """Bytes kept where the last layer alone learns: its input, and the probabilities of the words."""
    text = config.text_config
    scored = config.num_patches + batch.text_tokens if batch.scored is None else batch.scored
    kept: int = batch.samples * scored * (number_bytes * text.hidden_size + _FLOAT32 * text.vocab_size)
    return kept


def _tower_block(
    tower: dict[str, Any], tokens: int, rank: int, number_bytes: int, *, learned_scales: bool
) -> Blocks:
    """Both norms' inputs and outputs, query, key, value and what attention made of them, and before and after GELU.

    DINOv2's scales keep their inputs where they learn.
    """
    width, hidden = tower["embed_dim"], int(tower["embed_dim"] * tower["mlp_ratio"])
    numbers = (10 if learned_scales else 8) * width + 2 * hidden + 6 * rank
    statistics = _FLOAT32 * (4 + tower["num_heads"])
    whole, inputs = tokens * (number_bytes * numbers + statistics), tokens * number_bytes * width
    return Blocks(tower["depth"] - 1, whole, inputs, whole - inputs)


def _llama_block(text: Any, tokens: int, rank: int, number_bytes: int) -> Blocks:
    """The same with Llama's norms, which work in float32, and its gate: four tensors of the hidden width."""
    width, hidden = text.hidden_size, text.intermediate_size
    keys = width * text.num_key_value_heads // text.num_attention_heads
    learned_norms = 2 * width * (rank == 0)
    numbers = 4 * width + 2 * keys + learned_norms + 4 * hidden + 7 * rank
    float32 = _FLOAT32 * (2 * width + 2 + text.num_attention_heads)
    whole, inputs = tokens * (number_bytes * numbers + float32), tokens * number_bytes * width
    again = whole - inputs if number_bytes == _FLOAT32 else whole  # the norm's float32 copy is no input
    return Blocks(text.num_hidden_layers, whole, inputs, again)
