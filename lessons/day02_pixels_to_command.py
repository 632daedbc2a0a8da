# %% [markdown]
# # Day 02 · From pixels to a motor command
#
# About an hour and fifty minutes, with a natural pause in the middle. You need Day 01, and you should know what a NumPy
# and a PyTorch array are.
#
# **What you will have at the end.** Five small functions, put together into `my_predict_action`: a picture and an instruction go in, a
# motor command comes out. Its tokens are those of the published OpenVLA, *id for id*, and it drives the arm. At work these are the steps
# where a checkpoint that was fine in the paper goes wrong on your robot, without an error.

# %% tags=["picture"]
from vla_course import assets
from vla_course.picture import Picture

Picture(
    assets.find("data/pictures/pixels_to_command.png").read_bytes(),
    alt="A camera picture cut into squares; a row of boxes: start token, the squares, the words; seven tokens; seven numbers in "
    "millimetres and degrees; the same table after the hand has moved.",
)

# %% [markdown]
# (The patches are the nano's, 6 × 6. The token ids are those of Llama's vocabulary, as openvla-7b would write the same numbers; the
# nano's vocabulary is smaller, and its ids are 30 976 lower. 02.1 says why.)
#
# ## Where this sits
#
# ```
# picture ─► patches ─┐ 02.4                    02.5         02.2           02.3
#                     ├──────► one sequence ─► tokens ─► numbers in ─► millimetres ─► arm ─► picture …
# words ───► tokens ──┘                                    [−1, 1]
# ```
#
# We walk it **from the end**: from the millimetres back to the pixels. So every function you write has a use the moment it works.
#
# | from minute | | what you can do then |
# | --- | --- | --- |
# | 0 | the end first | see a model's command, and wonder where its seven numbers come from |
# | 8 | 02.1, 02.2, 02.3 | write numbers as tokens, and move an arm with them |
# | 45 | 02.4, 02.5 | put the picture among the words, choose the next token |
# | 75 | put together | your own `predict_action`, equal to the published one, driving the arm |
# | 90 | look, break it | find out what it looks at; break it in four ways that raise no error |

# %%
import gymnasium
import numpy as np
import torch
from IPython.display import Markdown
from jaxtyping import Bool, Float, Int

import vla_course
from vla_course import plots, predictions, video
from vla_course.action_tokens import action_statistics
from vla_course.checks import day02 as checks
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import build_prompt
from vla_course.openvla.published import (
    openvla_7b_tensors,
    published_cases,
    published_model,
    published_tensors,
)
from vla_course.widgets.patch_eraser import PatchEraser, erase
from vla_course.widgets.token_explorer import BRIDGE_DX_MM, TokenExplorer

torch.set_num_threads(1)  # small matrices: more threads only wait for one another

# %% [markdown]
# ## The end first
#
# Here is the nano OpenVLA of Day 01, a table, and an instruction. One call, seven numbers. (The nano has one more input than
# openvla-7b: the pose of its own hand, which its small picture hardly shows. 02.4 says how that goes in.)

# %% tags=["demo"]
nano = load_vla("nano")
size = nano.config.image_size


def tabletop(*verbs):
    """A table with the camera that the nano knows, at the resolution that it knows."""
    return gymnasium.make(
        "vla_course/Tabletop-v0",
        verbs=verbs,
        cameras=("close",),
        image_size=(size, size),
        render_mode="rgb_array",
        render_size=(240, 240),
    )


env = tabletop("touch")
observation, info = env.reset(seed=3)
picture, instruction, hand = observation["image_close"], info["instruction"], observation["end_effector"]
print(f"“{instruction}”")
nano.predict_action(picture, instruction, state=hand).round(3)

# %% tags=["demo"]
GRID = size // 14
drawing, (left, right) = plots.figure(1, 2, width=6.4, height=3.1)
left.imshow(env.render())
right.imshow(picture)
for line in range(1, GRID):
    right.axhline(14 * line - 0.5, color="white", linewidth=0.6)
    right.axvline(14 * line - 0.5, color="white", linewidth=0.6)
left.set_title("the table", fontsize=10)
right.set_title(f"what the model gets: {size} × {size}, {GRID} × {GRID} patches", fontsize=10)
for axes in (left, right):
    axes.axis("off")
plots.picture(drawing, "The table, and the model's small picture of it, cut into squares of 14 pixels.")

