"""The measured memory of training: the bytes of tensors that are alive.

Every storage counts once, however many tensors look at it. What the allocator or other programs hold is not in here.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class TrainingState:
    """Bytes that live through one training step."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    """What the forward pass saves for the backward pass."""
    recomputed: int = 0
    """With gradient checkpointing: what the largest block saves again while it is computed a second time."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.recomputed


def measure_training_state(
    model: nn.Module, loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer
) -> TrainingState:
    """Run one training step and count what it keeps: the forward pass of `loss`, the backward pass, the optimiser's step.

    The optimiser really steps, so that its moments are there. Memory of the GPU or of the CPU, wherever the tensors are.
    """
    weights, blocks = weight_storages(model), list[int]()
    with _rehearsed(model, weights, blocks), Saved(weights) as saved:
        value = loss()
    activations = saved.bytes
    del saved
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values()]
    return TrainingState(
        weights=byte_count(weights),
        gradients=byte_count(storages(p.grad for p in model.parameters() if p.grad is not None)),
        optimizer=byte_count(storages(value for value in moments if isinstance(value, torch.Tensor))),
        activations=activations,
        recomputed=max(blocks, default=0),
    )


def storages(tensors: Iterable[torch.Tensor]) -> dict[int, torch.UntypedStorage]:
    """What lies behind some tensors, each once. Holding it keeps its number from being given to another."""
    by_address = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        by_address[storage._cdata] = storage
    return by_address


def weight_storages(model: nn.Module) -> dict[int, torch.UntypedStorage]:
    """Weights, buffers, and the scales that bitsandbytes keeps beside packed weights."""
    scales = []
    for parameter in model.parameters():
        state: Any = getattr(parameter, "quant_state", None)
        while state is not None:
            scales += [value for value in (state.absmax, state.code, state.offset) if value is not None]
            state = state.state2
    return storages([*model.parameters(), *model.buffers(), *scales])


class Saved:
    """While open, counts what the forward pass saves for the backward pass, but not what is in `known`."""

    def __init__(self, known: dict[int, torch.UntypedStorage]) -> None:
        self.known = known
        self.found: dict[int, torch.UntypedStorage] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._see, lambda tensor: tensor)

    def _see(self, tensor: torch.Tensor) -> torch.Tensor:
        self.found |= {key: one for key, one in storages([tensor]).items() if key not in self.known}
        return tensor

    @property
    def bytes(self) -> int:
        """How much that was."""
        return byte_count(self.found)

    def __enter__(self) -> "Saved":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)


def byte_count(distinct: dict[int, torch.UntypedStorage]) -> int:
    """Bytes of some storages together."""
    return sum(storage.nbytes() for storage in distinct.values())


@contextmanager
def _rehearsed(model: nn.Module, known: dict[int, torch.UntypedStorage], sizes: list[int]) -> Iterator[None]:
    """Before a block runs under gradient checkpointing, run it once without, to see what its second computation will save."""

    def rehearse(checkpoint: Callable[..., Any], run: Callable[..., Any], *inputs: Any) -> Any:
        given = storages(value for value in inputs if isinstance(value, torch.Tensor))
        with torch.random.fork_rng(devices=[]), Saved(known | given) as saved:
            run(*inputs)
        sizes.append(saved.bytes)
        return checkpoint(run, *inputs)

    blocks: list[Any] = [
        module for module in model.modules() if vars(module).get("_gradient_checkpointing_func") is not None
    ]
    originals = [block._gradient_checkpointing_func for block in blocks]
    for block, original in zip(blocks, originals, strict=True):
        block._gradient_checkpointing_func = partial(rehearse, original)
    try:
        yield
    finally:
        for block, original in zip(blocks, originals, strict=True):
            block._gradient_checkpointing_func = original
