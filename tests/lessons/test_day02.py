"""In Day 02 the learner's five functions are the ones that run: put together they are the published model, broken ones are not."""

import numpy as np
import pytest
import torch
from lesson_cells import cells, run
from openvla_reference import nano, nano_config
from PIL import Image

from vla_course import results
from vla_course.action_tokens import (
    detokenize_actions,
    next_action_token,
    tokenize_actions,
    unnormalize_actions,
)
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import insert_patches
from vla_course.openvla.published import published_cases, published_model

CELLS = cells(
    "day02_pixels_to_command",
    (
        "import gymnasium",
        "BINS = 256",
        "# exercise",
        "def my_token_ids",
        "def my_predict_action",
        "def with_empty",
        "def vision_block",
        "def as_words",
        "class AsPublished",
    ),
)


def run_lesson(**replaced):
    """The names the lesson defines, on the published weights, with some of the exercised functions replaced by others."""
    return run(CELLS, {"nano": published_model()}, **replaced)


def actions_equal(lesson):
    return all(
        found.shape == case.action.shape and np.allclose(found, case.action, atol=1e-9, rtol=0)
        for found, case in zip(lesson["actions"], published_cases(), strict=True)
    )


def ids_equal(lesson):
    return all(
        ids.tolist() == case.token_ids
        for (ids, _), case in zip(lesson["mine"], published_cases(), strict=True)
    )


def test_put_together_they_are_the_published_model():
    lesson = run_lesson()
    assert ids_equal(lesson) and actions_equal(lesson)
    for (_, scores), case in zip(lesson["mine"], published_cases(), strict=True):
        assert (scores[:, 31744:] - case.logits).abs().max() < 2e-4


def image_after_the_words(token_embeddings, patch_embeddings, attention_mask):
    _, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return torch.cat([token_embeddings, patch_embeddings], dim=1), mask


def patches_masked_out(token_embeddings, patch_embeddings, attention_mask):
    embeddings, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    mask[:, 1 : 1 + patch_embeddings.shape[1]] = 0
    return embeddings, mask


def second_best(logits, vocabulary_size=32000):
    best = next_action_token(logits, vocabulary_size)
    return next_action_token(logits.scatter(-1, best[:, None], -torch.inf), vocabulary_size)


@pytest.mark.parametrize("broken", [image_after_the_words, patches_masked_out])
def test_another_place_for_the_picture_gives_other_tokens(broken):
    assert not ids_equal(run_lesson(insert_patches=broken))


def test_another_choice_gives_other_tokens():
    assert not ids_equal(run_lesson(next_action_token=second_best))


@pytest.mark.parametrize(
    "broken",
    [
        {"detokenize_actions": lambda ids, size=32000: detokenize_actions(ids - 1, size)},
        {"unnormalize_actions": lambda a, low, high, mask: unnormalize_actions(a, low, high, ~mask)},
    ],
    ids=["one bin off", "mask turned round"],
)
def test_another_way_back_gives_the_same_tokens_and_other_actions(broken):
    lesson = run_lesson(**broken)
    assert ids_equal(lesson) and not actions_equal(lesson)


def test_the_count_of_parameters_is_the_checkpoints(capsys):
    lesson = run_lesson()
    assert lesson["total"] == 7_541_237_184
    assert "7,541,237,184 parameters; the published checkpoint has 7,541,237,184" in capsys.readouterr().out
    assert lesson["llama"] / lesson["total"] == pytest.approx(0.9, abs=0.01)
    assert lesson["pooling"] == pytest.approx(15e6, rel=0.03)


def test_the_count_of_each_part_is_the_checkpoints():
    lesson = run_lesson()
    counted = {"DINOv2": 0, "SigLIP": 0, "pooling": 0, "projector": 0, "Llama": 0}
    for name, shape in lesson["openvla_7b_tensors"]()["tensors"].items():
        part = "Llama" if name.startswith("language_model") else "projector"
        if name.startswith("vision_backbone.featurizer"):
            part = "DINOv2"
        elif name.startswith("vision_backbone"):
            part = "pooling" if "attn_pool" in name else "SigLIP"
        counted[part] += int(np.prod(shape))
    assert counted == {
        "DINOv2": lesson["dinov2"],
        "SigLIP": lesson["siglip"],
        "pooling": lesson["pooling"],
        "projector": lesson["projector"],
        "Llama": lesson["llama"],
    }