# %% [markdown]
# A language model can do one thing: choose the next token of its vocabulary. It has no output for "4 cm to the left". So how do
# *seven numbers* come out of it, and how does a *picture* get in? The rest of today answers that.
#
# ## The idea, on one screen
#
# **Out.** Take the numbers of the training data, dimension by dimension. Their 1 % and 99 % quantiles, $q_{01}$ and $q_{99}$, become
# −1 and 1. Cut $[-1, 1]$ at 256 evenly spaced edges; there are 255 bins between them. Each edge gets one of the last 256 tokens of the
# vocabulary, words so rare that nobody misses them, and its token stands for the bin above it. To act is to write seven of these words:
#
# $$\text{token} \;\to\; \text{bin} \;\to\; \text{centre } a \in (-1, 1) \;\to\; \tfrac12 (a + 1)(q_{99} - q_{01}) + q_{01}.$$
#
# **In.** Two vision towers look at the picture, DINOv2 for *where* and SigLIP for *what*. They turn each patch of 14 × 14 pixels into one
# vector, and a projector makes it as wide as a word's embedding. Then the patches stand in the sentence as if they were words:
#
# $$[\text{start}]\; [\text{patch}_1] \ldots [\text{patch}_P]\; [\text{In: What action should the robot take to} \ldots \text{Out:}]\; [\;]$$
#
# The model reads it and writes the next token, seven times. That is all of OpenVLA.
#
# The docstring of an exercise says *what* the function returns; *how* is up to you. Lines under `Raises` and `Source` are about the
# library: the checks do not ask for them.

# %% [markdown]
# ## 02.1 A number becomes a token
#
# The edges, and the centres between them. Llama's vocabulary has 32000 words, so openvla-7b's action tokens are 31744 to 31999. Our nano's
# has 1024, so its action tokens are 768 to 1023: the same bins, 30 976 lower.

# %%
BINS = 256
EDGES = np.linspace(-1.0, 1.0, BINS)
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2
print(f"{len(EDGES)} edges, {len(CENTRES)} bins, each {EDGES[1] - EDGES[0]:.5f} wide")

# %%
from vla_course.action_tokens import tokenize_actions  # exercise

# %%
checks.check_tokenize_actions(tokenize_actions)

# %% [markdown]
# ## 02.2 A token becomes a number again
#
# The way back cannot be exact: all numbers of a bin became one token. The best guess is the bin's centre. Mind that there are 256 tokens
# and 255 bins.

# %%
from vla_course.action_tokens import detokenize_actions  # exercise

# %%
checks.check_detokenize_actions(detokenize_actions)

# %% [markdown]
# ## 02.3 A number becomes millimetres
#
# Every data set has its own range: a robot that was driven gently has small quantiles. That is why `predict_action` asks for an
# `unnorm_key`, the name of a data set. The gripper is mostly left as it is: the mask is False there.

# %%
from vla_course.action_tokens import unnormalize_actions  # exercise

# %%
checks.check_unnormalize_actions(unnormalize_actions)

# %% [markdown]
# ### Play with it
#
# Your three functions, one after the other. BridgeData is one of the data sets that openvla-7b learned from; *tabletop* is the nano's. The
# ids are Llama's, for both.
#
# 1. Drag the number slowly through a bin. When does the token change? Does the green dot move in between?
# 2. Drag it past 1. Which number reaches the robot?
# 3. Choose *tabletop* instead of *BridgeData*. What happens to the token, and what to the millimetres?
# 4. Pull both quantiles outward until half a bin is more than 0.4 mm. What kind of robot would have moved like that?

# %% tags=["demo"]
statistics = action_statistics(nano.config.norm_stats, "tabletop")
STEP_MM = 1000 * env.unwrapped.config.translation_m  # what an action of 1 moves the hand
tabletop_dx_mm = (STEP_MM * statistics.q01[0], STEP_MM * statistics.q99[0])
TokenExplorer(
    tokenize_actions,
    detokenize_actions,
    unnormalize_actions,
    ranges={"BridgeData, Δx": BRIDGE_DX_MM, "tabletop, Δx": tabletop_dx_mm},
)

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The token changes where the number crosses an edge, and the green dot jumps by one bin. In between neither moves: all numbers of a bin
#    have one token, and arrive as its centre.
# 2. The highest centre, 254/255 = 0.996. Everything above 1 is cut to 1, whose id, 31744, stands for the last bin: with BridgeData's
#    quantiles the robot moves 28.19 mm, however far you drag.
# 3. The token stays: it depends on the number in [−1, 1] alone. The millimetres change with the quantiles: 0.1 is 2.71 mm with
#    BridgeData's and 13.76 mm with the tabletop's, since the nano's arm moves up to 98 mm in one action.
# 4. Half a bin is (q99 − q01) / 510, so the quantiles must be more than 204 mm apart. That is a robot that moves more than 10 cm to either
#    side in one action: a fast one, or one that is asked seldom. The tabletop, at 5 actions a second, has 0.37 mm.
#
# </details>
#
# ### An arm that gets tokens only
#
# Enough to move something. The scripted expert of the tabletop knows what to do; let it act through your three functions. It returns
# seven numbers, you turn them into seven tokens, forget the numbers, and turn the tokens back. Nothing else reaches the arm.


# %% tags=["demo"]
def as_words(action):
    """Seven numbers as token ids of the nano's vocabulary."""
    span = np.where(statistics.mask, statistics.q99 - statistics.q01, 1)  # 0 where nothing ever changed
    normalized = np.where(statistics.mask, 2 * (action - statistics.q01) / span - 1, action)
    return tokenize_actions(normalized, nano.config.vocabulary_size)


