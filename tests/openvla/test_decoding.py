"""Action tokens: the published generations, with and without a cache, alone and in a batch, one by one and all at once."""

import copy
import subprocess
import sys
import warnings
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from openvla_reference import EMPTY, expected, expected_tensors, inputs, nano, nano_inputs, reference_model
from transformers import DynamicCache

from vla_course.action_tokens import (
    action_statistics,
    detokenize_actions,
    next_action_token,
    unnormalize_actions,
)
from vla_course.openvla.decoding import CACHE_KEYWORD, Prompt, parallel_attention_mask, parallel_hidden_states
from vla_course.openvla.model import insert_patches
from vla_course.openvla.processor import build_prompt

CASES = expected()["generation"]
INSTRUCTIONS = [prompt["instruction"] for prompt in expected()["prompts"]]


def asked(case: dict) -> dict[str, torch.Tensor]:
    """A published case as the model takes it: prompt i was asked about picture i."""
    ids = torch.tensor([[*case["prompt_ids"], EMPTY]])
    pixels = inputs()["pixel_values"][case["prompt"] : case["prompt"] + 1]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def picture(case: dict) -> np.ndarray:
    return inputs()[f"image_raw_{case['prompt']}"].numpy()


# The published generations.


@pytest.mark.parametrize("case", CASES)
def test_published_tokens_constrained_and_not_with_a_cache_and_without(case):
    wanted = case["action_token_ids"]
    for constrained in (True, False):
        for use_cache in (True, False):
            ids = reference_model().predict_token_ids(
                **asked(case), action_dim=len(wanted), constrained=constrained, use_cache=use_cache
            )
            assert ids.tolist() == [wanted]


@pytest.mark.parametrize("case", CASES)
def test_published_actions_from_a_picture_and_words(case):
    for constrained in (True, False):
        action = reference_model().predict_action(
            picture(case), INSTRUCTIONS[case["prompt"]].upper(), case["unnorm_key"], constrained=constrained
        )
        np.testing.assert_allclose(action, case["action"], atol=1e-9, rtol=0)


@torch.no_grad()
def test_the_small_functions_put_together_by_hand_give_the_published_action():
    """The five functions of a lesson, and the boxes of the model between them."""
    model, case = reference_model(), CASES[2]
    given = model.processor([build_prompt(INSTRUCTIONS[1])], [picture(case)])
    words = model.get_input_embeddings()(given["input_ids"])
    patches = model.projector(model.vision_backbone(given["pixel_values"]))
    sequence, _ = insert_patches(words, patches, given["attention_mask"])
    ids = []
    for _ in range(7):
        token = next_action_token(model.language_model(inputs_embeds=sequence).logits[:, -1])
        sequence = torch.cat([sequence, model.get_input_embeddings()(token[:, None])], dim=1)
        ids.append(token.item())
    assert ids == case["action_token_ids"]
    stats = action_statistics(model.config.norm_stats, case["unnorm_key"])
    action = unnormalize_actions(detokenize_actions(np.array(ids)), stats.q01, stats.q99, stats.mask)
    np.testing.assert_allclose(action, case["action"], atol=1e-9, rtol=0)


def test_a_batch_of_pictures_and_instructions_of_different_length():
    actions = reference_model().predict_action(
        [picture(case) for case in (CASES[0], CASES[2])], INSTRUCTIONS, "fake_single_arm"
    )
    np.testing.assert_allclose(actions, [CASES[0]["action"], CASES[2]["action"]], atol=1e-9, rtol=0)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_transformers_generate_gives_the_published_tokens_and_logits(number):
    wanted = CASES[number]["action_token_ids"]
    for use_cache in (True, False):
        generated = reference_model().generate(
            **asked(CASES[number]),
            max_new_tokens=len(wanted),
            do_sample=False,
            use_cache=use_cache,
            output_logits=True,
            return_dict_in_generate=True,
        )
        assert generated.sequences[0, -len(wanted) :].tolist() == wanted
        logits = torch.cat(generated.logits)[:, 31744:]
        published = expected_tensors()[f"generation_{number}_logits_action_window"]
        assert (logits - published).abs().max() < 2e-4


