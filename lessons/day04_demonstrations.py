# %% [markdown]
# # Day 04 · Demonstrations are data
#
# About an hour and forty minutes, with a natural pause in the middle. You need Day 02 (numbers as tokens) and Day 03 (fourteen
# numbers for two hands).
#
# **What you will have at the end.** Two hundred towels, folded by the expert, as a data set that you have leafed through, measured,
# split, cropped and labelled with five functions of your own. A short training on it. And two tests that find many quiet mistakes: *the
# data fold the towel again*, and *the model gets in use what it got in training*.

# %% tags=["picture"]
from vla_course import assets
from vla_course.picture import Picture

Picture(
    assets.find("data/pictures/towel_fold.jpg").read_bytes(),
    alt="Six moments: two robot hands take the far edge of a towel and fold it over.",
)

# %% [markdown]
# ## Where this sits
#
# ```
#           ┌─────────────────── today ───────────────────┐
# expert ─► episodes ─► data set ─► training samples ─► training ─► policy ─► is it better?
#                       04.1 04.3   04.2 04.4 04.5     (05, 06)                  (07)
# ```
#
# On Day 01 the folding robot did nothing useful with the nano: nobody ever showed it how. Today the expert shows it, and what it
# shows becomes something a model can learn from.
#
# | from minute | | what you can do then |
# | --- | --- | --- |
# | 0 | look at the data | leaf through demonstrations, and carry one out again |
# | 15 | 04.1, 04.2 | bring fourteen numbers of three kinds to one range, and know what that costs |
# | 50 | 04.3, 04.4, 04.5 | choose the frames, the part of the picture, and the tokens that are learned |
# | 75 | put together | read a training sample aloud; train; ask the model again what it learned |
# | 90 | break it | make validation look wonderful; forget one line at evaluation |

# %%
import math
import tempfile
from collections.abc import Sequence

import gymnasium
import numpy as np
import torch
from IPython.display import Markdown
from jaxtyping import Bool, Float, Int
from matplotlib.patches import Rectangle

import vla_course
from vla_course import plots, predictions, results, video
from vla_course.action_tokens import (
    action_statistics,
    detokenize_actions,
    tokenize_actions,
    unnormalize_actions,
)
from vla_course.adapters.lora import LoRAConfig
from vla_course.checks import day04 as checks
from vla_course.data.augmentation import augment
from vla_course.data.episodes import collect
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.samples import DemonstrationSamples
from vla_course.data.statistics import dataset_statistics, normalized_dimensions
from vla_course.data.token_rows import UNLEARNED
from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.end_effector_expert import EndEffectorExpert
from vla_course.evaluation.episodes import evaluate
from vla_course.evaluation.intervals import wilson_interval
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.loop import fine_tune
from vla_course.fine_tuning.losses import action_token_loss
from vla_course.fine_tuning.modes import learning_count, prepare
from vla_course.fine_tuning.run_folder import tell_data
from vla_course.openvla.load import load_vla
from vla_course.openvla.processor import build_prompt
from vla_course.policies.openvla import tabletop_policy
from vla_course.widgets.data_browser import DataBrowser

torch.set_num_threads(1)  # small matrices: more threads only wait for one another

# %% [markdown]
# ## Look at the data
#
# Do this before anything else. Five minutes of leafing through the data show what no loss curve shows.

# %%
# NBVAL_CHECK_OUTPUT
dataset = LeRobotDataset(assets.find_folder("data/demos/towel"))
tracks = list(dataset.tracks())
print(f"{len(tracks)} demonstrations, {dataset.fps} frames a second, “{tracks[0].instruction}”")
print("each frame: a picture of", dataset.features["observation.images.close"]["shape"], "and", end=" ")
print(tracks[0].states.shape[1], "numbers of state,", tracks[0].actions.shape[1], "of action")

# %% [markdown]
# 1. Press *play*. Then find the frame in which the hands take hold: which numbers say so?
# 2. And where they let go. What do the other numbers do around it?
# 3. Look at Δroll and Δpitch. How large are they, beside Δx? Remember that for 04.2.
# 4. Open three more episodes. What differs between them, and what never does?
#
# <details><summary>Answers, for episode 0</summary>
#
# **1.** The grip falls to −1: frame 7 for the left hand, the same frame for the right one. The left hand misses (it feels no cloth afterwards), opens,
# and closes again in frame 11; from frame 12 on both carry.
#
# **2.** In frame 21 both grips jump from −1 to 1. The hands come down before it and stand nearly still while they open; in the next frame they
# go straight up, Δz = 100 mm.
#
# **3.** At most a few tenths of a degree, beside steps of up to 85 mm. At 5 Hz an action can turn a hand by 11.5° and move it by 120 mm, so these numbers use 3 % of
# their range; Δx uses 70 %. (Both limits go with the duration of an action: at 20 Hz they are 2.9° and 30 mm.)
#
# **4.** Where the towel lies, how it is turned and how large it is; how long the episode takes (12 to 38 frames); where the robot strays. The
# sentence and the order never differ: above the edge, down, close, over in an arc, down, open, up.
#
# </details>

