"""In Day 06 the learner's five functions are the ones that run: another format drives another arm, another sum pays another bill."""

import numpy as np
import pytest
import torch
from lesson_cells import cells, run

from vla_course.adapters import nf4
from vla_course.adapters.nf4_linear import quantize_layers
from vla_course.memory import estimate
from vla_course.memory.measured import measure_training_state
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import load_vla

CELLS = cells(
    "day06_qlora",
    (
        "import copy",
        "OUTERMOST =",
        "LEVELS = nf4_codebook()",
        "# exercise",
        "def prepared",
        "head = nano.get_output_embeddings()",
        "small = copy.deepcopy(nano)",
        "PICTURES = ",
        "def commands",
        "def computed_bytes",
        "seven_b = sizes",
        "really = training_state_gb",
        "def to_four_bits_and_back",
        "def with_levels",
    ),
    {"PICTURES = 32": "PICTURES = 3"},
)


def run_lesson(until=None, **replaced):
    """The names the lesson defines, on the nano that ships, with some of the exercised functions replaced by others."""
    nano = load_vla("nano")
    return run(CELLS, {"nano": nano, "size": nano.config.image_size}, until, **replaced)


@pytest.fixture(scope="module")
def lesson():
    return run_lesson()


def test_the_learners_format_is_the_librarys_on_every_weight(lesson):
    model = load_vla("nano")
    quantize_layers(model)
    ours = [module.weight for module in lesson["small"].modules() if hasattr(module, "packed")]
    theirs = [module.weight for module in model.modules() if hasattr(module, "packed")]
    assert len(ours) == len(theirs) == len(lesson["names"]) > 50
    assert all(torch.equal(mine, one) for mine, one in zip(ours, theirs, strict=True))
    assert lesson["weights"].numel() == sum(layer.weight.numel() for layer in lesson["layers"])


def upside_down(codes, absmax):
    return -nf4.dequantize_nf4(codes, absmax)


def without_scales(codes, absmax):
    return nf4.dequantize_nf4(codes, torch.ones_like(absmax))


def two_levels(weights, block=64):
    codes, absmax = nf4.quantize_nf4(weights, block)
    return torch.where(codes > 7, 15, 0).to(torch.uint8), absmax


@pytest.mark.parametrize(
    "sabotage",
    [
        {"dequantize_nf4": upside_down},
        {"dequantize_nf4": without_scales},
        {"quantize_nf4": two_levels},
    ],
    ids=lambda sabotage: next(iter(sabotage.values())).__name__,
)
def test_a_broken_format_of_the_learners_drives_the_hand_elsewhere(lesson, sabotage):
    right, broken = lesson["commands"](lesson["small"]), run_lesson("def commands", **sabotage)
    wrong = broken["commands"](broken["small"])
    assert right.shape == wrong.shape == (3, 7)
    assert np.abs(right - wrong)[:, :3].max() > 0.1
    trained = {names["prepared"]("QLoRA")[0] for names in (lesson, broken)}
    weights = [model.language_model.model.layers[0].mlp.up_proj.base_layer.weight for model in trained]
    assert not torch.allclose(*weights), "what QLoRA stands beside is the learner's, too"


def test_other_levels_reach_the_codes(lesson):
    broken = run_lesson("LEVELS = ", nf4_codebook=lambda: torch.linspace(-1, 1, 16))
    assert torch.equal(broken["LEVELS"], torch.linspace(-1, 1, 16))
    assert not torch.equal(lesson["LEVELS"], broken["LEVELS"])


def one_step(lesson, way):
    model, optimizer = lesson["prepared"](way)
    ids = torch.randint(4, 250, (2, 20), generator=torch.Generator().manual_seed(0))
    side = model.config.image_size
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    pixels = torch.zeros(2, 6, side, side)
    state = measure_training_state(
        model, lambda: model(**given, pixel_values=pixels, use_cache=False).loss, optimizer
    )
    return model, state.weights + state.gradients + state.optimizer