def as_numbers(ids):
    """And back, in the environment's units."""
    normalized = detokenize_actions(ids, nano.config.vocabulary_size)
    return unnormalize_actions(normalized, statistics.q01, statistics.q99, statistics.mask)


# %% tags=["demo"]
def drive(env, act, seed):
    """One episode in which `act(observation, instruction)` says what to do: how it ended, and a film."""
    observation, info = env.reset(seed=seed)
    frames, ended = [env.render()], False
    while not ended:
        action = act(observation, info["instruction"])
        observation, _, terminated, truncated, info = env.step(action)
        frames.append(env.render())
        ended = terminated or truncated
    return info, frames


# %% tags=["demo"]
from vla_course.envs.tabletop.expert import TabletopExpert

puts = tabletop("put")
expert, said = TabletopExpert(puts), []


def speak(observation, instruction):
    said.append(as_words(expert.act()))
    return as_numbers(said[-1])


info, film = drive(puts, speak, seed=1)
print(
    f"“{info['instruction']}”: {'done' if info['is_success'] else 'not done'}, in {len(said)} sentences like {said[0]}"
)
video.show_video(
    film, fps=6, width=300, alt="The arm takes a thing and carries it to where the instruction says."
)

# %% [markdown]
# Seven tokens, five times a second, and the arm does what they say. An error of half a bin does not matter to it.
#
# ---
#
# **A natural pause.** The way out is done: choosing tokens now moves an arm. After the break comes the way in: how a language model
# *sees*. What you did is kept on this machine and shown by `vla-course progress`.
#
# ---

# %% [markdown]
# ## 02.4 The picture among the words
#
# What goes in, box by box. The towers turn the picture into vectors, the projector brings them to the width of a word; the words' vectors
# come from the embedding table.


# %% tags=["demo"]
def model_inputs(picture, instruction, hand):
    """All that the model takes in: token ids, their mask, and pixels."""
    state = nano.state_tokens(hand[None], "tabletop")
    return nano.processor([build_prompt(instruction)], [picture], state)


inputs = model_inputs(picture, instruction, hand)
with torch.inference_mode():
    features = nano.vision_backbone(inputs["pixel_values"])
    patches = nano.projector(features)
    words = nano.get_input_embeddings()(inputs["input_ids"])
boxes = {"pixel_values": inputs["pixel_values"], "features": features, "patches": patches, "words": words}
for name, value in boxes.items():
    print(f"{name:13s}{tuple(value.shape)}")

# %% tags=["demo"]
pieces = [nano.processor.tokenizer.id_to_token(int(number)) for number in inputs["input_ids"][0]]
print(" ".join(piece.replace("Ġ", "·").replace("Ċ", "⏎") for piece in pieces))

# %% [markdown]
# Why six channels? The picture is there twice: channels 0–2 normalised as DINOv2 was trained, 3–5 as SigLIP was. After "Out:" stands the
# pose of the nano's hand (x, y, z, three angles, how far it is open), written in the action tokens of 02.1: numbers are numbers, whether
# they go out or in. The last word is the *empty token* (29871 in Llama's vocabulary), which Llama's tokenizer puts before an action. For
# openvla-7b nothing stands between "Out:" and the empty token.
#
# Your turn: one sequence, and the mask that says which of its positions are real.

# %%
from vla_course.openvla.model import insert_patches  # exercise

# %%
checks.check_insert_patches(insert_patches)

# %% [markdown]
# ## 02.5 The next token
#
# The model reads the sequence and gives every word of its vocabulary a score, its *logit*. Greedy decoding takes the best of all. The
# published OpenVLA does that too, and trusts its training that the best one is an action token. You will do better: take the best *action
# token*.

# %%
from vla_course.action_tokens import next_action_token  # exercise

# %%
checks.check_next_action_token(next_action_token)

# %% [markdown]
# Try yours on the nano. How much probability does it give to action tokens at all, and which number does it choose first?

# %% tags=["demo"]
with torch.inference_mode():
    sequence, mask = insert_patches(words, patches, inputs["attention_mask"])
    logits = nano.language_model(inputs_embeds=sequence, attention_mask=mask).logits[:, -1]
first = next_action_token(logits, nano.config.vocabulary_size)
on_actions = logits.softmax(-1)[0, nano.config.vocabulary_size - BINS :].sum()
centre = detokenize_actions(first.numpy(), nano.config.vocabulary_size)[0]
print(f"{100 * on_actions:.2f} % of its belief is on the 256 action tokens")
print(
    f"best action token {first.item()}: {centre:+.3f}, that is Δx = {STEP_MM * as_numbers(np.full(7, first))[0]:+.0f} mm"
)

# %% [markdown]
# That is where training puts the probability: with all but a trace of it on action tokens, greedy decoding chooses the same token as yours.
# The two differ for a model that was trained less, or is asked in other words.
#
# ## Put together
#
# Five functions, and the model's own boxes between them. Look for yours.


