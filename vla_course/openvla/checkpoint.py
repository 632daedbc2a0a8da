"""The published checkpoint format: the only place that knows its names.

Published weights carry timm's names for the vision towers, with query, key and value in one matrix. Files keep those names,
whatever transformers calls its own; in memory the names are transformers'. Nothing pickled is read.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import torch
from huggingface_hub import snapshot_download, split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open

from vla_course.action_tokens import action_statistics
from vla_course.adapters.peft_format import write_tensors
from vla_course.files import read_object, replacing_files
from vla_course.openvla.config import OpenVLAConfig

ATTENTION = ("eager", "sdpa")
"""How a checkpoint's config.json may ask for attention to be computed; other ways could bring code from elsewhere."""

DINOV2 = "vision_backbone.featurizer."
SIGLIP = "vision_backbone.fused_featurizer."
OUR_DINOV2 = "vision_backbone.dinov2."
OUR_SIGLIP = "vision_backbone.siglip."
REOPEN = 2**28
"""Bytes that are read of a file before it is opened anew."""
POOLED_QUERY_KEY_VALUE = (f"{SIGLIP}attn_pool.q", f"{SIGLIP}attn_pool.kv")
POOLED_IN_PROJ = f"{OUR_SIGLIP}head.attention.in_proj_weight"


