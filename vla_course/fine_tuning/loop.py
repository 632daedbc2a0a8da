"""The loop: draw samples, compare what the model says with what the expert did, change what learns a little."""

import errno
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.frozen_features import Samples
from vla_course.fine_tuning.losses import action_token_loss
from vla_course.fine_tuning.resuming import kept_checkpoint, settings_of
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.training import checkpoints
from vla_course.training.checkpoints import Checkpoint
from vla_course.training.metrics import MetricLog, read_metrics
from vla_course.training.sample_order import Order
from vla_course.training.schedule import warmup_cosine

Loss = Callable[[Any, Mapping[str, torch.Tensor]], tuple[torch.Tensor, dict[str, float]]]
Schedule = Callable[[int, int, int, float], float]
Watch = Callable[[list[dict[str, Any]]], None]
PRECISION = {"fp32": "no", "bf16": "bf16"}


def fine_tune(
    model: OpenVLAForActionPrediction,
    samples: Samples,
    config: TrainConfig,
    *,
    validation: Samples | None = None,
    schedule: Schedule = warmup_cosine,
    loss_at: Callable[[int], Loss] = lambda step: action_token_loss,
    watch: Watch | None = None,
    progress: bool = True,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Train what learns in `model`, in place, and keep checkpoint and metrics in the folder `config.out`.

    A run that was broken off goes on from its last checkpoint and ends with the same weights as one that was not: the order of
    the samples, their augmentation and dropout follow from seed and step. A full disk costs the checkpoint that did not fit. `watch`
    gets all lines of the metrics file whenever there is a new one. `loss_at` gives the loss of a step. `sources` are fingerprints
    of the files behind samples and model, which are kept with the checkpoint.

    Raises:
        ValueError: nothing learns in this model, or the folder holds a run with other settings or from other files.
    """
    training = FineTuning(model, samples, config, watch, progress, sources)
    for step in training.steps():
        training.set_learning_rate(schedule(step, config.warmup_steps, config.steps, config.learning_rate))
        for part in range(config.gradient_accumulation):
            batch = training.batch(step * config.gradient_accumulation + part)
            with plain_attention(
                training.accelerator.device
            ):  # on the way back too: checkpointed layers run again there
                with training.accelerator.autocast():
                    value, metrics = loss_at(step)(training.model, batch)
                training.accelerator.backward(value / config.gradient_accumulation)
            training.note(metrics)
        norm = training.accelerator.clip_grad_norm_(training.learning, config.max_gradient_norm)
        training.optimizer.step()
        training.optimizer.zero_grad()
        training.note({"optimizer/gradient_norm": float(norm)})
        training.after(step, validation, loss_at(config.steps - 1))


class FineTuning:
    """What goes on around the steps of one training: devices, batches, checkpoints, numbers."""

    def __init__(
        self,
        model: OpenVLAForActionPrediction,
        samples: Samples,
        config: TrainConfig,
        watch: Watch | None = None,
        progress: bool = True,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self._whole, self.config, self._watch, self._progress = model, config, watch, progress
        self.folder = Path(config.out)
        learning = checkpoints.learning_weights(model)
        if not learning:
            raise ValueError("nothing learns in this model: prepare(model, config) first")
        # In every model there are weights that never run: the last block of each tower.
        self.accelerator = Accelerator(
            mixed_precision=PRECISION[config.precision],
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        parameters = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self._sources = dict(sources or {})
        kept = kept_checkpoint(config, sources)
        if kept is not None:
            checkpoints.restore_weights(model, kept.weights)
            optimizer.load_state_dict(kept.optimizer)
        self.done = 0 if kept is None else kept.step
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.learning = [weight for weight in self.model.parameters() if weight.requires_grad]
        self._batches = _Batches(samples, config, self.accelerator)
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    def steps(self) -> Iterator[int]:
        """The steps that are not done yet, with a progress bar; the random numbers of each follow from seed and step."""
        main = self.accelerator.is_main_process
        self._log = MetricLog(self.folder, self.done) if main else None
        self.model.train()
        self._since = time.perf_counter()
        with tqdm(
            total=self.config.steps, initial=self.done, unit="step", disable=not (self._progress and main)
        ) as self._bar:
            try:
                for step in range(self.done, self.config.steps):
                    torch.manual_seed(self._batches.seed(step))
                    yield step
            finally:
                self._batches.close()
                if self._log is not None:
                    with survives_a_full_disk("TensorBoard's last file"):
                        self._log.close()

    def set_learning_rate(self, rate: float) -> None:
        """Tell the optimiser how fast to learn in this step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.note({"optimizer/lr": rate})

    def batch(self, number: int) -> dict[str, torch.Tensor]:
        """One batch on the device; while the model works on it, the next is made."""
        began = time.perf_counter()
        batch = self._batches.take(number)
        self.note({"time/data_share": time.perf_counter() - began})
        return batch

    def note(self, metrics: Mapping[str, float]) -> None:
        """Remember numbers; the log gets their means."""
        for name, value in metrics.items():
            self._sums[name] += value
            self._counts[name] += 1

    def after(self, step: int, validation: Samples | None, loss: Loss) -> None:
        """Write numbers and checkpoint where it is time for them."""
        done, config = step + 1, self.config
        last = done == config.steps
        if validation is not None and (done % config.validate_every == 0 or last):
            self.note(
                {f"validation/{name}": value for name, value in self._measure(validation, loss).items()}
            )
        if done % config.log_every == 0 or last:
            self._write(done)
        if (done % config.save_every == 0 or last) and self.accelerator.is_main_process:
            with survives_a_full_disk(f"the checkpoint of step {done}"):
                checkpoints.save(self.folder, self._checkpoint(done))
        self._bar.update()

    def _checkpoint(self, done: int) -> Checkpoint:
        weights = checkpoints.learning_weights(self._whole)
        return Checkpoint(done, weights, self.optimizer.state_dict(), settings_of(self.config), self._sources)

    def _write(self, done: int) -> None:
        now = time.perf_counter()
        seconds, waited = now - self._since, self._sums["time/data_share"]
        means = {name: self._sums[name] / self._counts[name] for name in self._counts}
        steps = self._counts["optimizer/lr"]
        means["time/data_share"] = waited / seconds
        means["time/samples_per_second"] = steps * self._batches.samples_per_step / seconds
        self._bar.set_postfix(loss=f"{means.get('loss/bc', float('nan')):.3f}", refresh=False)
        if self._log is not None:
            with survives_a_full_disk(f"the metrics of step {done}"):
                self._log.write(done, means)
            if self._watch is not None:
                self._watch(read_metrics(self.folder))
        self._sums.clear()
        self._counts.clear()
        self._since = time.perf_counter()

    @torch.no_grad()
    def _measure(self, validation: Samples, loss: Loss, most: int = 512) -> dict[str, float]:
        """Means over evenly spread frames of the episodes that are not trained on."""
        chosen = np.unique(np.linspace(0, len(validation) - 1, min(most, len(validation))).astype(int))
        parts = np.array_split(chosen, -(-len(chosen) // self.config.batch_size))
        sums: dict[str, float] = defaultdict(float)
        self.model.eval()
        for part in parts:
            batch = {
                name: value.to(self.accelerator.device)
                for name, value in validation.batch(part, None).items()
            }
            with self.accelerator.autocast():
                for name, value in loss(self.model, batch)[1].items():
                    sums[name.split("/")[-1]] += value * len(part) / len(chosen)
        self.model.train()
        return sums


class _Batches:
    """Batches by number, the next one made while the model works on this one. Each process takes its own share."""

    def __init__(self, samples: Samples, config: TrainConfig, accelerator: Accelerator) -> None:
        self._samples, self._augment = samples, config.augment
        self._device, self._share = accelerator.device, accelerator.process_index
        self._shares = accelerator.num_processes
        self._order = Order(len(samples), config.batch_size * self._shares, config.seed)
        self._seed, self._total = config.seed, config.steps * config.gradient_accumulation
        self.samples_per_step = config.samples_per_step * self._shares
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[int, Future[dict[str, torch.Tensor]]] | None = None

    def take(self, number: int) -> dict[str, torch.Tensor]:
        waiting, self._next = self._next, None
        future = waiting[1] if waiting and waiting[0] == number else self._worker.submit(self._make, number)
        batch = future.result()
        if number + 1 < self._total:
            self._next = (number + 1, self._worker.submit(self._make, number + 1))
        return {name: value.to(self._device) for name, value in batch.items()}

    def seed(self, step: int) -> int:
        """A seed for dropout, another one for every step and process."""
        words = np.random.SeedSequence([self._seed, 2, step, self._share]).generate_state(1, np.uint64)
        return int(words[0] >> 1)

    def close(self) -> None:
        self._worker.shutdown(cancel_futures=True)

    def _make(self, number: int) -> dict[str, torch.Tensor]:
        indices = self._order.batch(number)[self._share :: self._shares]
        rng = self._order.rng(number * self._shares + self._share) if self._augment else None
        return self._samples.batch(indices, rng)


def plain_attention(device: torch.device) -> AbstractContextManager[Any]:
    """On a CPU attention in plain matrix products: torch's fused kernel takes five times as long on the way back from a hundred tokens.

    It saves memory, which matters on a GPU and for long sequences, and not here.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


@contextmanager
def survives_a_full_disk(what: str) -> Iterator[None]:
    """Say what could not be written, and go on; any other error is raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        warnings.warn(f"the disk is full, {what} was not written; training goes on", stacklevel=3)
