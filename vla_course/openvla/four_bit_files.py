"""A checkpoint in four bits: written once, read again in seconds. Its names are those in memory, not the published ones.

In the published format query, key and value are one weight; quantised, each has scales of its own, and they cannot be joined. transformers may
call its layers otherwise one day: such a file saves time, the full checkpoint is what to keep.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vla_course.openvla import checkpoint
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.four_bits import BLOCK, in_short, kept_on_cpu, quantised_layers

STATE = ".quant_state.bitsandbytes__nf4"


def save(
    folder: str | Path, config: OpenVLAConfig, model: nn.Module, *, max_shard_size: int | str = "2GB"
) -> None:
    """Write a model whose layers bitsandbytes holds in four bits. Names are those in memory; config.json lists what stayed as it was.

    The published format has no place for it: query, key and value are one weight there, and their second-level scales are three.

    Raises:
        ValueError: the model carries adapters.
    """
    tensors = model.state_dict()
    checkpoint.refuse_adapters(tensors)
    quantization: Any = config.quantization_config  # transformers has put it there
    content = quantization if isinstance(quantization, dict) else quantization.to_dict()
    linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    kept = [name for name, layer in linear.items() if layer.weight.is_floating_point()]
    extra = {"quantization_config": {**content, "llm_int8_skip_modules": kept}}
    checkpoint.write_files(folder, config, tensors, extra, max_shard_size=max_shard_size)


def read(
    folder: Path,
    model: nn.Module,
    quantization: Mapping[str, Any],
    dtype: torch.dtype | None,
    *,
    on_cpu: bool,
) -> dict[str, Any]:
    """Every tensor of a checkpoint that `save` wrote, to be read when it is asked for; `model` has the shapes before quantising.

    What is not quantised has the number type `dtype`, or without one that of the file.

    Raises:
        FileNotFoundError: a file is missing or damaged.
        ValueError: it is no checkpoint in NF4, a GPU quantised layers that a CPU would compute wrongly, or tensors are
            missing, unknown or of another shape (all are named).
    """
    if quantization.get("bnb_4bit_quant_type") != "nf4" or not quantization.get("load_in_4bit"):
        raise ValueError(
            f"the weights in {folder} are quantised, and not in bitsandbytes' NF4: they cannot be read"
        )
    layers = quantised_layers(model, quantization.get("llm_int8_skip_modules"))
    odd = [name for name in kept_on_cpu(model) if name in layers]
    if on_cpu and odd:
        raise ValueError(
            f"{folder}: {len(odd)} layers were quantised on a GPU, and bitsandbytes on a CPU needs a multiple of {BLOCK} inputs: "
            f"{in_short(model, odd)}. Load the full checkpoint with bits=4 on the CPU instead"
        )
    whole = model.state_dict().keys() - {f"{name}.weight" for name in layers}
    wanted: dict[str, tuple[int, ...]] = {n: tuple(t.shape) for n, t in model.state_dict().items()}
    for name in layers:
        numbers = math.prod(wanted[f"{name}.weight"])
        parts = _part_shapes(numbers, double=bool(quantization.get("bnb_4bit_use_double_quant")))
        wanted.update({f"{name}.weight{part}": shape for part, shape in parts.items()})
    tensors = checkpoint.tensors_on_disk(folder)
    shapes = {
        name: () if name.endswith(STATE) else tensor.shape for name, tensor in tensors.items()
    }  # JSON of any length
    checkpoint.refuse_other_tensors(folder, shapes, wanted)
    return {name: tensor.to(dtype) if dtype and name in whole else tensor for name, tensor in tensors.items()}


def is_stored(folder: Path) -> bool:
    """Whether a folder holds quantised weights.

    Raises:
        ValueError: its config.json is damaged, or describes another model than an OpenVLA.
    """
    if not (folder / "config.json").exists():
        return False
    return getattr(checkpoint.read_config(folder), "quantization_config", None) is not None


def _part_shapes(numbers: int, *, double: bool) -> dict[str, tuple[int, ...]]:
    blocks = numbers // BLOCK
    shapes = {"": (numbers // 2, 1), ".absmax": (blocks,), ".quant_map": (16,), STATE: ()}
    if double:
        shapes |= {".nested_absmax": (math.ceil(blocks / 256),), ".nested_quant_map": (256,)}
    return shapes
