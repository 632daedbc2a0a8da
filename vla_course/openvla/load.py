"""One word chooses the model: "nano" runs anywhere, "7b" needs a GPU and its weights."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import logging

from vla_course import assets
from vla_course.openvla import checkpoint
from vla_course.openvla.model import OpenVLAForActionPrediction

NANO = "data/checkpoints/openvla_nano"
NANO_FILES = (
    "config.json",
    "dataset_statistics.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
)
OPENVLA_7B = "openvla/openvla-7b"


def load_vla(
    scale: Literal["nano", "7b"] = "nano",
    *,
    path: str | Path | None = None,
    bits: Literal[4, 8] | None = None,
    dtype: torch.dtype | None = None,
) -> OpenVLAForActionPrediction:
    """The model that a lesson acts with.

    "nano" ships with the course. "7b" is openvla/openvla-7b, about 16 GB of GPU memory in bfloat16; `bits` 8 or 4 needs about
    9 or 6 GB. `path` names a folder or a repository of the same format to load instead, a fine-tune for example.

    Raises:
        ValueError: there is no such scale or number of bits.
        FileNotFoundError: the nano checkpoint is not there yet.
        RuntimeError: 7B was asked for without a GPU, its weights or a package it needs; the message says which.
    """
    if scale not in ("nano", "7b"):
        raise ValueError(f"scale is 'nano' or '7b', not {scale!r}")
    if bits not in (None, 4, 8):
        raise ValueError(f"weights can be loaded in 8 or 4 bits, not {bits!r}")
    options: dict[str, Any] = {"dtype": dtype or "auto"}
    if bits is not None:
        options["quantization_config"] = _quantization(bits)
    if scale == "nano":
        with _no_progress_bar():
            nano: OpenVLAForActionPrediction = OpenVLAForActionPrediction.from_pretrained(path or find_nano(), **options)
        return nano
    folder = find_7b(path or OPENVLA_7B, bits=bits)
    options["dtype"] = dtype or torch.bfloat16
    model: OpenVLAForActionPrediction = OpenVLAForActionPrediction.from_pretrained(folder, device_map="cuda", **options)
    return model


def find_nano() -> Path:
    """The folder of the nano checkpoint.

    Raises:
        FileNotFoundError: it is not part of this version of the course.
    """
    try:
        files = [assets.find(f"{NANO}/{name}") for name in NANO_FILES]
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the nano model is not there: {error}. Its files belong into {NANO}/ "
            f"({', '.join(NANO_FILES)}); load_vla(path=...) takes another folder."
        ) from error
    return files[0].parent


def find_7b(name: str | Path, *, bits: int | None = None) -> Path:
    """The folder of the 7B weights, on a machine that can run them. Nothing is downloaded: that is 15 GB and your decision.

    Raises:
        RuntimeError: something is missing; everything that is gets named.
    """
    needed = []
    if not torch.cuda.is_available():
        needed.append("a CUDA GPU with 16 GB of memory, 9 GB with bits=8, 6 GB with bits=4 (torch sees none)")
    packages = ["accelerate"] + ["bitsandbytes"] * (bits is not None)
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        needed.append(f"{' and '.join(missing)}: pip install 'vla-course[gpu]'")
    folder = None
    try:
        folder = checkpoint.find(str(name), local_files_only=True)
    except FileNotFoundError:
        needed.append(f"its weights, 15 GB: hf download {name}, or path= to a folder that holds them")
    if needed or folder is None:
        lines = "\n  - ".join(needed)
        raise RuntimeError(
            f"the 7B model needs what is not here:\n  - {lines}\nload_vla('nano') does the same on any laptop."
        )
    return folder


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """The nano is there before a bar is drawn."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _quantization(bits: int) -> BitsAndBytesConfig:
    """8 bit as bitsandbytes does it, or NF4 with bfloat16 arithmetic and quantised scales (QLoRA's recipe)."""
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
