"""Pictures and words as the numbers a model was trained on. Needs Pillow, and no torchvision."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image as PillowImage
from tokenizers import Tokenizer

from vla_course.files import read_object, replacing, write_text
from vla_course.openvla.config import OpenVLAConfig

Image = PillowImage.Image | np.ndarray
"""An RGB picture: a Pillow image, or uint8 numbers of shape (H, W, 3)."""

Images = Image | Sequence[Image]
"""What one prompt is about: a picture, or one of each camera for a model that looks through several."""

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def build_prompt(instruction: str) -> str:
    """The prompt that OpenVLA was trained on, with your instruction in it, all of that in lower case.

    Source: openvla/openvla @ c8f03f48, README.md.
    """
    return f"In: What action should the robot take to {instruction.lower()}?\nOut:"


def with_empty_token(
    input_ids: Int[torch.Tensor, " L"], attention_mask: Int[torch.Tensor, " L"], empty_token_id: int = 29871
) -> tuple[Int[torch.Tensor, " M"], Int[torch.Tensor, " M"]]:
    """The prompt with the empty token at its end, once, and the mask that fits it.

    Llama's tokenizer puts this token between "Out:" and the first action, so the model has always seen it there: without it
    the first dimension is read one position early, and everything after it is wrong.

    Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/modeling_prismatic.py (predict_action).
    """
    if input_ids[-1] == empty_token_id:
        return input_ids, attention_mask
    empty = input_ids.new_tensor([empty_token_id])
    return torch.cat([input_ids, empty]), torch.cat([attention_mask, attention_mask.new_ones(1)])


def rgb_array(image: Image) -> np.ndarray:
    """The picture as uint8 numbers of shape (H, W, 3).

    Raises:
        ValueError: it is no RGB picture: another mode, number type or shape, or empty. Nothing is converted silently.
    """
    if isinstance(image, PillowImage.Image):
        if image.mode != "RGB":
            raise ValueError(f"want an RGB image, got mode {image.mode!r}: use image.convert('RGB')")
        image = np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"want a Pillow image or a NumPy array, got {type(image).__name__}")
    if image.dtype != np.uint8:
        raise ValueError(f"want uint8 numbers from 0 to 255, got {image.dtype}")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"want an image of shape (height, width, 3), got {image.shape}")
    return image


def preprocessor_config(
    image_size: int, normalize: Sequence[dict[str, list[float]]] = (IMAGENET, HALF)
) -> dict[str, Any]:
    """What a model's preprocessor_config.json says, in the published format, for the DINOv2 and the SigLIP tower."""
    size = [image_size, image_size]
    return {
        "image_processor_type": "PrismaticImageProcessor",
        "image_resize_strategy": "resize-naive",
        "use_fused_vision_backbone": True,
        "input_sizes": [[3, *size]] * 2,
        "interpolations": ["bicubic"] * 2,
        "means": [tower["mean"] for tower in normalize],
        "stds": [tower["std"] for tower in normalize],
        "tvf_resize_params": [
            {"antialias": True, "interpolation": 3, "max_size": None, "size": size} for _ in normalize
        ],
        "tvf_crop_params": [{"output_size": size} for _ in normalize],
        "tvf_normalize_params": [{"inplace": False, **tower} for tower in normalize],
        "tvf_do_letterbox": False,
        "tvf_letterbox_fill": None,
    }


