"""The two eyes: DINOv2 for where things are, SigLIP for what they are, on the same image."""

from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from transformers import Dinov2WithRegistersModel, SiglipVisionModel

from vla_course.openvla.config import OpenVLAConfig


class VisionTowers(nn.Module):
    """An image becomes one vector per patch: DINOv2's features, then SigLIP's.

    Features are those of each tower's second-to-last block, before any final norm: the last block, the final norms and
    SigLIP's pooling are in every checkpoint and never run.

    Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/modeling_prismatic.py (PrismaticVisionBackbone).
    """

    def __init__(self, config: OpenVLAConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        self.dinov2 = Dinov2WithRegistersModel(config.dinov2_config)
        self.siglip = SiglipVisionModel(config.siglip_config)

    @property
    def width(self) -> int:
        """Numbers per patch: the widths of both towers together."""
        return int(self.dinov2.config.hidden_size + self.siglip.config.hidden_size)

    def forward(self, pixel_values: Float[torch.Tensor, "B 6 H W"]) -> Float[torch.Tensor, "B P D"]:
        """The features of each patch. Channels 0-2 are normalised for DINOv2, channels 3-5 for SigLIP.

        Raises:
            ValueError: the image is not 6 × S × S with the S of the config.
        """
        wanted = (6, self.image_size, self.image_size)
        if pixel_values.ndim != 4 or pixel_values.shape[1:] != wanted:
            raise ValueError(f"want pixel_values of shape (B, {wanted}), got {tuple(pixel_values.shape)}")
        dinov2 = self.dinov2_features(pixel_values[:, :3])
        siglip = self.siglip_features(pixel_values[:, 3:])
        return torch.cat([dinov2, siglip.to(dinov2.device)], dim=-1)

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
