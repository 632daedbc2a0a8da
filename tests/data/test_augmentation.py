"""Crops keep the share of the area that they say, and colours change as far as they may."""

import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vla_course.data.augmentation import AugmentationConfig, augment, center_crop, center_crop_box

STILL = AugmentationConfig(crop_area=1.0, brightness=0.0, contrast=(1, 1), saturation=(1, 1), hue=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, height: int = 24, width: int = 30, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=generator(seed))


def changed(**settings) -> AugmentationConfig:
    return AugmentationConfig(**{**vars(STILL), **settings})


# --- the centre crop (exercise 04.4)


def test_boxes_by_hand():
    assert center_crop_box(224, 224) == (6, 6, 212, 212)
    assert center_crop_box(480, 640) == (12, 16, 455, 607)
    assert center_crop_box(84, 84) == (2, 2, 79, 79)
    assert center_crop_box(84, 84, area=1.0) == (0, 0, 84, 84)
    assert center_crop_box(100, 200, area=0.25) == (25, 50, 50, 100)


@given(st.integers(20, 700), st.integers(20, 700), st.floats(0.3, 1))
def test_a_crop_keeps_its_share_of_the_area_and_the_shape(height, width, area):
    top, left, rows, columns = center_crop_box(height, width, area)
    assert area - (height + width) / (height * width) < rows * columns / (height * width) <= area + 1e-9
    assert 0 <= (height - rows - top) - top <= 1 and 0 <= (width - columns - left) - left <= 1


def test_the_middle_is_what_is_left():
    images = np.arange(2 * 20 * 40 * 3, dtype=np.uint8).reshape(2, 20, 40, 3)
    top, left, rows, columns = center_crop_box(20, 40)
    np.testing.assert_array_equal(center_crop(images), images[:, top : top + rows, left : left + columns])
    np.testing.assert_array_equal(center_crop(images[1]), center_crop(images)[1])


def test_a_share_that_is_none():
    for area in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match="share of the area"):
            center_crop_box(84, 84, area)


# --- augmentation


def test_nothing_asked_for_is_nothing_changed():
    torch.testing.assert_close(augment(pictures(), STILL, generator()), pictures(), atol=1e-5, rtol=0)


def test_what_is_drawn_follows_from_the_generator():
    first, again, other = (augment(pictures(), None, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == (4, 3, 24, 30) and first.min() >= 0 and first.max() <= 1
    alike = augment(pictures(1).expand(4, -1, -1, -1), None, generator())
    assert len({round(float(one.mean()), 5) for one in alike}) == 4, "every picture has its own luck"


def test_crops_are_of_ninety_percent_and_anywhere():
    """A ramp along each axis says where a pixel comes from."""
    side = 40
    ramp = torch.linspace(0.5 / side, 1 - 0.5 / side, side)
    image = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), torch.zeros(side, side)])
    seen = augment(image.expand(400, -1, -1, -1), changed(crop_area=0.9), generator())
    step = float(ramp[1] - ramp[0])
    inner = seen[:, 0, 20, 30] - seen[:, 0, 20, 10]
    torch.testing.assert_close(inner, torch.full((400,), 20 * step * math.sqrt(0.9)), atol=1e-4, rtol=0)
    for channel in (0, 1):
        middle = seen[:, channel].mean((1, 2)) - 0.5
        room = (1 - math.sqrt(0.9)) / 2
        assert -room - 2e-3 < middle.min() < -0.9 * room and 0.9 * room < middle.max() < room + 2e-3
    assert float(torch.corrcoef(torch.stack([seen[:, 0].mean((1, 2)), seen[:, 1].mean((1, 2))]))[0, 1]) < 0.2


def test_the_centre_crop_is_the_middle_of_the_random_ones():
    """What evaluation shows has the scale of what training shows, and not that of the whole picture."""
    from PIL import Image

    smooth = torch.nn.functional.interpolate(pictures(1, 6, 6), size=(84, 84), mode="bicubic").clamp(0, 1)
    stored = (smooth[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    evaluated = (
        np.asarray(Image.fromarray(center_crop(stored)).resize((84, 84), Image.Resampling.BICUBIC)) / 255
    )
    many = augment(smooth.expand(500, -1, -1, -1), changed(crop_area=0.9), generator())
    difference = [float(np.abs(one.permute(1, 2, 0).numpy() - evaluated).mean()) for one in many]
    whole = float(np.abs(stored / 255 - evaluated).mean())
    assert min(difference) < 0.35 * whole and min(difference) < 0.01


def test_brightness_is_added():
    image = torch.full((500, 3, 2, 2), 0.5)
    moved = augment(image, changed(brightness=0.2), generator()) - 0.5
    torch.testing.assert_close(moved.amax((1, 2, 3)), moved.amin((1, 2, 3)), atol=1e-5, rtol=0)
    assert -0.20001 < moved.min() < -0.19 and 0.19 < moved.max() < 0.20001


def test_contrast_stretches_about_each_channels_mean():
    image = pictures(1, 10, 10).expand(500, -1, -1, -1) * 0.4 + 0.3
    seen = augment(image, changed(contrast=(0.8, 1.2)), generator())
    torch.testing.assert_close(seen.mean((2, 3)), image.mean((2, 3)), atol=1e-5, rtol=0)
    stretch = seen.std((2, 3)) / image.std((2, 3))
    torch.testing.assert_close(stretch[:, 0], stretch[:, 2], atol=1e-3, rtol=0)
    assert 0.8 - 1e-3 <= stretch.min() < 0.81 and 1.19 < stretch.max() <= 1.2 + 1e-3


def brightness(images: torch.Tensor) -> torch.Tensor:
    return torch.einsum("c,bchw->bhw", torch.tensor([0.2989, 0.587, 0.114]), images)


def test_saturation_leaves_brightness_and_grey_alone():
    image = pictures(1, 8, 8).expand(300, -1, -1, -1) * 0.3 + 0.35
    seen = augment(image, changed(saturation=(0.8, 1.2)), generator())
    torch.testing.assert_close(brightness(seen), brightness(image), atol=1e-3, rtol=0)
    away = (seen - brightness(seen)[:, None]).flatten(1).norm(dim=1)
    ratio = away / (image - brightness(image)[:, None]).flatten(1).norm(dim=1)
    assert 0.8 - 5e-3 < ratio.min() < 0.81 and 1.19 < ratio.max() < 1.2 + 5e-3
    grey = torch.full((3, 3, 4, 4), 0.4)
    torch.testing.assert_close(
        augment(grey, changed(saturation=(0.5, 2), hue=0.5), generator()), grey, atol=1e-3, rtol=0
    )


def test_hue_turns_colours_by_at_most_its_share_of_the_circle():
    """Checked in HSV, where the hue of a strong colour is read directly; YIQ's angle is near it, not the same."""
    color = (0.7, 0.35, 0.3)
    image = torch.tensor(color)[None, :, None, None].expand(600, 3, 2, 2)
    seen = augment(image, changed(hue=0.05), generator())
    torch.testing.assert_close(brightness(seen), brightness(image), atol=1e-3, rtol=0)
    begin = colorsys.rgb_to_hsv(*color)[0]
    turned = [(colorsys.rgb_to_hsv(*pixel)[0] - begin + 0.5) % 1 - 0.5 for pixel in seen[:, :, 0, 0].tolist()]
    assert -0.08 < min(turned) < -0.03 and 0.03 < max(turned) < 0.08
