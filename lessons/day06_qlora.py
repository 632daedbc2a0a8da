# %% [markdown]
# # Day 06 · QLoRA: four bits per weight, and where the memory goes
#
# About an hour and a half, with a natural pause in the middle. You need Day 05's idea of an adapter: the weights stay as they are, two
# thin matrices beside each layer learn.
#
# **What you will have at the end.** A format of four bits per weight that is *yours*, equal to the one everybody uses bit for bit; the
# nano OpenVLA driving the arm with it; and the arithmetic that tells you what fits on a graphics card before you rent it.

# %% tags=["picture"]
from vla_course.widgets import memory_bars

memory_bars.promise()

# %% [markdown]
# The same 7.5 billion weights, the same sixteen pictures at a time, four ways to train. The longest bar needs more than the largest card
# in the picture (80 GB, the last dashed line), the QLoRA bar a gaming card. (These bars are computed, by the function that you will
# write in 06.5. Below it is held against measured bytes.)
#
# ## Where this sits
#
# ```
# Day 05   a layer  =  frozen weights, 32 or 16 bits  +  A and B, which learn
#                            │
# today                      └─► 4 bits: 06.1 levels ─► 06.2 codes ─► 06.3 weights again
#                                        06.4 what that really takes
#
#          memory   =  weights + gradients + Adam's moments  +  activations
#                      └──────────── 06.5 ────────────────┘     └─ the part that nobody mentions
# ```
#
# | from minute | | what you can do then |
# | --- | --- | --- |
# | 0 | the bill | see what one step of training keeps in memory |
# | 8 | 06.1, 06.2, 06.3 | turn weights into four bits and back, as bitsandbytes does, bit for bit |
# | 40 | on the robot | drive the arm with four bits per weight |
# | 50 | 06.4, 06.5 | say what it costs, and be right to a fraction of a percent |
# | 70 | train beside four bits | QLoRA next to LoRA |
# | 78 | break it | find out which weights must not be touched, and what the odd levels are worth |

# %%
import copy
import importlib.util
import logging
import tempfile
import time
from statistics import NormalDist

import numpy as np
import torch
from IPython.display import Markdown
from jaxtyping import Float, UInt8
from torch import nn

from vla_course import plots, predictions, results, video
from vla_course.adapters.lora import LoRAConfig, adaptable_layers, inject
from vla_course.adapters.nf4 import pack, unpack
from vla_course.adapters.nf4_linear import quantize_layers
from vla_course.checks import day06 as checks
from vla_course.data.demonstrations import CollectConfig, make_demonstrations
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.samples import DemonstrationSamples, add_statistics
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.evaluation import tabletop_recording
from vla_course.evaluation.episodes import evaluate
from vla_course.evaluation.intervals import bootstrap_interval, interval_over_trainings
from vla_course.fine_tuning.losses import action_token_loss
from vla_course.memory.activations import Batch
from vla_course.memory.estimate import PUBLISHED, estimate_training_state, openvla_7b_table, sizes
from vla_course.memory.measured import byte_count, measure_training_state, storages, weight_storages
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import load_vla
from vla_course.openvla.processor import build_prompt
from vla_course.policies.openvla import tabletop_policy

torch.set_num_threads(1)  # small matrices: more threads only wait for one another

# %% [markdown]
# ## The bill
#
# Something to train, and something to train on: the nano of Day 01, and eight demonstrations that the tabletop's scripted expert gives
# now, written and read as on Day 04.

# %% tags=["demo"]
nano = load_vla("nano")
size = nano.config.image_size
with tempfile.TemporaryDirectory() as folder:
    wanted = CollectConfig(env="Tabletop-v0", episodes=8, image_size=(size, size), workers=1)
    make_demonstrations(wanted, f"{folder}/few", progress=False)
    dataset = LeRobotDataset(f"{folder}/few")
    add_statistics(nano, dataset, "few")
    samples = DemonstrationSamples(nano, dataset, "few", augmentation=None)
print(f"{dataset.num_episodes} demonstrations, {len(samples)} pictures with the action that belongs to each")

# %% [markdown]
# One step of training, and at its end a count of everything that had to be kept: every storage behind a live tensor, once.


# %% tags=["demo"]
def prepared(way, checkpointing=False):
    """The nano with what learns in this way to train, and an optimiser for it."""
    torch.manual_seed(0)
    model = copy.deepcopy(nano).train()
    if way == "QLoRA":
        quantize_layers(model, quantize=quantize_nf4, dequantize=dequantize_nf4)
    if way != "full":
        inject(model, LoRAConfig(rank=8, alpha=16))
    if checkpointing:
        model.activation_checkpointing_enable()
    return model, torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-3)


# %% tags=["demo"]
BATCH = 8


def step(way, checkpointing=False):
    """One training step, and the bytes that lived through it."""
    model, optimizer = prepared(way, checkpointing)
    batch = samples.batch(np.arange(BATCH))
    return model, measure_training_state(model, lambda: action_token_loss(model, batch)[0], optimizer)


_, bill = step("full")
for part in ("weights", "gradients", "optimizer", "activations"):
    print(f"{part:12s}{getattr(bill, part) / 1e6:6.1f} MB")

