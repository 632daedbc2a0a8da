"""Loading a model by its scale: "nano" runs anywhere, "7b" needs its weights, and a GPU or much memory."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import logging

from vla_course import assets
from vla_course.errors import CannotRunError
from vla_course.openvla import checkpoint, memory_plan
from vla_course.openvla.adapter import merge_adapter
from vla_course.openvla.four_bit_files import is_stored
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.slow_bfloat16 import compute_in_float32, multiplies_bfloat16

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
    adapter: str | Path | None = None,
    bits: Literal[4, 8] | None = None,
    dtype: torch.dtype | None = None,
    device: str | None = None,
) -> OpenVLAForActionPrediction:
    """The model that a lesson acts with.

    "nano" ships with the course. "7b" is openvla/openvla-7b, on a GPU or with device="cpu" in the computer's own memory: about
    16 GB in bfloat16, 9 GB with bits=8, 6 GB with bits=4. What it will need is printed before it is loaded. `path` names a folder
    or a repository of the same format to load instead: a fine-tune, or a model that was saved in four bits. `adapter` is a folder
    with LoRA adapters as OpenVLA's own fine-tuning writes them, merged into the weights; statistics beside them
    (dataset_statistics.json) are added to the model's. What `vla-course train` writes is loaded with `fine_tuning.run_folder.load_run`.

    Raises:
        ValueError: there is no such scale or number of bits, the folder holds weights in another number of bits, or the adapters
            do not fit the weights, or weights in few bits, which take none.
        FileNotFoundError: the nano checkpoint is not there yet.
        CannotRunError: 7B was asked for without its weights, a GPU (and not device="cpu"), enough memory or a package it needs;
            the message says which.
    """
    if scale not in ("nano", "7b"):
        raise ValueError(f"scale is 'nano' or '7b', not {scale!r}")
    if bits not in (None, 4, 8):
        raise ValueError(f"weights can be loaded in 8 or 4 bits, not {bits!r}")
    if adapter is not None and bits is not None:
        raise ValueError(
            f"adapters are merged into whole weights, not into {bits} bits: load without bits=, save_pretrained, and load that folder"
        )
    options: dict[str, Any] = {"dtype": dtype or "auto", "device_map": device}
    if scale == "nano":
        folder = path or find_nano()
        if bits is not None and not _has(Path(folder), bits):
            options["quantization_config"] = _quantization(bits)
        with _no_progress_bar():
            model: OpenVLAForActionPrediction = OpenVLAForActionPrediction.from_pretrained(folder, **options)
        return model if adapter is None else _adapted(model, Path(adapter))
    device = device or "cuda"
    folder = find_7b(path or OPENVLA_7B, bits=bits, device=device)
    stored = _has(folder, bits)
    options = {"dtype": dtype or torch.bfloat16, "device_map": device}
    needed = memory_plan.plan(
        checkpoint.read_config(folder), bits=4 if stored else bits, dtype=options["dtype"], device=device
    )
    print(needed)
    memory_plan.refuse_if_short(needed, memory_plan.free_gb(device))
    if bits is not None and not stored:
        options["quantization_config"] = _quantization(bits)
    model = OpenVLAForActionPrediction.from_pretrained(folder, **options)
    model = model if adapter is None else _adapted(model, Path(adapter))
    if device == "cpu" and not multiplies_bfloat16():
        compute_in_float32(model)
    return model


def _adapted(model: OpenVLAForActionPrediction, folder: Path) -> OpenVLAForActionPrediction:
    """The model with a published adapter merged into its weights, and with the statistics that lie beside it."""
    statistics = folder / "dataset_statistics.json"
    known = checkpoint.read_statistics(statistics) if statistics.exists() else {}
    merge_adapter(model, folder)
    model.config.norm_stats = {**model.config.norm_stats, **known}
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


def find_7b(name: str | Path, *, bits: int | None = None, device: str = "cuda") -> Path:
    """The folder of the 7B weights, on a machine that can run them. Nothing is downloaded: that is 15 GB and your decision.

    Raises:
        CannotRunError: something is missing; everything that is gets named.
    """
    needed = []
    if device != "cpu" and not torch.cuda.is_available():
        needed.append(
            "a CUDA GPU with 16 GB of memory, 9 GB with bits=8, 6 GB with bits=4 (torch sees none); or device='cpu', with as "
            "much of the computer's own memory"
        )
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
        raise CannotRunError(
            f"the 7B model needs what is not here:\n  - {lines}\nload_vla('nano') does the same on any laptop."
        )
    return folder


def _has(folder: Path, bits: int | None) -> bool:
    """Whether the weights in a folder lie there in four bits.

    Raises:
        ValueError: they do, and another number of bits is asked for.
    """
    stored = is_stored(folder)
    if stored and bits not in (None, 4):
        raise ValueError(f"the weights in {folder} are stored in 4 bits and cannot be loaded in {bits}")
    return stored


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
