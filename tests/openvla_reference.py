"""The published numbers, the tiny checkpoint they came from, and an even smaller model of our own sizes."""

import atexit
import gzip
import json
import lzma
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import OpenVLAProcessor

DATA = Path(__file__).parents[1] / "data" / "reference" / "openvla"
EMPTY = 29871

# What Llama's tokenizer cuts the four stored prompts into; the tokenizer itself is not here.
PIECES = {
    "▁In": 512, ":": 29901, "▁What": 1724, "▁action": 3158, "▁should": 881, "▁the": 278, "▁robot": 19964, "▁take": 2125,
    "▁to": 304, "▁put": 1925, "▁sp": 805, "oon": 6150, "▁on": 373, "wel": 20466, "?": 29973, "\n": 13, "Out": 3744,
    "▁pick": 5839, "▁up": 701, "▁black": 4628, "▁bow": 12580, "l": 29880, "▁st": 380, "ove": 994, "▁and": 322,
    "▁place": 2058, "▁it": 372, "▁plate": 15284, "▁unfold": 20220, "▁t": 260, "-": 29899, "sh": 845, "irt": 2728,
    "▁open": 1722, "▁dra": 7482, "wer": 556, ".": 29889, "▁": EMPTY, "<unk>": 0,
}  # fmt: skip


def expected() -> dict:
    return json.loads((DATA / "expected.json").read_text())


def expected_tensors() -> dict[str, torch.Tensor]:
    return load_file(DATA / "expected.safetensors")


def inputs() -> dict[str, torch.Tensor]:
    return load_file(DATA / "inputs.safetensors")


def contract() -> dict:
    """Names and shapes of the 7B checkpoint."""
    return json.loads(gzip.decompress((DATA / "openvla_7b_tensors.json.gz").read_bytes()))


def tokenizer() -> Tokenizer:
    """Reads the stored prompts exactly as Llama's does, and nothing else."""
    words = Tokenizer(models.WordLevel(PIECES, unk_token="<unk>"))
    words.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    longest_first = sorted(PIECES, key=len, reverse=True)
    pattern = "|".join(piece.replace("?", r"\?").replace(".", r"\.") for piece in longest_first)
    words.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    return words


@cache
def reference_folder() -> Path:
    """The tiny published checkpoint, unpacked for as long as the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="openvla_reference_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("config.json", "preprocessor_config.json", "dataset_statistics.json"):
        shutil.copy(DATA / name, folder)
    packed = (DATA / "model.safetensors.xz").read_bytes()
    (folder / "model.safetensors").write_bytes(lzma.decompress(packed))
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@cache
def reference_model() -> OpenVLAForActionPrediction:
    """The tiny published checkpoint in float32. Shared: leave its weights as they are."""
    return OpenVLAForActionPrediction.from_pretrained(reference_folder(), dtype=torch.float32)


def nano_config(**changes) -> OpenVLAConfig:
    """Small enough for any test, and every width a multiple of 64."""
    settings = dict(
        text_config=dict(
            vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0
        ),
        vision_towers=[
            dict(embed_dim=64, depth=3, num_heads=2, mlp_ratio=2.0),
            dict(embed_dim=64, depth=3, num_heads=2, mlp_ratio=2.0),
        ],
        image_sizes=[28, 28],
        pad_token_id=0,
        pad_to_multiple_of=0,
        empty_token_id=3,
        norm_stats={"tabletop": {"action": {"q01": [-1.0, 0.0, 0.0], "q99": [1.0, 2.0, 1.0], "mask": [True, True, False]}}},
    )  # fmt: skip
    return OpenVLAConfig(**{**settings, **changes})


def nano_tokenizer() -> Tokenizer:
    """Every letter is a word: ids 4 to 131."""
    letters = {chr(code): 4 + code for code in range(128)}
    words = Tokenizer(models.WordLevel({**letters, "<unk>": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return words


def nano(seed: int = 0, **changes) -> OpenVLAForActionPrediction:
    """A new model with random weights, ten times larger than transformers draws them, so that decisions are not close."""
    torch.manual_seed(seed)
    config = nano_config(**changes)
    model = OpenVLAForActionPrediction(config, OpenVLAProcessor(config, nano_tokenizer())).eval()
    with torch.no_grad():
        for parameter in model.language_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(5)
    return model


def nano_inputs(batch: int = 1, length: int = 6, seed: int = 1) -> dict[str, torch.Tensor]:
    """Random words behind the start token, random pictures."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 250, (batch, length), generator=random)
    ids[:, 0], ids[:, -1] = 1, 3
    pixels = torch.randn(batch, 6, 28, 28, generator=random)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}