# %% [markdown]
# Four parts. The weights themselves are a small one. Every weight that learns has a gradient beside it, and two numbers of Adam's. Then
# there are the *activations*: what the forward pass saves so that the backward pass can use it.
#
# LoRA shrinks the second and the third: what does not learn has neither. Of these three the weights are then the largest, although nothing changes them. Must
# a number that nobody changes have 16 or 32 bits? (The activations are a matter of their own, in the second half.)
#
# ## The idea, on one screen
#
# **Sixteen levels.** Four bits can name sixteen numbers. Which ones? The weights of a trained layer are spread like a bell around 0, so
# even steps would waste levels on the ends, where few weights are. *NF4* puts the levels at quantiles of a normal distribution: about as
# many weights for each. One of them is exactly 0.
#
# **Blocks.** Each 64 weights that follow each other share a scale $s$, the largest size among them. A weight $w$ becomes the number $c$ of the level
# that is nearest to $w / s$, and comes back as $s \cdot \text{level}_c$. One large weight spoils its own block and no other.
#
# **Nothing is computed in four bits.** A layer unpacks its weights, multiplies in 16 or 32 bits, and forgets them again. Gradients flow
# *through* it to the adapters; the codes never change:
#
# $$y = x \, W_{\text{unpacked}}^\top + \tfrac{\alpha}{r}\, x A^\top B^\top .$$
#
# **The bill.** Each of $F$ frozen weights takes $f$ bytes. Each of $T$ trained weights takes $w$ bytes, its gradient $g$, and Adam's two moments 8. Together
# $F f + T (w + g + 8)$ bytes, and the activations on top.
#
# In the exercises the docstring says *what*; how is yours. Lines under `Raises` and `Source` tell about the library: the checks do
# not ask for them.

# %% [markdown]
# ## 06.1 Sixteen levels
#
# `NormalDist().inv_cdf(share)` says below which number a share of a normal distribution lies. At 0 and 1 it is infinite, so
# the QLoRA authors begin a little inside, at a share of their choice:

# %%
OUTERMOST = 0.9677083

# %%
from vla_course.adapters.nf4 import nf4_codebook  # exercise

# %%
checks.check_nf4_codebook(nf4_codebook)

# %% [markdown]
# Are the nano's weights spread like that? Below are all that will be quantised, each divided by the largest of its block, and under them
# your levels.

# %%
LEVELS = nf4_codebook()

# %% tags=["demo"]
head = nano.get_output_embeddings()
layers = [
    layer for layer in adaptable_layers(nano).values() if isinstance(layer, nn.Linear) and layer is not head
]
weights = torch.cat([layer.weight.detach().reshape(-1, 64) for layer in layers])
scaled = (weights / weights.abs().amax(dim=1, keepdim=True)).flatten()
inside = scaled[scaled.abs() < 1]  # each block has one at an end, by construction

# %% tags=["demo"]
drawing, (axes,) = plots.figure(width=7.4, height=2.8)
axes.hist(inside.numpy(), bins=121, color=plots.PALE)
for levels, place, color in (
    (LEVELS, -0.06, plots.COLORS[1]),
    (torch.linspace(-1, 1, 16), -0.13, plots.GREY),
):
    axes.plot(levels, [place * axes.get_ylim()[1]] * 16, "|", color=color, markersize=13, clip_on=False)
axes.set(yticks=[], xlim=(-1.02, 1.02), title="a weight, divided by the largest of its block")
axes.set_xlabel("orange: your levels, grey: sixteen even ones", labelpad=16)
plots.picture(
    drawing, "A bell around 0 over marks that are close together in its middle, and over even marks."
)

# %% [markdown]
# ## 06.2 Codes
#
# Now the way there. The docstring says "the number of the level that is nearest".

# %%
from vla_course.adapters.nf4 import quantize_nf4  # exercise

# %%
checks.check_quantize_nf4(quantize_nf4)

# %% [markdown]
# ## 06.3 Weights again
#
# And the way back, which is what runs in every forward pass.

# %%
from vla_course.adapters.nf4 import dequantize_nf4  # exercise

# %%
checks.check_dequantize_nf4(dequantize_nf4)

# %% [markdown]
# ### Does each level earn its place?
#
# If the levels are where the weights are, none is hardly used. Count your codes over the whole nano, and those that sixteen even levels would
# give.

# %% tags=["demo"]
codes, absmax = quantize_nf4(weights)
even = torch.linspace(-1, 1, 16)
even_codes = torch.bucketize(scaled, (even[:-1] + even[1:]) / 2)
for name, found in (("NF4", codes), ("even levels", even_codes)):
    share = 100 * torch.bincount(found.flatten().int(), minlength=16) / found.numel()
    print(f"{name:12s} rarest level {share.min():4.1f} % of the weights, most frequent {share.max():4.1f} %")

# %% [markdown]
# Equal shares would be 6.25 % each. (The ends of a block are its largest weights, so they are used more or less whatever the levels are.)
#
# ### Is it the same?
#
# `load_in_4bit=True` in transformers means the library *bitsandbytes*, whose kernels are C++ and CUDA. The same weights, through theirs and
# through yours:

# %% tags=["demo"]
mine = dequantize_nf4(codes, absmax)
if importlib.util.find_spec("bitsandbytes"):
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it advertises faster kernels
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weights, blocksize=64, quant_type="nf4")
    theirs = dequantize_4bit(packed, state)
    same = {
        "codes": unpack(packed.flatten()) == codes,
        "scales": state.absmax == absmax,
        "weights": theirs == mine,
    }
    print(f"{weights.numel():,} weights of {len(layers)} layers. Equal to bitsandbytes, bit for bit:")
    for name, equal in same.items():
        print(f"  {name:8s}{100 * equal.float().mean():.4f} %")
else:
    print("bitsandbytes is not installed here: pip install bitsandbytes, and run this cell again")

