"""Alignment of picture and words inside the model: image-text retrieval, and attention on the garment."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.garments import GARMENTS
from vla_course.envs.folding.start import GARMENT_COLORS
from vla_course.openvla.model import OpenVLAForActionPrediction, insert_patches
from vla_course.openvla.processor import build_prompt

KIND = "alignment"


@dataclass(frozen=True)
class Scenes:
    """Pictures of garments on the table, with masks, captions and instructions."""

    pictures: UInt8[np.ndarray, "N H W 3"]
    masks: Bool[np.ndarray, "N H W"]
    captions: tuple[str, ...]
    instructions: tuple[str, ...]


@dataclass(frozen=True)
class Retrieval:
    """Accuracy of retrieving a scene's text by its picture, and the other way round; `chance` is that of guessing."""

    image_to_text: float
    text_to_image: float
    chance: float


@dataclass(frozen=True)
class GarmentAttention:
    """Attention of the position that predicts the first action token, averaged over heads of one layer or all."""

    on_picture: float
    """Share of its attention that goes to the picture, not to words."""
    on_garment: float
    """Share of that which goes to the garment."""
    garment_share: float
    """Share of the picture that the garment covers: the value of uniform attention."""

    @property
    def ratio(self) -> float:
        """Attention on the garment, divided by that of uniform attention."""
        return self.on_garment / self.garment_share


def summary(label: str, retrieval: Retrieval, attention: GarmentAttention) -> dict[str, Any]:
    """As JSON for the report."""
    seen = {**asdict(attention), "ratio": attention.ratio}
    return {"kind": KIND, "label": label, "retrieval": asdict(retrieval), "attention": seen}


def folding_scenes(seed: int = 0, *, camera: str = "close", image_size: int = 84) -> Scenes:
    """Every garment in every colour once, at starts drawn with the seed."""
    size = (image_size, image_size)
    pictures, masks, captions, instructions = [], [], [], []
    for number, garment in enumerate(GARMENTS):
        env = FoldingEnv(garment, observations=())
        for count, color in enumerate(GARMENT_COLORS):
            env.reset(seed=seed + 100 * number + count, options={"color": color})
            pictures.append(env.picture(camera, size))
            masks.append(env.garment_mask(camera, size))
            captions.append(f"{color} {env.instruction.split()[2]}")
            instructions.append(env.instruction)
        env.close()
    return Scenes(np.stack(pictures), np.stack(masks), tuple(captions), tuple(instructions))


def image_text_retrieval(
    image_features: Float[torch.Tensor, "N D"], text_features: Float[torch.Tensor, "N D"]
) -> Retrieval:
    """Retrieval accuracy by cosine similarity of mean-centred features; row k of both belongs together.

    Features of pictures and of words lie in different regions of a model's space. Subtracting the mean of each kind leaves
    the part that is particular to a scene.

    Raises:
        ValueError: there are fewer than two scenes.
    """
    if len(image_features) < 2:
        raise ValueError(f"want at least two scenes to choose from, got {len(image_features)}")
    images, texts = (
        torch.nn.functional.normalize(kind - kind.mean(dim=0), dim=-1)
        for kind in (image_features, text_features)
    )
    likeness, own = images @ texts.T, torch.arange(len(images), device=images.device)
    found = [float((matrix.argmax(dim=1) == own).double().mean()) for matrix in (likeness, likeness.T)]
    return Retrieval(found[0], found[1], 1 / len(images))


@torch.no_grad()
def scene_features(
    model: OpenVLAForActionPrediction,
    pictures: UInt8[np.ndarray, "N H W 3"],
    texts: Sequence[str],
    layer: int = 0,
) -> tuple[Float[torch.Tensor, "N D"], Float[torch.Tensor, "N D"]]:
    """Features of pictures (mean over patches) and of texts (mean over tokens), each fed to the language model alone.

    `layer` 0 is the input of the language model, k the output of its k-th layer.

    Raises:
        ValueError: the model has no processor, or fewer layers.
    """
    processor = _processor(model)
    depth = model.config.text_config.num_hidden_layers
    if not 0 <= layer <= depth:
        raise ValueError(f"layer is from 0 to {depth}, not {layer}")
    embed = model.get_input_embeddings()
    device = embed.weight.device
    begin = embed(torch.tensor([[processor.bos_token_id]], device=device))
    rows: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for picture, text in zip(pictures, texts, strict=True):
        patches = model.embed_image(processor.pixel_values(picture)[None].to(device))
        words = embed(processor.token_ids(text)[1:][None].to(device))
        for kind, content in zip(rows, (patches, words), strict=True):
            read = torch.cat([begin, content.to(begin)], dim=1)
            states = model.language_model.model(inputs_embeds=read, output_hidden_states=True).hidden_states
            kind.append(states[layer][0, 1:].float().mean(dim=0))
    return torch.stack(rows[0]), torch.stack(rows[1])


@torch.no_grad()
def garment_attention(
    model: OpenVLAForActionPrediction,
    pictures: UInt8[np.ndarray, "N H W 3"],
    masks: Bool[np.ndarray, "N H W"],
    instructions: Sequence[str],
    *,
    states: Float[np.ndarray, "N S"] | None = None,
    unnorm_key: str | None = None,
    layer: int | None = None,
) -> GarmentAttention:
    """Attention on the garment of the position that predicts the first action token. `layer` counts from 0; None: mean over all.

    Pictures and masks are as the model gets them: crop both, if it takes the centre crop.

    Raises:
        ValueError: the model has no processor, wants states and gets none, or no garment is in the pictures.
    """
    processor = _processor(model)
    if not masks.any():
        raise ValueError("no picture shows a garment: there is nothing to look at")
    said = None if states is None else model.state_tokens(states, unnorm_key)
    inputs = processor([build_prompt(text) for text in instructions], list(pictures), said)
    tokens = model.get_input_embeddings()(inputs["input_ids"])
    read, mask = insert_patches(tokens, model.embed_image(inputs["pixel_values"]), inputs["attention_mask"])
    with _weights_shown(model):
        found = model.language_model.model(
            inputs_embeds=read, attention_mask=mask, use_cache=False, output_attentions=True
        ).attentions
    chosen = found if layer is None else (found[layer],)
    patches = model.config.patches_per_image
    side = math.isqrt(patches)
    looks = torch.stack([weights[:, :, -1, 1 : 1 + patches].mean(dim=1) for weights in chosen]).mean(dim=0)
    garment = torch.from_numpy(np.stack([_share_of_patches(one, side) for one in masks])).to(looks)
    on_picture = looks.sum(dim=1)
    on_garment = (looks * garment).sum(dim=1) / on_picture
    return GarmentAttention(
        on_picture=float(on_picture.mean()),
        on_garment=float(on_garment.mean()),
        garment_share=float(garment.mean()),
    )


def _share_of_patches(mask: Bool[np.ndarray, "H W"], side: int) -> Float[np.ndarray, " P"]:
    """Share of each patch that the garment covers, row by row."""
    small = Image.fromarray(mask.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel()


def _processor(model: OpenVLAForActionPrediction) -> Any:
    if model.processor is None:
        raise ValueError("this model has no processor: set model.processor = OpenVLAProcessor(...)")
    return model.processor


@contextmanager
def _weights_shown(model: OpenVLAForActionPrediction) -> Iterator[None]:
    """Use eager attention while the block runs: fast attention does not return its weights."""
    before = model.language_model.config._attn_implementation
    model.language_model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.language_model.set_attn_implementation(before)