# %%
@torch.inference_mode()
def my_token_ids(model, input_ids, pixel_values, count):
    """The next `count` action tokens after a picture and a prompt, and the scores that each was chosen from."""
    words = model.get_input_embeddings()
    patches = model.projector(model.vision_backbone(pixel_values))
    sequence, mask = insert_patches(words(input_ids), patches, torch.ones_like(input_ids))
    ids, scores = [], []
    for _ in range(count):
        logits = model.language_model(inputs_embeds=sequence, attention_mask=mask).logits[:, -1]
        token = next_action_token(logits, model.config.vocabulary_size)
        sequence = torch.cat([sequence, words(token[:, None])], dim=1)
        mask = torch.cat([mask, mask.new_ones(1, 1)], dim=1)
        ids.append(token.item())
        scores.append(logits[0])
    return np.array(ids), torch.stack(scores)


# %%
def my_predict_action(model, input_ids, pixel_values, unnorm_key):
    """The motor command, in the units of the data set `unnorm_key`."""
    statistics = action_statistics(model.config.norm_stats, unnorm_key)
    ids, _ = my_token_ids(model, input_ids, pixel_values, len(statistics.q01))
    numbers = detokenize_actions(ids, model.config.vocabulary_size)
    return unnormalize_actions(numbers, statistics.q01, statistics.q99, statistics.mask)


# %% [markdown]
# Twenty lines. (For each token it reads everything again from the start. The library keeps keys and values of what was read in a *cache*
# and is about twice as fast; the numbers are the same.)
#
# ## Is it the same?
#
# Is this OpenVLA, or only something like it? The authors' own code decides. We ran it on a tiny OpenVLA with random weights (the real one
# has 15 GB) and five questions about two pictures, and stored everything it computed: the vectors of each tower, the projector's, all
# scores, the tokens, the actions. Random weights are a strict judge: no training makes up for a mistake.
#
# The course's model now loads the same weights, and *your* functions run it.

# %%
tiny, cases, expected = published_model(), published_cases(), published_tensors()


def with_empty(prompt_ids, model):
    """The prompt with the empty token at its end."""
    return torch.cat([prompt_ids, torch.tensor([[model.config.empty_token_id]])], dim=1)


mine = [my_token_ids(tiny, with_empty(c.prompt_ids, tiny), c.pixel_values, len(c.token_ids)) for c in cases]
actions = [
    my_predict_action(tiny, with_empty(c.prompt_ids, tiny), c.pixel_values, c.unnorm_key) for c in cases
]

# %%
# NBVAL_CHECK_OUTPUT
for case, (ids, _) in zip(cases, mine, strict=True):
    print(f"{len(ids):2d} tokens, equal to the published ones: {ids.tolist() == case.token_ids}")

# %% tags=["demo"]
pixels = torch.cat([cases[0].pixel_values, cases[2].pixel_values])
with torch.inference_mode():
    dinov2 = tiny.vision_backbone.dinov2_features(pixels[:, :3])
    siglip = tiny.vision_backbone.siglip_features(pixels[:, 3:])
    projected = tiny.embed_image(pixels)


def largest(found, published):
    return max(float(abs(f - p).max()) for f, p in zip(found, published, strict=True))


rows = [
    (
        "pixels, from the raw picture",
        largest([tiny.processor.pixel_values(c.image) for c in cases], [c.pixel_values[0] for c in cases]),
        0,
    ),
    ("DINOv2's vectors", largest(dinov2, expected["dino_features"]), 5e-5),
    ("SigLIP's vectors", largest(siglip, expected["siglip_features"]), 5e-5),
    ("the projector's", largest(projected, expected["projector_output"]), 5e-5),
    (
        "scores of the action tokens, yours",
        largest([s[:, 31744:] for _, s in mine], [c.logits for c in cases]),
        2e-4,
    ),
    ("actions, yours", largest(actions, [c.action for c in cases]), 1e-9),
]
table = ["| | largest difference | may be | |", "| --- | --- | --- | --- |"]
table += [
    f"| {name} | {off:.1e} | {limit:.0e} | {'✓' if off <= limit else '**✗**'} |" for name, off, limit in rows
]
Markdown("\n".join(table))

# %% [markdown]
# The limits have a reason: a small, typical mistake, SigLIP's GELU computed by its usual approximation, moves the scores by 3e-3, fifteen
# times the limit. Rounding moves them by less than a fifth of it.
#
# ## How big is the big one?
#
# The same classes with larger numbers are openvla-7b. Count its parameters once by hand: a few kinds of layers, many times over.


# %%
# NBVAL_CHECK_OUTPUT
def linear(inputs, outputs):
    return inputs * outputs + outputs


def vision_block(width, mlp):  # two norms, attention, two layers
    return (
        4 * width + linear(width, 3 * width) + linear(width, width) + linear(width, mlp) + linear(mlp, width)
    )