# %% [markdown]
# (If yours is a few millionths short of 100 %, it is right all the same: bitsandbytes multiplies by $1/s$ where one may also divide by $s$. The two round
# differently, and now and then a weight lies right between two levels.)
#
# ## On the robot
#
# Take the nano, and put your four bits in the place of every linear layer's weights. `quantize_layers` is the library's loop over the
# layers; what it calls for each is your two functions.

# %% tags=["demo"]
small = copy.deepcopy(nano)
names = quantize_layers(small, quantize=quantize_nf4, dequantize=dequantize_nf4)
quantized = [small.get_submodule(name) for name in names]


def megabytes(*tensors):
    return byte_count(storages(tensors)) / 1e6


before, after = (byte_count(weight_storages(model)) / 1e6 for model in (nano, small))
print(f"{len(names)} layers in four bits: {before:.2f} MB of weights have become {after:.2f} MB")

# %% [markdown]
# Not an eighth of it, although 4 is an eighth of 32. Who still has 32 bits?

# %% tags=["demo"]
kept = {
    "codes, 4 bits": megabytes(*[layer.packed for layer in quantized]),
    "scales": megabytes(*[scale for layer in quantized for scale in (layer.scale_codes, layer.scale_absmax)]),
    "the table of words": megabytes(small.get_input_embeddings().weight),
    "the head": megabytes(small.get_output_embeddings().weight),
}
kept["the rest: norms, biases, patch convolutions, positions"] = after - sum(kept.values())
plots.bars(
    kept,
    xlabel="MB",
    alt=", ".join(f"{name} {value:.2f} MB" for name, value in kept.items()),
)

# %% [markdown]
# Embeddings, head and norms were left alone, here as in every QLoRA. In a nano they weigh much: an eighth of its numbers. In openvla-7b, whose
# matrices are a thousand times larger, it is one in twenty-eight. *Why* they are left alone is something you can find out below, by not doing it.
#
# ### What does it do?
#
# The error of the weights, as a root mean square, beside the root mean square of the weights themselves:

# %% tags=["demo"]
off = ((mine - weights) ** 2).mean().sqrt() / (weights**2).mean().sqrt()
print(f"root mean square of the error: {100 * off:.1f} % of the weights' own")

# %% [markdown]
# More than three million numbers, each a little wrong. Show both models the same tables, say the same words, and compare what they tell
# the hand to do: the distance between the two steps, in mm.

# %% tags=["demo"]
PICTURES = 32
tabletop = {"verbs": ("touch",), "cameras": ("close",), "image_size": (size, size)}
env = TabletopEnv(**tabletop)
STEP_MM = 1000 * env.config.translation_m  # what an action of 1 moves the hand
looks = [env.reset(seed=seed) for seed in range(PICTURES)]


# %% tags=["demo"]
seen, said = [look["image_close"] for look, _ in looks], [info["instruction"] for _, info in looks]
hands = np.stack([look["end_effector"] for look, _ in looks]) if nano.config.state_dim else None


def commands(model):
    """The model's seven numbers for each of the tables."""
    return model.predict_action(seen, said, "tabletop", state=hands)


right = commands(nano)
length = STEP_MM * np.linalg.norm(right[:, :3], axis=1)
print(f"with 32 bits the hand's next step is {length.mean():.0f} mm long, on average over {PICTURES} tables")

# %% [markdown]
# **Predict first.** How far apart are the two steps, on average, in mm? Give a guess and a range you would bet on nine times in ten.

# %%
predictions.commit("day06.commands", guess=None, low=None, high=None, unit="mm")  # your three numbers


# %% tags=["demo"]
def off_mm(model):
    """For each table, how far this model's step is from the unquantised one's; and the share of equal numbers."""
    found = commands(model)
    return STEP_MM * np.linalg.norm((found - right)[:, :3], axis=1), float((found == right).mean())


def mean_and_interval(values, digits=1):
    low, high = bootstrap_interval(values)
    return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


far = {"NF4": off_mm(small)}
predictions.reveal("day06.commands", far["NF4"][0].mean())
print(
    f"off by {mean_and_interval(far['NF4'][0])} mm; {100 * far['NF4'][1]:.0f} % of all numbers are the very same token"
)

# %% [markdown]
# Errors of single weights are random and small, and a layer adds up hundreds of them: most cancel. What is left is a small part of the hand's
# step, and the next look corrects it, five times a second.
#
# Millimetres are what the table feels, but a coarse instrument: a token flips or it does not. A finer one, for later: let every model read the
# tokens that the unquantised one wrote, and see how much *belief* moves from one token to others, the measure of Day 02's patch eraser. 0 is
# nothing, 1 everything.


# %% tags=["demo"]
@torch.inference_mode()
def beliefs(model):
    """The probabilities of the 256 action tokens, for all tables and all seven numbers."""
    logits = model(**written, use_cache=False).logits[:, -8:-1]
    return logits[..., last - 256 : last].softmax(-1)


last = nano.config.vocabulary_size
state = None if hands is None else nano.state_tokens(hands, "tabletop")
asked = nano.processor([build_prompt(words) for words in said], seen, state)
with torch.inference_mode():
    ids = nano.predict_token_ids(
        *(asked[name] for name in ("input_ids", "attention_mask", "pixel_values")), 7
    )
written = {
    "input_ids": torch.cat([asked["input_ids"], ids], 1),
    "attention_mask": torch.cat([asked["attention_mask"], torch.ones_like(ids)], 1),
    "pixel_values": asked["pixel_values"],
}
believed = beliefs(nano)


# %% tags=["demo"]
def moved(model):
    """For each table, the share of belief that moved to other tokens."""
    return 0.5 * (beliefs(model) - believed).abs().sum(-1).mean(-1).numpy()


shift = {"NF4": moved(small)}
print(f"belief moved by {mean_and_interval(shift['NF4'], 3)}")

