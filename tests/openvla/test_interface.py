"""What people ask of any transformers model: a Trainer's checkpoints, other options, more words, a cache of fixed size."""

import pytest
import torch
from openvla_reference import nano, nano_inputs
from safetensors.torch import load_file
from transformers import Trainer, TrainingArguments

from vla_course.openvla import checkpoint
from vla_course.openvla.model import OpenVLAForActionPrediction


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    nano().save_pretrained(folder)
    return folder


def load(folder, **options):
    return OpenVLAForActionPrediction.from_pretrained(folder, **options)


def same(one, other) -> bool:
    """Whether the same weights would be written of both."""
    first, second = (checkpoint.to_original(model.state_dict(), model.config) for model in (one, other))
    return all(torch.equal(weight, second[name]) for name, weight in first.items())


# Training with transformers' own Trainer.


def test_a_trainer_saves_what_loads_and_what_it_goes_on_from(tmp_path):
    model, sample = nano(), {name: value[0] for name, value in nano_inputs().items()}
    sample["labels"] = sample["input_ids"]
    settings = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        save_steps=1,
        per_device_train_batch_size=1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(model=model, args=settings, train_dataset=[sample] * 2).train()
    last = tmp_path / "checkpoint-2"
    assert (
        same(load(last), model)
        and not same(load(tmp_path / "checkpoint-1"), model)
        and not same(nano(), model)
    )
    fresh = nano(seed=1)
    missing, unexpected = fresh.load_state_dict(
        load_file(last / "model.safetensors"), False
    )  # as a Trainer goes on
    assert not missing and not unexpected and same(fresh, model)


def test_a_part_of_published_weights_is_not_loaded_in_silence(folder):
    part = load_file(folder / "model.safetensors")
    del part[f"{checkpoint.DINOV2}cls_token"]
    with pytest.raises(ValueError, match=r"cls_token' is missing.*from_pretrained"):
        nano().load_state_dict(part, False)


def test_weights_under_the_names_in_memory_load_as_ever():
    model = nano()
    model.load_state_dict(nano(seed=1).state_dict())
    assert same(model, nano(seed=1))
    with pytest.raises(RuntimeError, match=r"Missing key.*projector\.fc1\.bias"):
        model.load_state_dict({k: v for k, v in model.state_dict().items() if k != "projector.fc1.bias"})


# Saving and loading with options.


def test_options_of_saving_that_ask_for_what_happens_anyway(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(
        tmp_path,
        True,
        push_to_hub=False,
        safe_serialization=True,
        max_shard_size=10**9,
        variant=None,
        token="mine",
    )
    assert (tmp_path / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    model.save_pretrained(tmp_path / "other", is_main_process=False)
    assert not (tmp_path / "other").exists(), "only the main process of several writes"


def test_weights_that_are_given_are_written_in_place_of_the_models(tmp_path):
    other = nano(seed=1)
    nano().save_pretrained(tmp_path, state_dict=other.state_dict())
    assert same(load(tmp_path), other)
    part = {name: weight for name, weight in other.state_dict().items() if "vision_backbone" not in name}
    with pytest.raises(ValueError, match=r"want all weights of the model, 'vision_backbone.* is missing"):
        nano().save_pretrained(tmp_path, state_dict=part)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"push_to_hub": True}, r"save_pretrained\(push_to_hub=True\).*hf upload"),
        ({"safe_serialization": False}, "written as safetensors"),
        ({"variant": "fp16"}, "variant='fp16'"),
    ],
)
def test_options_of_saving_that_are_not_possible(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        nano().save_pretrained(tmp_path / "new", **options)
    with pytest.raises(TypeError, match="no option 'max_shards'"):
        nano().save_pretrained(tmp_path / "new", max_shards=3)
    assert not (tmp_path / "new").exists()


def test_options_of_loading(folder, monkeypatch):
    model, info = load(
        folder, output_loading_info=True, low_cpu_mem_usage=True, trust_remote_code=True, use_safetensors=True
    )
    assert same(model, nano()) and not any(info.values())
    assert load(folder, torch_dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="only safetensors are read"):
        load(folder, use_safetensors=False)
    for name in ("config", "state_dict", "subfolder"):
        with pytest.raises(ValueError, match=rf"from_pretrained\({name}=\.\.\.\)"):
            load(folder, **{name: {"a": 1}})
    asked = {}
    monkeypatch.setattr(
        checkpoint, "snapshot_download", lambda name, **options: asked.update(options) or str(folder)
    )
    load("someone/something", token="mine", cache_dir="there")
    assert asked["token"] == "mine" and asked["cache_dir"] == "there"


def test_other_numbers_and_fewer_activations(folder):
    wanted, given = nano()(**nano_inputs()).logits, nano_inputs()
    with torch.no_grad():
        for change in (lambda m: m.to(torch.bfloat16), lambda m: m.half(), lambda m: m.half().float()):
            found = change(load(folder))(**given).logits.float()
            assert (found - wanted).abs().max() < 0.5 * wanted.std()
    model = load(folder)
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    model.gradient_checkpointing_disable()
    torch.testing.assert_close(model(**given).logits, wanted)


# More words.


def test_more_words_leave_the_action_tokens_where_they_are(tmp_path):
    model, given = nano(), nano_inputs(2)
    before = model.predict_token_ids(**given, action_dim=7)
    table = model.resize_token_embeddings(520)
    assert len(table.weight) == len(model.get_output_embeddings().weight) == 520
    assert model.config.text_config.vocab_size == 520 and model.config.vocabulary_size == 512
    assert torch.equal(model.predict_token_ids(**given, action_dim=7), before)
    model(**given, labels=given["input_ids"].where(given["input_ids"] > 3, 515)).loss.backward()
    assert model.get_output_embeddings().weight.grad[515].any()
    model.save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path).predict_token_ids(**given, action_dim=7), before)
    model.resize_token_embeddings(512)
    assert model.config.vocabulary_size == 512 and torch.equal(
        model.predict_token_ids(**given, action_dim=7), before
    )
    with pytest.raises(
        ValueError, match="the last 256 of the 512 words are the action tokens; want at least 512"
    ):
        model.resize_token_embeddings(511)


# A cache of fixed size.


def test_a_static_cache_has_room_for_the_image():
    model, given = nano(), nano_inputs(2)
    asked = dict(max_new_tokens=5, do_sample=False)
    wanted = model.generate(**given, **asked)
    for _ in range(2):
        assert torch.equal(model.generate(**given, **asked, cache_implementation="static"), wanted)
    assert torch.equal(
        model.generate(**given, **asked, num_beams=2, cache_implementation="static")[:, :6], wanted[:, :6]
    )
