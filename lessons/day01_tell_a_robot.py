# %% [markdown]
# # Day 01 · Tell a robot what to do
#
# About an hour and a quarter. You need Python; nothing about robots, nothing about language models.
#
# **What you will have at the end.** A robot arm that does, or does not do, what you type. And the habit that the rest of the course
# lives on: a number for how well it does it, with an honest interval around it. At work this is the first thing to do with any policy
# that you are handed, whatever its video shows.
#
# One table, one model, three instructions. Nothing else differs between these films:

# %% tags=["picture"]
import torch

from vla_course import video
from vla_course.evaluation import tabletop_recording
from vla_course.openvla.load import load_vla
from vla_course.policies.openvla import RIGHT_HAND, tabletop_policy

SCALE = "nano"  # "7b" asks the real openvla-7b instead: it needs a GPU and its weights, and says so

torch.set_num_threads(1)  # small matrices: more threads only wait for one another
model = load_vla(SCALE)
policy = tabletop_policy(model)

sentences = ["touch the red cube", "push the blue can to the yellow plate", "pick up the red cube"]
films = [tabletop_recording.record(policy, words) for words in sentences]
video.show_video(
    tabletop_recording.side_by_side(films),
    fps=5,
    strip=tabletop_recording.moments(films),
    width=900,
    alt="A robot arm at a table with four coloured things, three times: "
    + "; ".join(f"“{film.words}”, {film.outcome}" for film in films),
)

# %% [markdown]
# That is a **vision-language-action model** at work, and nothing was scripted. Five times a second the model gets a small picture, your
# instruction and the position of its own hand, and writes seven numbers: how far to move the hand, how to turn it, and how far to open it.
#
# ## Say it
#
# Now you. Type an instruction (or take one of the suggestions), press *say it*, and drag the slider to see the seven numbers of every step.
# Change the table (on the last one lies a T-shirt, or rather its print). Say something that nobody ever asked of it.
#
# **Left and right are the robot's.** The camera looks the robot in the face, so the picture is *mirrored*: what lies at the
# robot's left is on your right. "Away" is away from the robot, towards you.

# %% tags=["demo"]
from vla_course.widgets.say_it import SayIt

SayIt(policy)

# %% [markdown]
# You will have seen it fail. The films at the top were chosen because they go well, as films of robots are. How *often* it fails, and
# at what, is today's question. Three small functions answer it.
#
# ## Where this sits
#
# ```
# your words ─► prompt ─┐ 01.1
#                       ├─► OpenVLA ─► 7 numbers ─► arm ─► camera ─┐
# picture ──────────────┘                                          │
#    ▲                                                             │
#    └──────────────────── look again, five times a second ────────┘ 01.2
#
# a success or none, many times ─► a rate and its interval             01.3
# ```
#
# What is inside the box is Day 02. Today it stays shut, as for anyone who is handed a robot and a promise.

# %%
import math

import gymnasium
import numpy as np
from IPython.display import Markdown

from vla_course import plots, predictions, results
from vla_course.checks import day01 as checks
from vla_course.envs.end_effector import SingleArmAction
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.wrappers import FixedStart
from vla_course.evaluation import strip
from vla_course.evaluation.episodes import Env, batch_of_one
from vla_course.policy import Policy

parameters = sum(parameter.numel() for parameter in model.parameters())
print(f"{parameters / 1e6:,.1f} million parameters; openvla-7b has 7,541 million")
print(f"it looks at {model.config.image_size} × {model.config.image_size} pixels")

# %% [markdown]
# The model that ships with the course is a *nano*: the architecture of OpenVLA, its file format, its prompt, its action tokens, but small
# enough for one core of your laptop. It has one more input: the position of its hand, which 84 × 84 pixels hardly show. It was trained on
# this simulated table, by the programs in `tools/nano/`. openvla-7b was trained on 970 000 demonstrations of real robots, and a picture
# and an instruction are its only inputs. The line with `SCALE` switches between the two; the rest of the notebook stays as it is. (How the
# 7B model does on our table is not recorded here: if you have the GPU, you will be the first to know.)
#
# The docstring of an exercise says *what* the function returns; *how* is up to you. Lines under `Raises` describe how the library treats
# bad input: the checks do not ask for them.

