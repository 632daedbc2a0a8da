import pytest
from openvla_reference import nano_config
from shown_pictures import shown

from vla_course.adapters.nf4 import bits_per_parameter
from vla_course.memory.activations import Batch
from vla_course.memory.estimate import (
    MODES,
    PUBLISHED,
    estimate_training_state,
    openvla_7b_table,
    training_state_gb,
)
from vla_course.openvla.config import OpenVLAConfig
from vla_course.widgets.memory_bars import (
    CARDS_GB,
    MARGIN,
    NAMES,
    PARTS,
    SCORED,
    TEXT_TOKENS,
    MemoryBars,
    Setting,
    card,
    promise,
    stacks,
)

MODELS = {"big": (OpenVLAConfig(), 2), "small": (nano_config(), 4)}


def widget(**changes):
    functions = {"state_gb": training_state_gb, "bits": bits_per_parameter, **changes}
    return MemoryBars(functions["state_gb"], functions["bits"], models=MODELS)


def bar(state, mode):
    return next(one for one in state["bars"] if one["mode"] == mode)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("samples", "checkpointing"), [(1, False), (16, True)])
def test_the_parts_are_those_of_the_memory_model(name, samples, checkpointing):
    config, number_bytes = MODELS[name]
    found = stacks(Setting(config, number_bytes, samples=samples, rank=16, checkpointing=checkpointing))
    assert set(found) == set(MODES) == set(NAMES)
    for mode, parts in found.items():
        state = estimate_training_state(
            config,
            mode,
            Batch(samples, TEXT_TOKENS, SCORED),
            rank=16,
            number_bytes=number_bytes,
            checkpointing=checkpointing,
        )
        weights = parts["frozen weights"] + parts["trained weights"]
        assert list(parts) == list(PARTS)
        assert weights == pytest.approx(state.weights / 1e9, rel=1e-6)
        assert parts["gradients"] == pytest.approx(state.gradients / 1e9, rel=1e-6)
        assert parts["Adam's two moments"] == pytest.approx(state.optimizer / 1e9, rel=1e-6)
        assert parts["activations"] == pytest.approx((state.activations + state.recomputed) / 1e9, rel=1e-6)


def test_what_is_chosen_moves_the_bars_it_should_move():
    state = widget()
    small_batch = bar(state.state, "qlora")
    state.samples = 16
    large_batch = bar(state.state, "qlora")
    assert large_batch["parts"]["activations"] > 10 * small_batch["parts"]["activations"]
    assert large_batch["parts"]["frozen weights"] == small_batch["parts"]["frozen weights"]
    state.checkpointing = True
    twice = bar(state.state, "qlora")
    assert twice["parts"]["activations"] < 0.2 * large_batch["parts"]["activations"]
    state.rank = 64
    assert bar(state.state, "lora")["parts"]["gradients"] == pytest.approx(2 * 0.45, abs=0.01)
    assert bar(state.state, "full")["total"] == pytest.approx(sum(bar(state.state, "full")["parts"].values()))


def test_the_controls_choose_what_the_traits_say():
    bars = widget()
    model, samples, rank, checkpointing = bars.controls
    model.value, samples.value, rank.value, checkpointing.value = "small", 8, 16, True
    assert (bars.model, bars.samples, bars.rank, bars.checkpointing) == ("small", 8, 16, True)
    assert bars.state == bars.describe("small", 8, 16, True) and bars.drawing.parts == PARTS
    bars.samples = 64
    assert samples.value == 64


def test_a_small_model_is_shown_in_mb_without_cards():
    state = widget()
    assert (state.state["unit"], state.state["cards"]) == ("GB", list(CARDS_GB))
    state.model = "small"
    assert (state.state["unit"], state.state["cards"]) == ("MB", [])
    longest = max(one["total"] for one in state.state["bars"])
    assert longest <= state.state["limit"] and not any(one["card"] for one in state.state["bars"])


def test_cards():
    assert card(5.3) == "plan a card with 8 GB" and card(5.4) == "plan a card with 16 GB"
    assert card(19.2) == "plan a card with 48 GB", "27 GB at least were seen where 19.2 are counted"
    assert card(53.4) == "no single card here"


def test_the_margin_covers_what_gpus_were_seen_to_need():
    rows = {(row["mode"], row["batch"], row["checkpointing"]): row["total_gb"] for row in openvla_7b_table()}
    for batch, seen in ((1, "LoRA, rank 32, at least"), (16, "LoRA, rank 32, batch 16")):
        assert rows["lora", batch, False] < PUBLISHED[seen] <= MARGIN * rows["lora", batch, False]


def test_the_learners_functions_are_the_ones_that_run():
    right = widget().state

    def without_gradients(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
        return training_state_gb(frozen, trainable, frozen_bytes, weight_bytes, 0)

    wrong = widget(state_gb=without_gradients).state
    assert bar(wrong, "full")["parts"]["gradients"] == 0 < bar(right, "full")["parts"]["gradients"]
    heavy = widget(bits=lambda block, second_block=None: 16).state
    added = bar(heavy, "qlora")["parts"]["frozen weights"] / bar(right, "qlora")["parts"]["frozen weights"]
    assert added > 3 and bar(heavy, "lora") == bar(right, "lora")


def test_it_leaves_a_picture_of_four_settings():
    drawn, words = shown(widget())
    assert words == MemoryBars.alt
    assert drawn.shape[0] > 350 and drawn.shape[1] > 700 and drawn.std() > 10


def test_the_promise_says_what_it_shows():
    shown = promise()
    assert shown.data.startswith(b"\x89PNG")
    assert "full 93 GB, LoRA 20 GB, QLoRA 9 GB" in shown.alt
