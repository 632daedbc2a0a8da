"""The config of openvla-7b, of its fine-tunes, and of smaller models."""

import json

import pytest
from openvla_reference import DATA, contract, nano_config

from vla_course.openvla.config import OpenVLAConfig


def test_called_with_nothing_it_is_openvla_7b():
    config = OpenVLAConfig()
    shapes = contract()["tensors"]
    assert (config.image_size, config.num_patches, config.vocabulary_size) == (224, 256, 32000)
    assert shapes["vision_backbone.featurizer.pos_embed"] == [1, config.num_patches, 1024]
    assert shapes["vision_backbone.fused_featurizer.blocks.0.mlp.fc1.weight"][0] == 4304
    assert config.siglip_config.intermediate_size == 4304
    assert config.siglip_config.hidden_act == config.dinov2_config.hidden_act == "gelu", "exact, in both"
    assert config.siglip_config.layer_norm_eps == config.dinov2_config.layer_norm_eps == 1e-6
    assert config.text_config.rms_norm_eps == 1e-6
    assert config.empty_token_id == 29871


def test_a_published_config_file():
    content = json.loads((DATA / "config.json").read_text())
    config = OpenVLAConfig.from_dict(content)
    assert (config.image_size, config.text_config.hidden_size, config.pad_token_id) == (56, 64, 32000)
    assert sorted(config.norm_stats) == ["fake_bimanual", "fake_no_mask", "fake_single_arm"]
    del content["vision_towers"]
    assert OpenVLAConfig.from_dict(content).vision_towers[0]["embed_dim"] == 1024, "known by timm's name"


def test_what_the_config_of_openvla_7b_does_not_say_is_llama_2():
    llama = {"model_type": "llama", "pad_token_id": 32000, "torch_dtype": "bfloat16", "vocab_size": 32064}
    content = {
        "model_type": "openvla",
        "text_config": llama,
        "torch_dtype": "bfloat16",
        "image_sizes": [224, 224],
    }
    config = OpenVLAConfig.from_dict(content)
    assert {
        name: config.to_dict()[name] for name in ("vision_towers", "image_sizes", "pad_to_multiple_of")
    } == {
        name: OpenVLAConfig().to_dict()[name]
        for name in ("vision_towers", "image_sizes", "pad_to_multiple_of")
    }
    text = config.text_config
    assert (text.hidden_size, text.num_hidden_layers, text.intermediate_size) == (4096, 32, 11008)
    assert (text.bos_token_id, text.eos_token_id) == (1, 2)


def test_written_and_read_it_is_the_same(tmp_path):
    for config in (OpenVLAConfig(), nano_config()):
        path = tmp_path / "config.json"
        config.to_json_file(path)
        again = OpenVLAConfig.from_dict(json.loads(path.read_text()))
        assert again.to_dict() == config.to_dict()


def test_a_small_vocabulary():
    config = nano_config()
    assert (config.vocabulary_size, config.num_patches, config.empty_token_id) == (512, 4, 3)


def test_what_cannot_be_built_is_refused():
    for changes, message in [
        ({"image_sizes": [28, 56]}, "one image size"),
        ({"image_sizes": [30, 30]}, "multiple of 14"),
        ({"image_resize_strategy": "letterbox"}, "letterbox"),
        (
            {"vision_towers": None, "timm_model_ids": ["vit_large_patch14_clip_224.openai"]},
            "unknown vision towers",
        ),
        ({"use_fused_vision_backbone": False}, "two vision towers"),
        ({"n_action_bins": 128}, "256 action tokens"),
        ({"text_config": {"vocab_size": 200}}, "256 action tokens"),
    ]:
        with pytest.raises(ValueError, match=message):
            nano_config(**changes)
