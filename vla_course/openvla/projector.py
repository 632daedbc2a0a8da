"""The projector: from features of the vision towers to embeddings of the language model."""

import torch
from jaxtyping import Float
from torch import nn
from torch.nn.functional import gelu


class Projector(nn.Module):
    """Three linear layers with exact GELU between them: each patch becomes a vector as wide as a word's.

    Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/modeling_prismatic.py (PrismaticProjector, fused).
    """

    def __init__(self, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(vision_width, 4 * vision_width)
        self.fc2 = nn.Linear(4 * vision_width, text_width)
        self.fc3 = nn.Linear(text_width, text_width)

    def forward(self, patch_features: Float[torch.Tensor, "B P D"]) -> Float[torch.Tensor, "B P Llm"]:
        """Patch features as the language model's input embeddings."""
        hidden = gelu(self.fc1(patch_features))
        projected: torch.Tensor = self.fc3(gelu(self.fc2(hidden)))
        return projected
