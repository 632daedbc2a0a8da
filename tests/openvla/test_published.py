"""The published numbers, as a lesson reads them."""

import hashlib

import numpy as np
import torch

from vla_course import assets
from vla_course.openvla.published import (
    FOLDER,
    openvla_7b_tensors,
    published_cases,
    published_inputs,
    published_model,
    published_tensors,
)


def test_five_cases_with_their_pictures_prompts_and_answers():
    cases, inputs = published_cases(), published_inputs()
    assert [len(case.token_ids) for case in cases] == [7, 14, 7, 14, 3]
    for number, case in enumerate(cases):
        assert case.image.dtype == np.uint8 and case.image.shape[2] == 3
        assert case.prompt_ids[0, 0] == 1 and case.prompt_ids[0, -1] != 29871
        which = 0 if number < 2 else 1
        assert torch.equal(case.pixel_values, inputs["pixel_values"][which : which + 1])
        assert len(case.token_ids) == len(case.action) == len(case.logits)
        assert (case.logits[:, :256].argmax(-1) + 31744).tolist() == case.token_ids
        assert not set(case.token_ids_without_empty_token) <= set(case.token_ids)


def test_the_model_answers_as_published():
    case = published_cases()[0]
    ids = torch.cat([case.prompt_ids, torch.tensor([[29871]])], dim=1)
    found = published_model().predict_token_ids(ids, torch.ones_like(ids), case.pixel_values, 7)
    assert found[0].tolist() == case.token_ids
    projected = published_model().embed_image(published_inputs()["pixel_values"])
    assert (projected - published_tensors()["projector_output"]).abs().max() < 5e-5


def test_the_contract_of_the_big_checkpoint_counts_seven_and_a_half_billion():
    contract = openvla_7b_tensors()
    assert sum(int(np.prod(shape)) for shape in contract["tensors"].values()) == 7_541_237_184
    assert contract["num_parameters"] == 7_541_237_184


def test_every_file_that_an_installed_package_needs_is_on_the_list():
    for name in (
        "config.json",
        "model.safetensors.xz",
        "inputs.safetensors",
        "expected.safetensors",
        "expected.json",
    ):
        known = assets.manifest()[f"{FOLDER}/{name}"]
        assert hashlib.sha256(assets.find(f"{FOLDER}/{name}").read_bytes()).hexdigest() == known