# %% [markdown]
# Do the films differ? Above and left with 32 bits, below and right with 4:

# %% tags=["demo"]
policies = {"32 bits": tabletop_policy(nano), "4 bits": tabletop_policy(small)}
sentence = "touch the red cube"
films = [tabletop_recording.record(policy, sentence) for policy in policies.values()]
video.show_video(
    tabletop_recording.side_by_side(films),
    fps=5,
    strip=tabletop_recording.moments(films),
    width=620,
    alt=f"Two films of the arm told “{sentence}”, left with 32 bits per weight, right with 4: "
    + "; ".join(film.outcome for film in films),
)

# %% tags=["demo"]
STARTS = range(12)
rooms = [TabletopEnv(**tabletop) for _ in STARTS]
for name, policy in policies.items():
    print(f"{name:8s}touched the right thing from {evaluate(policy, rooms, STARTS)} of the same starts")

# %% [markdown]
# Twelve starts show that nothing broke; they cannot show that nothing was lost. Look at the intervals, and think of Day 01.
#
# And the price? Time one question to each model:


# %% tags=["demo"]
def milliseconds(model, repeats=7):
    """One action for one picture, the median of some."""
    (look, info), times = looks[0], []
    hand = look["end_effector"] if model.config.state_dim else None
    for _ in range(repeats):
        begin = time.perf_counter()
        model.predict_action(look["image_close"], info["instruction"], "tabletop", state=hand)
        times.append(1000 * (time.perf_counter() - begin))
    return float(np.median(times))


slow = {"32 bits": milliseconds(nano), "4 bits": milliseconds(small)}
print(", ".join(f"{name}: {ms:.0f} ms for an action" for name, ms in slow.items()))
print(f"four bits take {slow['4 bits'] / slow['32 bits']:.1f} times as long")

# %% [markdown]
# Four bits save *memory*. They do not save time: every layer unpacks its weights anew, seven times for an action, and then multiplies as
# before. Good kernels hide some of that; yours is ten lines of PyTorch and hides nothing.
#
# ---
#
# **A natural pause.** You have the format that QLoRA is built on, and the arm moves with it. After the break: what training with it
# really costs, down to the byte, and what happens when one goes too far. What you did is kept on this machine and shown by
# `vla-course progress`.
#
# ---

# %% [markdown]
# ## 06.4 Four bits are not four bits
#
# A scale of 32 bits for every 64 weights is half a bit for each of them: "4-bit" weights take 4.5. QLoRA's authors did not like that half
# bit and quantised the *scales* too, to 8 bits, in groups of 256 with one 32-bit scale of their own. That is *double quantisation*.

# %%
from vla_course.adapters.nf4 import bits_per_parameter  # exercise

# %%
checks.check_bits_per_parameter(bits_per_parameter)

# %% [markdown]
# Your formula against the bytes that lie there, in the nano that just drove the arm (it has double quantisation):

# %% tags=["demo"]
stored = 8e6 * (kept["codes, 4 bits"] + kept["scales"])
count = sum(layer.in_features * layer.out_features for layer in quantized)
print(f"measured {stored / count:.4f} bits per weight, your formula {bits_per_parameter(64, 256):.4f}")

# %%
# NBVAL_CHECK_OUTPUT
seven_b = sizes(OpenVLAConfig())
for name, bits in (("bfloat16", 16), ("NF4", bits_per_parameter(64)), ("twice", bits_per_parameter(64, 256))):
    print(f"{name:10s}{seven_b.quantizable * bits / 8e9:6.2f} GB for openvla-7b's linear layers")

# %% [markdown]
# (The measured one is a trifle larger where a layer has fewer than 256 blocks: a group that is not full has a scale all the same.)
#
# ## 06.5 What training keeps
#
# Weights, gradients, moments. What is frozen has only the first. Count in GB of 10⁹ bytes. (A card "of 24 GB" has 24 · 2³⁰, 7 % more.)

# %%
from vla_course.memory.estimate import training_state_gb  # exercise

# %%
checks.check_training_state_gb(training_state_gb)

# %% [markdown]
# ### Against what is measured
#
# Three ways to train the nano, each with gradient *checkpointing* and without. (Checkpointing keeps only what goes into a block, and computes
# the rest a second time on the way back: less memory, more time.) Each row is a real step: forward, backward, Adam. Your function gets three
# numbers counted in the model: what learns, what is frozen in 32 bits, what is frozen in four.


# %% tags=["demo"]
def computed_bytes(model):
    """What your two functions say that this model keeps, activations aside."""
    trained = sum(w.numel() for w in model.parameters() if w.grad is not None)
    whole = sum(w.numel() for w in model.parameters()) - trained
    packed = sum(2 * layer.packed.numel() for layer in model.modules() if hasattr(layer, "packed"))
    return 1e9 * (
        training_state_gb(whole, trained, 4, 4, 4)
        + training_state_gb(packed, 0, bits_per_parameter(64, 256) / 8, 0, 0)
    )