@pytest.mark.parametrize("way", ["full", "LoRA", "QLoRA"])
def test_the_learners_bill_is_within_a_tenth_of_what_is_measured(lesson, way):
    model, measured = one_step(lesson, way)
    assert lesson["computed_bytes"](model) == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize(
    "sabotage",
    [
        {"training_state_gb": lambda *given: estimate.training_state_gb(*given) / 1.07},
        {"bits_per_parameter": lambda block, second_block=None: 16.0},
    ],
    ids=["in GiB", "16 bits"],
)
def test_another_sum_pays_another_bill(lesson, sabotage):
    model, _ = one_step(lesson, "QLoRA")
    broken = run_lesson(**sabotage)
    assert broken["computed_bytes"](model) != pytest.approx(lesson["computed_bytes"](model), rel=0.05)
    assert broken["really"] != pytest.approx(lesson["really"], rel=0.05)


def test_norms_and_action_rows_are_what_is_broken(lesson):
    model = load_vla("nano")
    norms, (rows,) = lesson["norms_of"](model), lesson["action_rows_of"](model)
    assert len(norms) > 40 and all(weight.ndim == 1 for weight in norms)
    assert rows.shape == (256, model.config.text_config.hidden_size)
    before, outside = rows.clone(), model.get_output_embeddings().weight[:700].clone()
    assert lesson["to_four_bits_and_back"](rows) == rows.numel()
    head = model.get_output_embeddings().weight
    assert not torch.equal(head[768:1024], before) and torch.equal(head[:700], outside)
    levels = (rows.reshape(-1, 64) / rows.reshape(-1, 64).abs().amax(1, keepdim=True)).round(decimals=4)
    assert len(levels.unique()) <= 16


def test_even_levels_have_the_bits_of_nf4_and_not_its_places(lesson):
    weights = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    there, back = lesson["with_levels"](lesson["LEVELS"])
    assert torch.equal(there(weights)[0], nf4.quantize_nf4(weights)[0])
    torch.testing.assert_close(back(*there(weights)), nf4.dequantize_nf4(*nf4.quantize_nf4(weights)))
    int4_there, int4_back = lesson["with_levels"](torch.arange(-7, 8) / 7)
    assert len(int4_there(weights)[0].unique()) == 15
    error = (int4_back(*int4_there(weights)) - weights).norm()
    assert error > (back(*there(weights)) - weights).norm()
    _, scales = lesson["with_levels"](lesson["LEVELS"], one_scale=True)[0](weights)
    assert (scales == weights.abs().max()).all() and scales.shape == (4,)


def test_the_numbers_of_the_recap_hold(lesson):
    rows = {(row["mode"], row["batch"], row["checkpointing"]): row for row in estimate.openvla_7b_table()}
    assert lesson["WEIGHTS"] * nf4.bits_per_parameter(64, 256) / 8e9 == pytest.approx(3.9, abs=0.05)
    size = estimate.sizes(OpenVLAConfig())
    frozen = size.quantizable * lesson["four"] / 1e9 + lesson["whole"] * 2 / 1e9
    assert frozen == pytest.approx(4.3, abs=0.05)
    assert lesson["ADAPTERS"] * 16 / 1e9 == pytest.approx(1.8, abs=0.05)
    assert rows["qlora", 1, False]["activations_gb"] == pytest.approx(2.3, abs=0.05)
    assert rows["qlora", 1, False]["total_gb"] == pytest.approx(8.4, abs=0.05)
    assert rows["qlora", 1, True]["total_gb"] == pytest.approx(6.3, abs=0.05)
    assert rows["qlora", 16, False]["activations_gb"] == pytest.approx(33.5, abs=0.1)
    with_checkpointing = rows["qlora", 16, True]
    kept = with_checkpointing["activations_gb"] + with_checkpointing["recomputed_gb"]
    assert (kept, with_checkpointing["total_gb"]) == pytest.approx((2.8, 8.9), abs=0.05)
    assert size.quantizable / 8e9 == pytest.approx(0.9, abs=0.05), "one bit less for each"
