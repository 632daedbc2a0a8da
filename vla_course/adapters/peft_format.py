"""Adapters on disk, in the format of huggingface/peft: what one writes, the other reads.

A folder holds adapter_config.json and adapter_model.safetensors, with a matrix A and a matrix B for each layer by its name.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from vla_course.files import read_object, replacing_files

SETTINGS, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
# Settings that leave the answer W + alpha / r · B A as it is. All others must be off, also those that later versions bring.
_READ = ("peft_type", "r", "lora_alpha", "lora_dropout", "init_lora_weights")
_WHICH_LAYERS = (
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
)  # the tensors name them
_NOTES = (
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
)
# These belong to a kind that is switched on elsewhere: by init_lora_weights, use_qalora or megatron_config.
_DETAILS = (
    "eva_config",
    "corda_config",
    "loftq_config",
    "lora_ga_config",
    "qalora_group_size",
    "megatron_core",
    "runtime_config",
)
_HARMLESS = {*_READ, *_WHICH_LAYERS, *_NOTES, *_DETAILS}
# How A and B may begin. Other ways (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) change the base weights as well.
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva", "mica")

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
        OSError: the folder cannot be written to, or the disk is full; what was there is as it was.
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
    with replacing_files(folder) as partial:
        write_tensors(partial / TENSORS, tensors)
        (partial / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def load_adapter(
    model: nn.Module,
    folder: str | Path,
    layer: Callable[[nn.Module, LoRAConfig], nn.Module] = LoRALinear,
) -> LoRAConfig:
    """Freeze a model and put the adapters of a folder around its layers, ready to act or to be trained on.

    Raises:
        FileNotFoundError: a file is missing, or the matrices are damaged.
        ValueError: the settings are damaged or those of another kind of adapter than plain LoRA, or matrices are missing,
            unknown, not finite or of another shape (all are named). The model is unchanged.
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
    """Settings, A and B of every layer by its name, and what is not finite or does not come in pairs, in words.

    Raises:
        FileNotFoundError: a file is missing, or the matrices are damaged.
        ValueError: the settings are damaged, or those of another kind of adapter than plain LoRA.
    """
    folder = Path(folder)
    for name in (SETTINGS, TENSORS):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{name} is missing in {folder}; adapters are read as safetensors only")
    config = read_config(folder / SETTINGS)
    try:
        tensors = load_file(folder / TENSORS)
    except SafetensorError as error:
        raise FileNotFoundError(f"{folder / TENSORS} is damaged: {error}") from error
    return config, *_pairs(tensors)


def read_config(path: Path) -> LoRAConfig:
    """The settings of a plain LoRA adapter, from its adapter_config.json.

    Raises:
        ValueError: the file is damaged, or describes another kind of adapter.
    """
    settings = read_object(path)
    others = [f"{key}={settings.get(key)!r}" for key in _not_plain(settings)]
    if others:
        raise ValueError(
            f"{path}: only plain LoRA can be read (W + alpha / r · B A), and this adapter has {', '.join(others)}. Merge it "
            "into its base model with peft (merge_and_unload, which an aLoRA has not) and save that; one that changed its base at first "
            "(PiSSA, OLoRA, CorDA) becomes plain LoRA with peft's save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    try:
        dropout = settings.get("lora_dropout", 0.0)
        return LoRAConfig(int(settings["r"]), float(settings["lora_alpha"]), float(dropout))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: r, lora_alpha or lora_dropout: {error!r}") from error


def _not_plain(settings: Mapping[str, Any]) -> list[str]:
    """The names of the settings with which an adapter computes something else than plain LoRA."""
    others = [
        key
        for key, value in settings.items()
        if value and key not in _HARMLESS and (key, value) != ("bias", "none")
    ]
    if settings.get("peft_type") != "LORA":
        others.insert(0, "peft_type")
    if settings.get("init_lora_weights", True) not in _PLAIN_STARTS:
        others.append("init_lora_weights")
    return others


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
        if not tensor.isfinite().all():
            problems.append(f"not finite (NaN or infinity): {name}")
        if side in ("A", "B") and name.startswith(_PREFIX):
            sides.setdefault(module, {})[side] = tensor
        elif not name.endswith(".base_layer.weight"):  # peft adds a copy of an adapted head's frozen weight
            problems.append(f"unknown: {name}")
    problems += [f"missing: the other half of {module}" for module, both in sides.items() if len(both) == 1]
    return {module: (both["A"], both["B"]) for module, both in sides.items() if len(both) == 2}, problems


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file.

    Raises:
        OSError: it cannot be written, or the disk is full.
    """
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path.name} could not be written: {error}") from error
