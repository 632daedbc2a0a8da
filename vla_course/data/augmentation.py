"""Image augmentation: the random crops and colour jitter that OpenVLA is trained with, and the centre crop it is evaluated with.

Training uses random crops of 90 % of the area; so evaluation uses the middle 90 %, or objects would appear smaller than in
training. No torchvision: whole batches at once, on any device.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn.functional import affine_grid, grid_sample

GREY = (0.2989, 0.587, 0.114)
"""What red, green and blue weigh in brightness (ITU-R BT.601)."""


def center_crop_box(height: int, width: int, area: float = 0.9) -> tuple[int, int, int, int]:
    """Top, left, height and width, in pixels, of the centred crop that keeps this share of the *area*.

    The crop has the picture's shape. Sides are rounded down, and so is the margin above and to the left.

    Raises:
        ValueError: the share is not above 0 and at most 1.

    Source: openvla/openvla @ c8f03f48, experiments/robot/openvla_utils.py (crop_and_resize).
    """
    if not 0 < area <= 1:
        raise ValueError(f"a crop keeps a share of the area above 0 and at most 1, not {area}")
    side = math.sqrt(area)
    rows, columns = int(height * side), int(width * side)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def center_crop(
    images: UInt8[np.ndarray, "*batch H W 3"], area: float = 0.9
) -> UInt8[np.ndarray, "*batch h w 3"]:
    """The middle of the pictures: what a model trained on random crops is shown. The processor makes it full size again."""
    top, left, rows, columns = center_crop_box(images.shape[-3], images.shape[-2], area)
    return images[..., top : top + rows, left : left + columns, :]


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the augmentation of pictures and instructions. The defaults are OpenVLA's.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/datasets/datasets.py (image_augment_kwargs).
    """

    crop_area: float = 0.9
    brightness: float = 0.2
    """Added to every pixel, at most this much up or down, where white is 1."""
    contrast: tuple[float, float] = (0.8, 1.2)
    saturation: tuple[float, float] = (0.8, 1.2)
    hue: float = 0.05
    """Turned by at most this share of the colour circle, either way."""
    shift_m: float = 0.0
    """The whole scene moved along the table by at most this much, forth or back and left or right; OpenVLA does nothing like it."""
    phrasings: tuple[str, ...] = ()
    """Paraphrases of the data's instruction: each sample uses one of these or the original, all equally often."""


def augment(
    images: Float[torch.Tensor, "B 3 H W"],
    config: AugmentationConfig | None = None,
    generator: torch.Generator | None = None,
    warp: Float[torch.Tensor, "B 3 3"] | None = None,
) -> Float[torch.Tensor, "B 3 H W"]:
    """Every picture cropped somewhere, stretched to its size again, and coloured anew. Pixels are in [0, 1] before and after.

    The numbers come from `generator`, on the CPU, so that a batch is the same on every device. `warp` are homographies
    (`moved_scene`) that pictures are seen through first.
    """
    config = config or AugmentationConfig()
    luck = torch.rand(6, len(images), generator=generator).to(images)
    cropped = _random_crop(images, config.crop_area, luck[0], luck[1], warp)
    bright = (cropped + _between(-config.brightness, config.brightness, luck[2])).clamp(0, 1)
    middle = bright.mean((2, 3), keepdim=True)  # of each channel, as TensorFlow has it
    contrasted = (middle + (bright - middle) * _between(*config.contrast, luck[3])).clamp(0, 1)
    return _turn_colors(
        contrasted, _between(*config.saturation, luck[4]), _between(-config.hue, config.hue, luck[5])
    )


def moved_scene(
    homography: Float[np.ndarray, "3 3"], shift_m: Float[np.ndarray, "B 2"]
) -> Float[torch.Tensor, "B 3 3"]:
    """What leads from a point of the picture after all that lies on the table was moved to the point that shows it before.

    `homography` is the camera's (`envs.table.table_in_close_picture`). It is exact for what lies on the table; what is above it, as
    hands, moves a little less than it should.
    """
    back = np.repeat(np.eye(3)[None], len(shift_m), axis=0)
    back[:, :2, 2] = -shift_m
    return torch.from_numpy(homography @ back @ np.linalg.inv(homography))


def _between(low: float, high: float, luck: Float[torch.Tensor, " B"]) -> Float[torch.Tensor, "B 1 1 1"]:
    return (low + (high - low) * luck)[:, None, None, None]


def _random_crop(
    images: Float[torch.Tensor, "B 3 H W"],
    area: float,
    down: Float[torch.Tensor, " B"],
    across: Float[torch.Tensor, " B"],
    warp: Float[torch.Tensor, "B 3 3"] | None,
) -> Float[torch.Tensor, "B 3 H W"]:
    """Crops of this share of the area, stretched to full size; 0 is at the top and left edge, 1 at the other."""
    side, room = math.sqrt(area), 1 - math.sqrt(area)
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, 0, 2], theta[:, 1, 2] = room * (2 * across - 1), room * (2 * down - 1)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    if warp is not None:
        places = torch.cat([grid, torch.ones_like(grid[..., :1])], dim=-1)
        seen = torch.einsum("bij,bhwj->bhwi", warp.to(grid), places)
        grid = seen[..., :2] / seen[..., 2:]
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _turn_colors(
    images: Float[torch.Tensor, "B 3 H W"],
    saturation: Float[torch.Tensor, "B 1 1 1"],
    hue: Float[torch.Tensor, "B 1 1 1"],
) -> Float[torch.Tensor, "B 3 H W"]:
    """More or less colour, and turned: in YIQ, where brightness is one axis and hue an angle around it.

    That is one 3 × 3 matrix for each picture; going through HSV, as upstream does, takes ten times as long.
    """
    to_yiq = images.new_tensor([GREY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
    angle = 2 * math.pi * hue[:, 0, 0, 0]
    turn = images.new_zeros(len(images), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation[:, 0, 0, 0] * angle.cos()
    turn[:, 2, 1] = saturation[:, 0, 0, 0] * angle.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, images).clamp(0, 1)