def vision_modules(config: OpenVLAConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every module of the two towers by its published name, with the modules whose rows its weights hold, top to bottom."""
    yield f"{DINOV2}patch_embed.proj", (f"{OUR_DINOV2}embeddings.patch_embeddings.projection",)
    for n in range(config.vision_towers[0]["depth"]):
        block, ours = f"{DINOV2}blocks.{n}.", f"{OUR_DINOV2}encoder.layer.{n}."
        yield f"{block}norm1", (f"{ours}norm1",)
        yield f"{block}attn.qkv", tuple(f"{ours}attention.{part}_proj" for part in "qkv")
        yield f"{block}attn.proj", (f"{ours}attention.o_proj",)
        yield f"{block}norm2", (f"{ours}norm2",)
        yield f"{block}mlp.fc1", (f"{ours}mlp.fc1",)
        yield f"{block}mlp.fc2", (f"{ours}mlp.fc2",)
    yield f"{DINOV2}norm", (f"{OUR_DINOV2}layernorm",)

    yield f"{SIGLIP}patch_embed.proj", (f"{OUR_SIGLIP}embeddings.patch_embedding",)
    for n in range(config.vision_towers[1]["depth"]):
        block, ours = f"{SIGLIP}blocks.{n}.", f"{OUR_SIGLIP}encoder.layers.{n}."
        yield f"{block}norm1", (f"{ours}layer_norm1",)
        yield f"{block}attn.qkv", tuple(f"{ours}self_attn.{part}_proj" for part in "qkv")
        yield f"{block}attn.proj", (f"{ours}self_attn.out_proj",)
        yield f"{block}norm2", (f"{ours}layer_norm2",)
        yield f"{block}mlp.fc1", (f"{ours}mlp.fc1",)
        yield f"{block}mlp.fc2", (f"{ours}mlp.fc2",)
    yield f"{SIGLIP}norm", (f"{OUR_SIGLIP}post_layernorm",)
    pool, ours = f"{SIGLIP}attn_pool.", f"{OUR_SIGLIP}head."
    yield f"{pool}proj", (f"{ours}attention.out_proj",)
    yield f"{pool}norm", (f"{ours}layernorm",)
    yield f"{pool}mlp.fc1", (f"{ours}mlp.fc1",)
    yield f"{pool}mlp.fc2", (f"{ours}mlp.fc2",)


def vision_tensors(config: OpenVLAConfig) -> dict[str, tuple[str, ...]]:
    """Published tensor names with the tensors whose rows they hold; what needs more than that is in the two functions below."""
    names = {
        f"{module}.{kind}": tuple(f"{name}.{kind}" for name in ours)
        for module, ours in vision_modules(config)
        for kind in ("weight", "bias")
    }
    names[f"{DINOV2}reg_token"] = (f"{OUR_DINOV2}embeddings.register_tokens",)
    names[f"{SIGLIP}attn_pool.latent"] = (f"{OUR_SIGLIP}head.probe",)
    for n in range(config.vision_towers[0]["depth"]):
        for k in (1, 2):
            scale = f"{OUR_DINOV2}encoder.layer.{n}.layer_scale{k}.lambda1"
            names[f"{DINOV2}blocks.{n}.ls{k}.scale_factor"] = (scale,)
    return names


def from_original(tensors: Mapping[str, Any], config: OpenVLAConfig) -> dict[str, Any]:
    """The tensors, or their places on disk, under our names; few are read here."""
    rest = dict(tensors)
    ours: dict[str, Any] = {}
    for original, names in vision_tensors(config).items():
        ours.update(zip(names, rest.pop(original).chunk(len(names)), strict=True))
    # transformers adds a position to the class token; timm has added it already.
    cls_token, positions = rest.pop(f"{DINOV2}cls_token")[...], rest.pop(f"{DINOV2}pos_embed")[...]
    ours[f"{OUR_DINOV2}embeddings.cls_token"] = cls_token
    ours[f"{OUR_DINOV2}embeddings.position_embeddings"] = torch.cat(
        [torch.zeros_like(cls_token), positions], 1
    )
    ours[f"{OUR_DINOV2}embeddings.mask_token"] = torch.zeros_like(cls_token[0])
    ours[f"{OUR_SIGLIP}embeddings.position_embedding.weight"] = rest.pop(f"{SIGLIP}pos_embed")[...][0]
    for kind in ("weight", "bias"):
        parts = [rest.pop(f"{SIGLIP}attn_pool.{part}.{kind}")[...] for part in ("q", "kv")]
        ours[f"{OUR_SIGLIP}head.attention.in_proj_{kind}"] = torch.cat(parts)
    return ours | rest  # projector and language model keep their names


def to_original(tensors: Mapping[str, torch.Tensor], config: OpenVLAConfig) -> dict[str, torch.Tensor]:
    """The tensors under their published names: the way back of `from_original`.

    What training has put into the class token's position moves into the class token, where it means the same.
    """
    rest = dict(tensors)
    published: dict[str, torch.Tensor] = {}
    for original, names in vision_tensors(config).items():
        published[original] = torch.cat([rest.pop(name) for name in names])
    positions = rest.pop(f"{OUR_DINOV2}embeddings.position_embeddings")
    cls_token = rest.pop(f"{OUR_DINOV2}embeddings.cls_token")
    published[f"{DINOV2}cls_token"] = cls_token + positions[:, :1]
    published[f"{DINOV2}pos_embed"] = positions[:, 1:]
    del rest[f"{OUR_DINOV2}embeddings.mask_token"]
    position = rest.pop(f"{OUR_SIGLIP}embeddings.position_embedding.weight")
    published[f"{SIGLIP}pos_embed"] = position[None]
    for kind in ("weight", "bias"):
        fused = rest.pop(f"{OUR_SIGLIP}head.attention.in_proj_{kind}")
        query, key, value = fused.chunk(3)
        published[f"{SIGLIP}attn_pool.q.{kind}"] = query
        published[f"{SIGLIP}attn_pool.kv.{kind}"] = torch.cat([key, value])
    return published | rest


def find(name: str, *, revision: str | None = None, local_files_only: bool = False, **options: Any) -> Path:
    """The folder of a checkpoint: a local one, or one downloaded from the Hugging Face hub into its cache.

    `options` are those of huggingface_hub's `snapshot_download`.

    Raises:
        FileNotFoundError: there is no such folder, and the name is no repository that could be had.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise FileNotFoundError(
            f"{name} is neither a folder nor a repository of the hub, like openvla/openvla-7b"
        )
    try:
        patterns = ["*.safetensors", "*.safetensors.index.json", "*config.json", "dataset_statistics.json"]
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=[*patterns, "tokenizer.json"],
                local_files_only=local_files_only,
                **options,
            )
        )
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{name} is no local folder and could not be had from the hub: {error}"
        ) from error


def read_config(folder: Path) -> OpenVLAConfig:
    """The config of a checkpoint; where a fine-tune brought dataset_statistics.json, those statistics hold.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: a file is damaged (it is named), describes another model than an OpenVLA, or asks for foreign code.
    """
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"config.json is missing in {folder}: is this the folder of a checkpoint?")
    content = read_object(path)
    if content.get("model_type") != "openvla":
        raise ValueError(f"{folder} holds a model of type {content.get('model_type')!r}, not 'openvla'")
    for name in ("auto_map", "fusion_config", "transformers_weights"):
        content.pop(name, None)  # code and files that transformers would take in place of ours
    if "quantization_config" in content and not _holds_packed_weights(folder):
        del content["quantization_config"]  # earlier versions kept it when a quantised model had been merged
    _refuse_foreign_attention(content, path)
    statistics = folder / "dataset_statistics.json"
    if statistics.exists():
        content["norm_stats"] = read_statistics(statistics)
    try:
        config: OpenVLAConfig = OpenVLAConfig.from_dict(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} describes no OpenVLA: {error}") from error
    return config


