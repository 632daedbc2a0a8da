"""The nano's shape: an OpenVLAConfig from the recipe, and the model that fits it."""

from types import SimpleNamespace
from typing import Literal

import numpy as np
import torch
from nano_config import NanoConfig
from words import BOS, EMPTY, EOS, PAD

from vla_course.action_tokens import action_statistics, normalize_actions
from vla_course.data.statistics import dataset_statistics
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.model import OpenVLAForActionPrediction

KEY = "tabletop"
STATE_DIM = 7
"""Numbers of the hand's pose that are said after the prompt."""


def vla_config(config: NanoConfig) -> OpenVLAConfig:
    """The published config format, with the nano's numbers."""
    width, heads = config.tower_width, config.tower_width // 32
    tower = {"embed_dim": width, "depth": config.tower_depth, "num_heads": heads, "mlp_ratio": 4.0}
    language = config.language_width
    text = {
        "vocab_size": config.vocabulary_size,
        "hidden_size": language,
        "intermediate_size": 3 * language,
        "num_hidden_layers": config.language_layers,
        "num_attention_heads": language // 32,
        "num_key_value_heads": language // 32,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    return OpenVLAConfig(
        text_config=text,
        timm_model_ids=["nano_dinov2", "nano_siglip"],
        vision_towers=[dict(tower), dict(tower)],
        image_sizes=[config.image_size] * 2,
        pad_token_id=PAD,
        pad_to_multiple_of=0,
        empty_token_id=EMPTY,
        state_dim=STATE_DIM,
        vision_backbone_id="nano-dinosiglip",
        llm_backbone_id="nano-llama",
    )


def new_model(config: NanoConfig) -> OpenVLAForActionPrediction:
    """A nano with random weights; the blocks' own gains and embeddings are scaled for training from nothing."""
    torch.manual_seed(config.seed)
    model = OpenVLAForActionPrediction(vla_config(config))
    for layer in model.vision_backbone.dinov2.encoder.layer:
        for scale in (layer.layer_scale1, layer.layer_scale2):
            torch.nn.init.constant_(scale.lambda1, 1.0)
    return model


def action_stats(actions: np.ndarray, states: np.ndarray) -> dict[str, dict[str, object]]:
    """What is normalised by, in the published form. The grip of an action is left as it is, as BridgeData's is."""
    frames = SimpleNamespace(actions=actions, states=states)
    return dataset_statistics([frames], KEY, state_mask=np.ones(states.shape[1], bool))


def normalize(
    values: np.ndarray, stats: dict[str, dict[str, object]], of: Literal["action", "proprio"] = "action"
) -> np.ndarray:
    """To [-1, 1] by q01 and q99, clipped; dimensions that never move become 0."""
    found = action_statistics(stats, KEY, of=of)
    return normalize_actions(values, found.q01, found.q99, found.mask).astype(np.float32)
