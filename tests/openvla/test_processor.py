"""Pictures to the bit, prompts to the token, and what is refused."""

import json

import numpy as np
import pytest
import torch
from openvla_reference import DATA, EMPTY, inputs, nano_config, reference_model, tokenizer
from PIL import Image
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import load_vla
from vla_course.openvla.processor import (
    OpenVLAProcessor,
    build_prompt,
    preprocessor_config,
    rgb_array,
    with_empty_token,
)


def test_pixels_are_the_published_ones_to_the_bit():
    given, processor = inputs(), reference_model().processor
    for number in (0, 1):
        raw = given[f"image_raw_{number}"].numpy()
        for image in (raw, Image.fromarray(raw)):
            assert torch.equal(processor.pixel_values(image), given["pixel_values"][number])


def test_both_towers_see_the_same_picture_on_scales_of_their_own():
    given, processor = inputs(), reference_model().processor
    resized = given["image_resized_0"].permute(2, 0, 1) / 255
    pixels = processor.pixel_values(given["image_raw_0"].numpy())
    mean = torch.tensor([0.485, 0.456, 0.406, 0.5, 0.5, 0.5]).reshape(6, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225, 0.5, 0.5, 0.5]).reshape(6, 1, 1)
    torch.testing.assert_close(pixels * std + mean, torch.cat([resized, resized]))


def test_what_is_no_rgb_picture_is_refused():
    good = np.zeros((9, 7, 3), np.uint8)
    assert rgb_array(good) is good
    for bad, message in [
        (Image.new("L", (4, 4)), "mode 'L'"),
        (Image.new("RGBA", (4, 4)), "convert"),
        (good.astype(np.float32), "want uint8 numbers from 0 to 255, got float32"),
        (good.transpose(2, 0, 1), r"\(height, width, 3\), got \(3, 9, 7\)"),
        (good[..., :2], r"got \(9, 7, 2\)"),
        (good[0], r"got \(7, 3\)"),
        (good[:0], r"got \(0, 7, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            rgb_array(bad)
    with pytest.raises(ValueError, match="mode 'L'"):
        reference_model().predict_action(Image.new("L", (4, 4)), "open the drawer", "fake_no_mask")


def test_the_prompt():
    wanted = "In: What action should the robot take to pick up the red cube?\nOut:"
    assert build_prompt("Pick up the RED cube") == wanted


def test_llama_ids_of_the_stored_prompts():
    stored = json.loads((DATA / "prompt_token_ids.json").read_text())
    assert len(stored) == 4
    config = OpenVLAConfig()
    processor = OpenVLAProcessor(config, tokenizer(), preprocessor_config(224))
    image = np.zeros((4, 4, 3), np.uint8)
    for prompt, ids in stored.items():
        assert processor.token_ids(prompt).tolist() == ids
        given = processor([prompt], [image])
        ended = ids if ids[-1] == EMPTY else [*ids, EMPTY]
        assert given["input_ids"].tolist() == [ended], "the empty token once, never twice"
        assert given["attention_mask"].tolist() == [[1] * len(ended)]
        assert processor([prompt], [image], empty_token=False)["input_ids"].tolist() == [ids]


def test_all_rows_end_in_their_last_word():
    processor = OpenVLAProcessor(OpenVLAConfig(), tokenizer())
    image = np.zeros((4, 4, 3), np.uint8)
    long, short = build_prompt("put spoon on towel"), build_prompt("open the drawer.")
    given = processor([short, long], [image, image])
    assert given["input_ids"][0].tolist()[:3] == [1, 32000, 512]
    assert given["attention_mask"][0].tolist()[:3] == [1, 0, 1]
    assert given["input_ids"][:, -2:].tolist() == [[29901, EMPTY]] * 2
    assert given["pixel_values"].shape == (2, 6, 224, 224)


def test_the_empty_token_and_its_mask():
    ids, mask = with_empty_token(torch.tensor([1, 5, 6]), torch.tensor([1, 1, 1]))
    assert (ids.tolist(), mask.tolist()) == ([1, 5, 6, EMPTY], [1, 1, 1, 1])
    again, _ = with_empty_token(ids, mask)
    assert again.tolist() == ids.tolist()
    assert with_empty_token(ids, mask, 3)[0].tolist() == [1, 5, 6, EMPTY, 3]


def test_one_picture_for_each_prompt():
    processor, image = OpenVLAProcessor(OpenVLAConfig(), tokenizer()), np.zeros((4, 4, 3), np.uint8)
    for prompts, images in ((["a", "b"], [image]), ([], [])):
        with pytest.raises(ValueError, match="one image per prompt"):
            processor(prompts, images)


def test_words_need_a_tokenizer():
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        OpenVLAProcessor(nano_config(), None).token_ids("touch")


def test_settings_that_the_model_was_not_trained_with_are_refused():
    config = nano_config()
    with pytest.raises(ValueError, match="28 × 28"):
        OpenVLAProcessor(config, None, preprocessor_config(224))
    bilinear = preprocessor_config(28)
    bilinear["tvf_resize_params"][1]["interpolation"] = 2
    with pytest.raises(ValueError, match="bicubic"):
        OpenVLAProcessor(config, None, bilinear)


def test_saved_and_loaded(tmp_path):
    processor = reference_model().processor
    processor.save_pretrained(tmp_path)
    again = OpenVLAProcessor.from_folder(tmp_path, reference_model().config)
    image = inputs()["image_raw_1"].numpy()
    prompt = build_prompt("put spoon on towel")
    for name, tensor in again([prompt], [image]).items():
        assert torch.equal(tensor, processor([prompt], [image])[name])
    with pytest.raises(FileNotFoundError, match="preprocessor_config"):
        OpenVLAProcessor.from_folder(tmp_path / "nowhere", reference_model().config)


def test_special_tokens_in_an_instruction_are_plain_text():
    words = Tokenizer(
        models.WordLevel({**{chr(code): 4 + code for code in range(128)}, "<unk>": 2}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    words.add_special_tokens(["</s>", "<s>"])
    processor = OpenVLAProcessor(nano_config(), words)
    for text in ("take </s> the can", "<s>", "</s>"):
        assert processor.token_ids(text).tolist() == [1, *(4 + ord(letter) for letter in text)]


def test_the_shipped_tokenizer_reads_its_special_tokens_as_text():
    processor = load_vla("nano").processor
    special = {0, 1, 2, 3}
    for text in ("</s>", "<s>", "<pad>", "<empty>", "<unused_3>", "<action_7>"):
        ids = processor.token_ids(f"take {text} the can").tolist()
        assert ids[0] == 1 and not special & set(ids[1:]) and max(ids) < 596


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", "tokenizer.json is damaged"),
        ("tokenizer.json", "[]", "tokenizer.json is damaged"),
        ("preprocessor_config.json", "{", "preprocessor_config.json is damaged"),
        ("preprocessor_config.json", "{}", "preprocessor_config.json does not fit.*tvf_resize_params"),
        ("preprocessor_config.json", "[" * 100_000, "preprocessor_config.json is damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    reference_model().processor.save_pretrained(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        OpenVLAProcessor.from_folder(tmp_path, reference_model().config)