# %% [markdown]
# ## 01.1 The sentence it was trained on
#
# The model is not told "touch the red cube". In all of its training the instruction stood in one and the same sentence, so that is
# where yours has to stand now, letter for letter. These are three of its training prompts, each on two lines, with nothing behind
# the colon at the end:
#
# ```
# In: What action should the robot take to touch the blue can?
# Out:
#
# In: What action should the robot take to push the red cube to the left?
# Out:
#
# In: What action should the robot take to put the yellow star on the green plate?
# Out:
# ```
#
# What you type may have capitals; no instruction in its training had one.

# %%
from vla_course.openvla.processor import build_prompt  # exercise

# %%
checks.check_build_prompt(build_prompt)

# %% [markdown]
# Does a letter matter? Here are the seven numbers for one picture and one instruction: with your prompt, with one extra space at its end,
# and with the bare instruction. (From here on the policy uses your prompt.)

# %%
policy = tabletop_policy(model, build_prompt=build_prompt)
start = tabletop_recording.said_at(tabletop_recording.TABLE, "touch the red cube")[0]
table = TabletopEnv(cameras=("close",), image_size=policy.image_size)
seen, info = table.reset(seed=0, options=start)
prompts = {
    "your prompt": build_prompt,
    "a space at its end": lambda words: build_prompt(words) + " ",
    "only the words": lambda words: words,
}
said = {
    name: tabletop_policy(model, build_prompt=prompt).act(batch_of_one(seen, info["instruction"]))[0, 0]
    for name, prompt in prompts.items()
}

# %% tags=["demo"]
print(f"{'':20s}   Δx     Δy     Δz    Δroll  Δpitch Δyaw   grip")
for name, action in said.items():
    print(f"{name:20s} " + " ".join(f"{number:+.2f} " for number in action))

# %% [markdown]
# Compare the rows: where a number differs, a letter mattered. Each row is seven valid numbers: a wrong prompt raises no error, however much it changes the motion. That is how such
# systems usually break, and the reason why this course measures so much.
#
# ±1 stands for 12 cm (Δx Δy Δz) or 0.2 rad, 11° (Δroll Δpitch Δyaw), and for the grip −1 is closed, +1 open.

# %% [markdown]
# ## 01.2 Look, decide, act, look again
#
# Now the loop. Two contracts meet in it, and both will stay the same to the last day of the course:
#
# | | you call | you get |
# | --- | --- | --- |
# | environment | `env.reset()` | observation, info |
# | | `env.step(action)` | observation, reward, terminated, truncated, info |
# | policy | `policy.reset(mask)` | nothing: it forgets the past of the environments where `mask` is True |
# | | `policy.act(observations)` | numbers of shape (N, K, A): for N environments K actions of A numbers each |
#
# *Terminated* means that the task is over, done or spoiled; *truncated* that time is up. Policies act for many environments at
# once; `batch_of_one(observation, instruction)` makes a batch of the one you have.

# %%
from vla_course.evaluation.episodes import run_episode  # exercise

# %%
checks.check_run_episode(run_episode)

# %% [markdown]
# ### Run it on the robot
#
# Your loop, your prompt. `RenderCollection` keeps a picture of each step while your function runs. Change the seed for another table.

# %%
room = TabletopEnv(
    cameras=("close",),
    image_size=policy.image_size,
    render_mode="rgb_array",
    render_camera="side",
    render_size=(300, 400),
)
env = gymnasium.wrappers.RenderCollection(FixedStart(room, seed=7, options={"task": "touch"}))
instruction = room.instruction
success, steps = run_episode(env, policy, instruction, max_steps=40)

# %% tags=["demo"]
frames = env.render()
print(f"“{instruction}”: {'done' if success else 'not done'} after {steps} steps, {steps / 5:.1f} s")
video.show_video(frames, fps=5, width=400, alt=f"The arm's attempt to {instruction}.")

