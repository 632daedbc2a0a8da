"""Do picture and words meet inside the model? Whether they find each other, and where the model looks before it acts."""

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
from vla_course.openvla.config import PATCH_SIZE
from vla_course.openvla.model import OpenVLAForActionPrediction, insert_patches
from vla_course.openvla.processor import build_prompt

KIND = "alignment"


@dataclass(frozen=True)
class Scenes:
    """Garments on the table, what they are called, and where they are in the picture."""

    pictures: UInt8[np.ndarray, "N H W 3"]
    masks: Bool[np.ndarray, "N H W"]
    captions: tuple[str, ...]
    instructions: tuple[str, ...]


@dataclass(frozen=True)
class Retrieval:
    """How often a scene's nearest text is its own, and the other way round; `chance` is what guessing reaches."""

    image_to_text: float
    text_to_image: float
    chance: float


@dataclass(frozen=True)
class GarmentAttention:
    """Where the position that chooses the first action token looks, over all heads of one layer or of all."""

    on_picture: float
    """Share of its attention that goes to the picture, not to words."""
    on_garment: float
    """Share of that which goes to the garment."""
    garment_share: float
    """Share of the picture that the garment covers: what looking everywhere alike would give."""

    @property
    def ratio(self) -> float:
        """How many times more attention a garment gets than a part of the picture of its size."""
        return self.on_garment / self.garment_share


def summary(label: str, retrieval: Retrieval, attention: GarmentAttention) -> dict[str, Any]:
    """As JSON for the report."""
    seen = {**asdict(attention), "ratio": attention.ratio}
    return {"kind": KIND, "label": label, "retrieval": asdict(retrieval), "attention": seen}


def folding_scenes(seed: int = 0, *, camera: str = "close", image_size: int = 84) -> Scenes:
    """Every garment in every colour once, at starts that follow from the seed."""
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
    """Row k of both belongs together; nearest is by cosine, after the mean of each kind is taken off.

    Pictures and words lie in different corners of a model's space; the mean of each kind says where its corner is, and
    what is left says what is particular to this scene.

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
    """Features of pictures and of texts: the mean over patches, and over words, each read alone.

    `layer` 0 is what goes into the language model, k what comes out of its k-th layer.

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
    """How much of the attention of the position that acts lies on the garment. `layer` counts from 0; None: all of them.

    Pictures and masks are as the model sees them: cut both to the middle, if it looks there only.

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
    side = model.config.image_size // PATCH_SIZE
    patches = side**2
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
    """How much of each patch is garment, row by row."""
    small = Image.fromarray(mask.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel()


def _processor(model: OpenVLAForActionPrediction) -> Any:
    if model.processor is None:
        raise ValueError("this model has no processor: set model.processor = OpenVLAProcessor(...)")
    return model.processor


@contextmanager
def _weights_shown(model: OpenVLAForActionPrediction) -> Iterator[None]:
    """The language model tells its attention weights, which fast attention never writes down."""
    before = model.language_model.config._attn_implementation
    model.language_model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.language_model.set_attn_implementation(before)
