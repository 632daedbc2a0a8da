"""The nano's shape: an OpenVLAConfig from the recipe, and the model that fits it."""

import numpy as np
import torch
from nano_config import NanoConfig
from words import BOS, EMPTY, EOS, PAD

from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.model import OpenVLAForActionPrediction

KEY = "tabletop"


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


def action_stats(actions: np.ndarray) -> dict[str, dict[str, object]]:
    """q01 and q99 of each dimension, in the published form. The grip is left as it is, as BridgeData's is."""
    low, high = np.quantile(actions, 0.01, axis=0), np.quantile(actions, 0.99, axis=0)
    stats = {
        "q01": low.tolist(),
        "q99": high.tolist(),
        "mean": actions.mean(0).tolist(),
        "std": actions.std(0).tolist(),
        "min": actions.min(0).tolist(),
        "max": actions.max(0).tolist(),
        "mask": [True] * 6 + [False],
    }
    return {KEY: {"action": stats, "num_transitions": len(actions)}}


def normalize(actions: np.ndarray, stats: dict[str, dict[str, object]]) -> np.ndarray:
    """To [-1, 1] by q01 and q99, clipped; dimensions that never move become 0."""
    found = stats[KEY]["action"]
    low, high, mask = (np.array(found[key]) for key in ("q01", "q99", "mask"))
    width = high - low
    scaled = np.where(width > 1e-6, 2 * (actions - low) / np.maximum(width, 1e-6) - 1, 0.0)
    return np.clip(np.where(mask, scaled, actions), -1, 1).astype(np.float32)