def test_without_the_empty_token_everything_is_wrong_in_the_published_way():
    case = CASES[0]
    given = asked(case)
    short = {name: given[name][:, :-1] for name in ("input_ids", "attention_mask")}
    ids = reference_model().predict_token_ids(**{**given, **short}, action_dim=7, constrained=False)
    assert ids[0].tolist() == case["wrong_action_token_ids_if_29871_is_not_appended"]


# The image counts, with every way of decoding.


def test_generate_looks_at_the_image():
    model, given = nano(), nano_inputs()
    blind = {**given, "pixel_values": nano_inputs(seed=2)["pixel_values"]}
    for use_cache in (True, False):
        seen, other = (
            model.generate(**x, max_new_tokens=5, do_sample=False, use_cache=use_cache)
            for x in (given, blind)
        )
        assert not torch.equal(seen, other)


@torch.no_grad()
def test_nothing_is_called_by_a_name_that_transformers_warns_of():
    """5.24 renamed `past_key_values`, and wrote two warnings a picture into notebooks."""
    model, given = nano(), nano_inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        first = model(**given, use_cache=True)
        kept = first[CACHE_KEYWORD]
        step = {"input_ids": given["input_ids"][:, -1:], "use_cache": True}
        old = model(**step, past_key_values=copy.deepcopy(kept))
        new = model(**step, cache=kept)
        model.generate(**given, max_new_tokens=3, do_sample=False)
        model.predict_token_ids(**given, action_dim=3)
    assert torch.equal(old.logits, new.logits) and kept.get_seq_length() == first.logits.shape[1] + 1


def test_generate_pads_between_start_and_words():
    model, one, two = nano(), nano_inputs(length=5), nano_inputs(length=9, seed=3)
    padded = torch.cat(
        [one["input_ids"][:, :1], torch.zeros(1, 4, dtype=torch.long), one["input_ids"][:, 1:]], 1
    )
    both = {
        "input_ids": torch.cat([padded, two["input_ids"]]),
        "attention_mask": torch.cat([(padded > 0).long(), two["attention_mask"]]),
        "pixel_values": torch.cat([one["pixel_values"], two["pixel_values"]]),
    }
    alone = [model.generate(**x, max_new_tokens=6, do_sample=False)[0, -6:] for x in (one, two)]
    together = model.generate(**both, max_new_tokens=6, do_sample=False)[:, -6:]
    assert torch.equal(together, torch.stack(alone))
    ids = model.predict_token_ids(**both, action_dim=6)
    assert torch.equal(ids, torch.cat([model.predict_token_ids(**x, action_dim=6) for x in (one, two)]))


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_padding_on_any_side_gives_the_same_actions(side):
    model, one, two = nano(), nano_inputs(length=5), nano_inputs(length=9, seed=3)
    left, right = {"left": (4, 0), "right": (0, 4), "both": (1, 3)}[side]
    short = torch.nn.functional.pad(one["input_ids"], (left, right))
    both = {
        "input_ids": torch.cat([short, two["input_ids"]]),
        "attention_mask": torch.cat([(short > 0).long(), two["attention_mask"]]),
        "pixel_values": torch.cat([one["pixel_values"], two["pixel_values"]]),
    }
    wanted = torch.cat([model.predict_token_ids(**x, action_dim=6) for x in (one, two)])
    assert torch.equal(model.predict_token_ids(**both, action_dim=6), wanted)
    assert torch.equal(model.predict_token_ids(**both, action_dim=6, use_cache=False), wanted)
    alone = torch.cat([model.generate(**x, max_new_tokens=6, do_sample=False)[:, -6:] for x in (one, two)])
    for more in ({}, {"use_cache": False}, {"cache_implementation": "static"}):
        found = model.generate(**both, max_new_tokens=6, do_sample=False, **more)
        assert torch.equal(found[:, :9], both["input_ids"]) and torch.equal(found[:, -6:], alone)


