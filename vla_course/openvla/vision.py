"""The two vision towers: DINOv2 for where things are, SigLIP for what they are, on the same image."""

from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from transformers import Dinov2WithRegistersModel, SiglipVisionModel

from vla_course.openvla.config import OpenVLAConfig


class VisionTowers(nn.Module):
    """An image becomes one vector per patch: DINOv2's features, then SigLIP's. Several images go through the same towers.

    Features are those of each tower's second-to-last block, before any final norm: the last block, the final norms and
    SigLIP's pooling are in every checkpoint and never run.

    Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/modeling_prismatic.py (PrismaticVisionBackbone); several images as in
    the same class of moojink/openvla-oft.
    """

    def __init__(self, config: OpenVLAConfig) -> None:
        super().__init__()
        self.image_size, self.num_images = config.image_size, config.num_images
        self.dinov2 = Dinov2WithRegistersModel(config.dinov2_config)
        self.siglip = SiglipVisionModel(config.siglip_config)

    @property
    def width(self) -> int:
        """Numbers per patch: the widths of both towers together."""
        return int(self.dinov2.config.hidden_size + self.siglip.config.hidden_size)

    def forward(self, pixel_values: Float[torch.Tensor, "B channels H W"]) -> Float[torch.Tensor, "B P D"]:
        """The features of each patch. Channels 0-2 are normalised for DINOv2, channels 3-5 for SigLIP.

        A second image has channels 6-11, and so on; the patches of the first image come first.

        Raises:
            ValueError: the images are not 6 × S × S each with the S of the config, or not as many as it says.
        """
        side, count = self.image_size, self.num_images
        wanted = (6 * count, side, side)
        if pixel_values.ndim != 4 or pixel_values.shape[1:] != wanted:
            several = f" ({count} images of 6 channels each)" if count > 1 else ""
            raise ValueError(
                f"want pixel_values of shape (B, {wanted}){several}, got {tuple(pixel_values.shape)}"
            )
        one_by_one = pixel_values.reshape(-1, 6, side, side)  # (B · images, 6, S, S)
        dinov2 = self.dinov2_features(one_by_one[:, :3])
        siglip = self.siglip_features(one_by_one[:, 3:])
        features = torch.cat([dinov2, siglip.to(dinov2.device)], dim=-1)
        return features.reshape(len(pixel_values), -1, features.shape[-1])  # (B, images · patches, D)

    def dinov2_features(self, pixels: Float[torch.Tensor, "B 3 H W"]) -> Float[torch.Tensor, "B P D"]:
        """DINOv2's patches, without its class token and its four registers."""
        hidden = _all_blocks_but_the_last(self.dinov2.encoder.layer, self.dinov2.embeddings(pixels))
        return hidden[:, 1 + self.dinov2.config.num_register_tokens :]

    def siglip_features(self, pixels: Float[torch.Tensor, "B 3 H W"]) -> Float[torch.Tensor, "B P D"]:
        """SigLIP's patches; it has no other tokens."""
        return _all_blocks_but_the_last(self.siglip.encoder.layers, self.siglip.embeddings(pixels))


def _all_blocks_but_the_last(blocks: Any, hidden: torch.Tensor) -> torch.Tensor:
    for block in blocks[:-1]:
        hidden = block(hidden, None)
    return hidden
