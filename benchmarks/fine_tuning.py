"""Fine-tuning the nano: samples a second, against the same step through `transformers.Trainer` and `peft`.

Both train the same adapters (the preset's) of the same model on the same batches with AdamW, warm-up, cosine, clipping and the
preset's precision, turn by turn, on one core; CPU time, medians of the rounds' ratios. `finetune-standard` leaves the eyes as they are, and ours looks at
each picture once: what that takes is measured apart, and counted at the preset's own number of steps. `finetune-lora` adapts
the eyes too and augments pictures, so that nothing can be kept.
"""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from measuring.report import Row, asked_to_be_quick, finish

import numpy as np  # isort: skip  (after the thread count is set)
import peft
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from vla_course.adapters.peft_format import peft_config
from vla_course.data.augmentation import AugmentationConfig
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.data.samples import DemonstrationSamples
from vla_course.data.statistics import dataset_statistics
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.frozen_features import Samples, look_once
from vla_course.fine_tuning.loop import fine_tune
from vla_course.fine_tuning.modes import prepare, towers_are_frozen
from vla_course.fine_tuning.run_folder import tell_data
from vla_course.openvla.load import load_vla
from vla_course.settings import read_settings
from vla_course.training.sample_order import Order

KEY, NUMBERS, SIDE = "bench", 14, 84
EPISODES, FRAMES = 8, 64
ROUNDS, STEPS, WARM_UP = 5, 12, 3
TARGETS = {"finetune-standard": "≥ 1.2", "finetune-lora": ""}


@dataclass(frozen=True)
class Round:
    """Samples a CPU second of both, and what of our step went into making its batch."""

    ours: float
    theirs: float
    data_share: float


class Clock(TrainerCallback):
    """The CPU time of all steps after the warm-up."""

    def __init__(self) -> None:
        self.steps, self.began, self.ended = 0, 0.0, 0.0

    def on_step_end(self, *_: object, **__: object) -> None:
        """Called by the Trainer."""
        self.steps += 1
        if self.steps == WARM_UP:
            self.began = time.process_time()
        self.ended = time.process_time()

    def per_second(self, batch_size: int) -> float:
        """Samples a second."""
        return (self.steps - WARM_UP) * batch_size / (self.ended - self.began)


class Numbered(torch.utils.data.Dataset):
    """For the Trainer, a sample is its number, and the collator makes a batch as ours is made."""

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: int) -> int:
        return index


def demonstrations(folder: Path) -> LeRobotDataset:
    """Random pictures of the model's size, with states and actions as long as the folding robot's."""
    random = np.random.default_rng(0)
    with LeRobotWriter(folder, fps=5, camera="close", robot_type="benchmark") as writer:
        for seed in range(EPISODES):
            states, actions = random.uniform(-1, 1, (2, FRAMES, NUMBERS)).astype(np.float32)
            images = random.integers(0, 256, (FRAMES, SIDE, SIDE, 3), np.uint8)
            writer.add(Episode(images, states, actions, "fold the towel", True, seed))
        writer.finalize()
    return LeRobotDataset(folder)


def model_for(dataset: LeRobotDataset):
    model = load_vla("nano")
    tell_data(model, dataset_statistics(dataset.tracks(), KEY), NUMBERS)
    return model


def samples_for(model, dataset: LeRobotDataset, config: TrainConfig) -> DemonstrationSamples:
    augmentation = AugmentationConfig(crop_area=config.crop_area) if config.augment else None
    return DemonstrationSamples(model, dataset, KEY, augmentation=augmentation)


def their_speed(model, samples: Samples, config: TrainConfig, folder: Path) -> float:
    rng = np.random.default_rng(0) if config.augment else None
    wrapped = peft.get_peft_model(model, peft_config(model, config.lora))
    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=config.batch_size, max_steps=config.steps, use_cpu=True,
        learning_rate=config.learning_rate, warmup_steps=config.warmup_steps, lr_scheduler_type="cosine",
        max_grad_norm=config.max_gradient_norm, weight_decay=config.weight_decay, optim="adamw_torch",
        logging_steps=config.log_every, save_strategy="no", report_to="none", disable_tqdm=True,
        remove_unused_columns=False, label_names=["labels"], log_level="error", bf16=config.precision == "bf16",
    )  # fmt: skip
    clock = Clock()
    Trainer(
        wrapped, arguments, train_dataset=Numbered(len(samples)), callbacks=[clock],
        data_collator=lambda indices: samples.batch(np.array(indices), rng),
    ).train()  # fmt: skip
    return clock.per_second(config.batch_size)