def test_padding_that_cannot_be_meant_is_refused():
    model, given = nano(), nano_inputs()
    with pytest.raises(ValueError, match="begins with padding"):
        model(**{**given, "attention_mask": torch.tensor([[0, 1, 1, 1, 1, 1]])})
    nothing = {**given, "attention_mask": torch.zeros_like(given["attention_mask"])}
    with pytest.raises(ValueError, match="nothing but padding"):
        model.predict_token_ids(**nothing, action_dim=3)
    with pytest.raises(ValueError, match="nothing but padding"):
        model.generate(**nothing, max_new_tokens=3)


def test_an_answer_that_is_no_number_is_no_action():
    model = nano()
    with torch.no_grad():
        model.projector.fc2.weight[0, 0] = torch.nan
    for constrained in (True, False):
        with pytest.raises(ValueError, match="answers NaN or infinity"):
            model.predict_token_ids(**nano_inputs(), action_dim=3, constrained=constrained)


def test_what_is_no_instruction_and_what_does_not_go_together(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in a notebook
    model, image = nano(), np.zeros((8, 8, 3), np.uint8)
    for said in (["touch", 3], [None], [b"touch"]):
        with pytest.raises(ValueError, match="an instruction is text"):
            model.predict_action([image] * len(said), said)
    with pytest.raises(ValueError, match="one picture goes with one instruction"):
        model.predict_action(image, ["touch"])


# Constrained or not.


def test_unconstrained_decoding_says_so_when_it_leaves_the_action_tokens():
    model, given = nano(), nano_inputs()
    prompt = model.prompt(**given)
    with torch.no_grad():
        read = model.language_model.model(inputs_embeds=prompt.embeddings).last_hidden_state[0, -1]
        model.language_model.lm_head.weight.zero_()
        model.language_model.lm_head.weight[2] = read  # </s> fits what was read best
    with pytest.raises(ValueError, match=r"dimension 0 of action 0 is 2, no action token \(256 to 511\)"):
        model.predict_token_ids(**given, action_dim=3, constrained=False)
    assert (model.predict_token_ids(**given, action_dim=3) >= 256).all()


def test_unknown_data_sets_are_refused_before_anything_is_computed():
    with pytest.raises(ValueError, match="the model knows fake_bimanual, fake_no_mask, fake_single_arm"):
        reference_model().predict_action(picture(CASES[0]), "fold it", "bridge_orig")
    assert reference_model().get_action_dim("fake_bimanual") == 14


def test_a_model_without_a_processor_says_what_it_needs():
    model = nano()
    model.processor = None
    with pytest.raises(ValueError, match="no processor"):
        model.predict_action(np.zeros((8, 8, 3), np.uint8), "touch the cube")


# Features.


def test_features_are_what_the_first_token_is_chosen_from():
    model, image = nano(), np.full((30, 20, 3), 90, np.uint8)
    features = model.encode(image, "touch the cube")
    assert features.shape == (64,)
    inputs_ = model.processor([build_prompt("touch the cube")], [image])
    first = model.predict_token_ids(**inputs_, action_dim=1)
    assert next_action_token(model.language_model.lm_head(features), 512) == first.item()
    both = model.encode([image, image], ["touch the cube", "push"])
    torch.testing.assert_close(both[0], features)
    assert not torch.allclose(both[1], features)


# All at once.


def prompt_of(model, **changes) -> Prompt:
    return model.prompt(**{**nano_inputs(2), **changes})


def test_who_may_look_at_whom():
    assert parallel_attention_mask(3, 2).int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
    ]


@torch.no_grad()
def test_the_prompt_can_be_read_once_and_kept():
    model = nano()
    prompt, slots = prompt_of(model), torch.randn(5, 64)
    together = parallel_hidden_states(model.language_model, prompt, slots)
    cache = DynamicCache(config=model.language_model.config)
    model.language_model.model(inputs_embeds=prompt.embeddings, use_cache=True, **{CACHE_KEYWORD: cache})
    length = prompt.embeddings.shape[1]
    kept = model.language_model.model(
        inputs_embeds=slots.expand(2, -1, -1),
        attention_mask=torch.zeros(2, 1, 5, length + 5),
        position_ids=length + torch.arange(5)[None],
        **{CACHE_KEYWORD: cache},
    ).last_hidden_state
    torch.testing.assert_close(together, kept)