# %% tags=["demo"]
DataBrowser(dataset)

# %% [markdown]
# The expert sees the true state of the cloth and answers in hand steps, five times a second. While it was recorded, noise was
# added to what the robot *did* (some 6 mm a step, 60 % of it still there in the next), never to what the expert *said*. In three steps of
# ten, an empty hand was also pushed aside by some centimetres; in one of ten, an empty hand high above the table closed. So the robot strayed and
# fumbled, and the expert showed the way back. A learned policy strays by itself; without such frames it would never have seen how to return.
#
# The state has sixteen numbers: the *commanded* pose and grip of both hands, from which the next step starts, and whether each feels cloth.
# Without them one picture could need different answers: arms in motion lag up to 5 cm behind their commands, and a picture of 84
# pixels hardly shows whether a closed hand holds anything. For the same reason the expert decides by the *commanded* position when to close a hand:
# if it waited for something that the policy cannot observe, the policy would learn to wait, and not when to stop waiting.
#
# ### The files
#
# The format is LeRobot's, version 3.0, so other people's tools open it: numbers in parquet tables, pictures in videos (here without loss), and
# a folder `meta` that says what is where.

# %% tags=["demo"]
files = sorted(path for path in dataset.root.rglob("*") if path.is_file())
for path in files:
    print(f"{path.stat().st_size / 1000:8.1f} kB  {path.relative_to(dataset.root)}")

# %% [markdown]
# ### Do the data fold a towel?
#
# A recording can be wrong in many quiet ways: actions one step late, another rate, another unit, left and right hand exchanged. One test finds
# all of these: put the robot at the recorded start and *carry out the recorded actions*, without looking.

# %%
towel = gymnasium.make("vla_course/FoldTowel-v0", render_mode="rgb_array", render_size=(240, 320))
robot = EndEffectorAction(towel, rate_hz=dataset.fps)


def replay_demo(number, change=lambda actions: actions, film=False):
    """Carry out what was done in a demonstration, or what `change` makes of it, without looking."""
    track = tracks[number]
    carried_out = track.actions if track.executed is None else track.executed
    _, info = robot.reset(seed=track.seed)
    frames = [robot.render()] if film else []
    for action in change(carried_out):
        _, _, terminated, truncated, info = robot.step(action)
        frames += [robot.render()] if film else []
        if terminated or truncated:
            break
    return info, frames


# %%
# NBVAL_CHECK_OUTPUT
info, film = replay_demo(0, film=True)
print("folded:", info["is_success"])

# %% tags=["demo"]
video.show_video(
    film, fps=dataset.fps, width=320, alt="A recorded demonstration carried out again: the towel is folded."
)

# %% [markdown]
# And what if we carry out what the expert *said*, in place of what the robot *did*?

# %% tags=["demo"]
TRIED = range(10)
done = [replay_demo(number)[0] for number in TRIED]
said = [replay_demo(number, lambda _, number=number: tracks[number].actions)[0] for number in TRIED]


def outcome(infos):
    """How many folded, and how well."""
    folded = sum(info["is_success"] for info in infos)
    error_mm = 1000 * np.mean([info["fold_error_m"] for info in infos])
    return f"{folded} of {len(infos)} fold, error {error_mm:.0f} mm"


strayed = np.concatenate([track.executed - track.actions for track in tracks])[:, :3]
print(
    f"what was done differs from what was said by {1000 * robot.translation_m * strayed.std():.1f} mm a step"
)
print("what was done:", outcome(done))
print("what was said:", outcome(said))

# %% [markdown]
# (Those millimetres are the spread along one axis, noise and pushes together.) The expert's answer fits the state in which it was asked. Played
# in a row without looking, its answers correct mistakes that were not made. The data set keeps both: `action` is learned, `executed` is replayed.
#
# ## The idea, on one screen
#
# From a frame of a demonstration to something a language model learns from, in four steps:
#
# **Numbers become comparable.** Each dimension's 1 % and 99 % quantile over *all frames* become −1 and 1; what lies outside is cut:
#
# $$a' = \operatorname{clip}\!\left(2\,\frac{a - q_{01}}{q_{99} - q_{01}} - 1,\; -1,\; 1\right).$$
#
# Then they become tokens, as on Day 02.
#
# **Some frames are kept for validation:** whole episodes, never single frames.
#
# **Pictures vary.** Training sees a random crop of 90 % of the area, in other colours every time. Use sees the 90 % in the middle.
#
# **Only the answer is learned.** Prompt and state are given; the loss counts the action's tokens and the stop behind them:
#
# $$\underbrace{[\text{start}]\,[\text{patches}]\,[\text{In: What action} \ldots \text{Out:}]\,[\text{state}]\,[\;]}_{\text{told: label } -100}\;
# \underbrace{[a_1]\,[a_2] \ldots [a_{14}]\,[\texttt{</s>}]}_{\text{learned}}$$
#
# In the exercises the docstring says *what*; how is yours. Lines under `Raises` and `Source` tell about the library: the checks do
# not ask for them.

