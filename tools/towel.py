"""Every number that the course states about folding towels: runs trained, evaluated from the same starts, recorded.

    python tools/towel.py collect [NAME …]   record the demonstrations that some runs need and that do not ship
    python tools/towel.py train [NAME …]     train these runs, all without a name; one that was stopped goes on
    python tools/towel.py eval [NAME …]      evaluate what has been trained and not been evaluated yet; with --again, also what has
    python tools/towel.py ship               put the adapter that lessons begin with under data/checkpoints/
    python tools/towel.py record             put the evaluations into the study data/results/day07/towel.parquet, and sum them up

Runs lie under build/towel/, demonstrations that do not ship under build/demos/, evaluations under build/evaluations/, one JSON file each, until
they are recorded: so a study that was stopped goes on. Everything is done by `vla-course collect`, `train` and `eval`, so each line can be run by
hand; NAME may end in * ("rank_*").
"""

import argparse
import fnmatch
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vla_course import assets, results
from vla_course.evaluation import record as records
from vla_course.evaluation import studies
from vla_course.evaluation.intervals import interval_over_trainings, paired_bootstrap
from vla_course.evaluation.record import EvaluationRecord, gain
from vla_course.evaluation.robustness import PLAIN, TESTS
from vla_course.fine_tuning.run_folder import STATISTICS
from vla_course.training.metrics import read_metrics

ROOT = assets.CHECKOUT
RUNS, DEMOS, EVALUATIONS = "build/towel", "build/demos", "build/evaluations"
STUDY = "data/results/day07/towel.parquet"
SHIPPED = "data/checkpoints/towel_lora"
TOWELS = ["--preset", "finetune-lora", "--data", "data/demos/towel", "unnorm_key=towel"]
QUANTIZED = "training_mode=qlora"
SEEDS = tuple(range(10))
RECIPES = {
    "recipe_plain": ("steps alone", ["waypoints=false", "shift_m=0"]),
    "recipe_waypoints": ("waypoints first", ["shift_m=0"]),
}
"""The recipe without its last two parts, and without the last: what the lesson calls it, and what is set so."""
WHOLE_RECIPE = "waypoints first, scenes moved"
VARIANTS = {
    "wrist_cameras": (
        "waypoints first, three cameras",
        ["cameras=[close,left_wrist,right_wrist]"],
        ["shift_m=0", "cameras=[close,left_wrist,right_wrist]"],
    ),
    "no_mirror": ("steps alone, no mirror", [], ["waypoints=false", "shift_m=0", "mirror=false"]),
    "joint_state": (
        "the same, told joints",
        ["state_key=joint_position"],
        ["waypoints=false", "shift_m=0", "mirror=false"],
    ),
}
"""Other eyes, and another state: what the lesson calls it, what is recorded so, and what is set so. Angles of joints have no mirror here, and do not
say where a hand is, hence the run between. Scenes are moved in one camera's pictures alone."""
PHRASINGS = (
    "fold the towel",
    "please fold the towel in half",
    "fold this towel in two",
    "fold the towel once",
    "can you fold the towel",
    "take the towel and fold it in half",
    "the towel should be folded in half",
    "make the towel half as long",
    "fold it",
    "now fold the towel in the middle please",
    "I want the towel to lie in two layers",
    "halve the towel",
)
"""Other words for the task, for a run that is told all of them; none is among those of `vla_course.evaluation.language`."""
MANY_WORDS = "LoRA, thirteen ways to say it"
CROPPED = "crop_area=0.9"
CROPS = {
    "crop_kept": ("with the crop", "center_crop=true"),
    "crop_forgotten": ("without", "center_crop=false"),
}
"""Two evaluations of one run that learned from crops."""
RANKS = (1, 2, 4, 8, 16)
"""Each with twice the rank as alpha, as in the preset. All runs of the sweep, and the T-shirt's, are shorter than the preset says."""
SHORT = ["steps=600"]


@dataclass(frozen=True)
class Evaluation:
    """Arguments of `vla-course eval`; the key that this stands under is its name in the study."""

    policy: str
    label: str
    settings: tuple[str, ...] = ()
    episodes: int = 100
    films: bool = False


def collections() -> dict[str, list[str]]:
    """Arguments of `vla-course collect`, by the name of the set."""
    return {name: recorded for name, (_, recorded, _) in VARIANTS.items() if recorded}


def trainings() -> dict[str, list[str]]:
    """Arguments of `vla-course train`, by the name of the run."""
    runs = {f"lora_seed_{seed}": [*TOWELS, f"seed={seed}"] for seed in SEEDS}
    runs |= {f"qlora_seed_{seed}": [*TOWELS, QUANTIZED, f"seed={seed}"] for seed in SEEDS}
    runs |= {name: [*TOWELS, *less] for name, (_, less) in RECIPES.items()}
    for name, (_, recorded, other) in VARIANTS.items():
        data = [f"data={DEMOS}/{name}"] if recorded else []
        runs[name] = [*TOWELS, *data, *other]
    runs["many_words"] = [*TOWELS, f"phrasings=[{','.join(PHRASINGS)}]"]
    runs["cropped"] = [*TOWELS, CROPPED]
    for rank in RANKS:
        runs[f"rank_{rank}"] = [*TOWELS, *SHORT, *_of_rank(rank)]
    runs["tshirt_lora"] = [*TOWELS, *SHORT, *_of_rank(8), "data=data/demos/tshirt", "unnorm_key=tshirt"]
    return runs