PIXELS = 3 * 14 * 14
dinov2 = linear(PIXELS, 1024) + (1 + 4 + 256) * 1024 + 24 * (vision_block(1024, 4096) + 2 * 1024) + 2 * 1024
siglip = linear(PIXELS, 1152) + 256 * 1152 + 27 * vision_block(1152, 4304) + 2 * 1152
pooling = (
    1152 + linear(1152, 3 * 1152) + linear(1152, 1152) + 2 * 1152 + linear(1152, 4304) + linear(4304, 1152)
)
projector = linear(1024 + 1152, 8704) + linear(8704, 4096) + linear(4096, 4096)
llama = 2 * 32064 * 4096 + 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 4096
total = dinov2 + siglip + pooling + projector + llama
print(f"{total:,} parameters; the published checkpoint has {openvla_7b_tensors()['num_parameters']:,}")

# %% tags=["demo"]
parts = {"DINOv2": dinov2, "SigLIP": siglip + pooling, "projector": projector, "Llama": llama}
parts["our nano, all of it"] = sum(parameter.numel() for parameter in nano.parameters())
plots.bars(
    {name: count / 1e9 for name, count in parts.items()},
    xlabel="billion parameters",
    alt=", ".join(f"{name} {count / 1e6:.0f} million" for name, count in parts.items()),
)

# %% [markdown]
# Nine of ten parameters read and write words; one in ten sees. (SigLIP's pooling, 15 million, is loaded and never used, like the last
# block of each tower: OpenVLA takes the vectors of the block before. It is in the checkpoint, so it is in the count.)
#
# ## Drive the arm
#
# No more tiny model, no more expert: the nano's weights, your five functions, the camera's picture, an instruction. Five times a second.


# %% tags=["demo"]
def my_policy(observation, instruction):
    inputs = model_inputs(observation["image_close"], instruction, observation["end_effector"])
    return my_predict_action(nano, inputs["input_ids"], inputs["pixel_values"], "tabletop")


episodes = [drive(env, my_policy, seed) for seed in range(10, 16)]
for info, frames in episodes:
    print(f"{'✓' if info['is_success'] else '·'} “{info['instruction']}”, {(len(frames) - 1) / 5:.1f} s")

# %% tags=["demo"]
shown = next((number for number, (info, _) in enumerate(episodes) if info["is_success"]), 0)
info, film = episodes[shown]
print(f"“{info['instruction']}”: {'done' if info['is_success'] else 'not done'}")
video.show_video(
    film, fps=6, width=300, alt=f"The arm, driven by the lesson's own functions, told: {info['instruction']}."
)

# %% [markdown]
# Six episodes are a look, not a measurement: the interval around such a rate is wide, as you computed on Day 01, where the full runs
# with their intervals are.
#
# ## Look: what does it look at?
#
# Paint a patch grey and see how the model's answer changes. If its seven distributions stay as they are, that patch did not matter to this
# decision. If they move, it did. This is *cause and effect*: you changed one thing.
#
# 1. Erase the thing that the instruction names. Then bring it back and erase another thing.
# 2. Erase the hand. Which of the seven numbers change? (The hand's pose is in the prompt: does the model look at the hand at all?)
# 3. Erase all. What does it do when it sees nothing?


# %% tags=["demo"]
def look(picture, instruction=instruction):
    """The probability of each of the 255 bins, lowest first, for every dimension; the action in mm, degrees and percent."""
    inputs = model_inputs(picture, instruction, hand)
    ids, scores = my_token_ids(nano, inputs["input_ids"], inputs["pixel_values"], 7)
    last = nano.config.vocabulary_size
    bins = scores[:, last - BINS : last].softmax(-1).numpy()[:, ::-1].copy()
    bins[:, -2] += bins[:, -1]  # two ids, one meaning
    return bins[:, :-1], as_numbers(ids) * UNITS


UNITS = np.array([STEP_MM] * 3 + [np.degrees(env.unwrapped.config.rotation_rad)] * 3 + [100.0])
print(f"“{instruction}”")
PatchEraser(
    picture,
    look,
    grid=GRID,
    names=["Δx", "Δy", "Δz", "Δroll", "Δpitch", "Δyaw", "grip"],
    units=["mm", "mm", "mm", "°", "°", "°", "%"],
)

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. With the star's patches grey, Δy moves away completely: before, the command was −13 mm to the side; now it is some 40 to 55 mm to the
#    other side, off the star. Without the cone or the plate no number moves by more than a few millimetres. It looks at what it was told.
# 2. Only Δy, by about a centimetre, from −13 to −3 mm; the others by 2 mm at most. The pose in the prompt says nearly everything about the
#    hand, and the picture corrects it a little.
# 3. It moves all the same: about 7 cm forward, 6 cm to the side and 3.5 cm down. No answer says "I see nothing". The distributions of Δx and
#    Δy become two to four times as broad, which is doubt, but the command is the best bin and shows nothing of it.
#
# </details>
#
# ### And attention?
#
# Papers show attention maps instead: how much the last position *reads* from each patch. Cheap, pretty, and weaker evidence: what is read
# need not matter, and what matters may have been passed on by another position long before. Here are both side by side: each patch erased
# once, and the attention averaged over all layers and heads.

