# %% [markdown]
# # Day 01 · Tell a robot what to do
#
# About an hour and a quarter. You need Python; nothing about robots, nothing about language models.
#
# **What you will have at the end.** A robot arm that does, or does not do, what you type. And the habit that the rest of the course
# lives on: a number for how well it does it, with an honest interval around it.
#
# Three sentences, one table, one model. Nothing else differs between these films:

# %% tags=["picture"]
import torch

from vla_course import recording, video
from vla_course.openvla.load import load_vla
from vla_course.policies.openvla import RIGHT_HAND, tabletop_policy

SCALE = "nano"  # "7b" asks the real openvla-7b instead: it needs a GPU and its weights, and says so

torch.set_num_threads(1)  # small matrices: more threads only wait for one another
model = load_vla(SCALE)
policy = tabletop_policy(model)

sentences = ["touch the red cube", "push the blue can to the yellow plate", "pick up the red cube"]
films = [recording.record(policy, words) for words in sentences]
video.show_video(
    recording.side_by_side(films),
    fps=5,
    strip=recording.moments(films),
    width=900,
    alt="A robot arm at a table with four coloured things, three times: "
    + "; ".join(f"“{film.words}”, {film.outcome}" for film in films),
)

# %% [markdown]
# That is a **vision-language-action model** at work, and nothing was scripted. Five times a second it is given a small picture, your
# sentence, and where its own hand is, and writes seven numbers: how far to move the hand, how to turn it, and how far to close it.
#
# ## Say it
#
# Now you. Type an instruction (or take one of the suggestions), press *say it*, and drag the slider to see the seven numbers of every step.
# Change the table (on the last one lies a T-shirt, or rather its print). Say something that no one ever asked of it.
#
# **Left and right are the robot's.** The camera looks the robot in the face, so the picture is *mirrored*: what lies at the
# robot's left is on your right. "Away" is away from the robot, towards you.

# %% tags=["demo"]
from vla_course.say_it import SayIt

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

from vla_course import plots, predictions, results, strip
from vla_course.checks import day01 as checks
from vla_course.envs.end_effector import SingleArmAction
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.wrappers import FixedStart
from vla_course.evaluate import Env, batch_of_one
from vla_course.policy import Policy

parameters = sum(parameter.numel() for parameter in model.parameters())
print(f"{parameters / 1e6:,.1f} million parameters; openvla-7b has 7,541 million")
print(f"it looks at {model.config.image_size} × {model.config.image_size} pixels")

# %% [markdown]
# The model that ships with the course is a *nano*: the architecture of OpenVLA, its file format, its prompt, its action tokens, but small
# enough for one core of your laptop, and told one thing more: where its hand is, which 84 × 84 pixels hardly show. It was taught on this
# table, by the programs in `tools/nano/`. openvla-7b was taught on 970 000 demonstrations of real robots, and sees no more than a picture. The line with `SCALE` switches; the rest of the notebook stays as it is. (What the 7B model makes of our
# simulated table is not recorded here: if you have the GPU, you will be the first to know.)
#
# In the exercises the docstring says *what*; how is yours. Lines under `Raises` tell how the library treats bad input: the checks do
# not ask for them.

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
# Does a letter matter? Here are the numbers for one picture and one instruction: with your prompt, with a space too much at its end,
# and with no sentence around the words at all. (Your prompt is the one that acts from here on.)

# %%
policy = tabletop_policy(model, build_prompt=build_prompt)
start = recording.said_at(recording.TABLE, "touch the red cube")[0]
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
# Compare the rows. Each is seven valid numbers: a wrong prompt raises no error, whatever it does to the motion. That is the normal way
# for such a system to be broken, and the reason why this course measures so much.
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
from vla_course.evaluate import run_episode  # exercise

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
# saw? The textbook answer $p \pm z\sqrt{p(1-p)/n}$ says that after ten successes in ten episodes it is 100 %, ± 0. Nobody should
# drive a robot by that. E. B. Wilson asked the other way round in 1927: *which true rates would not find this result surprising?* With
# $z = 1.96$, those that would see it or worse in more than about one experiment in twenty:
#
# $$\frac{p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$

# %%
from vla_course.evaluate import wilson_interval  # exercise

# %%
checks.check_wilson_interval(wilson_interval)

# %% [markdown]
# ## Seen, unseen, said otherwise
#
# The table, the things, their places and colours, the light and the camera are drawn anew for every start, and no start of these was ever
# in the training. But *what is asked for* can be more or less new:
#
# | split | the combination of verb, colour and kind | the phrasing |
# | --- | --- | --- |
# | seen | was in the training | was in the training |
# | unseen combination | no action was about it: to blue things yes, to cubes yes, to *the blue cube* not once | was in the training |
# | unseen phrasing (paraphrase) | was in the training | never: "poke …", "make contact with …" |
# | both unseen | never | never |
#
# A few episodes live, with your loop. Beside them the recorded run of the nano over many more starts and all kinds of tasks, with
# your interval around both.

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
# compare the rows: a model that had only learned to go to blue things, or to cubes, would fail in the second. (Two intervals that do not
# overlap differ. Two that do overlap may still differ: Day 07 has a sharper test.)
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
# There is a hole in it: *push it to another*, in words that it never heard. In most of those episodes it sees the right thing and *takes hold* of it. A model this small has read a few
# thousand sentences in its life; of a new verb it makes the nearest one that it knows. Fluent, confident, and wrong.
#
# ## Break it: does it look? does it listen?
#
# A success rate does not say *why* something succeeds. A hand that comes down in the middle of the table touches things, too. So take
# away what should matter, and see whether it does.
#
# **1. Noise for the picture.** The words are right; every picture is random pixels. **2. Wrong words.** The picture is right; the words
# name another thing of the same table, and we still score the first. **3. Right words, no such thing.** It is told to touch a
# purple star, and there is none.
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
#   network, taught to act on words, the hand's place and one grey picture, always the same. A row under noise that is no better than that one means that everything beyond luck came from the
#   picture.
# - **It listens** if with wrong words the scored thing is left alone, *and* the thing said is touched instead. The first without the second
#   would only mean that it was confused.
# - **It hallucinates** if it touches something although there is nothing to touch. No output of this model says "there is none": it was never
#   taught to refuse, and every token it can write is a motion. The full run says what it takes in place of the absent thing:

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
# Push, pick up and put, under the same treatment, from the full run:

# %% tags=["demo"]
ways = {"seen": "as it should be", "noise": "noise", "blind": "a blind model", "wrong_words": "wrong words"}
lines = ["| | " + " | ".join(ways.values()) + " |", "| --- " * (1 + len(ways)) + "|"]
for verb, meaning in VERBS.items():
    lines.append(f"| {meaning} | " + " | ".join(cell(f"{verb}/{way}") for way in ways) + " |")
Markdown("\n".join(lines) if conditions else "*(Nothing recorded yet.)*")

# %% [markdown]
# One row is unlike the others: parts of garments. *A blind model* is right in most of them, since on this table every garment lies nearly in the same place, and
# "the left sleeve" alone says roughly where to go. So what the picture is worth there is the step from that column to the first, not the whole of it; a success rate without its blind
# twin would have hidden that. (Random pixels are worse than no picture: they do not only tell nothing, they mislead.)
#
# ## The robot that we want to fold with
#
# Now the other robot of this course: two arms, two hands, sixty joints, and a T-shirt. Same model, no training, "zero-shot". What
# happens if one just tries?

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
# Seven numbers for sixty-one: the shapes do not even fit, and that is the *kind* answer. We can make them fit. `SingleArmAction` takes
# seven numbers for **one** hand, in the units the model knows, and lets inverse kinematics (Day 03) find the joints; the other arm
# holds still. Let us give it that, and see how far "fold the T-shirt" gets. It is also your row of the strip.
#
# **The strip** is one picture that grows through the whole course: the same T-shirt, the same start, the same camera, one row for each policy,
# from today's to the last one that reinforcement learning improved. The rows above yours are recorded.

# %% tags=["demo"]
hand = SingleArmAction(strip.make_env(cameras=("close",), image_size=policy.image_size), "right")
fold = hand.unwrapped.instruction


def act(observation):
    return eyes.act(batch_of_one(observation, fold))[0, 0]


row = strip.run("Zero-shot, one hand", "day01", act, hand)
print(f"“{fold}”: {'folded' if row.success else 'not folded'}, fold error {1000 * row.fold_error_m:.0f} mm")
strip.show()

# %% [markdown]
# Why it cannot work, from the outside in:
#
# - **Another body.** It was taught with one arm, and the fingers of its hand are one number. A T-shirt's bottom edge is carried over by
#   *two* hands at once; by one it is dragged askew. Seven numbers have no way to say what the other hand should do.
# - **Another picture.** The camera stands where its training's did, but what it shows does not look alike: a second arm, and cloth with folds
#   and a shadow where it knows flat prints. A model that has only ever seen one world has not learned the world, but that one.
# - **Another task.** It was taught to put a finger on the left sleeve of a T-shirt that is printed on the table. Nobody has shown it cloth
#   that moves, or an action for the word "fold".
#
# The 7B model shares all three. Zero-shot works where the training was; the rest of this course is about the way from there to a
# folded T-shirt.

# %% [markdown]
# ## Recap
#
# You gave a robot words (`build_prompt`), closed the loop from its camera to its motors (`run_episode`), and put an honest number
# on what came of it (`wilson_interval`). Three questions before you go:
#
# **1.** Policy A succeeds in 18 of 20 episodes, policy B in 15 of 20. Your colleague wants to throw B away. What do you say?
#
# <details><summary>Answer</summary>
#
# `wilson_interval(18, 20)` is 70 to 97 %, `wilson_interval(15, 20)` is 53 to 89 %: they overlap by far, and a difference of three
# episodes in twenty happens often between two runs of the *same* policy. Run more episodes, and from the same starts for both, so that luck
# with the starts cancels (Day 07).
#
# </details>
#
# **2.** You hide the red cube and say "touch the red cube". The picture holds a blue can and a red ball. What does the model do, and
# what would have to change for it to say "there is none"?
#
# <details><summary>Answer</summary>
#
# It writes seven action tokens, as always, and the hand goes somewhere; towards what, the full run above counted. It has no
# way to decline: decoding is held to the action tokens, and no demonstration ever ended with "there is none". It would need training
# examples with an absent thing and an answer for them (stay still, or words), and a decoding that allows that answer.
#
# </details>
#
# **3.** Under noise a policy touches the right thing in 12 of 100 episodes. Its maker says: "So it sees something even in noise." What do you
# measure next?
#
# <details><summary>Answer</summary>
#
# What a policy gets that cannot see at all: one trained without pictures, from the same starts. If that one also gets about 12 of 100, the
# rate is the luck of coming down somewhere on a table with few things on it. `wilson_interval(12, 100)` is 7 to 20 %: only a
# blind rate well below that would speak for the maker.
#
# </details>
#
# ## What is next
#
# You have judged the model from outside. Day 02 opens the box: how a picture and a sentence become seven numbers, in five functions
# that you write, equal to the published model id for id.

# %% tags=["demo"]
from vla_course import progress

for number, exercise in sorted(progress.exercises("day01").items()):
    print(number, exercise["name"], "·", exercise["status"])