def _of_rank(rank: int) -> list[str]:
    return [f"lora.rank={rank}", f"lora.alpha={2 * rank}"]


def evaluations() -> dict[str, Evaluation]:
    """Every evaluation of the study, by its name there, in the order of the study."""
    found = {"zero_shot": Evaluation("nano", "zero-shot", films=True)}
    for way, said in (("lora", "LoRA"), ("qlora", "QLoRA")):
        for seed in SEEDS:
            policy = SHIPPED if (way, seed) == ("lora", 0) else f"{RUNS}/{way}_seed_{seed}"
            found[f"{way}_seed_{seed}"] = Evaluation(policy, f"{said}, seed {seed}", films=seed == 0)
    for name, (said, _) in RECIPES.items():
        found[name] = Evaluation(f"{RUNS}/{name}", said)
    for name, (said, _, _) in VARIANTS.items():
        found[name] = Evaluation(f"{RUNS}/{name}", said)
    for name, (said, setting) in CROPS.items():
        found[name] = Evaluation(f"{RUNS}/cropped", said, (setting,))
    best = found["lora_seed_0"]
    found["many_words_own"] = Evaluation(f"{RUNS}/many_words", MANY_WORDS)
    for words in ("paraphrase", "wrong", "empty"):
        found[f"words_{words}"] = Evaluation(best.policy, best.label, (f"words={words}",))
        found[f"many_words_{words}"] = Evaluation(f"{RUNS}/many_words", MANY_WORDS, (f"words={words}",))
    for test in TESTS:
        if test != PLAIN:
            found[f"test_{test}"] = Evaluation(best.policy, best.label, (f"test={test}",), episodes=40)
    for rank in RANKS:
        found[f"rank_{rank}"] = Evaluation(f"{RUNS}/rank_{rank}", f"rank {rank}", episodes=50)
    tshirt = ("env=FoldTShirt-v0",)
    found["tshirt_zero_shot"] = Evaluation("nano", "zero-shot, T-shirt", tshirt, episodes=20)
    found["tshirt_lora"] = Evaluation(f"{RUNS}/tshirt_lora", "LoRA, T-shirt", tshirt, episodes=20)
    return found


def collect(names: Sequence[str]) -> None:
    for name, settings in _chosen(collections(), names).items():
        _vla_course("collect", *settings, "--out", f"{DEMOS}/{name}")


def train(names: Sequence[str]) -> None:
    for name, arguments in _chosen(trainings(), names).items():
        if (ROOT / RUNS / name / STATISTICS).exists():  # the last file that a run writes
            print(f"{name}: trained already")
            continue
        _vla_course("train", *arguments, "--out", f"{RUNS}/{name}")


def evaluate(names: Sequence[str], again: bool = False) -> None:
    recorded = _recorded()
    for name, asked in _chosen(evaluations(), names).items():
        path = ROOT / EVALUATIONS / f"{name}.json"
        if not again and (path.exists() or name in recorded):
            print(f"{name}: evaluated already")
            continue
        settings = [f"label={asked.label}", f"episodes={asked.episodes}", *asked.settings]
        _vla_course("eval", asked.policy, "--json", f"{EVALUATIONS}/{name}.json", *settings)


def ship() -> None:
    """The run's folder without what is only needed to go on with it, and without places of this machine."""
    run, target = ROOT / RUNS / "lora_seed_0", ROOT / SHIPPED
    target.mkdir(parents=True, exist_ok=True)
    for name in (
        "adapter_config.json",
        "adapter_model.safetensors",
        "dataset_statistics.json",
        "metrics.jsonl",
    ):
        shutil.copyfile(run / name, target / name)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    (target / "config.yaml").write_text(yaml.safe_dump({**settings, "out": SHIPPED}, sort_keys=False))