# %% tags=["demo"]
before, _ = look(picture)
effect = np.zeros((GRID, GRID))
for row, column in np.ndindex(GRID, GRID):
    one = np.zeros((GRID, GRID), dtype=bool)
    one[row, column] = True
    effect[row, column] = 0.5 * np.abs(look(erase(picture, one))[0][:3] - before[:3]).sum(-1).mean()

nano.language_model.set_attn_implementation("eager")  # the only one that keeps what it computed
with torch.inference_mode():
    read = nano.language_model(inputs_embeds=sequence, attention_mask=mask, output_attentions=True)
nano.language_model.set_attn_implementation("sdpa")
attention = torch.stack(read.attentions).mean((0, 2))[0, -1, 1 : 1 + GRID**2].reshape(GRID, GRID).numpy()

# %% tags=["demo"]
drawing, panels = plots.figure(1, 3, width=8.4, height=3.0)
panels[0].imshow(picture)
panels[1].imshow(effect, cmap="magma")
panels[2].imshow(attention, cmap="magma")
for panel, title in zip(
    panels,
    (f"“{instruction}”", "erased: how far the answer moves", "attention: how much is read"),
    strict=True,
):
    panel.set_title(title, fontsize=9)
    panel.axis("off")
ranks = [values.ravel().argsort().argsort() for values in (effect, attention)]
agreement = np.corrcoef(*ranks)[0, 1]
print(f"rank correlation of the two: {agreement:+.2f} (1 is the same order of patches, 0 is no relation)")
plots.picture(
    drawing,
    "The picture; how far the distributions move when each patch is erased; how much attention each patch gets.",
)

# %% [markdown]
# Where the two disagree, believe the eraser: it changed something and saw the effect. (It has its own trap: the model never saw a grey
# square in training. Erasing with black, or with the table's colour, is a good test of your conclusion.)

# %% [markdown]
# ## Break it: forget the empty token
#
# Now four ways to break it. They have one thing in common: **none of them raises an error**. Each once cost somebody days.
#
# We measure on eight new starts. A command is *off by* the distance between the right hand step and the one that came.

# %% tags=["demo"]
starts = []
for seed in range(20, 28):
    observation, info = env.reset(seed=seed)
    starts.append(model_inputs(observation["image_close"], info["instruction"], observation["end_effector"]))


def steps_mm(change=lambda ids, pixels: (ids, pixels), key="tabletop"):
    """The hand step in mm at each start, after `change` had its way with ids and pixels."""
    changed = [change(start["input_ids"], start["pixel_values"]) for start in starts]
    return STEP_MM * np.array([my_predict_action(nano, *pair, key)[:3] for pair in changed])


right = steps_mm()
length = np.linalg.norm(right, axis=1).mean()
print(f"as it should be: the hand steps {length:.0f} mm on average")

# %% [markdown]
# First: the empty token between "Out:" and the first action is missing. Llama's tokenizer adds it in training; if you build prompts by hand,
# so must you. It is empty: one position out of some dozens.
#
# **Predict first.** How far will the commands be off, on average, in mm? (The length of a right step is printed above.) Give a guess and a
# range that you would bet on nine times in ten.

# %%
predictions.commit("day02.empty_token", guess=None, low=None, high=None, unit="mm")  # your three numbers


# %% tags=["demo"]
def off_mm(steps):
    """The mean distance from the right steps."""
    return float(np.linalg.norm(steps - right, axis=1).mean())


forgotten = steps_mm(lambda ids, pixels: (ids[:, :-1], pixels))
predictions.reveal("day02.empty_token", off_mm(forgotten))

# %% [markdown]
# And the published model? We stored what the authors' code writes without the token as well:

# %%
# NBVAL_CHECK_OUTPUT
case = cases[0]
wrong, _ = my_token_ids(tiny, case.prompt_ids, case.pixel_values, 7)
print("with:   ", case.token_ids)
print("without:", wrong.tolist(), "as published:", wrong.tolist() == case.token_ids_without_empty_token)

# %% [markdown]
# At no position is the id the same. The first one is chosen one position early, after another word, and every further one follows from a
# wrong beginning.
#
# ## Break it: swap the two halves
#
# Six channels: three for DINOv2, three for SigLIP. It is the same picture twice; only the normalisation differs a little. Swap them.
#
# **Predict first.** How far off, on average, in mm?

# %%
predictions.commit("day02.swapped_halves", guess=None, low=None, high=None, unit="mm")  # your three numbers

# %% tags=["demo"]
swapped = steps_mm(lambda ids, pixels: (ids, pixels[:, [3, 4, 5, 0, 1, 2]]))
predictions.reveal("day02.swapped_halves", off_mm(swapped))
with torch.inference_mode():
    turned = tiny.embed_image(cases[0].pixel_values[:, [3, 4, 5, 0, 1, 2]])