# %% [markdown]
# ## 01.3 One honest number
#
# One episode says next to nothing, and "it worked in 9 of 10" says less than it seems to. How far can the true rate be from what you
# saw? The textbook answer $p \pm z\sqrt{p(1-p)/n}$ says that after ten successes in ten episodes the true rate is 100 %, ± 0. Nobody should
# drive a robot by that. E. B. Wilson asked the other way round in 1927: *under which true rates is this result not surprising?* With
# $z = 1.96$, an interval made like this holds the true rate in about 95 of 100 experiments:
#
# $$\frac{p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$

# %%
from vla_course.evaluation.intervals import wilson_interval  # exercise

# %%
checks.check_wilson_interval(wilson_interval)

# %% [markdown]
# ## Seen, unseen, said otherwise
#
# Every start draws the table, the things, their places and colours, the light and the camera at random, and none of these starts was in
# the training. But *what is asked for* can be more or less new:
#
# | split | the combination of verb, colour and kind | the phrasing |
# | --- | --- | --- |
# | seen | was demonstrated | was in the training |
# | unseen combination | was never demonstrated: blue things yes, cubes yes, *the blue cube* not once | was in the training |
# | unseen phrasing (paraphrase) | was demonstrated | never: "poke …", "make contact with …" |
# | both unseen | was never demonstrated | never |
#
# Here are a few live episodes with your loop. Beside them stands the recorded run of the nano, over many more starts, with your interval
# around both.

# %%
STARTS = 8
SPLITS = {
    "seen": "seen",
    "unseen combination": "unseen_combination",
    "paraphrase": "unseen_phrasing",
    "both unseen": "unseen_both",
}


def play(policy, options):
    """Your loop from the first starts: for each whether the scored task was done, and the world as it was left."""
    ends = []
    for seed in range(STARTS):
        env = FixedStart(table, seed=seed, options=options)
        success, _ = run_episode(env, policy, env.instruction, max_steps=40)
        ends.append((success, table.told_goal.success, table.goal.touched))
    return ends


def rate(successes, episodes):
    """A rate with your interval."""
    return successes / episodes, *wilson_interval(successes, episodes)


# %%
live = {name: play(policy, {"task": "touch", "split": split}) for name, split in SPLITS.items()}

# %% tags=["demo"]
try:
    record = results.read("nano/success")
    conditions = record.values["conditions"]
    print(record)
except FileNotFoundError:
    conditions = {}
    print("No full run is recorded yet: the live episodes are all there is.")


def recorded(condition, counted="successes"):
    """A rate from the full run, where there is one: {} or {"… recorded …": (rate, low, high)}."""
    row = conditions.get(condition, {})
    if row.get(counted) is None:
        return {}
    return {f"the nano, recorded, {row['starts']} starts": rate(row[counted], row["starts"])}


# %% tags=["demo"]
def in_words(entry):
    middle, low, high = entry
    return f"{100 * middle:.0f} % ({100 * low:.0f}–{100 * high:.0f} %)"


touched = {
    name: {f"live, {STARTS} starts": rate(sum(end[0] for end in live[name]), STARTS)}
    | recorded(f"touch/{split}")
    for name, split in SPLITS.items()
}
plots.rates(
    touched,
    xlabel="touched the right thing first, %, with 95 % intervals",
    alt="Success at touching. "
    + ". ".join(
        f"{name}: " + ", ".join(f"{who} {in_words(entry)}" for who, entry in row.items())
        for name, row in touched.items()
    ),
)

# %% [markdown]
# Look at the *width* first. Eight episodes leave almost everything open, which is why nobody should believe a video, ours included. Then
# compare the rows: a model that had only learned to go to blue things, or to cubes, would fail in the second. (Two rates whose intervals do
# not overlap differ. Two whose intervals overlap may still differ: Day 07 has a sharper test.)
#
# Why do unseen combinations score *above* seen ones in the recorded run, 96 against 94 %? First, the difference is 7 episodes in 400, and
# the intervals overlap: chance is enough. Second, the combination is new to the *actions* only. The model also learned from pictures to
# point and to answer questions, and half of those pictures were drawn for the held-out combinations: it has often pointed at a blue cube,
# and never been shown how to touch one. So the row does not say that the nano handles things it never saw. It says that what it learned by
# pointing carries over to touching.
#
# Here is the whole run: all verbs, all splits.