# %% [markdown]
# ## 04.1 Where the numbers lie
#
# The 1 % and 99 % quantiles, not the smallest and the largest number: a single slip of the recorder would set the range for all. They are
# taken over all frames, not episode by episode.

# %%
from vla_course.data.statistics import action_quantiles  # exercise

# %%
checks.check_action_quantiles(action_quantiles)

# %%
q01, q99 = action_quantiles([track.actions for track in tracks])
everything = np.concatenate([track.actions for track in tracks])

# %% tags=["demo"]
NAMES = [
    f"{hand} {what}"
    for hand in ("left", "right")
    for what in ("Δx", "Δy", "Δz", "Δroll", "Δpitch", "Δyaw", "grip")
]
UNIT = np.tile([1000 * robot.translation_m] * 3 + [np.degrees(robot.rotation_rad)] * 3 + [1.0], 2)
for k in range(7):
    smallest, largest = everything[:, k].min(), everything[:, k].max()
    ends = UNIT[k] * np.array([smallest, q01[k], q99[k], largest])
    print(
        "{:12s} smallest {:7.1f}   q01 {:7.1f}   q99 {:7.1f}   largest {:7.1f}".format(NAMES[k], *ends),
        ("mm", "°", "")[min(2, k // 3)],
    )

# %% [markdown]
# ## 04.2 To one range, and cut
#
# The inverse of Day 02's `unnormalize_actions`, with two special cases: a number outside the range, and a dimension that never
# changes. A grip is a position between open and closed, not a step; it keeps its number.

# %%
from vla_course.action_tokens import normalize_actions  # exercise

# %%
checks.check_normalize_actions(normalize_actions)

# %% [markdown]
# What is it good for? Here are three dimensions of the left hand before and after. A token is a bin 1/127.5 wide; the titles count how many
# different tokens occur.

# %%
mask = normalized_dimensions(len(q01))
normalized = normalize_actions(everything, q01, q99, mask)

# %% tags=["demo"]
drawing, panels = plots.figure(2, 3, width=8.4, height=3.8)
for column, k in enumerate((0, 3, 6)):
    for panel, values, color in ((panels[column], everything, 0), (panels[3 + column], normalized, 1)):
        panel.hist(values[:, k], bins=np.linspace(-1, 1, 86), color=plots.COLORS[color])
        panel.set(xlim=(-1.05, 1.05), yticks=[])
        words = len(np.unique(tokenize_actions(values[:, k])))
        panel.set_title(f"{NAMES[k]}, {'after' if color else 'before'}: {words} tokens", fontsize=9)
plots.picture(
    drawing,
    "Histograms before and after. A step fills the range already; a turn is one thin spike before and a broad hill after; "
    "the grip, mostly at its two ends, stays as it is.",
)


# %% tags=["demo"]
def tokens_used(values):
    """How many different tokens occur, and the share of frames that have the commonest one."""
    counts = np.unique(tokenize_actions(values), return_counts=True)[1]
    return f"{len(counts)} tokens, commonest {100 * counts.max() / len(values):.0f} %"


at_ends = 100 * (np.abs(normalized[:, mask]) == 1).mean()
table = ["| | before | after |", "| --- | --- | --- |"]
table += [
    f"| {NAMES[k]} | {tokens_used(everything[:, k])} | {tokens_used(normalized[:, k])} |" for k in range(7)
]
print(f"{at_ends:.1f} % of all normalised numbers sit at ±1, where the quantiles cut")
Markdown("\n".join(table))

# %% [markdown]
# Without normalising, roll and pitch have 14 and 19 of 255 tokens, and the commonest one alone is right in a third of all frames: a model gets those
# points without looking. And half a bin is 0.04°, while these turns spread by 0.1°. After normalising, each of the two has more than 240
# tokens, and none of them stands for more than one frame in fifty.
#
# ### Play with it
#
# The second slider cuts off more or less than 1 % on each side. The blue line is the recording; orange is what a robot gets that hears
# tokens of it, through *your* `normalize_actions`; the green dashes are *your* quantiles.
#
# 1. At 1 %: where do band and green dashes lie? They should agree.
# 2. Go to 0. How far do tokens round now? Is there any harm?
# 3. Go to 10 %. What happens to the long steps, in mm, and to the time a fold would take?
# 4. Which share would *you* take if one frame in ten thousand were a slip of two metres?
#
# <details><summary>Answers</summary>
#
# **1.** On each other: both are the 1 % and 99 % quantiles over all frames.
#
# **2.** The line under the slider says it: the widest bin rounds by up to 0.39 mm, against 0.34 mm at 1 %. These recordings have no slips, so 0 does hardly any
# harm. One slip would.
#
# **3.** The long steps are cut, along x to −66 … 50 mm, though the recording has up to 98 mm. A fifth of all numbers is
# cut. The hands would need more steps for the same way: a replay stops short, and a policy takes longer.
#
# **4.** Any that is well above 0.01 %: 1 % does, and even 0.1 % would. At 0 the slip itself becomes the end of the range.
#
# </details>

# %% tags=["demo"]
DataBrowser(dataset, quantiles=action_quantiles, normalize=normalize_actions)

# %% [markdown]
# ### A towel folded from tokens
#
# The same test, one step later: carry out the recordings after your two functions have turned them into tokens and back.


# %%
def in_words(actions):
    """Actions normalised, turned into tokens, and read again."""
    tokens = tokenize_actions(normalize_actions(actions, q01, q99, mask))
    return unnormalize_actions(detokenize_actions(tokens), q01, q99, mask)


# %% tags=["demo"]
words = [replay_demo(number, in_words)[0] for number in TRIED]
wrong = [replay_demo(number, lambda actions: -in_words(actions))[0] for number in TRIED]
print("what was done:         ", outcome(done))
print("the same, in 14 tokens:", outcome(words))
print("with a sign wrong:     ", outcome(wrong))

# %% [markdown]
# Some folds are lost: errors of up to half a bin and cut peaks add up when nobody looks. A policy looks after every step, and corrects. A real mistake,
# like a wrong sign, does not lose some folds: it loses all.

# %% [markdown]
# ---
#
# **A natural pause.** The numbers are ready. After the break: which frames, which part of the picture, which tokens. What you did is kept
# on this machine and shown by `vla-course progress`.
#
# ---

# %% [markdown]
# ## 04.3 Which frames are for validation
#
# To know whether a model learned to fold or learned *these frames* by heart, some are kept for validation. Two frames of one episode, a fifth of
# a second apart, show the same towel, the same light, nearly the same action. So an episode is on one side or on the other.

# %%
from vla_course.data.splits import split_by_episode  # exercise

# %%
checks.check_split_by_episode(split_by_episode)

# %%
kept_apart = split_by_episode(dataset.episode_index, 0.1, seed=0)
print(f"{(~kept_apart).sum()} frames to learn from, {kept_apart.sum()} for validation")
print("validation episodes:", *np.unique(dataset.episode_index[kept_apart]))

# %% [markdown]
# ## 04.4 Which part of the picture
#
# A camera is never twice in exactly the same place. So OpenVLA trains on random crops, 90 % of the area, blown up to full size, in other
# colours every time. In use it must see what it is used to: also 90 %, from the middle. Everything is then as large as in training.

# %%
from vla_course.data.augmentation import center_crop_box  # exercise

# %%
checks.check_center_crop_box(center_crop_box)


# %%
def middle(images, area=0.9):
    """The middle of pictures, for use; the processor makes it full size again."""
    top, left, rows, columns = center_crop_box(*images.shape[-3:-1], area)
    return images[..., top : top + rows, left : left + columns, :]


# %% tags=["demo"]
picture = next(dataset.images(0))
pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].repeat(4, 1, 1, 1) / 255
seen = augment(pixels, generator=torch.Generator().manual_seed(4)).permute(0, 2, 3, 1).numpy()
top, left, rows, columns = center_crop_box(*picture.shape[:2])
drawing, panels = plots.figure(1, 6, width=9.2, height=1.9)
for panel, shown, title in zip(
    panels, [picture, *seen, middle(picture)], ["the camera's", *["in training"] * 4, "in use"], strict=True
):
    panel.imshow(shown)
    panel.set_title(title, fontsize=9)
    panel.axis("off")
box = Rectangle((left - 0.5, top - 0.5), columns, rows, fill=False, color="white")
panels[0].add_patch(box)
plots.picture(
    drawing,
    "The camera's picture with the middle 90 % marked; four random crops in other colours; the middle alone.",
)

# %% [markdown]
# ## 04.5 Which tokens are learned
#
# The model reads a whole row: prompt, state, action. It could learn to predict all of it, and the loss would look very low, because
# "In: What action should the robot take to" is always the same. We want it to learn the action.

# %%
from vla_course.data.token_rows import build_labels  # exercise

# %%
checks.check_build_labels(build_labels)

# %% [markdown]
# ## Put together: one sample, read aloud
#
# The nano of Days 01 and 02 knows one hand. `tell_data` sets it up for the new data (*your* quantiles; two hands of seven numbers, and whether each
# feels cloth), and `DemonstrationSamples` applies your functions to every frame.

# %% tags=["demo"]
nano = load_vla("nano")
statistics = dataset_statistics(tracks, "towel")
statistics["towel"]["action"] |= {"q01": list(q01), "q99": list(q99)}
tell_data(nano, statistics, state_dim=tracks[0].states.shape[1])

YOURS = {"labels": build_labels, "normalize": normalize_actions, "crop": middle}
samples = DemonstrationSamples(nano, dataset, "towel", frames=np.flatnonzero(~kept_apart), **YOURS)

# %%
begins, opened = np.cumsum([0, *dataset.lengths]), {}


def pictures(episode):
    if episode not in opened:
        opened[episode] = list(dataset.images(episode))
    return opened[episode]


def frame_of(number):
    """Picture and state of a frame, counted through the whole set."""
    episode = int(dataset.episode_index[number])
    step = int(number - begins[episode])
    return pictures(episode)[step], tracks[episode].states[step]


# %% tags=["demo"]
SAMPLE = 5
drawing, (panel,) = plots.figure(width=2.2, height=2.2)
panel.imshow(frame_of(np.flatnonzero(~kept_apart)[SAMPLE])[0])
panel.axis("off")
plots.picture(drawing, "The picture of the sample: two hands on their way to a towel.")

# %% tags=["demo"]
size = nano.config.vocabulary_size
sample = samples.words(np.array([SAMPLE]))
ids, learned = sample["input_ids"][0], sample["labels"][0] != UNLEARNED
text = len(nano.processor.token_ids(build_prompt(tracks[0].instruction)))
answer = text + nano.config.state_dim  # where the empty token stands
state_ids, action_ids = ids[text:answer].numpy(), ids[learned][:-1].numpy()

places = action_statistics(nano.config.norm_stats, "towel", of="proprio")
state = unnormalize_actions(detokenize_actions(state_ids, size), places.q01, places.q99, places.mask)
numbers = unnormalize_actions(detokenize_actions(action_ids, size), q01, q99, mask) * UNIT
prompt = "".join(nano.processor.tokenizer.id_to_token(int(k)) for k in ids[1:text])

# %% tags=["demo"]
rows = [
    ("start", ids[:1], "", "no"),
    ("picture", [], f"{nano.config.num_patches} patches", "no"),
    ("prompt", ids[1:text], prompt.replace("Ġ", " ").replace("Ċ", " ⏎ "), "no"),
    ("left hand is at (m, rad, grip)", state_ids[:7], " ".join(f"{value:+.2f}" for value in state[:7]), "no"),
    ("right hand is at", state_ids[7:14], " ".join(f"{value:+.2f}" for value in state[7:14]), "no"),
    ("they feel cloth", state_ids[14:], " ".join(f"{value:+.2f}" for value in state[14:]), "no"),
    ("empty token", ids[answer : answer + 1], "", "no"),
    (
        "left hand's step (mm, °, grip)",
        action_ids[:7],
        " ".join(f"{value:+.1f}" for value in numbers[:7]),
        "**yes**",
    ),
    ("right hand", action_ids[7:], " ".join(f"{value:+.1f}" for value in numbers[7:]), "**yes**"),
    ("stop", ids[learned][-1:], "`</s>`", "**yes**"),
]
table = ["| | ids | says | learned |", "| --- | --- | --- | --- |"]
for name, said_ids, says, counts in rows:
    table.append(f"| {name} | {' '.join(str(int(k)) for k in said_ids)} | {says} | {counts} |")
Markdown("\n".join(table))


# %% tags=["demo"]
def aloud(step):
    """Seven numbers as a sentence."""
    x, y, z, *_, grip = step
    return f"{x:+.0f} mm along x, {y:+.0f} along y, {z:+.0f} up, fingers {50 * (1 - grip):.0f} % closed"


print(f"You see this picture, you are told “{tracks[0].instruction}”, and where your hands are.")
print("Answer: left hand", aloud(numbers[:7]) + ";", "right hand", aloud(numbers[7:]) + ". Then stop.")
print(f"{int(learned.sum())} of {len(ids)} ids are learned, and nothing of the patches.")

# %% [markdown]
# Do this once for every data set that you ever train on. If you cannot read a sample aloud, the model cannot either.
#
# ## Train, briefly
#
# Half a minute is not enough to learn to fold, and need not be: the question today is whether *the model gets in use what it got in training*. For
# that, a short training is enough. Low-rank changes of projector and language model are trained (how they work is Day 05).

# %% tags=["demo"]
config = TrainConfig(
    data=str(dataset.root),
    out=tempfile.mkdtemp(),
    lora=LoRAConfig(rank=8, alpha=16, targets=r"(projector|language_model)\..*"),
    steps=100,
    learning_rate=2e-3,
    warmup_steps=10,
    log_every=10,
)
prepare(nano, config)
print("{:,} of {:,} parameters are trained".format(*learning_count(nano)))

# %% tags=["demo"]
watch = plots.LiveCurves((("loss/bc",), ("policy/token_accuracy",)))
fine_tune(nano, samples, config, watch=watch, progress=False)
_ = nano.eval()

# %% [markdown]
# ## Ask again, as the robot asks
#
# Here is the second test. In training, pictures came through `DemonstrationSamples`, from a video, in a batch, with labels beside them. In
# use, they come from a camera, one by one, through the processor, with a prompt made on the spot, and the model writes token after token.
# Two code paths. Do they give the model the same input?
#
# Take frames *that it was trained on*, send them down the robot's path, and compare the accuracy with that of training.


# %%
def as_the_robot_asks(numbers, look=middle):
    """What the model gets of some frames when it acts: pictures, tokens and state, through the processor."""
    images, states = zip(*[frame_of(number) for number in numbers], strict=True)
    prompts = [build_prompt(tracks[0].instruction)] * len(numbers)
    state = nano.state_tokens(np.stack(states), "towel")
    return nano.processor(prompts, [look(image) for image in images], state)


# %%
def right_words(numbers):
    """The expert's action of each frame, in tokens."""
    actions = everything[numbers]
    return torch.from_numpy(tokenize_actions(normalize_actions(actions, q01, q99, mask), size))


# %%
@torch.inference_mode()
def reproduce_training_accuracy(numbers, look=middle):
    """Share of action tokens right on the robot's path: each after the right tokens, and each after the model's own."""
    inputs, right = as_the_robot_asks(numbers, look), right_words(numbers)
    row = torch.cat([inputs["input_ids"], right], dim=1)
    logits = nano(row, torch.ones_like(row), inputs["pixel_values"]).logits[:, -15:-1]
    alone = nano.predict_token_ids(**inputs, action_dim=14)
    return float((logits.argmax(-1) == right).float().mean()), float((alone == right).float().mean())


# %% tags=["demo"]
chosen = np.random.default_rng(0).choice(len(samples), 128, replace=False)
numbers_in_set = np.flatnonzero(~kept_apart)[chosen]
with torch.inference_mode():
    trained = action_token_loss(nano, samples.batch(chosen))[1]["policy/token_accuracy"]
after_right, alone = reproduce_training_accuracy(numbers_in_set)
print(f"training's path:                        {100 * trained:.2f} % of action tokens right")
print(f"robot's path, after the right tokens:   {100 * after_right:.2f} %")
print(f"robot's path, after its own tokens:     {100 * alone:.2f} %")

# %% [markdown]
# The first two must agree **to the last digit**, not nearly. The third is what the robot gets: after a wrong token, the next ones follow
# a beginning that the expert never gave.
#
# (All three are far from 100 % after so short a training. A bin is less than a millimetre wide, and the bin beside the right one counts as wrong.
# Day 07 asks what token accuracy is worth.)
#
# And the validation frames?

# %% tags=["demo"]
others = np.flatnonzero(kept_apart)[:: max(1, int(kept_apart.sum()) // 128)]
print(f"validation frames, after the right tokens: {100 * reproduce_training_accuracy(others)[0]:.1f} %")

# %% [markdown]
# About as good as on the training frames: in so few steps the model has learned nothing by heart.
#
# ## Break it: one line forgotten at evaluation
#
# Trained with crops, used without: somebody forgot `look=middle`. There is no error and no warning: a whole picture is a valid picture, too. Everything in it is
# 5 % smaller than in training.
#
# **Predict first.** The accuracy with the crop stands above. What is it without, after the right tokens, in percent? Give a guess and a range you
# would bet on nine times in ten.

# %%
predictions.commit("day04.no_crop", guess=None, low=None, high=None, unit="%")  # your three numbers


# %% tags=["demo"]
def whole(image):
    return image


without, _ = reproduce_training_accuracy(numbers_in_set, whole)
print(f"with the crop {100 * after_right:.1f} %, without {100 * without:.1f} %")
predictions.reveal("day04.no_crop", 100 * without)

# %% [markdown]
# Did you expect a larger difference? After half a minute of training the model uses its picture only roughly, and 5 % hardly matter to it. *A weak model
# hides the mistake*; a better one shows it. So do not wait for accuracy to show it. Compare what the model *gets*:

# %% tags=["demo"]
trained_on = samples.batch(chosen)
for name, look in {"with the crop": middle, "without": whole}.items():
    asked = as_the_robot_asks(numbers_in_set, look)
    off = float((asked["pixel_values"] - trained_on["pixel_values"]).abs().max())
    tokens_agree = torch.equal(asked["input_ids"], trained_on["input_ids"][:, :-15])
    print(f"{name}: pixels differ by up to {off:.2f}, tokens agree: {tokens_agree}")

# %% [markdown]
# (The unit is one standard deviation of the pixels.) Zero or not zero: this needs no training and no statistics.
#
# What does the robot do then? Ask a model that does use its picture: the nano on its own table, as it ships. It was trained on whole pictures,
# so for it the *crop* is the mistake. It puts things where it is told to, from sixteen starts each, with more and more of the picture cut away.

# %% tags=["demo"]
shipped = load_vla("nano")
close = {"cameras": ("close",), "image_size": (shipped.config.image_size,) * 2, "verbs": ("put",)}
tables = [gymnasium.make("vla_course/Tabletop-v0", **close) for _ in range(8)]
for area in (1.0, 0.9, 0.5):
    policy = tabletop_policy(shipped, look=lambda images, area=area: middle(images, area))
    print(f"{100 * area:3.0f} % of the area: {evaluate(policy, tables, range(16))}")

# %% [markdown]
# Compare the intervals before you compare the numbers: sixteen episodes show that half of the area is too little, and they cannot show what 90 %
# costs. The policy looks again after every step and corrects part of what it saw at a wrong scale. So a mistake of this kind can stay unnoticed
# for months. Comparing what the model gets took a second.
#
# What does the forgotten crop cost a model that *was* trained to fold, with crops? That takes a longer training than this page has time for:

# %% tags=["demo"]
try:
    record = results.read("day04/center_crop")
    for name, row in record.values["rows"].items():
        low, high = wilson_interval(**row)
        print(f"{name}: folds {row['successes']} of {row['episodes']} ({100 * low:.0f}–{100 * high:.0f} %)")
    print(f"what forgetting it costs, on the same starts: {record.values['difference']}", record, sep="\n")
except FileNotFoundError:
    print("not recorded yet")

# %% [markdown]
# *The same mistake*, and here it costs most of the success. This model, trained with Day 05's recipe and random crops on these 200 demonstrations, predicts where the hands have to go from where it sees the towel; in a picture at
# another scale, everything is off by 5 % of its distance from the middle. The better a model uses its picture, the more it loses by a picture unlike those of its training.
#
# ## Break it: split by frame
#
# Now the most expensive mistake of the day. Meet the *parrot*: it learns nothing. It keeps every picture of its training with what the expert
# said there, and repeats what was said at the most similar one. (With `neighbours` above 1 it averages the answers at that many pictures.)


# %% tags=["demo"]
class Parrot:
    """Says again what was said at the most similar pictures that it knows."""

    def __init__(self, images, actions, neighbours=1):
        self.known, self.actions, self.neighbours = self.small(images), actions, neighbours

    def small(self, images):
        """Means of blocks of 4 × 4 pixels: what the parrot compares."""
        pixels = torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2).float()
        return torch.nn.functional.avg_pool2d(pixels, 4).flatten(1)

    def act(self, observations):
        distances = torch.cdist(self.small(observations["image_close"]), self.known)
        nearest = distances.topk(self.neighbours, largest=False).indices
        return self.actions[nearest.numpy()].mean(1)[:, None]

    def reset(self, mask):
        """Nothing to forget."""


# %% [markdown]
# It gets ten towels, recorded now, at 20 actions a second as on many real robots: neighbouring frames are 0.05 s apart. Ten more towels are
# recorded in the same way and put aside. They tell us later which validation was right.


# %% tags=["demo"]
def fast_robot():
    seen = gymnasium.make(
        "vla_course/FoldTowel-v0", cameras=("close",), observations=("end_effector",), image_size=(84, 84)
    )
    return EndEffectorAction(seen, rate_hz=20)


def frames_of(episodes):
    """Pictures and actions of all frames, one episode after the other."""
    return [
        np.concatenate([getattr(episode, name) for episode in episodes]) for name in ("images", "actions")
    ]


KNOWN, NEW = range(700, 710), range(710, 720)
recorder = fast_robot()
expert = EndEffectorExpert(recorder)
known, new = (list(collect(recorder, expert, seeds, camera="close")) for seeds in (KNOWN, NEW))
assert all(episode.success for episode in known + new), "failures demonstrate nothing"

images, actions = frames_of(known)
episode_index = np.repeat(np.arange(10), [len(episode.actions) for episode in known])
print(f"all {len(known)} + {len(new)} towels are folded, in {len(actions) / 10 / 20:.1f} s on average")
print(f"{len(actions)} frames to learn from and to validate with")


# %% tags=["demo"]
STEPS = [0, 1, 2, 7, 8, 9]  # what moves the hands, at ±1 by 30 mm


def mistakes(bird, images, right):
    """What the bird says at these pictures: share of tokens right, and by how many mm its steps are off on average."""
    said = bird.act({"image_close": images})[:, 0]
    same = tokenize_actions(said) == tokenize_actions(right)
    return 100 * same.mean(), 30 * np.abs(said - right)[:, STEPS].mean()


def asked_about(validation, neighbours=1):
    """The mistakes on these frames of a parrot that knows the others."""
    bird = Parrot(images[~validation], actions[~validation], neighbours)
    return mistakes(bird, images[validation], actions[validation])


SPLITS = range(5)
by_episode = [split_by_episode(episode_index, 0.2, seed) for seed in SPLITS]
honest = np.mean([asked_about(validation) for validation in by_episode], axis=0)
print(
    f"split by episode: {honest[0]:.0f} % of tokens right, steps off by {honest[1]:.1f} mm (mean of 5 splits)"
)

# %% [markdown]
# **Predict first.** The same frames, the same share of a fifth, but drawn frame by frame. By how many mm are the parrot's steps off on *its* validation frames?

# %%
predictions.commit("day04.frame_split", guess=None, low=None, high=None, unit="mm")  # your three numbers

# %% tags=["demo"]
by_frame = [np.random.default_rng(seed).random(len(actions)) < 0.2 for seed in SPLITS]
rosy = np.mean([asked_about(validation) for validation in by_frame], axis=0)
print(f"split by frame: {rosy[0]:.0f} % of tokens right, steps off by {rosy[1]:.1f} mm (mean of 5 splits)")
predictions.reveal("day04.frame_split", float(rosy[1]))

# %% [markdown]
# A validation number is a forecast for towels that nobody has recorded yet. Which of the two forecasts comes true? A parrot that knows all ten towels
# is asked about the ten that were put aside:

# %% tags=["demo"]
bird = Parrot(images, actions)
truth = mistakes(bird, *frames_of(new))
print(f"ten new towels: {truth[0]:.0f} % of tokens right, steps off by {truth[1]:.1f} mm")
plots.bars(
    {"forecast by frame": rosy[1], "forecast by episode": honest[1], "ten new towels": truth[1]},
    xlabel="the parrot's steps are off by, mm",
    alt=f"Split by frame {rosy[1]:.1f} mm, split by episode {honest[1]:.1f} mm, ten new towels {truth[1]:.1f} mm.",
)

# %% [markdown]
# The split by episode was roughly right; the split by frame was wrong by a factor of four to five. Most of its validation frames lie between two
# frames that the parrot knows, 0.05 s before and after. It asks about towels that the parrot has seen. How much that
# differs from new ones, the robot shows: the same parrot folds from the ten starts that it knows, then from the ten new ones. It gets 3.5 s
# for each, half as long again as the expert takes.

# %% tags=["demo"]
robots = [fast_robot() for _ in range(5)]
for name, seeds in {"starts that it knows": KNOWN, "new starts": NEW}.items():
    print(f"{name}: folds {evaluate(bird, robots, seeds, max_steps=70)}")

# %% [markdown]
# On a start that it knows, the first picture is known to the last pixel, so the parrot repeats the first action, sees the second picture, and so on: it
# replays the recording. From a new start nothing of this helps.
#
# What does the mistake cost at work? You would choose by it. Let validation choose how many neighbours the parrot averages:

# %% tags=["demo"]
table = ["| neighbours | split by frame | split by episode | ten new towels |", "| --- | --- | --- | --- |"]
for neighbours in (1, 4, 16):
    forecasts = [
        np.mean([asked_about(validation, neighbours)[1] for validation in splits])
        for splits in (by_frame, by_episode)
    ]
    found = mistakes(Parrot(images, actions, neighbours), *frames_of(new))[1]
    table.append(f"| {neighbours} | " + " | ".join(f"{off:.1f} mm" for off in (*forecasts, found)) + " |")
Markdown("\n".join(table))

# %% [markdown]
# The split by frame puts the candidates in the wrong order: it prefers the one that repeats what it has stored. The split by episode prefers the one that
# is best on new towels. (Neither is good enough to fold: 8 or 10 mm off, twenty times a second. But choose by the wrong column, and you choose the
# worst of the three.)
#
# ## Recap
#
# You turned demonstrations into something to learn from: ranges (`action_quantiles`, `normalize_actions`), frames (`split_by_episode`),
# the picture's part (`center_crop_box`), and the tokens (`build_labels`). And you have two tests to take along: replay the data, and ask the trained model
# about its own training frames on the path that the robot uses.
#
# Three questions before you go:
#
# **1.** Steps lie between −88 and 88 mm. In one frame of ten thousand the recorder slipped and says 2 m. How wide is a bin if you normalise by the smallest and the
# largest number, and how wide by q01 and q99? And if the slips were 2 % of the frames?
#
# <details><summary>Answer</summary>
#
# From −88 to 2000 mm there are 255 bins of 8.2 mm; between the quantiles, of about 0.7 mm. One frame in ten thousand lies beyond the 1 % that are cut, so it costs
# nothing. With 2 % of slips, q99 itself is a slip: 2 m. Quantiles forgive rare mistakes, not frequent ones; look at your data first.
#
# </details>
#
# **2.** A colleague's robot idled: in 40 % of the frames nobody moved it, and every number of the action is 0. The model's accuracy is splendid, and it never moves. What did
# it learn, and what do you do?
#
# <details><summary>Answer</summary>
#
# The one token that stands for 0 is by far the most frequent answer in every dimension; wherever the model is not sure, the likeliest token is
# "stay". A robot that stays sees the same picture again, and stays for ever. Leave idle frames out of training (and out of the accuracy); Day 18 does so with
# `moving_steps`.
#
# </details>
#
# **3.** Read this sample aloud: ids `1 50 60 | 980 801 | 3 | 870 790 2 | 0 0` (start and words, state, empty token, action, stop, padding), labels
# `−100 −100 −100 | 980 801 | −100 | 870 790 2 | −100 −100`. What is wrong, and how would you notice?
#
# <details><summary>Answer</summary>
#
# The state is learned as well: somebody marked everything that is an action token, not everything behind the prompt. The loss becomes a mixture of saying the
# action and guessing where one's own hands are. Nothing breaks; accuracy counts twice as many tokens as an action has. Reading a sample aloud shows it in ten seconds.
#
# </details>
#
# ## What is next
#
# **At work.** Before you train on anybody's demonstrations, your own included: replay some of them, look at the range of every number, split by episode, and read one sample aloud. Use
# [LeRobot](https://huggingface.co/docs/lerobot)'s data sets and tools to record and to share (the sets of this course are LeRobot v3.0), and `vla-course collect` here. `LeRobotDataset` of this course refuses damaged files; the checks on
# meaning remain yours.
#
# The data are ready and tested. Tomorrow the nano learns from them to fold, by changing a small part of its weights; you write that part.

# %% tags=["demo"]
from vla_course import progress

for number, exercise in sorted(progress.exercises("day04").items()):
    print(number, exercise["name"], "·", exercise["status"])