moved = float((turned - expected["projector_output"][:1]).abs().max())
print(f"the published model's projector output moves by {moved:.1f}; 0.00005 may be")

# %% [markdown]
# ## Break it: an empty cache
#
# `generate()` of transformers writes token after token and keeps what was read in a cache. The published class takes "there is a cache" to
# mean "I am in the middle of a sentence". That was right until transformers began to pass an *empty* cache at the start
# ([openvla/openvla#346](https://github.com/openvla/openvla/issues/346)). Here is what it does, in five lines:


# %% tags=["demo"]
from vla_course.openvla.decoding import CACHE_KEYWORD


class AsPublished(OpenVLAForActionPrediction):
    """There is a cache, so this must be the middle of the sentence: the last token is enough, and no picture."""

    def prepare_inputs_for_generation(self, input_ids, **kwargs):
        cache = kwargs.get(CACHE_KEYWORD)  # "past_key_values"; from transformers 5.24 on, "cache"
        if cache is None:
            return super().prepare_inputs_for_generation(input_ids, **kwargs)
        return {"input_ids": input_ids[:, -1:], CACHE_KEYWORD: cache, "use_cache": True}


blind = AsPublished(nano.config, nano.processor).eval()
_ = blind.load_state_dict(nano.state_dict())

# %% [markdown]
# **Predict first.** Eight different pictures, each with its own instruction. How many *different* actions will this model give?

# %%
predictions.commit("day02.empty_cache", guess=None, low=None, high=None, unit="actions")  # your three numbers


# %% tags=["demo"]
def written(model):
    """How many different answers the eight starts get from `generate`."""
    answers = set()
    for start in starts:
        tokens = model.generate(**start, max_new_tokens=7, do_sample=False)
        answers.add(tuple(tokens[0, start["input_ids"].shape[1] :].tolist()))
    return len(answers)


predictions.reveal("day02.empty_cache", written(blind))
print(f"the course's class, through the same generate(): {written(nano)} different actions")

# %% [markdown]
# It read one token, the empty one, and nothing else: no picture and no instruction. The arm moves, the numbers look like
# actions, the log says nothing. That is how a vision-language-action model acts without vision and without language.
#
# The test that catches it takes a minute: *show it another picture*. Make it a habit with every model you load.
#
# ## Break it: somebody else's quantiles
#
# Last one. The tokens are right, but they are read with another data set's `unnorm_key`: BridgeData's, in metres and radians, where the
# tabletop's numbers are shares of a 120 mm step.
#
# **Predict first.** With the right key the episode ends when the thing is touched; the path of the hand until then is printed below. With the
# wrong key the hand has up to eight seconds, 40 steps. How long is its path then, in mm?


# %% tags=["demo"]
def travelled_mm(key, seed=10):
    """How far the hand travels in one episode."""
    observation, info = env.reset(seed=seed)
    way, ended = [observation["end_effector"][:3]], False
    while not ended:
        inputs = model_inputs(observation["image_close"], info["instruction"], observation["end_effector"])
        action = my_predict_action(nano, inputs["input_ids"], inputs["pixel_values"], key)
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
        way.append(observation["end_effector"][:3])
    return 1000 * float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum()), info["is_success"]


far, done = travelled_mm("tabletop")
print(f"right key: {far:.0f} mm, {'done' if done else 'not done'}")

# %%
predictions.commit("day02.wrong_key", guess=None, low=None, high=None, unit="mm")  # your three numbers

# %% tags=["demo"]
nano.config.norm_stats["bridge_orig"] = {
    "action": {
        "q01": [-0.0287, -0.0417, -0.0261, -0.0809, -0.0929, -0.2072, 0.0],
        "q99": [0.0283, 0.0409, 0.0402, 0.0819, 0.0779, 0.2038, 1.0],
        "mask": [True] * 6 + [False],
    }
}
little, done = travelled_mm("bridge_orig")
predictions.reveal("day02.wrong_key", little)
wrong_key = steps_mm(key="bridge_orig")

# %% [markdown]
# The same tokens, and an arm that hardly moves: in all 40 steps it gets a quarter of the way that eight steps with the right key took. The
# other way round, a gentle robot's tokens read with a brisk robot's quantiles, the same mistake throws the arm about. A key that the model
# does not know at all is the friendly case; it raises an error:

# %% tags=["demo"]
try:
    nano.predict_action(picture, instruction, "bridge", state=hand)
except ValueError as error:
    print(error)
del nano.config.norm_stats["bridge_orig"]

# %% [markdown]
# ### All four

# %% tags=["demo"]
rows = {
    "as it should be": off_mm(right),
    "forgot the empty token": off_mm(forgotten),
    "swapped the two halves": off_mm(swapped),
    "wrong unnorm_key": off_mm(wrong_key),
}
table = ["| | off by | error raised |", "| --- | --- | --- |"]
table += [f"| {name} | {value:.0f} mm of {length:.0f} | none |" for name, value in rows.items()]
table += [f"| empty cache | {written(blind)} action for {len(starts)} pictures | none |"]
Markdown("\n".join(table))