# %% tags=["demo"]
VERBS = {
    "touch": "touch a thing",
    "touch_part": "touch a part of a garment",
    "push_direction": "push it left, right, away, near",
    "push_to": "push it to another",
    "pick_up": "pick it up",
    "put": "put it in or on another",
}


def cell(condition, counted="successes"):
    """A rate from the full run in words, or a dash."""
    return next((in_words(entry) for entry in recorded(condition, counted).values()), "–")


lines = ["| | " + " | ".join(SPLITS) + " |", "| --- " * (1 + len(SPLITS)) + "|"]
for verb, meaning in VERBS.items():
    lines.append(f"| {meaning} | " + " | ".join(cell(f"{verb}/{split}") for split in SPLITS.values()) + " |")
Markdown("\n".join(lines) if conditions else "*(Nothing recorded yet.)*")

# %% [markdown]
# The largest hole in it is *push it to another*, in a phrasing that it never read. In most of those episodes it goes to the right thing and
# *takes hold* of it. A model this small has read a few thousand sentences in its life, and treats a new verb as the nearest one that it
# knows. Fluent, confident, and wrong.
#
# ## Break it: does it look? does it listen?
#
# A success rate does not say *why* something succeeds. A hand that comes down in the middle of the table touches things, too. So take
# away what should matter, and see whether it does.
#
# **1. Noise for the picture.** The words are right; every picture is random pixels. **2. Wrong words.** The picture is right; the words
# name another thing of the same table, and we still score the first. **3. No such thing.** The words name a thing that is not on the
# table. In the live episodes that is a purple star, where only a red cube, a blue can, a yellow ball and a green bowl lie; in the recorded
# run it is another absent thing at each start.
#
# **Predict first**, in percent: how often does it touch the *scored* thing first under noise? How often with the wrong words? And how
# often does it touch anything at all when told to touch what is not there?

# %%
predictions.commit("day01.noise", guess=None, low=None, high=None, unit="%")  # your three numbers

# %%
predictions.commit("day01.wrong_words", guess=None, low=None, high=None, unit="%")  # your three numbers

# %%
predictions.commit("day01.absent", guess=None, low=None, high=None, unit="%")  # your three numbers

# %%
rng = np.random.default_rng(0)


def noise(pictures):
    return rng.integers(0, 256, pictures.shape, dtype=np.uint8)


blindfolded = tabletop_policy(model, build_prompt=build_prompt, look=noise)
here = [("red", "cube"), ("blue", "can"), ("yellow", "ball"), ("green", "bowl")]
under_noise = play(blindfolded, {"task": "touch"})
wrong_words = play(policy, {"task": "touch", "wrong_instruction": True})
absent = play(policy, {"task": "touch", "things": here, "words": "touch the purple star"})

# %% tags=["demo"]
alone = f"live, {STARTS} starts"
broken = {
    "as it should be": {alone: rate(sum(end[0] for end in live["seen"]), STARTS)} | recorded("touch/seen"),
    "noise for the picture": {alone: rate(sum(end[0] for end in under_noise), STARTS)}
    | recorded("touch/noise"),
    "a blind model": recorded("touch/blind"),
    "wrong words: the scored thing": {alone: rate(sum(end[0] for end in wrong_words), STARTS)}
    | recorded("touch/wrong_words"),
    "wrong words: the thing said": {alone: rate(sum(end[1] for end in wrong_words), STARTS)}
    | recorded("touch/wrong_words", "did_what_was_said"),
    "no such thing: touches anything": {alone: rate(sum(bool(end[2]) for end in absent), STARTS)}
    | recorded("touch/absent", "touched_anything"),
}
broken = {name: row for name, row in broken.items() if row}
plots.rates(
    broken,
    xlabel="% of episodes, with 95 % intervals",
    alt="What is touched when something is taken away. "
    + ". ".join(
        f"{name}: " + ", ".join(f"{who} {in_words(entry)}" for who, entry in row.items())
        for name, row in broken.items()
    ),
)

