"""Reference values of the published code: a tiny OpenVLA with random weights, its inputs and its outputs.

The files lie under data/reference/openvla; their README says how the numbers came about.
"""

import atexit
import gzip
import json
import lzma
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file

from vla_course import assets
from vla_course.adapters.lora import adaptable_layers, weight_shape
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction

FOLDER = "data/reference/openvla"


@dataclass(frozen=True)
class PublishedCase:
    """One input of the published code, and its output."""

    image: np.ndarray
    """The raw picture, uint8 (H, W, 3)."""
    prompt_ids: Int[torch.Tensor, "1 L"]
    """The prompt's token ids, the start token first, without the empty token at the end."""
    pixel_values: Float[torch.Tensor, "1 6 H W"]
    """The picture as the published processor prepared it."""
    unnorm_key: str
    token_ids: list[int]
    """Greedily decoded, one for each dimension of the action."""
    logits: Float[torch.Tensor, "A window"]
    """At every dimension, for the ids from 31744 on."""
    action: Float[np.ndarray, " A"]
    token_ids_without_empty_token: list[int]
    """What comes out when the empty token is forgotten."""


@cache
def published_model() -> OpenVLAForActionPrediction:
    """The tiny model, in float32. Everybody gets the same one: leave its weights as they are.

    Raises:
        OSError: its files are not here and could not be downloaded.
    """
    folder = Path(tempfile.mkdtemp(prefix="openvla_published_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("config.json", "preprocessor_config.json", "dataset_statistics.json"):
        shutil.copy(assets.find(f"{FOLDER}/{name}"), folder)
    packed = assets.find(f"{FOLDER}/model.safetensors.xz").read_bytes()
    (folder / "model.safetensors").write_bytes(lzma.decompress(packed))
    return load_vla(path=folder, dtype=torch.float32)


def published_tensors() -> dict[str, torch.Tensor]:
    """Intermediate results: `dino_features`, `siglip_features`, `projector_output` and others, for both pictures."""
    return load_file(assets.find(f"{FOLDER}/expected.safetensors"))


def published_inputs() -> dict[str, torch.Tensor]:
    """The inputs: both raw pictures (`image_raw_0`, `image_raw_1`), `pixel_values`, two training sequences."""
    return load_file(assets.find(f"{FOLDER}/inputs.safetensors"))


def published_cases() -> list[PublishedCase]:
    """Five cases: two pictures, two prompts, arms with 7, 14 and 3 numbers."""
    inputs, tensors = published_inputs(), published_tensors()
    cases = json.loads(assets.find(f"{FOLDER}/expected.json").read_text(encoding="utf-8"))["generation"]
    return [
        PublishedCase(
            image=inputs[f"image_raw_{case['prompt']}"].numpy(),
            prompt_ids=torch.tensor([case["prompt_ids"]]),
            pixel_values=inputs["pixel_values"][case["prompt"] : case["prompt"] + 1],
            unnorm_key=case["unnorm_key"],
            token_ids=case["action_token_ids"],
            logits=tensors[f"generation_{number}_logits_action_window"],
            action=np.array(case["action"]),
            token_ids_without_empty_token=case["wrong_action_token_ids_if_29871_is_not_appended"],
        )
        for number, case in enumerate(cases)
    ]


def openvla_7b_tensors() -> dict[str, Any]:
    """Every tensor of openvla-7b's checkpoint, without its numbers: name and shape."""
    packed = assets.find(f"{FOLDER}/openvla_7b_tensors.json.gz").read_bytes()
    contract: dict[str, Any] = json.loads(gzip.decompress(packed))
    return contract


@cache
def published_lora_shapes() -> dict[str, tuple[int, ...]]:
    """The weights of openvla-7b that its fine-tuning puts adapters beside: 439, by their published names.

    All linear layers, and the patch convolutions, which share the name `proj` with linear ones; no table of words.
    """
    weights = {
        name.removesuffix(".weight"): tuple(shape)
        for name, shape in openvla_7b_tensors()["tensors"].items()
        if name.endswith(".weight")
    }
    return {
        name: shape for name, shape in weights.items() if len(shape) > 1 and not name.endswith("embed_tokens")
    }


@cache
def our_lora_shapes() -> dict[str, tuple[int, ...]]:
    """The same for openvla-7b as it lies in memory here, by our names.

    Query, key and value are three layers here and one in the published towers: three changes of rank r, not one, so more is
    trained. The attention of SigLIP's pooling, which never runs, takes no adapter.
    """
    with torch.device("meta"):
        model = OpenVLAForActionPrediction(OpenVLAConfig())
    return {name: weight_shape(layer) for name, layer in adaptable_layers(model).items()}