def our_speed(model, samples: Samples, config: TrainConfig) -> float:
    began: list[float] = []

    def schedule(step: int, warmup: int, total: int, peak: float) -> float:
        began.append(time.process_time())  # a step begins by asking for its rate
        return peak

    fine_tune(model, samples, config, schedule=schedule, progress=False)
    return (len(began) - 1 - WARM_UP) * config.batch_size / (began[-1] - began[WARM_UP])


def batch_seconds(samples: Samples, config: TrainConfig, count: int) -> float:
    """CPU time of making one batch, alone."""
    order = Order(len(samples), config.batch_size, 0)
    began = time.process_time()
    for number in range(count):
        samples.batch(order.batch(number), order.rng(number) if config.augment else None)
    return (time.process_time() - began) / count


def looking_seconds(model, samples: Samples) -> float:
    """CPU time of looking at one picture, once."""
    began = time.process_time()
    look_once(model, samples, range(len(samples)))
    return (time.process_time() - began) / len(samples)


def measure(preset: str, dataset: LeRobotDataset, steps: int, rounds: int) -> tuple[list[Row], dict]:
    settings = {"preset": preset, "overrides": ["data=here", "out=there", f"steps={steps}", "warmup_steps=2"]}
    config = replace(read_settings(TrainConfig, **settings), save_every=10**6, log_every=10**6)
    measured: list[Round] = []
    looking: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            model = model_for(dataset)
            theirs = their_speed(model, samples_for(model, dataset, config), config, Path(folder) / "theirs")
            model = model_for(dataset)
            prepare(model, config)
            samples: Samples = samples_for(model, dataset, config)
            if towers_are_frozen(model) and not config.augment:
                looking.append(looking_seconds(model, samples))
                samples = look_once(model, samples, range(len(samples)))
            ours = our_speed(model, samples, replace(config, out=str(Path(folder) / "ours")))
            making = batch_seconds(samples, config, steps)
            measured.append(Round(ours, theirs, making * ours / config.batch_size))
    ratio = statistics.median(one.ours / one.theirs for one in measured)
    rows = [
        Row(f"{preset}: ours over Trainer + peft", ratio, "", TARGETS[preset]),
        Row(f"{preset}: ours", statistics.median(one.ours for one in measured), "per s"),
        Row(f"{preset}: Trainer + peft", statistics.median(one.theirs for one in measured), "per s"),
        Row(
            f"{preset}: share of making batches",
            statistics.median(one.data_share for one in measured),
            "",
            "≤ 0.1",
        ),
    ]
    if looking:
        rows.append(Row(f"{preset}: looking at a picture once", 1000 * statistics.median(looking), "ms"))
        rows.append(whole_run(preset, measured, statistics.median(looking)))
    return rows, {preset: [vars(one) for one in measured]}


def whole_run(preset: str, measured: list[Round], look_s: float, frames: int = 8000) -> Row:
    """The ratio of the preset's whole run on `frames` frames, looking included."""
    config = read_settings(TrainConfig, preset=preset, overrides=["data=here", "out=there"])
    samples = config.steps * config.samples_per_step
    ratios = [samples / one.theirs / (samples / one.ours + frames * look_s) for one in measured]
    return Row(
        f"{preset}: the same, whole run, looking at {frames} frames included",
        statistics.median(ratios),
        "",
        "≥ 1.2",
    )


def main() -> None:
    quick = asked_to_be_quick(__doc__.splitlines()[0])
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    rows: list[Row] = []
    details: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = demonstrations(Path(folder) / "set")
        for preset in TARGETS:
            found, rounds = measure(preset, dataset, WARM_UP + 3 if quick else STEPS, 1 if quick else ROUNDS)
            rows += found
            details |= rounds
    finish("fine_tuning", rows, seeds=[0], quick=quick, world="nano", details={"rounds": details})


if __name__ == "__main__":
    main()