def read_statistics(path: Path) -> dict[str, Any]:
    """The statistics of each data set that a model speaks, from its dataset_statistics.json.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or its numbers do not fit together; the message names the file.
    """
    content = read_object(path)
    parts: tuple[Literal["action", "proprio"], ...] = ("action", "proprio")
    for key, of in itertools.product(content, parts):
        try:
            if "q01" in content[key].get(of, {}):
                found = action_statistics(content, key, of=of)
                if not np.isfinite([found.q01, found.q99]).all():
                    raise ValueError(f"q01 or q99 of {of} is not finite")
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged, the statistics of {key!r}: {error}") from error
    return content


def _holds_packed_weights(folder: Path) -> bool:
    for path in weight_files(folder):
        with _opened(path) as file:
            if any(".quant_state." in name for name in file.keys()):  # noqa: SIM118
                return True
    return False


def _refuse_foreign_attention(content: Any, path: Path) -> None:
    """Raise where config.json, at any depth, asks for attention that transformers would get elsewhere."""
    parts = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content if isinstance(content, list) else [])
    )
    for name, part in parts:
        asked = part.values() if isinstance(part, dict) else [part]
        if "attn_implementation" in str(name) and any(how not in (None, *ATTENTION) for how in asked):
            raise ValueError(
                f"{path} asks for {name}={part!r}: a checkpoint may ask for {' or '.join(ATTENTION)}. Another way is yours to "
                "choose, as from_pretrained(..., attn_implementation=...)"
            )
        _refuse_foreign_attention(part, path)


