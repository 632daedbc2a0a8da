"""Adapters on disk, in the format of huggingface/peft: what one writes, the other reads.

A folder holds adapter_config.json and adapter_model.safetensors, with a matrix A and a matrix B for each layer by its name.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import peft
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from vla_course.adapters.lora import (
    LoRAConfig,
    LoRALinear,
    adaptable_layers,
    adapters,
    inject,
    weight_shape,
)

SETTINGS, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# What changes more than W + alpha / r · B A.
_OTHER_KINDS = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")

Pairs = dict[str, tuple[torch.Tensor, torch.Tensor]]


def peft_config(model: nn.Module, config: LoRAConfig) -> peft.LoraConfig:
    """The same adapters as peft describes them, for `peft.get_peft_model(model, ...)`.

    The layers are named one by one: peft's own "all-linear" leaves out the head and the convolutions.

    Raises:
        ValueError: no layer has such a name.
    """
    return peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(adaptable_layers(model, config.targets)),
        init_lora_weights="gaussian",
    )


def save_adapter(model: nn.Module, folder: str | Path) -> None:
    """Write the adapters of a model; each file appears whole or not at all.

    Raises:
        ValueError: the model has no adapters, or adapters of different ranks or scales.
    """
    layers = adapters(model)
    kinds = {(layer.lora_A.shape[0], layer.scale, layer.dropout.p) for layer in layers.values()}
    if len(kinds) != 1:
        raise ValueError(
            f"want adapters of one rank, scale and dropout, found {sorted(kinds) or 'no adapters'}"
        )
    ((rank, scale, dropout),) = kinds
    settings = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": scale * rank,
        "lora_dropout": dropout,
        "target_modules": sorted(layers),
        "init_lora_weights": "gaussian",
        "bias": "none",
        "inference_mode": True,
    }
    tensors = {
        f"{_PREFIX}{name}.lora_{side}.weight": getattr(layer, f"lora_{side}").detach().contiguous().cpu()
        for name, layer in layers.items()
        for side in "AB"
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
    try:
        save_file(tensors, partial / TENSORS, metadata={"format": "pt"})
        (partial / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        for path in sorted(partial.iterdir()):
            path.chmod(0o644)
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_adapter(
    model: nn.Module,
    folder: str | Path,
    layer: Callable[[nn.Module, LoRAConfig], nn.Module] = LoRALinear,
) -> LoRAConfig:
    """Freeze a model and put the adapters of a folder around its layers, ready to act or to be trained on.

    Raises:
        FileNotFoundError: a file is missing or damaged.
        ValueError: it is another kind of adapter than plain LoRA, or matrices are missing, unknown or of another shape (all
            are named). The model is unchanged.
    """
    config, pairs, problems = read_adapter(folder)
    layers = adaptable_layers(model)
    shapes = {name: weight_shape(layers[name]) for name in pairs if name in layers}
    problems += [f"unknown: {name}" for name in pairs if name not in layers]
    problems += misfits({name: pair for name, pair in pairs.items() if name in layers}, shapes, config.rank)
    refuse(problems, folder)
    inject(model, replace(config, targets="|".join(re.escape(name) for name in pairs)), layer)
    with torch.no_grad():
        for name, adapter in adapters(model).items():
            adapter.lora_A.copy_(pairs[name][0])
            adapter.lora_B.copy_(pairs[name][1])
    return config


def read_adapter(folder: str | Path) -> tuple[LoRAConfig, Pairs, list[str]]:
    """Settings, A and B of every layer by its name, and what does not come in pairs, in words.

    Raises:
        FileNotFoundError: a file is missing or damaged.
        ValueError: it is another kind of adapter than plain LoRA.
    """
    folder = Path(folder)
    for name in (SETTINGS, TENSORS):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{name} is missing in {folder}; adapters are read as safetensors only")
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except (json.JSONDecodeError, SafetensorError) as error:
        raise FileNotFoundError(f"an adapter file in {folder} is damaged: {error}") from error
    special = [key for key in _OTHER_KINDS if settings.get(key)]
    if settings.get("peft_type") != "LORA" or settings.get("bias", "none") != "none" or special:
        raise ValueError(
            f"only plain LoRA can be read, this adapter has {special or settings.get('peft_type')}"
        )
    dropout = settings.get("lora_dropout", 0.0)
    config = LoRAConfig(int(settings["r"]), float(settings["lora_alpha"]), float(dropout))
    return config, *_pairs(tensors)


def misfits(pairs: Pairs, shapes: Mapping[str, Sequence[int]], rank: int) -> list[str]:
    """The layers whose A or B has another shape than rank and weight ask for, in words."""
    return [
        f"wrong shape: {name} is {tuple(shapes[name])}, A is {tuple(a.shape)}, B is {tuple(b.shape)}"
        for name, (a, b) in pairs.items()
        if a.shape != (rank, *shapes[name][1:]) or b.flatten(1).shape != (shapes[name][0], rank)
    ]


def refuse(problems: Sequence[str], folder: str | Path) -> None:
    """Raise one error that names every problem, where there are any.

    Raises:
        ValueError: there are.
    """
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(f"{len(problems)} matrices of {folder} do not fit the model:\n  {lines}")


def _pairs(tensors: Mapping[str, torch.Tensor]) -> tuple[Pairs, list[str]]:
    sides: dict[str, dict[str, torch.Tensor]] = {}
    problems = []
    for name, tensor in tensors.items():
        module, _, side = name.removesuffix(".weight").removeprefix(_PREFIX).rpartition(".lora_")
        if side in ("A", "B") and name.startswith(_PREFIX):
            sides.setdefault(module, {})[side] = tensor
        elif not name.endswith(".base_layer.weight"):  # peft adds a copy of an adapted head's frozen weight
            problems.append(f"unknown: {name}")
    problems += [f"missing: the other half of {module}" for module, both in sides.items() if len(both) == 1]
    return {module: (both["A"], both["B"]) for module, both in sides.items() if len(both) == 2}, problems