@torch.no_grad()
def test_every_slot_sees_every_other_and_the_prompt():
    model, random = nano(), torch.Generator().manual_seed(4)
    prompt, slots = prompt_of(model), torch.randn(5, 64, generator=random)
    for attention in ("cacheable", "full"):
        before = parallel_hidden_states(model.language_model, prompt, slots, attention)
        count = before.shape[1]
        assert count == (5 if attention == "cacheable" else 4), "the stop token gives no answer"
        for changed in range(5):
            other = slots.clone()
            other[changed] += 1
            after = parallel_hidden_states(model.language_model, prompt, other, attention)
            assert (after - before).abs().amax(-1).min() > 1e-3
        words = Prompt(prompt.embeddings.clone(), prompt.attention_mask)
        words.embeddings[:, 0] += 1
        after = parallel_hidden_states(model.language_model, words, slots, attention)
        assert (after - before).abs().amax(-1).min() > 1e-3


@torch.no_grad()
def test_full_attention_is_what_transformers_calls_not_causal():
    model = nano(attn_implementation="eager")
    prompt, slots = prompt_of(model), torch.randn(5, 64)
    ours = parallel_hidden_states(model.language_model, prompt, slots, "full")
    both_ways = copy.deepcopy(model.language_model)
    both_ways.config.is_causal = False
    sequence = torch.cat([prompt.embeddings, slots.expand(2, -1, -1)], dim=1)
    hidden = both_ways.model(inputs_embeds=sequence).last_hidden_state
    start = prompt.embeddings.shape[1] - 1
    torch.testing.assert_close(ours, hidden[:, start : start + 4])


@torch.no_grad()
def test_padding_changes_nothing_when_decoding_at_once():
    model, given = nano(), nano_inputs(length=5)
    ids = torch.cat(
        [given["input_ids"][:, :1], torch.zeros(1, 3, dtype=torch.long), given["input_ids"][:, 1:]], 1
    )
    padded = {**given, "input_ids": ids, "attention_mask": (ids > 0).long()}
    for attention in ("cacheable", "full"):
        alone, beside = (model.parallel_logits(model.prompt(**x), 7, attention) for x in (given, padded))
        assert alone.shape == (1, 7, 512)
        torch.testing.assert_close(alone, beside)


COMPILED = """
import numpy as np
from openvla_reference import nano

traced = []
def backend(graph, inputs):
    traced.append(len(list(graph.graph.nodes)))
    return graph.forward

image, eager, model = np.full((30, 20, 3), 90, np.uint8), nano(), nano()
model.compile_parallel(backend=backend)
for attention in ("cacheable", "full", None):
    for text in ("touch the cube", "push the blue cube to the left"):
        expected, found = (one.predict_action(image, text, parallel=attention) for one in (eager, model))
        np.testing.assert_allclose(found, expected, atol=1e-6)
print(len(traced), max(traced))
"""


def test_compiled_it_says_the_same():
    """Traced as for the compiler, and run without one: in a process of its own, as types are not checked while tracing."""
    run = subprocess.run(
        [sys.executable, "-c", COMPILED],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    graphs, nodes = map(int, run.stdout.split()[-2:])
    assert graphs >= 4 and nodes > 100, "towers, projector, and the language model for two lengths of prompt"


def test_parallel_actions_and_their_training():
    model, image = nano(), np.full((30, 20, 3), 90, np.uint8)
    for attention in ("cacheable", "full"):
        action = model.predict_action(image, "touch the cube", parallel=attention)
        assert action.shape == (3,)
        model.zero_grad()
        loss = model.parallel_logits(prompt_of(model), 61, attention)[..., 300].sum()
        loss.backward()
        assert model.projector.fc1.weight.grad.any(), "the way back leads to the image"


def test_slots_are_zeros_and_a_stop_token_for_full_attention():
    model = nano()
    slots = model._action_slots(4, "full")
    assert slots.shape == (5, 64) and not slots[:4].any()
    table = model.get_input_embeddings().weight
    assert torch.equal(slots[4], table[2])
    many = model._action_slots(300, "cacheable")
    assert torch.equal(many[:256], table[256:]) and torch.equal(many[256], table[256])
