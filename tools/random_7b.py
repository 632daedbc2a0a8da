"""A checkpoint of openvla-7b's names, shapes and sizes with random weights: to measure loading and acting without the weights.

    python tools/random_7b.py FOLDER             15.1 GB in four shards; what is there already is not written again
    python tools/random_7b.py FOLDER --seed 1    other numbers

Its actions mean nothing. Weights are normal with a standard deviation of 0.02, norms and layer scales are 1, biases 0, so that activations
stay finite. Each tensor is drawn from a seed of its own, so the files are the same however often the program was stopped. Llama's
tokenizer may not be passed on: the nano's lies here, whose ids fit. The statistics are openvla-7b's for `bridge_orig`.
"""

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any, BinaryIO

import torch
from huggingface_hub import StateDictSplit, split_state_dict_into_shards_factory
from tokenizers import Tokenizer
from tqdm import tqdm

from vla_course import assets
from vla_course.files import PARTIAL, replacing, write_text, writing_alone
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import NANO
from vla_course.openvla.processor import OpenVLAProcessor
from vla_course.openvla.published import openvla_7b_tensors

Shapes = dict[str, list[int]]
SHARD = "5GB"
SPARE = 1e9
"""Bytes that are left free on the disk."""
STATISTICS = {
    "bridge_orig": {
        "action": {
            "q01": [-0.0287, -0.0417, -0.0261, -0.0809, -0.0929, -0.2072, 0.0],
            "q99": [0.0283, 0.0409, 0.0402, 0.0819, 0.0779, 0.2038, 1.0],
            "mask": [True] * 6 + [False],
        }
    }
}


def nbytes(shape: list[int]) -> int:
    """In bfloat16."""
    return 2 * math.prod(shape)


def split(shapes: Shapes) -> StateDictSplit:
    """Which tensor stands in which file, at most SHARD a file."""
    return split_state_dict_into_shards_factory(
        shapes,
        get_storage_size=nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=SHARD,
    )


def header(shapes: Shapes) -> bytes:
    """What stands at the beginning of a safetensors file with these tensors: the length of a JSON text, and the text."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + nbytes(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def draw(name: str, shape: list[int], seed: int) -> torch.Tensor:
    """One tensor in bfloat16."""
    kind = name.rsplit(".", 1)[-1]
    if kind == "bias":
        return torch.zeros(shape, dtype=torch.bfloat16)
    if kind == "scale_factor" or (kind == "weight" and len(shape) == 1):
        return torch.ones(shape, dtype=torch.bfloat16)
    return torch.empty(shape).normal_(std=0.02, generator=torch.Generator().manual_seed(seed)).bfloat16()


def write_shard(file: BinaryIO, shapes: Shapes, seeds: dict[str, int], bar: Any) -> None:
    """One tensor after the other, so that no more than one is in memory."""
    file.write(header(shapes))
    for name, shape in shapes.items():
        file.write(draw(name, shape, seeds[name]).view(torch.uint8).numpy().data)
        bar.update(nbytes(shape))


def write_weights(folder: Path, shapes: Shapes, seed: int) -> None:
    """Every shard that is not there in full, and the index that names them.

    Raises:
        OSError: the disk is too small; nothing is written.
    """
    plan = split(shapes)
    shards = {
        file: {name: shapes[name] for name in names} for file, names in plan.filename_to_tensors.items()
    }
    sizes = {file: len(header(held)) + sum(map(nbytes, held.values())) for file, held in shards.items()}
    left = [file for file in shards if not _is_whole(folder / file, sizes[file])]
    needed, free = sum(sizes[file] for file in left), shutil.disk_usage(folder).free
    if left and free < needed + SPARE:
        raise OSError(
            f"{folder}: {needed / 1e9:.1f} GB are to be written and {free / 1e9:.1f} GB are free; "
            f"{SPARE / 1e9:.0f} GB stay free. Name a folder on another disk."
        )
    seeds = {name: seed * len(shapes) + number for number, name in enumerate(shapes)}
    with tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, desc="writing") as bar:
        bar.update(sum(sizes[file] for file in shards if file not in left))
        for name in left:
            with replacing(folder / name) as partial, partial.open("wb") as file:
                write_shard(file, shards[name], seeds, bar)
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        write_text(folder / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")


def write_rest(folder: Path, config: OpenVLAConfig, seed: int) -> None:
    """Everything but the weights; config.json says that they are random."""
    config.norm_stats = STATISTICS
    content = {**config.to_dict(), "architectures": ["OpenVLAForActionPrediction"], "torch_dtype": "bfloat16"}
    write_text(folder / "config.json", json.dumps({**content, "random_weights_seed": seed}, indent=2) + "\n")
    write_text(folder / "dataset_statistics.json", json.dumps(STATISTICS, indent=2) + "\n")
    words = Tokenizer.from_file(str(assets.find(f"{NANO}/tokenizer.json")))
    OpenVLAProcessor(config, words).save_pretrained(folder)


def write(folder: Path, shapes: Shapes, config: OpenVLAConfig, seed: int) -> None:
    """The whole checkpoint.

    Raises:
        OSError: the disk is too small.
        ValueError: the folder holds a checkpoint of another seed, or one whose weights are not random.
        InUseError: another process is writing there.
    """
    with writing_alone(folder):
        path = folder / "config.json"
        found = json.loads(path.read_text()).get("random_weights_seed") if path.exists() else seed
        if found != seed:
            raise ValueError(f"{folder} holds a checkpoint of seed {found}, not {seed}: name another folder")
        for old in folder.glob(f"{PARTIAL}*"):  # what a killed run left
            old.unlink()
        write_rest(folder, config, seed)
        write_weights(folder, shapes, seed)


def _is_whole(path: Path, size: int) -> bool:
    """Files appear under their names only when they are written to the end."""
    return path.exists() and path.stat().st_size == size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    try:
        write(asked.folder.expanduser(), openvla_7b_tensors()["tensors"], OpenVLAConfig(), asked.seed)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{asked.folder}: openvla-7b's shapes, random weights (seed {asked.seed})")


if __name__ == "__main__":
    main()