# %% [markdown]
# ## The real one
#
# `openvla/openvla-7b` answers the same call, without a GPU too. Its weights are 15.1 GB; `hf download openvla/openvla-7b` fetches them once.
# How much of your computer's memory it will need is computed before anything is loaded:

# %% tags=["demo"]
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.memory_plan import free_gb, plan

for bits in (None, 4):
    print(plan(OpenVLAConfig(), bits=bits, device="cpu"))
print(f"free on this computer now: {free_gb('cpu'):.1f} GB")

# %% [markdown]
# Now a photograph of your own: put its path in place of `None`. In four bits (Day 06) the model fits into most laptops. It is quantised
# once: `save_pretrained` keeps the result, and `path=` loads it.

# %% tags=["demo"]
import os
from pathlib import Path

from PIL import Image

PHOTOGRAPH = None  # "table.jpg": then this cell loads the 7B model and asks it
SMALL = Path("openvla_7b_4bit")


def ask_the_real_one(photograph, words):
    """Seven numbers in BridgeData's units: metres, radians, and the gripper from 0 (closed) to 1 (open)."""
    torch.set_num_threads(os.cpu_count())  # large matrices
    model = load_vla("7b", path=SMALL if SMALL.exists() else None, bits=4, device="cpu")
    if not SMALL.exists():
        model.save_pretrained(SMALL)
    return model.predict_action(Image.open(photograph).convert("RGB"), words, "bridge_orig")


if PHOTOGRAPH is not None:
    print(ask_the_real_one(PHOTOGRAPH, "put the spoon on the towel"))

# %% [markdown]
# Time and memory were measured with a checkpoint of the same names, shapes and sizes and **random weights** (`tools/random_7b.py` makes it).
# So the numbers say what a model of this size takes on that machine. They say nothing about how good its actions are.

# %% tags=["demo"]
from vla_course import results

recorded = results.read("openvla_7b/laptop")
print(f"weights: {recorded.values['weights']}; {recorded.hardware['cores']} cores")
for row in recorded.values["rows"]:
    print(f"{row['what']:48}{row['measured']:8.1f} {row['unit']}")
for step, found in recorded.values["steps"].items():
    print(f"{step}: {found['load_average_before']:.1f} programs wanted to run when it began")
print(recorded)

# %% [markdown]
# ## Recap
#
# You wrote both ends of a vision-language-action model: out of tokens (`tokenize_actions`, `detokenize_actions`, `unnormalize_actions`), into the
# sequence (`insert_patches`), and the choice in the middle (`next_action_token`). Together they are the published model, id for id.
#
# **At work.** Call `predict_action` of a model from `load_vla`, or the published class through transformers, with the `unnorm_key` of *your*
# robot. Keep three tests beside it: another picture changes the action, another instruction changes the action, and a recorded frame gives
# the recorded action in your robot's units.
#
# Three questions before you go:
#
# **1.** Which two token ids mean the same number, and why? How often does the rarer one come up in training?
#
# <details><summary>Answer</summary>
#
# 31744 and 31745 (in the nano's vocabulary 768 and 769). 256 edges have only 255 bins between them; the edge at 1 has no bin after it, so its
# id is read as the last bin's. A number becomes 31744 only if it is exactly 1 (or was cut to it): in normalised data about one in a hundred,
# everything above q99.
#
# </details>
#
# **2.** BridgeData's Δx has q01 = −28.7 mm and q99 = 28.3 mm. How many millimetres can a token be off? Is the bin what limits the
# robot's precision?
#
# <details><summary>Answer</summary>
#
# By half a bin, which is 1/255 of half the range: 57.0 / 2 / 255 = 0.11 mm. The bin is not the limit: a robot arm under a learned policy is
# off by millimetres to centimetres for other reasons, and the next look corrects it. Where motions must be large and fine at once, bins can
# matter.
#
# </details>
#
# **3.** Your robot gets a second camera, at the wrist. Where in the sequence would its patches go, what changes in `insert_patches`, and what does
# it cost?
#
# <details><summary>Answer</summary>
#
# After the first camera's patches, before the words: start, image 1, image 2, words. The mask grows by 2 P ones instead of P. With 256 patches
# each, the prompt of the 7B model almost doubles, and so does the time to read it. The weights fit (the same towers and projector serve both
# pictures), but the model must be trained to understand two of them.
#
# </details>
#
# ## What is next
#
# Your model writes seven numbers for one arm. Tomorrow's robot has two arms with five-fingered hands and takes sixty-one. Something has to
# stand between them, and you will build it.

# %% tags=["demo"]
from vla_course import progress

for number, exercise in sorted(progress.exercises("day02").items()):
    print(number, exercise["name"], "·", exercise["status"])