def read_weights(folder: Path, config: OpenVLAConfig, expected: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Every tensor of a checkpoint under our names, to be read when it is asked for with `[...]`.

    `expected` has the shapes that a model of this config has, under our names.

    Raises:
        FileNotFoundError: a file is missing or damaged.
        ValueError: tensors are missing, unknown or of another shape (all are named), or the weights are pickled.
    """
    tensors = tensors_on_disk(folder)
    wanted = {name: tuple(tensor.shape) for name, tensor in to_original(expected, config).items()}
    refuse_other_tensors(folder, {name: tensor.shape for name, tensor in tensors.items()}, wanted)
    return from_original(tensors, config)


def tensors_on_disk(folder: Path) -> dict[str, "OnDisk"]:
    """The tensors of a checkpoint by their names in its files.

    Raises:
        FileNotFoundError: a file is missing or damaged.
        ValueError: the weights are pickled.
    """
    tensors: dict[str, OnDisk] = {}
    for path in weight_files(folder):
        with _opened(path) as opened:
            file, names = WeightFile(path), list(opened.keys())
            tensors.update({name: OnDisk(file, name, opened.get_tensor(name)) for name in names})
    return tensors


def refuse_other_tensors(
    folder: Path, found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise unless the shapes are those of a model of this config.

    Raises:
        ValueError: tensors are missing, unknown or of another shape; all are named.
    """
    problems = [f"missing: {name} {wanted[name]}" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"unknown: {name}" for name in sorted(found.keys() - wanted.keys())]
    problems += [
        f"wrong shape: {name} is {found[name]}, the config wants {wanted[name]}"
        for name in sorted(wanted.keys() & found.keys())
        if found[name] != wanted[name]
    ]
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(f"{len(problems)} tensors of {folder} do not fit its config.json:\n  {lines}")


def never_repack(model: Any) -> None:
    """Make layers in four bits compute on the CPU as they do in training, always.

    Where a processor has instructions for bfloat16, bitsandbytes 0.50 repacks the weights at the first evaluation and does not
    unpack them for training: after that, what lies before such a layer gets no gradient, without a word.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


class WeightFile:
    """A safetensors file that is opened anew after so many bytes: while one stays open, all that was read of it counts as this
    process's memory.
    """  # fmt: skip

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock, self._left = Lock(), 0
        self._open: Any = None

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor whose numbers are read when they are looked at."""
        with self._lock:
            if self._left <= 0:
                self._open, self._left = safe_open(self.path, framework="pt"), REOPEN
            tensor: torch.Tensor = self._open.get_tensor(name)
            self._left -= tensor.nbytes
        return tensor


class OnDisk:
    """A tensor, or one of several equal parts of its rows, that still lies in its file. `[...]` reads it into memory of its own.

    `chunk`, `to` and `is_floating_point` are a tensor's, and read nothing.
    """

    def __init__(self, file: WeightFile, name: str, tensor: torch.Tensor, rows: slice = slice(None)) -> None:
        self.file, self.name, self.rows = file, name, rows
        self.shape, self.dtype = tuple(tensor.shape), tensor.dtype

    def is_floating_point(self) -> bool:
        """Whether its numbers have fractions."""
        return self.dtype.is_floating_point

    def to(self, dtype: torch.dtype) -> "OnDisk":
        """The same with its numbers in another type once it is read."""
        other = copy(self)
        other.dtype = dtype
        return other

    def chunk(self, parts: int) -> list["OnDisk"]:
        """So many equal parts of a whole tensor, cut between rows."""
        if parts == 1:
            return [self]
        rows = self.shape[0] // parts
        shaped = torch.empty((rows, *self.shape[1:]), dtype=self.dtype, device="meta")
        return [OnDisk(self.file, self.name, shaped, slice(n * rows, (n + 1) * rows)) for n in range(parts)]

    def __getitem__(self, index: Any) -> torch.Tensor:
        whole = self.file.tensor(self.name)
        read = whole[self.rows][index] if whole.ndim else whole
        return read.to(self.dtype, copy=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise FileNotFoundError(f"{path} is damaged: {error}") from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a checkpoint's weights.

    Raises:
        FileNotFoundError: there are none, or the index names one that is not there.
        ValueError: the weights are pickled, or the index is damaged or names files elsewhere.
    """
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.exists():
        names = _shards(index)
        missing = [name for name in names if not (folder / name).exists()]
        if missing:
            raise FileNotFoundError(
                f"{index.name} names files that are not in {folder}: {', '.join(missing)}"
            )
        return [folder / name for name in names]
    if single.exists():
        return [single]
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise ValueError(
            f"the weights in {folder} are pickled, and a pickle can run any code: want safetensors"
        )
    raise FileNotFoundError(f"no model.safetensors in {folder}")


def _shards(index: Path) -> list[str]:
    content = read_object(index).get("weight_map")
    names: list[Any] = list(content.values()) if isinstance(content, dict) else [None]
    for name in names:
        if not isinstance(name, str) or not name.endswith(".safetensors") or Path(name).name != name:
            raise ValueError(
                f"{index} is damaged: want names of safetensors files beside it in weight_map, not {name!r}"
            )
    return sorted(set(names))


def write(
    folder: str | Path,
    config: OpenVLAConfig,
    tensors: Mapping[str, torch.Tensor],
    *,
    max_shard_size: int | str,
) -> None:
    """Write config.json, dataset_statistics.json and the weights under their published names.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; the old checkpoint is as it was.
        ValueError: the weights are quantised or carry adapters, and have no published form.
    """
    refuse_adapters(tensors)
    if not all(tensor.is_floating_point() for tensor in tensors.values()):
        raise ValueError(
            "quantised weights cannot be written in the published format: save before quantising, or unpack(model) first "
            "(vla_course.adapters.lora)"
        )
    try:
        published = to_original(tensors, config)
    except KeyError as error:
        raise ValueError(f"want all weights of the model, {error} is missing") from error
    write_files(folder, config, published, {}, max_shard_size=max_shard_size)


def refuse_adapters(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise where weights carry adapters.

    Raises:
        ValueError: they do.
    """
    if any(".lora_A" in name for name in tensors):
        raise ValueError(
            "the published format has no place for adapters: merge(model) first, or save_adapter them alone"
        )


def write_files(
    folder: str | Path,
    config: OpenVLAConfig,
    tensors: Mapping[str, torch.Tensor],
    said: Mapping[str, Any],
    *,
    max_shard_size: int | str,
) -> None:
    """Write tensors under the names they have here, config.json with what is `said` besides, and dataset_statistics.json.

    Everything is written beside the folder first and moved into it at the end, so that a full disk or a broken run leaves
    the old checkpoint as it was. One shard is in memory a second time.
    """
    folder = Path(folder)
    with replacing_files(folder) as partial:
        shards = split_torch_state_dict_into_shards(dict(tensors), max_shard_size=max_shard_size)
        for file, names in shards.filename_to_tensors.items():
            held = {
                name: tensors[name].contiguous().clone() for name in names
            }  # safetensors takes none that share memory
            write_tensors(partial / file, held)
        if shards.is_sharded:
            index = {"metadata": shards.metadata, "weight_map": shards.tensor_to_filename}
            _write_json(partial / "model.safetensors.index.json", index)
        content = {**config.to_dict(), "architectures": ["OpenVLAForActionPrediction"]}
        content.pop(
            "quantization_config", None
        )  # said again where these weights are quantised, whatever the model was loaded as
        dtype = str(tensors["language_model.lm_head.weight"].dtype).removeprefix("torch.")
        _write_json(partial / "config.json", {**content, "dtype": dtype, "torch_dtype": dtype, **said})
        _write_json(partial / "dataset_statistics.json", config.norm_stats)
    written = {*shards.filename_to_tensors, *(["model.safetensors.index.json"] * shards.is_sharded)}
    for old in [*folder.glob("model*.safetensors"), *folder.glob("model.safetensors.index.json")]:
        if old.name not in written:
            old.unlink()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
