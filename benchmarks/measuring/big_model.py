"""A model of any size with random weights, for timing: made where it runs, nothing is loaded."""

import importlib.util

import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.model import OpenVLAForActionPrediction

WORK = 1.15
"""Memory in all, over that of the weights."""
BYTES = {None: 2.0, 4: 0.52}
"""Of one weight: bfloat16; or NF4 with its scales."""
WORDS = 24


def in_words(bits: int | None) -> str:
    return "bfloat16" if bits is None else f"{bits} bits"


def empty_model(config: OpenVLAConfig) -> OpenVLAForActionPrediction:
    """The model's shapes, without memory."""
    with torch.device("meta"):
        return OpenVLAForActionPrediction(config).eval()


def is_quantised(name: str, module: nn.Module) -> bool:
    """Which layers get 4 bits: every linear one but the head, as when weights are loaded so."""
    return type(module) is nn.Linear and not name.endswith("lm_head")


def gigabytes(config: OpenVLAConfig, bits: int | None) -> float:
    """Memory that the model needs on its device."""
    total = 0.0
    for name, module in empty_model(config).named_modules():
        for parameter in module.parameters(recurse=False):
            few = bits is not None and is_quantised(name, module) and parameter.ndim == 2
            total += parameter.numel() * BYTES[bits if few else None]
    return WORK * total / 1e9


def missing(config: OpenVLAConfig, bits: int | None) -> list[str]:
    """What this machine lacks to run the model."""
    needed, lacking = gigabytes(config, bits), []
    if not torch.cuda.is_available():
        lacking.append(f"a GPU with {needed:.1f} GB of free memory (torch {torch.__version__} sees none)")
    else:
        free = torch.cuda.mem_get_info()[0] / 1e9
        if free < needed:
            lacking.append(f"{needed:.1f} GB of free GPU memory ({free:.1f} GB are free)")
    if bits is not None and importlib.util.find_spec("bitsandbytes") is None:
        lacking.append("bitsandbytes (pip install 'vla-course[gpu]')")
    return lacking


def random_model(
    config: OpenVLAConfig, *, device: str, bits: int | None, dtype: torch.dtype = torch.bfloat16
) -> OpenVLAForActionPrediction:
    """Layer by layer on the device, so that at no time more than the model and one layer is there."""
    torch.manual_seed(0)
    model = empty_model(config)
    names = [
        name for name, _ in model.named_modules()
    ]  # and not the modules: those replaced are to go at once
    for name in names:
        module = model.get_submodule(name)
        for key, parameter in list(module.named_parameters(recurse=False)):
            drawn = torch.randn(parameter.shape, device=device, dtype=dtype) * 0.02
            setattr(module, key, nn.Parameter(drawn, requires_grad=False))
        if bits == 4 and is_quantised(name, module):
            model.set_submodule(name, _four_bits(module, device, dtype))
    # What is computed from the config, and not learnt.
    model.language_model.model.rotary_emb = LlamaRotaryEmbedding(config.text_config).to(device)
    places = torch.arange(config.num_patches, device=device)
    model.vision_backbone.siglip.embeddings.position_ids = places.expand(1, -1)
    model.generation_config.eos_token_id = None
    return model


def random_questions(config: OpenVLAConfig, *, device: str, dtype: torch.dtype = torch.bfloat16) -> dict:
    """One picture and so many words, as the processor makes them."""
    ids = torch.randint(3, config.vocabulary_size - 256, (1, WORDS), device=device)
    ids[0, 0], ids[0, -1] = config.text_config.bos_token_id, config.empty_token_id
    pixels = torch.randn(1, 6, config.image_size, config.image_size, device=device, dtype=dtype)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def _four_bits(layer: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """The layer as bitsandbytes holds it: NF4, scales quantised too."""
    import bitsandbytes

    small = bitsandbytes.nn.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=False,
        compute_dtype=dtype,
        quant_type="nf4",
        compress_statistics=True,
        device="meta",
    )
    small.weight = bitsandbytes.nn.Params4bit(
        layer.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True
    ).to(device)
    small.bias = layer.bias
    return small
