"""In Day 07 the learner's four functions are the ones that judge: a broken one gives another verdict. And what the text says is so."""

import re
from dataclasses import replace

import numpy as np
import pytest
from lesson_cells import cells, run

from vla_course import assets
from vla_course.evaluation import record
from vla_course.evaluation import trials as playing
from vla_course.evaluation import workers as closed_loop
from vla_course.evaluation.intervals import episodes_needed, paired_bootstrap, wilson_interval
from vla_course.evaluation.robustness import TESTS
from vla_course.fine_tuning.losses import action_token_accuracy
from vla_course.widgets.interval_playground import IntervalPlayground

CELLS = cells(
    "day07_did_it_get_better",
    (
        "ONE_HAND =",
        "SEED =",
        "import copy",
        "# exercise",
        "towels =",
        "def train",
        "losses =",
        "def evaluated",
        "STARTS =",
        "if chosen:",
        "IntervalPlayground(",
        "families =",
        "pairs =",
        "checked =",
        "FEW =",
        "misled =",
        "told =",
        "def looks",
        "seen =",
        "def tokens_right",
        "unseen =",
        "quality =",
        "tested =",
        "page.show",
        "def with_wait",
        "patient =",
        "def accuracies",
    ),
    {
        "episodes=12": "episodes=2",
        "60, 2e-3": "6, 2e-3",
        "size=(STEPS, 16)": "size=(STEPS, 4)",
        "range(20)": "range(3)",
        "range(8)": "range(2)",
        "range(6)": "range(2)",
        "episodes=10": "episodes=2, workers=1",
        "lambda env: policy)": "lambda env: policy, workers=0)",
        "(50, 16)": "(60, 8)",
    },
)
ACTIONS = 2
"""An episode is over after so many here."""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def here(results):
    """Short episodes, no adapter, no demonstrations, and no recorded evaluations but those that lie in `results`."""
    find, play = assets.find, playing.play

    def found(name):
        if name.startswith("data/results/day07/"):
            if not (results / name.split("/")[-1]).exists():
                raise FileNotFoundError(name)
            return results / name.split("/")[-1]
        if name.startswith(("data/demos", "data/checkpoints/towel_lora")):
            raise FileNotFoundError(name)
        return find(name)

    def short(env, policy, trial, max_steps=None, watch=None):
        return play(env, policy, trial, ACTIONS, watch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets, "find", found)
        patch.setattr(assets, "find_folder", found)
        patch.setattr(playing, "play", short)
        patch.setattr(closed_loop, "play", short)
        yield


@pytest.fixture(scope="module")
def lesson(here):
    return run(CELLS)


def again(lesson, *parts, **replaced):
    """Some of the cells once more, after the others, with functions of another learner."""
    chosen = [source for source in CELLS if any(part in source for part in parts)]
    assert len(chosen) == len(parts)
    return run(chosen, {**lesson, **replaced})


def many(one, label, successes, count=40, **condition):
    """A record of so many episodes."""
    (row, *_) = one.evaluation.episodes
    rows = tuple(replace(row, seed=seed, success=seed < successes) for seed in range(count))
    config = replace(one.config, label=label, episodes=count, **condition)
    return replace(one, config=config, evaluation=replace(one.evaluation, episodes=rows))


def test_nothing_is_claimed_that_was_not_recorded(lesson):
    assert lesson["zero"] is lesson["chosen"] is lesson["run"] is None
    assert lesson["families"] == {"lora": [], "qlora": []}
    words = " ".join(
        getattr(one, "data", "") for one in lesson["shown"] if isinstance(getattr(one, "data", ""), str)
    )
    for part in (
        "hundred starts are not recorded",
        "robustness matrix is not recorded",
        "| wrong | not recorded yet |",
    ):
        assert part in words


def test_both_policies_begin_from_the_same_starts(lesson):
    for one in (lesson["before"], lesson["after"]):
        assert [row.seed for row in one.evaluation.episodes] == list(lesson["STARTS"])
    assert lesson["before"].config.moves == "right_hand" and lesson["after"].config.moves == "end_effector"
    assert lesson["change"].before == "zero-shot" and lesson["change"].after == "the live run"


def test_only_adapters_learn_and_not_those_of_the_eyes(lesson):
    learning = [name for name, weight in lesson["live"].named_parameters() if weight.requires_grad]
    assert learning and all("lora_" in name and "vision" not in name for name in learning)
    assert len(lesson["batches"]) == 60 and all(np.isfinite(lesson["losses"]))


def test_the_interval_of_the_gain_is_the_learners(lesson):
    assert lesson["change"].interval == pytest.approx((0.0, 0.0)), "neither folds anything in two actions"
    sure = again(lesson, "STARTS =", paired_bootstrap=lambda before, after, seed: (0.5, 0.7))
    assert sure["change"].interval == (0.5, 0.7) and sure["verdict"] == "more than chance"
    assert lesson["verdict"] == "which may be chance"


def test_the_playground_computes_with_the_learners_functions(lesson):
    def widget(found):
        return next(one for one in found["shown"] if isinstance(one, IntervalPlayground))

    assert widget(lesson).state["needed"] == 97
    broken = again(
        lesson,
        "IntervalPlayground(paired",
        episodes_needed=lambda p, q: 7,
        paired_bootstrap=lambda *_: (-1.0, 1.0),
    )
    assert widget(broken).state["needed"] == 7 and widget(broken).state["paired"] == [-1.0, 1.0]


