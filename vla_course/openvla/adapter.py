"""LoRA adapters as OpenVLA's own fine-tuning writes them, read into our layout.

Upstream adapts matrices that hold query, key and value together; here the three are separate. One low-rank change of the fused
matrix is the same input side A for all three, and a third of the rows of the output side B for each. The way back is not
possible in general: three changes of rank r have one of rank 3 r.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import nn

from vla_course.adapters import peft_format
from vla_course.openvla import checkpoint
from vla_course.openvla.config import OpenVLAConfig


@dataclass(frozen=True)
class LowRank:
    """A change of one weight: scale · B A. For a convolution, A holds the kernel, and B mixes channels."""

    a: Float[torch.Tensor, "rank ..."]
    b: Float[torch.Tensor, "outputs rank ..."]
    scale: float

    def dense(self) -> Float[torch.Tensor, "outputs ..."]:
        """The change as a weight of its full size, in float32."""
        change = self.b.flatten(1).float() @ self.a.flatten(1).float()
        return self.scale * change.reshape(len(self.b), *self.a.shape[1:])


def read_adapter(
    folder: str | Path, config: OpenVLAConfig, weights: Mapping[str, torch.Tensor]
) -> dict[str, LowRank]:
    """A published adapter (adapter_config.json, adapter_model.safetensors) as changes of our weights, by our names.

    `weights` are those it is made for, `model.state_dict()`; only their names and shapes are looked at.

    Raises:
        FileNotFoundError: a file is missing or damaged.
        ValueError: it is another kind of adapter than plain LoRA, or matrices are missing, unknown or of another shape (all
            are named).
    """
    settings, pairs, problems = peft_format.read_adapter(folder)
    published = {
        name.removesuffix(".weight"): tuple(tensor.shape)
        for name, tensor in checkpoint.to_original(weights, config).items()
    }
    known = {module: pair for module, pair in pairs.items() if module in published}
    problems += [f"unknown: {module}" for module in pairs if module not in published]
    problems += peft_format.misfits(known, published, settings.rank)
    peft_format.refuse(problems, folder)
    scale = settings.alpha / settings.rank
    return {name: LowRank(a, b, scale) for name, (a, b) in _by_our_names(pairs, config).items()}


def merge_adapter(model: nn.Module, folder: str | Path) -> None:
    """Add a published adapter to the weights of a model, for good.

    Raises:
        FileNotFoundError, ValueError: as `read_adapter`; and ValueError where weights are quantised. The model is unchanged.
    """
    weights = model.state_dict()
    if not all(weight.is_floating_point() for weight in weights.values()):
        raise ValueError(
            "quantised weights take no adapter: merge first, save, and load that with quantisation"
        )
    changes = read_adapter(folder, model.config, weights)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, change in changes.items():
            weight = weights[name]
            weight.copy_(weight.float() + change.dense().to(weight.device))


def _by_our_names(
    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]], config: OpenVLAConfig
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    modules = dict(checkpoint.vision_modules(config))
    ours: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for module, (a, b) in pairs.items():
        if module not in checkpoint.POOLED_QUERY_KEY_VALUE:
            names = modules.get(module, (module,))
            ours.update(
                {f"{name}.weight": (a, part) for name, part in zip(names, b.chunk(len(names)), strict=True)}
            )
    # Published apart (query; key and value), in memory one matrix: two changes side by side, of twice the rank.
    query, key_value = (pairs.get(name) for name in checkpoint.POOLED_QUERY_KEY_VALUE)
    if query is not None and key_value is not None:
        a = torch.cat([query[0], key_value[0]])
        ours[checkpoint.POOLED_IN_PROJ] = (a, _block_diagonal(query[1], key_value[1]))
    elif query is not None or key_value is not None:
        raise ValueError("the adapter changes only a part of SigLIP's pooled query, key and value")
    return ours


def _block_diagonal(top: torch.Tensor, bottom: torch.Tensor) -> torch.Tensor:
    blocks = top.new_zeros(len(top) + len(bottom), top.shape[1] + bottom.shape[1])
    blocks[: len(top), : top.shape[1]] = top
    blocks[len(top) :, top.shape[1] :] = bottom
    return blocks