def test_an_arm_hears_the_learners_tokens():
    lesson = run_lesson()
    reach = np.array([0.8, 0.8, 0.7, 0.3, 0.3, 1.0, 1.0])
    lesson["statistics"] = lesson["action_statistics"](
        {"t": {"action": {"q01": -reach, "q99": reach, "mask": [True] * 6 + [False]}}}
    )
    action = np.array([0.4, -0.3, 0.1, 0.2, -0.1, 0.9, -1.0])
    ids = lesson["as_words"](action)
    assert ((ids >= 31744) & (ids < 32000)).all() and len(set(ids)) > 4
    back = lesson["as_numbers"](ids)
    assert (np.abs(back - action) <= reach / 255 + 1e-9).all()
    backwards = run_lesson(tokenize_actions=lambda a, size=32000: tokenize_actions(-a, size))
    backwards["statistics"] = lesson["statistics"]
    assert (np.sign(backwards["as_numbers"](backwards["as_words"](action))) == -np.sign(action)).all()


def test_with_an_empty_cache_the_published_class_sees_nothing_and_ours_does():
    lesson = run_lesson()
    inputs = [
        {
            "input_ids": lesson["with_empty"](case.prompt_ids, published_model()),
            "pixel_values": case.pixel_values,
        }
        for case in (published_cases()[0], published_cases()[2])
    ]
    for start in inputs:
        start["attention_mask"] = torch.ones_like(start["input_ids"])

    def answers(model):
        return [
            model.generate(**start, max_new_tokens=7, do_sample=False)[0, -7:].tolist() for start in inputs
        ]

    blind, seeing = answers(lesson["blind"]), answers(published_model())
    assert blind[0] == blind[1]
    assert seeing == [published_cases()[0].token_ids, published_cases()[2].token_ids]


def test_the_real_one_is_planned_and_its_record_shown_without_its_weights(monkeypatch, capsys):
    names = {
        "torch": torch,
        "load_vla": lambda *_, **__: pytest.fail("15 GB are loaded only when a photograph is named"),
    }
    run(
        cells("day02_pixels_to_command", ("import free_gb", "PHOTOGRAPH = None", "recorded = results")), names
    )
    printed = capsys.readouterr().out
    assert "7,541,237,184 parameters in bfloat16: 15.1 GB" in printed and "4 bits (28 layers" in printed
    recorded = results.read("openvla_7b/laptop")
    assert f"weights: {recorded.values['weights']}" in printed and "random" in recorded.values["weights"]
    assert all(
        f"{row['what']:48}{row['measured']:8.1f} {row['unit']}" in printed for row in recorded.values["rows"]
    )


def test_the_real_one_is_asked_as_the_nano_is(tmp_path, monkeypatch):
    nano(norm_stats={"bridge_orig": nano_config().norm_stats["tabletop"]}).save_pretrained(
        tmp_path / "weights"
    )
    monkeypatch.chdir(tmp_path)
    Image.new("RGBA", (64, 48), (9, 90, 200, 255)).save("table.png")

    def load(scale, *, path, **options):
        loaded.append(path)
        return load_vla(scale, path=path or tmp_path / "weights", **options)

    loaded: list = []
    threads = torch.get_num_threads()
    lesson = run(cells("day02_pixels_to_command", ("PHOTOGRAPH = None",)), {"torch": torch, "load_vla": load})
    actions = [lesson["ask_the_real_one"]("table.png", "touch the cube") for _ in range(2)]
    torch.set_num_threads(threads)
    assert loaded == [None, lesson["SMALL"]] and (actions[0] == actions[1]).all() and actions[0].shape == (3,)


def test_the_numbers_of_the_recap_hold():
    low, high = run_lesson()["BRIDGE_DX_MM"]
    assert (high - low) / 2 / 255 == pytest.approx(0.11, abs=0.003)
    normalized = np.clip(
        2 * np.linspace(0, 1, 1001) / 0.98 - 1.02, -1, 1
    )  # one in a hundred beyond each quantile
    assert (tokenize_actions(normalized) == 31744).mean() == pytest.approx(0.01, abs=0.005)
