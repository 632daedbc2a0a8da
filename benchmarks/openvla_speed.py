"""What an action costs: `predict_action`, one token after the other or all at once, against transformers' own `generate()`.

Run it on a quiet machine: beside a training run everything took twice as long, and the ratios looked better than they are.

Nano: the same model on one core, picture and prompt prepared in both; turn by turn, CPU time, medians of a round's ratios.
Before the clock runs, `generate()` must write `predict_action`'s tokens exactly. Once more with `compile_parallel()`: `generate()` then looks through the
compiled towers, too. `--scale 7b`: random weights of openvla-7b's
sizes on a GPU, in bfloat16 and in 4 bits; says what is missing where it cannot, and ends with 1 if that was all that was
asked for.
"""

import gc
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping

from measuring.big_model import in_words, missing, random_model, random_questions
from measuring.report import Row, finish, options

import numpy as np  # isort: skip  (after the thread count is set)
import torch

from vla_course.action_tokens import BINS
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import build_prompt

ROUNDS, WARM_UP = 300, 5
"""At most: long cases need fewer. A shared machine changes its mood within seconds, and the ratios with it: 100 gave .68 to .71 for the same thing."""
INSTRUCTION = "put the red cube on the blue plate"
CASES = (
    ("7 numbers", "seven", 1, ROUNDS),
    ("61 numbers", "folding", 1, ROUNDS // 5),
    ("7 numbers, batch of 8", "seven", 8, ROUNDS // 2),
)
NAMES = {"seven": 7, "folding": 61}
TARGETS = {"greedy": "≤ 0.7", "parallel": "≤ 0.4"}


def turn_by_turn(
    calls: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each call in every round, one call after the other, so that the machine's mood is the same for all."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-min(WARM_UP, rounds), rounds):
        for name, call in calls.items():
            start = clock()
            call()
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds


def spread_ms(seconds: Iterable[float]) -> dict[str, float]:
    low, middle, high = (1000 * float(value) for value in np.percentile(list(seconds), [25, 50, 75]))
    return {"quarter": low, "median": middle, "three_quarters": high}


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def scene(
    model: OpenVLAForActionPrediction, batch: int
) -> tuple[list[np.ndarray], list[str], np.ndarray | None]:
    """Pictures as large as the model sees, what to do, and the robot's state where the model is told it; statistics for each
    number of numbers.
    """
    side, told = model.config.image_size, model.config.state_dim
    state = {"q01": [-1.0] * told, "q99": [1.0] * told}
    model.config.norm_stats |= {
        name: {"action": {"q01": [-1.0] * count, "q99": [1.0] * count}, "proprio": state}
        for name, count in NAMES.items()
    }
    images = list(np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8))
    return images, [INSTRUCTION] * batch, np.zeros((batch, told)) if told else None


def read(
    model: OpenVLAForActionPrediction,
    key: str,
    images: list[np.ndarray],
    words: list[str],
    state: np.ndarray | None,
) -> dict[str, torch.Tensor]:
    """A scene as the model takes it in."""
    said = None if state is None else model.state_tokens(state, key)
    return model.processor([build_prompt(text) for text in words], images, said)


def nano_calls(model: OpenVLAForActionPrediction, key: str, batch: int) -> dict[str, Callable[[], object]]:
    """The same action three ways, and what all three begin with.

    `generate` is transformers' own: its cache, its defaults, no logits processor. It may not stop early, and is spared to look.
    """
    images, words, state = scene(model, batch)
    model.generation_config.eos_token_id = None

    def inputs() -> dict[str, torch.Tensor]:
        return read(model, key, images, words, state)

    @torch.inference_mode()
    def see() -> object:
        return model.prompt(**inputs())

    return {
        "generate": lambda: model.generate(**inputs(), max_new_tokens=NAMES[key], do_sample=False),
        "greedy": lambda: model.predict_action(images, words, key, state=state),
        "parallel": lambda: model.predict_action(images, words, key, state=state, parallel="cacheable"),
        "seeing": see,
    }


def check_answers(model: OpenVLAForActionPrediction, key: str, batch: int) -> None:
    """All three ways give a valid action, and `generate`, told to write action tokens, writes those of `predict_action`.

    Raises:
        RuntimeError: they do not, and their times could not be compared.
    """
    images, words, state = scene(model, batch)
    inputs, count = read(model, key, images, words, state), NAMES[key]
    others = [word for word in range(model.config.text_config.vocab_size) if not is_action(word, model)]
    written = model.generate(**inputs, max_new_tokens=count, do_sample=False, suppress_tokens=others)[
        :, -count:
    ]
    chosen = model.predict_token_ids(**inputs, action_dim=count)
    if not torch.equal(written, chosen):
        raise RuntimeError(f"generate() writes {written.tolist()}, predict_action {chosen.tolist()}")
    for parallel in (None, "cacheable"):
        action = model.predict_action(images, words, key, state=state, parallel=parallel)
        if action.shape != (batch, count) or not (np.abs(action) <= 1).all():
            raise RuntimeError(f"no action of {count} numbers in [-1, 1] (parallel={parallel}): {action}")


def is_action(word: int, model: OpenVLAForActionPrediction) -> bool:
    return 0 < model.config.vocabulary_size - word <= BINS


def measure_nano(model: OpenVLAForActionPrediction, rounds: int) -> tuple[list[Row], dict]:
    """The table's rows, and each case's quarters."""
    rows, spreads = [], {}
    for label, key, batch, most in CASES:
        check_answers(model, key, batch)
        seconds = turn_by_turn(nano_calls(model, key, batch), min(rounds, most))
        for way, target in TARGETS.items():
            against = ratio(seconds[way], seconds["generate"])
            rows.append(
                Row(f"{label}: {way} over generate", against, "", target if label == CASES[0][0] else "")
            )
        rows.append(Row(f"{label}: seeing over generate", ratio(seconds["seeing"], seconds["generate"])))
        for way, one in seconds.items():
            rows.append(Row(f"{label}: {way}", 1000 * statistics.median(one), "ms"))
        spreads[label] = {way: spread_ms(one) for way, one in seconds.items()}
    compiled, label = measure_compiled(model, rounds), "7 numbers, compiled"
    if compiled:
        rows.append(
            Row(
                f"{label}: parallel over generate",
                ratio(compiled["parallel"], compiled["generate"]),
                "",
                TARGETS["parallel"],
            )
        )
        rows += [Row(f"{label}: {way}", 1000 * statistics.median(one), "ms") for way, one in compiled.items()]
        spreads[label] = {way: spread_ms(one) for way, one in compiled.items()}
    return rows, {"spread_ms": spreads}


def measure_compiled(model: OpenVLAForActionPrediction, rounds: int) -> dict[str, list[float]]:
    """Seconds of `generate` and of one parallel pass, both with the same compiled towers; nothing where there is no compiler."""
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        print("compiled: not measured, needed is a C++ compiler")
        return {}
    _, key, batch, _ = CASES[0]
    images, words, state = scene(model, batch)
    before = model.predict_action(images, words, key, state=state, parallel="cacheable")
    model.compile_parallel()
    after = model.predict_action(images, words, key, state=state, parallel="cacheable")
    if not np.allclose(before, after):
        raise RuntimeError(f"compiled, the action is {after}, and was {before}")
    calls = nano_calls(model, key, batch)
    return turn_by_turn({way: calls[way] for way in ("generate", "parallel")}, rounds)


def measure_big(
    config: OpenVLAConfig, *, device: str, bits: int | None, rounds: int, numbers: int = 7
) -> list[Row]:
    """Prefill, tokens, actions and memory of a model with random weights; on a CPU too, where memory is not measured."""
    gpu = device.startswith("cuda")
    model = random_model(config, device=device, bits=bits)
    question = random_questions(config, device=device)

    def clock() -> float:
        if gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    if gpu:  # what acting takes; while the model was made, one layer more was there
        torch.cuda.reset_peak_memory_stats()
    seconds = turn_by_turn(
        {
            "one": lambda: model.predict_token_ids(**question, action_dim=1),
            "all": lambda: model.predict_token_ids(**question, action_dim=numbers),
            "parallel": lambda: model.predict_token_ids(**question, action_dim=numbers, parallel="cacheable"),
            "generate": lambda: model.generate(**question, max_new_tokens=numbers, do_sample=False),
        },
        rounds,
        clock,
    )
    median = {name: statistics.median(one) for name, one in seconds.items()}
    name = in_words(bits)
    rows = [
        Row(f"{name}: image and prompt, to the first token", 1000 * median["one"], "ms"),
        Row(f"{name}: each further token", 1000 * (median["all"] - median["one"]) / (numbers - 1), "ms"),
        Row(f"{name}: actions of {numbers} numbers", 1 / median["all"], "per s"),
        Row(f"{name}: actions, all numbers at once", 1 / median["parallel"], "per s"),
        Row(f"{name}: greedy over generate", ratio(seconds["all"], seconds["generate"])),
        Row(f"{name}: parallel over generate", ratio(seconds["parallel"], seconds["generate"])),
    ]
    if gpu:
        rows.append(Row(f"{name}: peak memory", torch.cuda.max_memory_allocated() / 1e9, "GB"))
    return rows


def bench_nano(quick: bool) -> None:
    torch.set_num_threads(1)
    rows, details = measure_nano(load_vla("nano"), 2 if quick else ROUNDS)
    finish("speed", rows, seeds=[0], quick=quick, world="nano", details=details)


def bench_7b(quick: bool) -> bool:
    """Whether anything could be measured."""
    rows: list[Row] = []
    for bits in (None, 4):
        gc.collect()
        torch.cuda.empty_cache()  # the model before this one is gone, and its memory free for others
        lacking = missing(OpenVLAConfig(), bits)
        if lacking:
            print(f"openvla-7b's sizes in {in_words(bits)}: not measured, needed are " + ", ".join(lacking))
        else:
            rows += measure_big(OpenVLAConfig(), device="cuda", bits=bits, rounds=3 if quick else 20)
    if rows:
        finish("speed", rows, seeds=[0], quick=quick, world="openvla_7b")
    return bool(rows)


def main() -> None:
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=("nano", "7b"), help="only this one; otherwise both")
    asked = parser.parse_args()
    if asked.scale != "7b":
        bench_nano(asked.quick)
    if asked.scale != "nano" and not bench_7b(asked.quick) and asked.scale == "7b":
        sys.exit(1)


if __name__ == "__main__":
    main()