# %% tags=["demo"]
for key, name in {
    "noise": "noise for the picture",
    "wrong_words": "wrong words: the scored thing",
    "absent": "no such thing: touches anything",
}.items():
    *_, (measured, _, _) = broken[name].values()  # the full run where there is one
    print(f"{name}:")
    predictions.reveal(f"day01.{key}", 100 * measured)

# %% [markdown]
# How to read it:
#
# - **It looks** if noise takes the success away. What is left is luck, and the row *a blind model* says how much luck there is: the same
#   network, trained to act on the words, the hand's position and one grey picture that is always the same. If the rate under noise is no
#   better than that one, everything beyond luck came from the picture.
# - **It listens** if with wrong words the scored thing is left alone, *and* the thing said is touched instead. The first without the second
#   would only mean that it was confused.
# - **It hallucinates** if it touches something although what it was told to touch is not there. No output of this model says "there is
#   none": it was never taught to refuse, and every token it can write is a motion. The full run counts what it touches instead:

# %% tags=["demo"]
row = conditions.get("touch/absent")
if row:
    print(
        f"told to touch what is not there, it touched something in {row['touched_anything']} of {row['starts']} episodes;"
    )
    print(f"in {row['touched_alike']} of them a thing of the same colour or the same kind as the absent one")
else:
    print("live:", ", ".join(str(end[2] or "nothing") for end in absent))

# %% [markdown]
# (How often a blind touch would hit a thing of that colour or kind was not counted, so the second number is a description and no evidence.)
#
# Push, pick up and put, under the same treatment, from the full run:

# %% tags=["demo"]
ways = {"seen": "as it should be", "noise": "noise", "blind": "a blind model", "wrong_words": "wrong words"}
lines = ["| | " + " | ".join(ways.values()) + " |", "| --- " * (1 + len(ways)) + "|"]
for verb, meaning in VERBS.items():
    lines.append(f"| {meaning} | " + " | ".join(cell(f"{verb}/{way}") for way in ways) + " |")
Markdown("\n".join(lines) if conditions else "*(Nothing recorded yet.)*")

# %% [markdown]
# One row is unlike the others: parts of garments. *A blind model* is right in most of those episodes, since on this table every garment
# lies nearly in the same place, and "the left sleeve" alone says roughly where to go. So the picture is worth the step from that column to
# the first, not all of the first; a success rate without its blind twin would have hidden that. (Random pixels are worse than no picture:
# they do not only say nothing, they mislead.)
#
# ## The robot that we want to fold with
#
# Now the other robot of this course: two arms, two hands, sixty joints, and a T-shirt. Same model, no training: *zero-shot*. What
# happens if you just try?

# %%
folding = FoldingEnv(cameras=("close",), image_size=policy.image_size)
observation, info = folding.reset(seed=0)
eyes = tabletop_policy(model, build_prompt=build_prompt, state=RIGHT_HAND)
action = eyes.act(batch_of_one(observation, info["instruction"]))[0, 0]
try:
    folding.step(action)
except ValueError as error:
    print(error)

# %% [markdown]
# Seven numbers for sixty-one: the shapes do not even fit, and an error is the *kind* answer. We can make them fit. `SingleArmAction` takes
# seven numbers for **one** hand, in the units the model knows, and lets inverse kinematics (Day 03) find the joints; the other arm
# holds still. Let us see how far "fold the T-shirt" gets with that. It is also your row of the strip.
#
# **The strip** is one picture that grows through the whole course: the same T-shirt, the same start, the same camera, one row for each
# policy, from random actions to the last one that reinforcement learning improved. Rows stand in the order of the days. Those marked
# *recorded* are ours, of days before and after this one; the others are yours.