# %% tags=["demo"]
lines = [
    "| | weights | gradients | moments | together | your function | off by | activations |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
]
measured = {}
for way in ("full", "LoRA", "QLoRA"):
    for checkpointing in (False, True):
        model, state = measured[way, checkpointing] = step(way, checkpointing)
        found = (state.weights, state.gradients, state.optimizer)
        computed, together = computed_bytes(model), sum(found)
        cells = [f"{part / 1e6:.1f}" for part in (*found, together, computed)]
        cells += [f"{100 * (computed / together - 1):+.2f} %"]
        cells += [f"{(state.activations + state.recomputed) / 1e6:.1f}"]
        name = way + (", checkpointing" if checkpointing else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
Markdown("\n".join([*lines, "", f"MB, measured in live tensors, batch size {BATCH}, rank 8."]))

# %% [markdown]
# Your line of arithmetic against a real step: see the column "off by". Then read the rows:
#
# - from *full* to *LoRA* gradients and moments almost vanish, and the weights stay;
# - from *LoRA* to *QLoRA* the weights shrink;
# - the activations hardly move in either step. Adapters sit at every layer, and a gradient for the first of them must come all the way
#   through the model. Only checkpointing changes that column.

# %% tags=["demo"]
for way in ("LoRA", "QLoRA"):
    state = measured[way, False][1]
    share = (state.gradients + state.optimizer) / (bill.gradients + bill.optimizer)
    print(f"{way}: gradients and moments are {100 * share:.0f} % of what full fine-tuning keeps")

# %% [markdown]
# Activations can be counted from a model's sizes, too, block by block: the library does it in `vla_course/memory/activations.py`, for the bars at the
# top of this page. How far is the whole estimate, activations included, from the six steps that you just saw?

# %% tags=["demo"]
labels = samples.words(np.arange(BATCH))["labels"]
first = int((labels != -100).any(0).nonzero()[0])
batch = Batch(BATCH, text_tokens=labels.shape[1], scored=labels.shape[1] - first + 1)
worst = 0.0
for (way, checkpointing), (_, state) in measured.items():
    guess = estimate_training_state(nano.config, way.lower(), batch, rank=8, checkpointing=checkpointing)
    worst = max(worst, abs(guess.total / state.total - 1))
print(f"six steps, estimated from sizes alone: at most {100 * worst:.1f} % off")

# %% [markdown]
# ## The big one
#
# The same for openvla-7b, in bfloat16, with adapters of rank 32 in float32. Your function first, as if every frozen weight could have four bits,
# and then with what really stays as it is (the table of words, the head, norms, convolutions):

# %%
# NBVAL_CHECK_OUTPUT
WEIGHTS, ADAPTERS = 7_541_237_184, 110_828_288
four = bits_per_parameter(64, 256) / 8
print(f"full fine-tuning {training_state_gb(0, WEIGHTS, 0, 2, 2):6.1f} GB")
print(f"LoRA             {training_state_gb(WEIGHTS, ADAPTERS, 2, 4, 4):6.1f} GB")
print(f"QLoRA, all in 4  {training_state_gb(WEIGHTS, ADAPTERS, four, 4, 4):6.1f} GB")
whole = WEIGHTS - seven_b.quantizable
really = training_state_gb(seven_b.quantizable, ADAPTERS, four, 4, 4) + training_state_gb(whole, 0, 2, 0, 0)
print(f"QLoRA, really    {really:6.1f} GB ({whole / 1e6:.0f} million weights stay as they are)")

# %% [markdown]
# **Predict first.** QLoRA, batch size 16, no checkpointing. How many GB of activations, beside those few GB?

# %%
predictions.commit("day06.activations", guess=None, low=None, high=None, unit="GB")  # your three numbers

# %% tags=["demo"]
table = openvla_7b_table()
rows = {(row["mode"], row["batch"], row["checkpointing"]): row for row in table}
predictions.reveal("day06.activations", rows["qlora", 16, False]["activations_gb"], how="computed")

lines = [
    "| | batch | weights, gradients, moments | activations | together | seen on GPUs |",
    "| --- | --- | --- | --- | --- | --- |",
]
reported = {
    ("lora", 16, False): f"about {PUBLISHED['LoRA, rank 32, batch 16']:.0f}",
    ("lora", 1, False): f"{PUBLISHED['LoRA, rank 32, at least']:.0f} at least",
}
for (mode, batch, twice), row in rows.items():
    state = row["weights_gb"] + row["gradients_gb"] + row["optimizer_gb"]
    kept_gb = row["activations_gb"] + row["recomputed_gb"]
    cells = (batch, f"{state:.1f}", f"{kept_gb:.1f}", f"{state + kept_gb:.1f}")
    name = memory_bars.NAMES[mode] + (", checkpointing" if twice else "")
    lines.append(
        f"| {name} | " + " | ".join(map(str, cells)) + f" | {reported.get((mode, batch, twice), '')} |"
    )
Markdown("\n".join([*lines, "", "GB. Computed, but for the last column."]))

# %% [markdown]
# The last column is what OpenVLA's authors report: LoRA with about 72 GB at batch size 16, and 27 GB at the least. (They also report weights of 15.1 GB in bfloat16, which is
# what 7.54 billion weights of two bytes are.) Full fine-tuning has 90.1 GB here and 90.5 above: a forward pass never uses the last block of each vision tower and SigLIP's
# pooling, 42 million weights, so they get no gradient and no moments.
#
# Our LoRA rows are *lower* than what GPUs needed, by 8 GB at batch size 1 and by some 20 at 16: we count tensors that live
# through a step. A GPU also holds the CUDA context, the scratch space inside kernels, and what the allocator keeps in reserve or cannot use. We
# measured none of that here, so we do not say how much each is. **Plan with the table and half as much again**: that is 29 GB where 27 were seen, and 75 where 72 were. So
# LoRA at batch size 1, 19.2 GB in the table, does *not* fit on a card of 24 GB.
#
# ### Play with it
#
# Your two functions compute these bars.
#
# 1. *compute activations twice* off, batch size 16: what is the longest part of the QLoRA bar? Now switch it on.
# 2. Which ways to train fit on 24 GB (24 · 10⁹ bytes) at batch size 4, with half as much again as a margin?
# 3. *The head alone* trains the last layer, which scores the words, and freezes all before it. Batch size 1, activations computed twice: at which rank does the LoRA bar pass its bar?
# 4. Change to the nano. Why is its QLoRA bar hardly shorter than its LoRA bar at batch size 16?
#
# <details><summary>Answers</summary>
#
# **1.** The activations, 33.5 GB. Computed twice they are 2.8 GB, and the frozen weights, 4.3 GB, are the longest part. **2.** QLoRA only: 14.6 GB, 22 with the margin; computing activations
# twice, 6.8 and 10. The head alone has 16.4 GB, 24.6 with the margin, and LoRA computing twice 17.6 and 26.4: too tight to plan with. **3.** Between ranks 16 and 32, near 20: 16.4 GB less the weights' 15.1 and the
# activations' 0.2 leave 1.1 GB for adapters, which take 16 bytes a number, 3.6 million numbers a rank. **4.** Its weights are few, so nearly the whole bar is activations, which QLoRA leaves as they are.
#
# </details>

# %% tags=["demo"]
memory_bars.MemoryBars(
    training_state_gb,
    bits_per_parameter,
    models={"openvla-7b, bfloat16": (OpenVLAConfig(), 2), "the nano, float32": (nano.config, 4)},
)

# %% [markdown]
# ## Train beside four bits
#
# Does it learn? The same demonstrations, the same order, the same adapters at their start. The only difference is what stands beside
# them: weights of 32 bits, or your four.

# %% tags=["demo"]
STEPS = 30
order = np.random.default_rng(0).integers(len(samples), size=(STEPS, BATCH))


def learn(way):
    """The model, the loss of each step, and seconds for a step."""
    model, optimizer = prepared(way)
    losses, begin = [], time.perf_counter()
    for rows in order:
        loss, _ = action_token_loss(model, samples.batch(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses, (time.perf_counter() - begin) / STEPS


# %% tags=["demo"]
learned = {way: learn(way) for way in ("LoRA", "QLoRA")}
curves = {way: losses for way, (_, losses, _) in learned.items()}
apart = np.abs(np.subtract(*curves.values()))
(_, fall, lora_s), (_, _, qlora_s) = learned.values()
print(
    f"the losses are {apart.mean():.3f} apart on average, while they fall from {fall[0]:.1f} to {fall[-1]:.1f}"
)
print(f"a step takes QLoRA {qlora_s / lora_s:.1f} times as long")
plots.lines(
    range(1, STEPS + 1),
    curves,
    xlabel="step",
    ylabel="loss",
    nested=True,
    alt=f"Two losses over {STEPS} steps, almost on one another: "
    + ", ".join(f"{way} ends at {losses[-1]:.2f}" for way, losses in curves.items()),
)

# %% [markdown]
# The loss begins high although the nano knows this table: eight demonstrations have quantiles of their own, so the same motions are other
# tokens (Day 02's *somebody else's quantiles*). That is what there is to learn here, and both learn it alike.
#
# And no code moved:

# %% tags=["demo"]
trained = learned["QLoRA"][0]
fresh, _ = prepared("QLoRA")
pairs = [
    (a.packed, b.packed)
    for a, b in zip(trained.modules(), fresh.modules(), strict=True)
    if hasattr(a, "packed")
]
print(f"{len(pairs)} packed layers, as before training: {all(torch.equal(a, b) for a, b in pairs)}")
print(f"numbers that learned: {sum(w.numel() for w in trained.parameters() if w.grad is not None):,}")

# %% [markdown]
# ### Does it fold as well?
#
# A loss over eight demonstrations says that it learns, not that the policy is as good. For that one needs the folding robot, hundreds of
# demonstrations, several training seeds, and episodes from the same starts (Day 07). That takes hours, so it is recorded, where it
# has been run:

# %% tags=["demo"]
try:
    record = results.read("day06/qlora_against_lora")
except FileNotFoundError:
    print("QLoRA against LoRA on towel folding: not recorded yet. Nothing is claimed here.")
else:
    print(record)
    trainings = results.read("day05/towel").values["rows"]  # a row for each training seed
    for way in ("LoRA", "QLoRA"):
        done, tried = (record.values[way.lower()][name] for name in ("successes", "episodes"))
        rates = [
            row["successes"] / row["episodes"] for name, row in trainings.items() if name.startswith(way)
        ]
        low, high = interval_over_trainings(np.array(rates))
        print(f"{way:6s}{done} of {tried}; over {len(rates)} trainings {100 * low:.0f}–{100 * high:.0f} %")
    for name, kind in (("difference_points", "other starts"), ("over_trainings", "other trainings")):
        points = record.values[name]
        print(
            f"QLoRA less LoRA, had it been {kind}: {points['mean']:+.1f} points ({points['low']:+.1f} to {points['high']:+.1f})"
        )

# %% [markdown]
# The interval of each recipe counts trainings, not episodes: a hundred episodes of one adapter share its training seed. And two intervals for one difference. The first says what other starts could have given, the second what other trainings could have. Day 07 is about which of
# them answers your question.
#
# ## Break it: quantise what is small
#
# The norms are a thousandth or two of the nano. The rows of the head that score the 256 action tokens are less than a hundredth. "While we are at
# it", says someone, "why not these too?" No error will be raised.
#
# **Predict first.** All matrices keep their 32 bits, *only the norms* go to four. How far off are the commands, in mm? (What all the
# matrices together cost stands above.)

# %%
predictions.commit("day06.norms", guess=None, low=None, high=None, unit="mm")  # your three numbers


# %% tags=["demo"]
@torch.no_grad()
def to_four_bits_and_back(values):
    """Put in place what these numbers are after NF4; returns how many there are."""
    values.copy_(dequantize_nf4(*quantize_nf4(values)).reshape(values.shape))
    return values.numel()


def norms_of(model):
    return [w for module in model.modules() if "Norm" in type(module).__name__ for w in module.parameters()]


def action_rows_of(model):
    last = model.config.vocabulary_size
    return [model.get_output_embeddings().weight[last - 256 : last]]


# %% tags=["demo"]
ways = {"only the norms": [norms_of], "only the action rows of the head": [action_rows_of]}
for name, parts in ways.items():
    model = copy.deepcopy(nano)
    touched = sum(to_four_bits_and_back(values) for part in parts for values in part(model))
    far[name], shift[name] = off_mm(model), moved(model)
    total = sum(w.numel() for w in nano.parameters())
    print(
        f"{name}: {touched:,} of {total:,} numbers, {100 * touched / total:.1f} %, which saves {touched * 27.5 / 8e3:.0f} kB"
    )
predictions.reveal("day06.norms", far["only the norms"][0].mean())


# %% tags=["demo"]
def comparison(*names):
    lines = ["| | belief moved | commands off by, mm | the same token |", "| --- | --- | --- | --- |"]
    for name in names:
        distances, same = far[name]
        cells = (mean_and_interval(shift[name], 3), mean_and_interval(distances), f"{100 * same:.0f} %")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return Markdown("\n".join([*lines, "", f"Means over {PICTURES} tables, with 95 % intervals."]))


everything = "NF4, the norms and the action rows as well"
both = copy.deepcopy(small)
for values in (*norms_of(both), *action_rows_of(both)):
    to_four_bits_and_back(values)
far[everything], shift[everything] = off_mm(both), moved(both)
comparison("NF4", *ways, everything)

# %% [markdown]
# (27.5 of 32 bits are saved here, since these small ones get no double quantisation.) The row *NF4* touched more than three million numbers. Why are a few thousand so expensive? Look at what NF4 makes of one norm:

# %% tags=["demo"]
norm = nano.language_model.model.layers[1].post_attention_layernorm.weight.detach()
back = dequantize_nf4(*quantize_nf4(norm)).flatten()
print("before:", " ".join(f"{value:.2f}" for value in norm[:10]))
print("after: ", " ".join(f"{value:.2f}" for value in back[:10]))
differ, rounded = norm.std() / norm.mean(), ((back - norm).abs() / norm).mean()
print(f"its numbers differ by {100 * differ:.0f} %; NF4 moves each by {100 * rounded:.0f} %, on average")

# %% [markdown]
# Its numbers lie close together near 1, not around 0, and there NF4 has two levels only, 0.72 and 1 of the largest: what it learned is gone.
# And a norm scales a whole channel, at every position: nothing cancels. NF4 is a *bet on a bell around 0*. Matrices of trained networks win it, and norms and
# biases lose it.
#
# The action rows are another story. Neighbouring tokens mean nearly the same, so their rows are nearly the same:

# %% tags=["demo"]
(rows,) = (part.detach() for part in action_rows_of(nano))
rounding = dequantize_nf4(*quantize_nf4(rows)).reshape(rows.shape) - rows
print(f"from one action row to the next: {(rows[1:] - rows[:-1]).norm(dim=1).mean():.2f}")
print(
    f"what NF4 moves a row by:         {rounding.norm(dim=1).mean():.2f} (a row is {rows.norm(dim=1).mean():.2f} long)"
)

# %% [markdown]
# Rounding is almost as large as the step to the neighbour, so which neighbour wins is half a lottery: look at the last column. But
# neighbours stand for nearly the same number, so the hand goes about the same way. Had the rows been words, "left" and "right", it would not have
# been so lucky.
#
# Rule: quantise the large matrices; leave alone what is small. It saves nothing and costs much.
#
# ## Break it: even levels
#
# Were the odd levels worth it? In the place of NF4, with the same blocks:
#
# - *int4*: fifteen even levels from −1 to 1, 0 among them (the sixteenth code is not used), as many formats have it;
# - *sixteen even levels*, without a 0;
# - *int3*: seven even levels, to see what a bit is worth;
#
# and NF4's own levels once more, but with one scale for a whole matrix in the place of one for each block.
#
# **Predict first.** How much belief does int4 move? (NF4's share stands in the table above.)

# %%
predictions.commit("day06.int4", guess=None, low=None, high=None)  # your three numbers


# %% tags=["demo"]
def with_levels(levels, one_scale=False):
    """A way there and a way back like yours, with other levels, or with one scale for the whole matrix."""

    def quantize(weights, block=64):
        blocks = weights.reshape(-1, block)
        scales = blocks.abs().amax(dim=1)
        scales = scales.max().expand(len(blocks)).clone() if one_scale else scales
        scaled = blocks / scales.clamp(min=1e-38)[:, None]
        return torch.bucketize(scaled, (levels[:-1] + levels[1:]) / 2).to(torch.uint8), scales

    return quantize, lambda codes, scales: levels[codes.int()] * scales[:, None]


# %% tags=["demo"]
formats = {
    "NF4": (quantize_nf4, dequantize_nf4),
    "int4": with_levels(torch.arange(-7, 8) / 7),
    "sixteen even levels": with_levels(torch.linspace(-1, 1, 16)),
    "int3": with_levels(torch.arange(-3, 4) / 3),
    "NF4, one scale for a matrix": with_levels(LEVELS, one_scale=True),
}
error = {}
for name, (there, back) in formats.items():
    model = copy.deepcopy(nano)
    quantize_layers(model, quantize=there, dequantize=back)
    shift[name] = moved(model)
    again = torch.cat([back(*there(layer.weight.detach())) for layer in layers])
    error[name] = 100 * ((again - weights).norm() / weights.norm()).item()
predictions.reveal("day06.int4", shift["int4"].mean())

# %% tags=["demo"]
lines = ["| | error of the weights | belief moved | more than NF4 by |", "| --- | --- | --- | --- |"]
for name in formats:
    more = "" if name == "NF4" else mean_and_interval(shift[name] - shift["NF4"], 3)
    lines.append(f"| {name} | {error[name]:.1f} % | {mean_and_interval(shift[name], 3)} | {more} |")
Markdown("\n".join([*lines, "", f"Means over the same {PICTURES} tables, with 95 % intervals."]))

# %% [markdown]
# Read the last column (the same tables, so luck with the tables cancels): where an interval holds 0, nothing has been shown.
#
# In the *weights* the order is as promised: NF4 before int4, and a scale for each block before one for all. Sixteen even levels come close: cut into
# blocks of 64 and divided by its largest, a bell is flatter than one thinks. In what the nano *believes* little of it is left: one scale for all costs a
# trifle, other levels of four bits nothing that shows. Rounding errors cancel, and its weights are tame. One thing is plain: the fourth bit.
#
# Then what are the blocks for? For models that are not tame. Give every matrix *one* loud weight, eight times its largest, and quantise that:

# %% tags=["demo"]
loud = copy.deepcopy(nano)
with torch.no_grad():
    for name in names:
        weight = loud.get_submodule(name).weight
        weight[0, 0] = 8 * weight.abs().max()
loudly = beliefs(loud)
for name in ("NF4", "NF4, one scale for a matrix"):
    model = copy.deepcopy(loud)
    there, back = formats[name]
    quantize_layers(model, quantize=there, dequantize=back)
    apart = 0.5 * (beliefs(model) - loudly).abs().sum(-1).mean(-1).numpy()
    print(f"{name}: belief moved by {mean_and_interval(apart, 3)}, from the loud model's own")

# %% [markdown]
# One loud weight of thousands, and with one scale all others round to almost nothing. In blocks, 63 suffer. (The loud nano is a broken robot.
# All that counts here is how far four bits are from its own 32.) Large language models do have loud weights and channels.
#
# So were the odd levels worth it? The QLoRA authors measured language models many times this size and found a clear gain over int4. A nano of four million
# weights does not show one, and we do not claim it. On *your* model, measure.

# %% [markdown]
# ## Recap
#
# You built four bits per weight (`nf4_codebook`, `quantize_nf4`, `dequantize_nf4`), counted what they really take (`bits_per_parameter`), and the bill for
# training with them (`training_state_gb`). Three questions before you go:
#
# **1.** "A 7B model in four bits fits in 4 GB", says a post. You want to fine-tune openvla-7b with QLoRA at batch size 1, without checkpointing. What does the
# post leave out, and how many GB do you plan with?
#
# <details><summary>Answer</summary>
#
# 7.54 billion × 4.127 bits are 3.9 GB, if every weight had four bits. Words, head, norms and convolutions stay in 16: 4.3 GB. Adapters, their gradients and
# moments: 1.8 GB (111 million × 16 bytes). Activations: 2.3 GB. Together 8.4 GB of living tensors (the table above); with half as much again for the CUDA context, kernels and the
# allocator 12.6 GB. With checkpointing 6.3 GB and 9.4, for one more forward pass, a third more time. Plan with a 16 GB card, not with 4 GB.
#
# </details>
#
# **2.** A colleague switches a policy from bfloat16 to four bits "to make it faster". On her GPU it gets slower. Why, and when could she be right?
#
# <details><summary>Answer</summary>
#
# Nothing is computed in four bits: each layer unpacks its weights and multiplies in 16 bits as before, so the unpacking comes on top; you measured it above.
# Where many positions share one unpacking (training, long prompts, large batches) it is a small addition, as in your training steps. Where one token at a time is
# written, the time goes into *reading* the weights from memory, and a kernel that unpacks on the fly reads a quarter of the bytes: there it can be
# faster. And a model that only fits in four bits is infinitely faster than one that does not fit.
#
# </details>
#
# **3.** QLoRA, openvla-7b, batch size 16, out of memory on a 24 GB card. One colleague wants to halve the rank, another wants 3 bits, a third wants checkpointing. Whom do
# you follow?
#
# <details><summary>Answer</summary>
#
# Look at what is large: 33.5 GB of activations against 4.3 GB of frozen weights. Half the rank saves 0.9 GB of adapter state (1.8 / 2) and a little of the
# activations, 3 bits save 0.9 GB. Checkpointing takes the activations from 33.5 to 2.8 GB: 8.9 GB in all, 13.4 with the margin. (Four times a batch of 4, with
# gradients added up, helps as well.)
#
# </details>
#
# ## What is next
#
# You can now train a model that you could not even load before. Whether it *really got better* is another question than whether its
# loss fell. Day 07: an evaluation you can defend.
#
# **At work.** QLoRA is for the model that does not fit on the card you have. Use `BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)` with
# `from_pretrained` and peft on top, or `load_vla("7b", bits=4)` and `vla-course train training_mode=qlora` here: the codes are those that you wrote. Switch gradient checkpointing on before you halve the rank. For a policy that
# acts, four bits save memory, not time.

# %% tags=["demo"]
from vla_course import progress

for number, exercise in sorted(progress.exercises("day06").items()):
    print(number, exercise["name"], "·", exercise["status"])