def record() -> None:
    done = _keep_in_study()
    counts = {
        name: {"successes": one.evaluation.successes, "episodes": len(one.evaluation.episodes)}
        for name, one in done.items()
    }
    ours = [name for name in done if name.startswith(("zero_shot", "lora_seed", "qlora_seed"))]
    order = sorted(ours, key=lambda name: list(evaluations()).index(name))
    seeds = sorted({int(name.rsplit("_", 1)[1]) for name in order if name[-1].isdigit()})
    results.write(
        "day05/towel", {"rows": {done[name].config.name: counts[name] for name in order}}, seeds=seeds
    )
    parts = [name for name in (*RECIPES, "lora_seed_0") if name in done]
    if len(parts) == 1 + len(RECIPES):
        said = {**{name: words for name, (words, _) in RECIPES.items()}, "lora_seed_0": WHOLE_RECIPE}
        results.write("day05/recipe", {"rows": {said[name]: counts[name] for name in parts}}, seeds=[0])
    variants = ["recipe_waypoints", *VARIANTS]
    if done.keys() >= {*variants}:
        rows = {done[name].config.name: counts[name] for name in variants}
        results.write("day05/variants", {"rows": rows}, seeds=[0])
    if done.keys() >= CROPS.keys():
        rows = {said: counts[name] for name, (said, _) in CROPS.items()}
        change = gain(done["crop_kept"], done["crop_forgotten"])
        values = {"rows": rows, "difference": str(change)}
        results.write("day04/center_crop", values, seeds=[0])
    swept = [rank for rank in RANKS if f"rank_{rank}" in done]
    if swept:
        rows = [_swept(rank, counts[f"rank_{rank}"]) for rank in swept]
        results.write("day05/rank_sweep", {"rows": rows}, seeds=[0])
    pairs = [seed for seed in SEEDS if {f"lora_seed_{seed}", f"qlora_seed_{seed}"} <= done.keys()]
    if len(pairs) > 1:
        results.write("day06/qlora_against_lora", _difference(done, counts, pairs), seeds=pairs)


def _recorded() -> Mapping[str, dict]:
    """The content of the study's evaluations as it stands; nothing where there is no study yet."""
    study = studies.load(ROOT / STUDY) if (ROOT / STUDY).exists() else None
    return {} if study is None else {name: study.content(name) for name in study}


def _keep_in_study() -> Mapping[str, EvaluationRecord]:
    """Put what was evaluated since into the study, with the films that ship, and return the study."""
    fresh = {path.stem: records.read(path) for path in (ROOT / EVALUATIONS).glob("*.json")}
    known = {**_recorded(), **fresh}
    if fresh:
        studies.write({name: known[name] for name in evaluations() if name in known}, ROOT / STUDY)
    study = studies.load(ROOT / STUDY)
    for name in fresh.keys() & study.keys():
        if evaluations()[name].films:
            for film in fresh[name].films.values():
                shutil.copyfile(ROOT / EVALUATIONS / film.file, (ROOT / STUDY).with_name(film.file))
    return study


def _swept(rank: int, counted: Mapping[str, int]) -> dict[str, float]:
    folder = ROOT / RUNS / f"rank_{rank}"
    lines = read_metrics(folder)[-10:]
    adapter = _learned_numbers(folder)
    means = {
        key: sum(line[key] for line in lines) / len(lines) for key in ("loss/bc", "policy/token_accuracy")
    }
    return {
        "rank": rank,
        "learns": adapter,
        "loss": means["loss/bc"],
        "token_accuracy": means["policy/token_accuracy"],
        **counted,
    }


def _learned_numbers(folder: Path) -> int:
    """How many numbers an adapter has."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        return sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118  (it is no mapping)


def _difference(done: Mapping, counts: Mapping, seeds: Sequence[int]) -> dict:
    """QLoRA less LoRA: over all pairs of a seed and a start, with the interval from drawing pairs again; and over trainings alone."""
    import numpy as np

    won = {
        way: np.array(
            [episode.success for seed in seeds for episode in done[f"{way}_seed_{seed}"].evaluation.episodes]
        )
        for way in ("lora", "qlora")
    }
    low, high = paired_bootstrap(won["lora"], won["qlora"], 0)
    sums = {
        way: {
            what: sum(counts[f"{way}_seed_{seed}"][what] for seed in seeds)
            for what in ("successes", "episodes")
        }
        for way in won
    }
    each = [gain(done[f"lora_seed_{seed}"], done[f"qlora_seed_{seed}"]) for seed in seeds]
    mean = float(won["qlora"].mean() - won["lora"].mean())
    points = {"mean": 100 * mean, "low": 100 * low, "high": 100 * high}
    trainings = np.array([100 * one.mean for one in each])
    low, high = interval_over_trainings(trainings)
    over = {
        "points": trainings.tolist(),
        "mean": float(trainings.mean()),
        "low": low,
        "high": high,
    }
    return {
        **sums,
        "difference_points": points,
        "by_seed": [str(one) for one in each],
        "over_trainings": over,
    }


def _chosen(table: Mapping, names: Sequence[str]) -> dict:
    for name in names:
        if not fnmatch.filter(table, name):
            sys.exit(f"nothing is called {name!r}; there are {', '.join(table)}")
    return {
        key: one for key, one in table.items() if not names or any(fnmatch.fnmatch(key, n) for n in names)
    }


def _vla_course(*arguments: str) -> None:
    print("vla-course", *arguments, flush=True)
    subprocess.run([str(Path(sys.executable).with_name("vla-course")), *arguments], check=True, cwd=ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("collect", "train", "eval", "ship", "record"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--again", action="store_true", help="evaluate also what has been evaluated already")
    options = parser.parse_args()
    if options.what in ("ship", "record"):
        {"ship": ship, "record": record}[options.what]()
    elif options.what == "eval":
        evaluate(options.names, options.again)
    else:
        {"collect": collect, "train": train}[options.what](options.names)


if __name__ == "__main__":
    main()