# %% tags=["demo"]
hand = SingleArmAction(strip.make_env(cameras=("close",), image_size=policy.image_size), "right")
fold = hand.unwrapped.instruction


def act(observation):
    return eyes.act(batch_of_one(observation, fold))[0, 0]


row = strip.run("Zero-shot, one hand", "day01", act, hand)
print(f"“{fold}”: {'folded' if row.success else 'not folded'}, fold error {1000 * row.fold_error_m:.0f} mm")
strip.show()

# %% [markdown]
# The fold error is how far the cloth that must move lies from its place in the ideal fold, on average. 219 mm is the error of this T-shirt
# before anyone has touched it: in 20 seconds the hand never moved it. Nor did the policies of the recorded rows that end at 219 mm, too.
#
# Why it cannot work, from the outside in:
#
# - **Another body.** It was trained with one arm, and the fingers of its hand are one number. A T-shirt's bottom edge is carried over by
#   *two* hands at once; by one it is dragged askew. Seven numbers have no way to say what the other hand should do.
# - **Another picture.** The camera stands where its training's did, but what it shows does not look alike: a second arm, and cloth with folds
#   and a shadow where it knows flat prints. A model that has only ever seen one world has not learned the world, but that one.
# - **Another task.** It was trained to put a finger on the left sleeve of a T-shirt that is printed on the table. Nobody has shown it cloth
#   that moves, or an action for the word "fold".
#
# The 7B model has all three problems, too. Zero-shot works on what resembles the training; the rest of this course leads from there to a
# folded T-shirt.

# %% [markdown]
# ## Recap
#
# You gave a robot words (`build_prompt`), closed the loop from its camera to its motors (`run_episode`), and put an honest number
# on the outcome (`wilson_interval`).
#
# **At work.** Report every success rate with its number of episodes and its interval, on seeds fixed beforehand, and measure what noise and
# wrong words leave of it. Use `vla-course eval`, or `evaluate` in `vla_course.evaluation.episodes`, which plays many environments in one
# batch. Outside this course `scipy.stats.binomtest(18, 20).proportion_ci(method="wilson")` gives your interval.
#
# Three questions before you go:
#
# **1.** Policy A succeeds in 18 of 20 episodes, policy B in 15 of 20. Your colleague wants to throw B away. What do you say?
#
# <details><summary>Answer</summary>
#
# `wilson_interval(18, 20)` is 70 to 97 %, `wilson_interval(15, 20)` is 53 to 89 %: they overlap widely, and a difference of three
# episodes in twenty is common between two runs of the *same* policy. Run more episodes, and from the same starts for both, so that luck
# with the starts cancels (Day 07).
#
# </details>
#
# **2.** You hide the red cube and say "touch the red cube". The picture holds a blue can and a red ball. What does the model do, and
# what would have to change for it to say "there is none"?
#
# <details><summary>Answer</summary>
#
# It writes seven action tokens, as always, and the hand goes somewhere; the full run above counted where. It has no way to
# decline: decoding is restricted to the action tokens, and no demonstration ever ended with "there is none". It would need training
# examples with an absent thing and an answer for them (stay still, or words), and a decoding that allows that answer.
#
# </details>
#
# **3.** Under noise a policy touches the right thing in 12 of 100 episodes. Its maker says: "So it sees something even in noise." What do you
# measure next?
#
# <details><summary>Answer</summary>
#
# The success rate of a policy that cannot see at all: one trained without pictures, from the same starts. If that one also gets about 12
# of 100, the rate is the luck of coming down somewhere on a table with few things on it. `wilson_interval(12, 100)` is 7 to 20 %: only a
# blind rate well below that would speak for the maker. (The blind twin above scores higher than the nano in noise: noise does not merely hide the picture, it misleads.)
#
# </details>
#
# ## What is next
#
# You have judged the model from outside. Day 02 opens the box: how a picture and an instruction become seven numbers, in five functions
# that you write, equal to the published model id for id.

# %% tags=["demo"]
from vla_course import progress

for number, exercise in sorted(progress.exercises("day01").items()):
    print(number, exercise["name"], "·", exercise["status"])
