"""Weights in four bits: which layers get them on a CPU, and quantising them while a checkpoint is read.

Arithmetic and layout are those of bitsandbytes. On a CPU, bitsandbytes 0.50 computes wrongly where a layer's inputs are no multiple of
its block of 64 (widths 32, 48, 160, 224 were seen), or crashes (96, 344): such layers stay as they are. In openvla-7b those are the 27
of SigLIP with 4304 inputs.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn
from transformers import BitsAndBytesConfig
from transformers.quantizers.quantizers_utils import should_convert_module
from transformers.utils.logging import tqdm

from vla_course.adapters.nf4 import LEVELS

BLOCK = 64
CHUNK = 2048
"""Blocks that are quantised at once: their numbers fit into a processor's cache."""
HEAD = "language_model.lm_head"
"""Never quantised: it decides between words."""
logger = logging.getLogger(__name__)


def on_cpu(device_map: Any) -> bool:
    """Whether any layer will be computed on the CPU."""
    places = device_map.values() if isinstance(device_map, Mapping) else [device_map]
    return not torch.cuda.is_available() or any(str(place) in ("cpu", "disk") for place in places)


def kept_on_cpu(model: nn.Module) -> list[str]:
    """The linear layers that bitsandbytes would compute wrongly on a CPU, by name."""
    linear = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear}
    return [name for name, layer in linear.items() if layer.in_features % BLOCK and name != HEAD]


def quantised_layers(model: nn.Module, kept: Iterable[str] | None) -> dict[str, nn.Linear]:
    """The layers that get fewer bits when transformers loads the model: every linear one but the `kept` ones (None: but the head)."""
    skipped = [HEAD] if kept is None else list(kept)
    layers = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear}
    return {name: layer for name, layer in layers.items() if should_convert_module(name, skipped)}


def in_short(model: nn.Module, names: Iterable[str]) -> str:
    """Layers by name and number of inputs, those of all blocks of a tower together: `encoder.layers.0…26.mlp.fc2 (4304)`."""
    groups: dict[str, list[str]] = {}
    for name in names:
        layer: Any = model.get_submodule(name)
        before, *rest = re.split(r"\.(\d+)\.", name, maxsplit=1)
        blocks = f"{before}.#.{rest[1]}" if rest else name
        groups.setdefault(f"{blocks} ({layer.in_features})", []).extend(rest[:1])
    return ", ".join(
        group.replace("#", "…".join(dict.fromkeys((numbers[0], numbers[-1])))) if numbers else group
        for group, numbers in groups.items()
    )


def keep_odd_widths(model: nn.Module, quantization: BitsAndBytesConfig) -> BitsAndBytesConfig:
    """The same settings, with the layers left out that a CPU would compute wrongly; a line of the log names them."""
    kept, content = kept_on_cpu(model), quantization.to_dict()
    if kept:
        logger.warning(
            "%d layers are not quantised, since bitsandbytes on a CPU needs a multiple of %d inputs: %s",
            len(kept), BLOCK, in_short(model, kept),
        )  # fmt: skip
    content["llm_int8_skip_modules"] = [*(quantization.llm_int8_skip_modules or [HEAD]), *kept]
    return BitsAndBytesConfig.from_dict(content)


def pack_nf4(
    weights: Float[torch.Tensor, "outputs inputs"],
) -> tuple[UInt8[torch.Tensor, "bytes 1"], Float[torch.Tensor, " blocks"]]:
    """NF4 codes, two in a byte, and one absmax per block of 64: those of bitsandbytes bit for bit, seven times faster on a CPU.

    `vla_course.adapters.nf4` says it in fewer lines. A code is the number of levels' middles that the scaled weight lies above; NumPy
    compares eight numbers at once, where torch's `bucketize` searches for each alone.
    """
    blocks = weights.reshape(-1, BLOCK)
    absmax = torch.empty(len(blocks))
    packed = torch.empty(len(blocks), BLOCK // 2, dtype=torch.uint8)
    for start in range(0, len(blocks), CHUNK):
        part = slice(start, start + CHUNK)
        numbers = blocks[part].float()
        absmax[part] = numbers.abs().amax(dim=1)
        codes = _codes((numbers * (1 / absmax[part].clamp(min=1e-38))[:, None]).numpy())
        packed[part] = torch.from_numpy((codes[:, ::2] << 4) | codes[:, 1::2])
    return packed.reshape(-1, 1), absmax


def stored(weights: Float[torch.Tensor, "outputs inputs"], *, double: bool) -> dict[str, torch.Tensor]:
    """A weight as bitsandbytes keeps it in a file: the packed codes under "", and what turns them into numbers again."""
    from bitsandbytes import functional

    packed, absmax = pack_nf4(weights)
    scales: dict[str, Any] = {"absmax": absmax}
    if double:
        offset = absmax.mean()
        codes, second = functional.quantize_blockwise(absmax - offset, blocksize=256)
        scales = {"absmax": codes, "offset": offset, "state2": second}
    code = functional.get_4bit_type("nf4", device=packed.device)
    about = dict(shape=weights.shape, dtype=weights.dtype, blocksize=BLOCK, code=code, quant_type="nf4")
    parts = functional.QuantState(**scales, **about).as_dict(packed=True)
    return {"": packed, **{f".{part}": tensor for part, tensor in parts.items()}}


def quantise(
    state: Mapping[str, Any], model: nn.Module, quantization: BitsAndBytesConfig, dtype: torch.dtype
) -> dict[str, Any]:
    """The tensors of a checkpoint, with the weights that `quantization` means in four bits.

    `model` has the shapes. For each processor one weight in full size is in memory at a time.
    """

    def one(layer: str) -> dict[str, torch.Tensor]:
        parts = stored(cast[f"{layer}.weight"][...], double=quantization.bnb_4bit_use_double_quant)
        return {f"{layer}.weight{part}": tensor for part, tensor in parts.items()}

    cast = {name: tensor.to(dtype) for name, tensor in state.items()}
    layers, quantised = list(quantised_layers(model, quantization.llm_int8_skip_modules)), dict(cast)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for parts in tqdm(pool.map(one, layers), total=len(layers), desc="Quantising to four bits"):
            quantised.update(parts)
    return quantised


def is_ours(quantization: Any) -> bool:
    """Whether `quantise` makes what these settings ask for; transformers and bitsandbytes do the rest."""
    four = isinstance(quantization, BitsAndBytesConfig) and quantization.load_in_4bit
    return bool(
        four
        and quantization.bnb_4bit_quant_type == "nf4"
        and quantization.bnb_4bit_quant_storage == torch.uint8
    )


def in_nf4(model: nn.Module) -> bool:
    """Whether bitsandbytes holds layers of the model in NF4."""
    states = [getattr(weight, "quant_state", None) for weight in model.parameters()]
    return any(getattr(state, "quant_type", None) == "nf4" for state in states)


def _codes(scaled: np.ndarray) -> np.ndarray:
    codes = np.zeros(scaled.shape, np.uint8)
    for middle in ((LEVELS[:-1] + LEVELS[1:]) / 2).numpy():
        codes += (scaled > middle).view(np.uint8)
    return codes