def test_the_learners_words_are_what_is_said(lesson):
    rows = lesson["misled"].evaluation.episodes
    assert [row.instruction for row in rows] == lesson["said"]
    assert lesson["own"] not in lesson["said"] and lesson["misled"].config.words == "wrong"
    silent = again(lesson, "FEW =", "misled =", wrong_instructions=lambda texts, rng: [""] * len(texts))
    assert {row.instruction for row in silent["misled"].evaluation.episodes} == {""}


def test_token_accuracy_is_the_learners(lesson):
    samples, model = lesson["unseen_samples"], lesson["live"]
    batch = samples.batch(np.arange(len(samples)))
    labels = batch.pop("labels")
    logits = model(**batch, logits_to_keep=labels.shape[1]).logits.detach()
    assert lesson["share"] == pytest.approx(action_token_accuracy(logits, labels, 1024))
    half = again(lesson, "def tokens_right", "def accuracies", action_token_accuracy=lambda *given: 0.5)
    assert half["everywhere"] == pytest.approx(0.5)


def test_the_learners_accuracy_is_that_of_the_trainer(lesson):
    _, metrics = lesson["action_token_loss"](lesson["live"], lesson["unseen_samples"].batch(np.arange(8)))
    rows = lesson["tokens_right"](lesson["live"], lesson["unseen_samples"], np.arange(8))
    assert rows == pytest.approx(metrics["policy/token_accuracy"])


def test_waiting_makes_a_policy_right_and_still(lesson):
    assert lesson["idle_share"] == pytest.approx(900 / (900 + len(lesson["moving"])))
    assert 0.94 < lesson["idle_share"] < 0.97
    still = lesson["waits"].track(0).actions
    assert not np.delete(still[0], [6, 13]).any() and still[0, [6, 13]] == pytest.approx(still[1, [6, 13]])
    assert still[1:] == pytest.approx(lesson["unseen"].track(0).actions)
    (before, moving_before), (after, moving_after) = map(
        lesson["accuracies"], (lesson["live"], lesson["patient"])
    )
    assert after > 0.9 > before and moving_after < 0.75
    assert moving_before < 0.75


def test_the_page_shows_live_episodes_where_none_are_recorded(lesson):
    assert [path.name for path in lesson["places"]] == ["before.json", "after.json", "wrong.json"]
    assert {one.name for one in lesson["measured"]} == {
        "answers.json",
        "alignment_zero-shot.json",
        "alignment_the_live_run.json",
    }


def test_recorded_evaluations_are_compared_read_and_played_again(lesson, results, capsys):
    """Recorded: zero-shot as it is played here; the adapter made up, with a film that is named."""
    real = lesson["before"]
    record.write(real, results / "zero_shot.json")
    made_up = many(lesson["after"], "LoRA, seed 0", 30)
    films = {"best": record.Film(2, "lora_seed_0_best.mp4")}
    record.write(replace(made_up, films=films), results / "lora_seed_0.json")
    for seed in range(3):
        if seed:
            record.write(many(made_up, f"LoRA, seed {seed}", 30), results / f"lora_seed_{seed}.json")
        record.write(many(made_up, f"QLoRA, seed {seed}", 29), results / f"qlora_seed_{seed}.json")
    for words, successes in (("paraphrase", 28), ("wrong", 27), ("empty", 2)):
        record.write(many(made_up, "LoRA, seed 0", successes, words=words), results / f"words_{words}.json")
    for number, test in enumerate(list(TESTS)[1:4]):
        record.write(
            many(made_up, "LoRA, seed 0", 30 - 10 * number, test=test), results / f"test_{test}.json"
        )
    parts = (
        "ONE_HAND =",
        "SEED =",
        "STARTS =",
        "if chosen:",
        "families =",
        "pairs =",
        "checked =",
        "told =",
        "tested =",
    )
    found = again(lesson, *parts, "page.show")
    said = capsys.readouterr().out
    assert found["SEED"] == 2
    assert "zero_shot: 1 of 1 episodes are the same in every recorded value" in said
    assert "zero-shot (recorded): 0/3" in said and "3 lost" in said, "made-up successes, none played"
    assert re.search(r"QLoRA less LoRA, the first three: -[23]\.\d points .* more: ruled out\n", said)
    assert "QLoRA less LoRA, the first five: not recorded yet" in said
    assert found["sure"] == 2 and found["robust"].count("beyond chance") == 2
    assert {path.stem for path in found["places"]} == {path.stem for path in results.glob("*.json")}
    assert found["places"][0].stem == "zero_shot", "the first policy is what others are compared with"


def test_the_numbers_in_the_text_hold():
    assert episodes_needed(0.9, 0.75) == 97
    assert wilson_interval(0, 20)[1] == pytest.approx(0.16, abs=0.005)
    widget = IntervalPlayground()
    twenty, hundred = (widget.describe(episodes, 75, 90, 100) for episodes in (20, 100))
    assert twenty["won"] + twenty["lost"] == 3 and twenty["paired"] == pytest.approx([0, 0.3])
    assert hundred["paired"] == pytest.approx([0.08, 0.22], abs=0.011)
    assert widget.describe(20, 0, 0, 50)["paired"] == [0, 0]
    assert len(TESTS) - 1 == 16, "one in twenty of them is 0.8"
    assert paired_bootstrap(np.zeros(5, bool), np.zeros(5, bool), 0) == (0.0, 0.0)