class OpenVLAProcessor:
    """Turns pictures into pixel values and prompts into token ids, as the model's training did.

    `settings` is the content of preprocessor_config.json. Of its two lists of normalisation values the model was trained with
    `tvf_normalize_params`; in published checkpoints they differ from `means` and `stds` in the third digit.

    Raises:
        ValueError: the settings ask for anything else than a bicubic resize straight to the config's image size.

    Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/processing_prismatic.py.
    """

    def __init__(
        self, config: OpenVLAConfig, tokenizer: Tokenizer | None, settings: dict[str, Any] | None = None
    ) -> None:
        settings = preprocessor_config(config.image_size) if settings is None else settings
        sizes = {tuple(tower["size"]) for tower in settings["tvf_resize_params"]}
        if sizes != {(config.image_size, config.image_size)} or settings.get("tvf_do_letterbox"):
            raise ValueError(
                f"the model sees {config.image_size} × {config.image_size} pixels, its preprocessor makes {sizes}"
            )
        if any(tower.get("interpolation", 3) != 3 for tower in settings["tvf_resize_params"]):
            raise ValueError("only bicubic resizing (Pillow's 3) is what published models were trained with")
        towers = settings["tvf_normalize_params"]
        self.settings, self.tokenizer = settings, tokenizer
        if tokenizer is not None:
            tokenizer.encode_special_tokens = True  # as the plain text that they are
        self.image_size, self.state_dim = config.image_size, config.state_dim
        self.num_images = config.num_images
        self.bos_token_id, self.pad_token_id = config.text_config.bos_token_id, config.pad_token_id
        self.empty_token_id = config.empty_token_id
        self._mean = torch.tensor([tower["mean"] for tower in towers]).reshape(6, 1, 1)
        self._std = torch.tensor([tower["std"] for tower in towers]).reshape(6, 1, 1)

    @classmethod
    def from_folder(cls, folder: Path, config: OpenVLAConfig) -> "OpenVLAProcessor":
        """The processor of a checkpoint; a folder without tokenizer.json can still prepare pictures.

        Raises:
            FileNotFoundError: there is no preprocessor_config.json.
            ValueError: a file is damaged, or its settings are not the config's; the message names it.
        """
        path = folder / "preprocessor_config.json"
        if not path.exists():
            raise FileNotFoundError(f"{path.name} is missing in {folder}: it says how images are prepared")
        words, settings = folder / "tokenizer.json", read_object(path)
        tokenizer = _read_tokenizer(words) if words.exists() else None
        try:
            return cls(config, tokenizer, settings)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} does not fit config.json: {error}") from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Write preprocessor_config.json and tokenizer.json."""
        folder = Path(folder)
        text = json.dumps(self.settings, indent=2, sort_keys=True)
        write_text(folder / "preprocessor_config.json", text + "\n")
        if self.tokenizer is not None:
            with replacing(folder / "tokenizer.json") as partial:
                self.tokenizer.save(str(partial))

    def __call__(
        self,
        prompts: Sequence[str],
        images: Sequence[Images],
        states: Int[np.ndarray, "B S"] | None = None,
        *,
        empty_token: bool = True,
    ) -> dict[str, torch.Tensor]:
        """Everything a model takes: `input_ids`, `attention_mask` (B, L) and `pixel_values` (B, 6 · pictures, S, S).

        Each of `images` is one picture, or a sequence of as many as the model looks at at once, always in the same order.
        With `empty_token` each prompt ends with it, ready for the first action token. `states` are the tokens of the robot's
        state, for models that are told (see `state_tokens`); they stand between prompt and empty token. Shorter prompts are
        padded behind the start token, where the image comes to stand, so that all rows end in their last word.

        Raises:
            ValueError: no prompts, another number of images or states than prompts, images that are no RGB pictures or not as
                many as the model looks at, or a model that is told a state and was not, or the other way round.
        """
        if len(prompts) == 0 or len(prompts) != len(images):
            raise ValueError(
                f"want one image per prompt, got {len(prompts)} prompts and {len(images)} images"
            )
        pixels = torch.stack([self.all_pixel_values(image) for image in images])
        rows = [self.token_ids(prompt) for prompt in prompts]
        given = (len(prompts), 0) if states is None else np.shape(states)
        if given != (len(prompts), self.state_dim):
            raise ValueError(
                f"want {self.state_dim} tokens of the robot's state for each of {len(prompts)} prompts, got an array of "
                f"shape {given}: see the model's state_tokens"
            )
        if states is not None:
            rows = [torch.cat([row, torch.from_numpy(said)]) for row, said in zip(rows, states, strict=True)]
        masks = [torch.ones_like(row) for row in rows]
        if empty_token:
            ended = [with_empty_token(*pair, self.empty_token_id) for pair in zip(rows, masks, strict=True)]
            rows, masks = [row for row, _ in ended], [mask for _, mask in ended]
        length = max(len(row) for row in rows)
        return {
            "input_ids": torch.stack([_pad(row, length, self.pad_token_id) for row in rows]),
            "attention_mask": torch.stack([_pad(mask, length, 0) for mask in masks]),
            "pixel_values": pixels,
        }

    def token_ids(self, text: str) -> Int[torch.Tensor, " L"]:
        """The text's token ids, the start token before them. All of it is plain text: `</s>` is four letters, no end.

        Raises:
            ValueError: the checkpoint came without a tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("no tokenizer.json lies beside the weights, and words cannot be read without it")
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        return torch.tensor([self.bos_token_id, *ids])

    def all_pixel_values(self, images: Images) -> Float[torch.Tensor, "channels H W"]:
        """The pixel values of everything that is looked at together: six channels for each picture, in their order.

        Raises:
            ValueError: it is another number of pictures than the model looks at, or as `rgb_array`.
        """
        stacked = isinstance(images, np.ndarray) and images.ndim == 4 and self.num_images > 1
        several: Any = images if stacked or isinstance(images, list | tuple) else [images]
        pictures = list(several)
        if len(pictures) != self.num_images:
            raise ValueError(
                f"this model looks at {self.num_images} pictures at once, one of each of its cameras, and was given "
                f"{len(pictures)}"
            )
        return torch.cat([self.pixel_values(picture) for picture in pictures])

    def pixel_values(self, image: Image) -> Float[torch.Tensor, "6 H W"]:
        """The picture resized to the model's square and normalised: for DINOv2 in channels 0-2, for SigLIP in 3-5.

        Raises:
            ValueError: as `rgb_array`.
        """
        square = PillowImage.fromarray(rgb_array(image)).resize(
            (self.image_size, self.image_size), PillowImage.Resampling.BICUBIC
        )
        channels = torch.from_numpy(np.array(square)).permute(2, 0, 1).to(torch.float32).div(255)
        return channels.repeat(2, 1, 1).sub_(self._mean).div_(self._std)


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ValueError(f"{path} is damaged, it holds no tokenizer: {error}") from error
    tokenizer.no_padding()  # lengths are our business
    tokenizer.no_truncation()
    return tokenizer


def _pad(row: torch.Tensor, length: int, value: int) -> torch.Tensor:
    return torch.cat([row[:1], row.new_full((length - len(row),), value), row[1:]])
