"""The memory that a model will need, computed before anything is loaded, on torch's meta device."""

from dataclasses import dataclass
from typing import Literal

import psutil
import torch

from vla_course.adapters.nf4 import bits_per_parameter
from vla_course.errors import CannotRunError
from vla_course.openvla.checkpoint import to_original
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.four_bits import BLOCK, kept_on_cpu, quantised_layers
from vla_course.openvla.model import OpenVLAForActionPrediction

Bits = Literal[4, 8] | None
WORK_GB = 1.6
"""GB beside the weights: Python with torch and transformers, activations of one action, and one layer unpacked at a time. Measured with
openvla-7b's sizes: data/results/openvla_7b/laptop.json."""
QUANTISED_BITS = {4: bits_per_parameter(BLOCK, second_block=256), 8: 8.0}


@dataclass(frozen=True)
class Plan:
    """What loading and acting will take. A GB is 10⁹ bytes."""

    parameters: int
    """As many as the published checkpoint has."""
    bits: Bits
    dtype: torch.dtype
    device: str
    weights_gb: float
    kept: tuple[str, ...] = ()
    """The layers that stay in `dtype` because bitsandbytes on a CPU would compute them wrongly."""

    @property
    def total_gb(self) -> float:
        """Weights and work."""
        return self.weights_gb + WORK_GB

    def __str__(self) -> str:
        """Everything in one line."""
        numbers = str(self.dtype).removeprefix("torch.")
        precision = numbers if self.bits is None else f"{self.bits} bits"
        kept = f" ({len(self.kept)} layers stay in {numbers})" if self.kept else ""
        return (
            f"{self.parameters:,} parameters in {precision}{kept}: {self.weights_gb:.1f} GB of weights, "
            f"{self.total_gb:.1f} GB of memory to load and act on {self.device}"
        )


def plan(
    config: OpenVLAConfig, *, bits: Bits = None, dtype: torch.dtype = torch.bfloat16, device: str = "cpu"
) -> Plan:
    """What a model of this config needs on this device with its linear layers in so many bits; the head and all else in `dtype`."""
    with torch.device("meta"):
        model = OpenVLAForActionPrediction(config)
    kept = kept_on_cpu(model) if bits is not None and device == "cpu" else []
    layers = quantised_layers(model, ["language_model.lm_head", *kept]) if bits is not None else {}
    published = to_original(model.state_dict(), config)
    parameters = sum(weight.numel() for weight in published.values())
    quantised = sum(layer.weight.numel() for layer in layers.values())
    size = torch.finfo(dtype).bits / 8
    weights = (parameters - quantised) * size + quantised * QUANTISED_BITS.get(bits or 0, 0) / 8
    return Plan(parameters, bits, dtype, device, weights / 1e9, tuple(kept))


def free_gb(device: str) -> float:
    """GB that can be had on a device now."""
    if device == "cpu":
        return float(psutil.virtual_memory().available) / 1e9
    return float(torch.cuda.mem_get_info(device)[0]) / 1e9


def refuse_if_short(needed: Plan, free: float) -> None:
    """Raise where a plan does not fit into `free` GB.

    Raises:
        CannotRunError: as said, in one line with both numbers and what could be done.
    """
    if needed.total_gb > free:
        way_out = "close other programs" if needed.bits == 4 else "close other programs, or load with bits=4"
        raise CannotRunError(
            f"{needed.total_gb:.1f} GB of memory are needed on {needed.device} and {free:.1f} GB are free: {way_out}"
        )
