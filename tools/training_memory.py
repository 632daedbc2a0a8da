"""What one training step of the nano keeps in memory, counted in live tensors, beside what the arithmetic says.

Full fine-tuning, LoRA, QLoRA and the head alone, with gradient checkpointing and without; and the arithmetic for the 7B model
beside the numbers that its authors report. Nothing depends on the speed of the machine.

    python tools/training_memory.py             measure and record under data/results/day06/
    python tools/training_memory.py --quick     two samples, nothing is recorded
"""

import argparse
from dataclasses import asdict, replace
from typing import Any

import torch

from vla_course import results
from vla_course.adapters.lora import LoRAConfig, inject
from vla_course.adapters.nf4_linear import quantize_layers
from vla_course.memory.activations import Batch
from vla_course.memory.estimate import MODES, PUBLISHED, estimate_training_state, openvla_7b_table
from vla_course.memory.measured import TrainingState, measure_training_state
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import load_vla

RANK, TEXT_TOKENS, SEED = 8, 40, 0


def learner(mode: str, checkpointing: bool) -> Any:
    """The nano, with what this way to train frees."""
    torch.manual_seed(SEED)
    model = load_vla("nano").float().train()
    if mode == "qlora":
        quantize_layers(model)
    if mode in ("lora", "qlora"):
        inject(model, LoRAConfig(rank=RANK, alpha=2 * RANK))
    if mode == "head":
        model.requires_grad_(False).language_model.lm_head.requires_grad_(True)
    if checkpointing:
        model.activation_checkpointing_enable()
    return model


def measure(mode: str, samples: int, checkpointing: bool) -> tuple[TrainingState, OpenVLAConfig]:
    model = learner(mode, checkpointing)
    random = torch.Generator().manual_seed(SEED)
    ids = torch.randint(4, 250, (samples, TEXT_TOKENS), generator=random)
    side = model.config.image_sizes[0]
    pixels = torch.randn(samples, 6, side, side, generator=random)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels, "labels": ids}
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad])
    state = measure_training_state(model, lambda: model(**given, use_cache=False).loss, optimizer)
    return state, model.config


def megabytes(state: TrainingState) -> dict[str, float]:
    parts = {name: round(value / 1e6, 3) for name, value in asdict(state).items()}
    return {**parts, "total": round(state.total / 1e6, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two samples; nothing is recorded")
    quick = parser.parse_args().quick
    rows = []
    for samples in (2,) if quick else (1, 16):
        for mode in MODES:
            for checkpointing in (False, True) if mode != "head" else (False,):
                state, config = measure(mode, samples, checkpointing)
                batch = Batch(samples, TEXT_TOKENS)
                guess = estimate_training_state(config, mode, batch, rank=RANK, checkpointing=checkpointing)
                error = guess.total / state.total - 1
                trainable = replace(state, weights=0, activations=0, recomputed=0).total
                rows.append(
                    {
                        "mode": mode,
                        "samples": samples,
                        "checkpointing": checkpointing,
                        "measured_mb": megabytes(state),
                        "estimated_mb": megabytes(guess),
                        "error_of_estimate": round(error, 5),
                        "trainable_state_mb": round(trainable / 1e6, 3),
                    }
                )
                label = f"{mode}{', checkpointing' if checkpointing else ''}, {samples} samples"
                print(f"{label:36} {state.total / 1e6:9.2f} MB, estimated {error:+.2%}  {megabytes(state)}")
    print(
        "\nopenvla-7b, bfloat16, rank 32, in GB (tensors that live through a step; no allocator, no scratch space):"
    )
    table = openvla_7b_table()
    for row in table:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(f"reported by its authors: {PUBLISHED}")
    if quick:
        print("(quick run: nothing is recorded)")
        return
    values = {
        "rank": RANK,
        "text_tokens": TEXT_TOKENS,
        "nano": rows,
        "openvla_7b_estimated_gb": table,
        "openvla_7b_published_gb": PUBLISHED,
        "covers": "live tensors: weights, gradients, Adam's moments, activations saved for the backward pass; "
        "not the allocator's reserves, scratch space of kernels or the CUDA context",
    }
    print(f"recorded: {results.write('day06/training_memory', values, seeds=[SEED]).name}")


if __name__ == "__main__":
    main()
