# %% [markdown]
# # Day 03 · Sixty joints, seven numbers
#
# About two hours, with a natural pause in the middle. You need Day 02's idea that OpenVLA writes one token per number, and
# a little linear algebra: what a matrix product, a transpose and an inverse do.
#
# **What you will have at the end.** Two arms with five-fingered hands, sixty joints together, fold a T-shirt. The scripted
# expert decides where the hands should go. *Your* five functions turn that into sixty joint angles, twenty times a second. At work this is
# the first decision about a policy: which numbers it writes, and what turns them into joint targets.

# %% tags=["picture"]
from vla_course import assets
from vla_course.picture import Picture

Picture(
    assets.find("data/pictures/tshirt_fold.jpg").read_bytes(),
    alt="Six moments: two robot arms fold a blue T-shirt, first one sleeve, then the other, then the bottom up.",
)

# %% [markdown]
# ## Where this sits
#
# ```
# camera ─┐
#         ├─► OpenVLA ─► 7 numbers ─►  ?  ─► 60 joint targets ─► robot ─► camera …
# words  ─┘   (Day 02)              (today)
# ```
#
# OpenVLA was trained on one arm with a gripper. It writes **7 numbers**: how far to move the hand (Δx, Δy, Δz), how to turn
# it (Δroll, Δpitch, Δyaw), and the gripper. Our folding robot takes **61**: 60 joint residuals, which say how far to move
# the target of each joint, and one signal that says "this fold is done, go on to the next".
#
# So the outputs do not fit. Something has to stand where the question mark is, and there are three honest choices:
#
# | option | the model writes | then |
# | --- | --- | --- |
# | **A** direct | 61 numbers, joint by joint | nothing more: they are the action |
# | **B** end effector | 14 numbers, 7 for each hand | inverse kinematics finds the joints |
# | **C** residual on B | 14 numbers, now and then | inverse kinematics, and a small fast network corrects the 60 joints |
#
# Today you build all three out of five small functions, and measure what each costs.
#
# (Why sixty? Two UR10e arms with 6 joints, two Shadow hands with 24. That all 60 are independent is a convention of this
# simulated task: on a real Shadow hand the last two joints of four fingers are coupled, so it has 24 joints and 20 actuators.)

# %%
import math
import time

import numpy as np
from IPython.display import Markdown
from jaxtyping import Float

from vla_course import plots, predictions, video
from vla_course.checks import day03 as checks
from vla_course.control.actions import decode_residual
from vla_course.control.rotations import matrix_from_rpy, rpy_from_matrix
from vla_course.envs.folding.config import FoldingConfig
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.evaluation import strip
from vla_course.robot.grip import grip_closure, grip_pose
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import ACTION_SCALE, JOINT_NAMES, home_position
from vla_course.widgets.ik_playground import IKPlayground
from vla_course.widgets.joint_sliders import robot_sliders

# %% [markdown]
# ## Meet the robot
#
# Move a joint, see the hand go somewhere. Choose a part of the robot, drag its sliders. Then try something harder: bring
# the right hand 10 cm forward *without tilting it*. Two minutes of that are the best motivation for inverse kinematics.

# %% tags=["demo"]
robot_sliders()

# %% [markdown]
# <details><summary>Answer</summary>
#
# Two joints do it, against each other, and a third corrects them: from home, `shoulder_lift` by +0.17 rad, `elbow` by −0.15 rad and `wrist_1`
# by −0.02 rad. The three changes add up to zero, and that is what keeps the hand from tilting.
#
# </details>
#
# ## The idea, on one screen
#
# **Price.** An autoregressive policy reads picture and words once (*prefill*), then writes one token per number. A plan of
# $K$ actions with $A$ numbers each takes $t_\text{prefill} + A K\, t_\text{token}$ seconds.
#
# **Residual.** An action in $[-1, 1]$ per joint moves that joint's target by at most its scale $s$:
# $q_\text{target} \leftarrow q_\text{target} + s \cdot a$. Going back, $a = (q_\text{wanted} - q_\text{target})/s$.
#
# **Inverse kinematics.** The Jacobian $J$ says how the hand moves when the joints do, $\dot x = J \dot q$. You know the
# error $e$ you want to remove, and look for the joint step. Solving $J\,dq = e$ exactly explodes where the arm is stretched,
# so we ask for less: make $|J\,dq - e|^2 + \lambda^2 |dq|^2$ small. The answer has one line,
# $dq = J^\top (J J^\top + \lambda^2 I)^{-1} e$.
#
# The docstring of an exercise says *what* the function returns; *how* is up to you. Lines under `Raises` describe how the library treats
# bad input: the checks do not ask for them.

# %% [markdown]
# ## 03.1 What does a number cost?
#
# A small exercise first, with a large consequence. If each number is a token, sixty-one numbers are sixty-one tokens.

# %%
from vla_course.control.timing import control_rate_hz  # exercise

# %%
checks.check_control_rate_hz(control_rate_hz)

# %% [markdown]
# Now measure it. Below is a language model with random weights, of the size of the one in the course's nano VLA: 4 layers, 128 wide,
# built like OpenVLA's (a Llama). Random weights write nonsense, but they take exactly as long. The model reads a prompt as
# long as OpenVLA's, 256 image patches and some words, and then writes token after token with its key-value cache.

# %% tags=["demo"]
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)  # small matrices: more threads only wait for one another
nano = LlamaForCausalLM(
    LlamaConfig(
        hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=384, vocab_size=512
    )
).eval()
prompt = torch.randint(0, 512, (1, 280))


# %% tags=["demo"]
@torch.inference_mode()
def write(tokens):
    """Seconds to read the prompt, and seconds per token after that."""
    start, cache = time.perf_counter(), DynamicCache()
    output = nano(prompt, None, None, cache)  # by place: transformers 5.24 renamed this argument
    read = time.perf_counter()
    for _ in range(tokens - 1):
        token = output.logits[:, -1:].argmax(-1)
        output = nano(token, None, None, cache)
    return read - start, (time.perf_counter() - read) / (tokens - 1)


write(7)  # the first call warms up
prefill_s, token_s = np.median([write(61) for _ in range(7)], axis=0)
print(f"prefill {1000 * prefill_s:.1f} ms, then {1000 * token_s:.2f} ms per token")

# %% tags=["demo"]
nano_hz = {numbers: control_rate_hz(prefill_s, token_s, numbers) for numbers in (7, 14, 61)}
plots.bars(
    {f"{numbers} numbers": hz for numbers, hz in nano_hz.items()},
    xlabel="actions per second, nano-sized model on this machine",
    level=(20, "the robot's 20 Hz"),
    alt=", ".join(f"{numbers} numbers: {hz:.0f} actions a second" for numbers, hz in nano_hz.items()),
)

# %% [markdown]
# Compare your three bars with the robot's 20 Hz. They are those of your machine in this minute: a core that is busy with other programs
# makes all three shorter, and even seven numbers can fall below the line. The order stays: every number is a token, and
# sixty-one cost several times what seven cost.
#
# That language model has one million weights (the whole nano, with the towers that see, has four). The real OpenVLA has 7.5 *billion*: its authors report about 6 actions a second, of 7 numbers, on an
# RTX 4090. Put all of that sixth of a second on its seven tokens (a prefill of 0 s), and your function says what 14 and 61
# numbers would cost it:

# %% tags=["demo"]
seven_b_hz = {numbers: control_rate_hz(0.0, 1 / 6 / 7, numbers) for numbers in (7, 14, 61)}
for numbers, hz in seven_b_hz.items():
    print(f"{numbers:3d} numbers: {hz:5.2f} actions a second, one every {20 / hz:4.1f} control steps")

# %% [markdown]
# Remember the last column. A robot that moves twenty times a second would get a new action from a 61-number 7B model every
# 1.45 seconds. We will see what such waiting does to a T-shirt.

# %% [markdown]
# ## 03.2 Say it in residuals
#
# The robot does not take angles; it takes *residuals*. An expert (or a better policy, or your demonstration) tells you
# which joint targets it wants. Write the action that gets there, as far as one action can.
#
# Two scales matter: 0.10 rad for an arm joint, 0.25 rad for a finger. At 20 Hz, 0.10 rad a step is 115° a second, just
# under the 120° a second that a UR10e's slowest joints allow.

# %%
from vla_course.control.actions import encode_residual  # exercise

# %%
checks.check_encode_residual(encode_residual)

# %% [markdown]
# Put it to work at once. `FoldingExpert` looks at the cloth and chooses joint targets; your function turns them into actions.
# This is **option A** without a model: 61 numbers, straight to the joints.

# %%
env = FoldingEnv("towel", render_mode="rgb_array", render_size=(300, 400))
expert = FoldingExpert(env)
observation, info = env.reset(seed=0)
frames, ended = [env.render()], False
while not ended:
    action = expert.act(observation)
    wanted = decode_residual(action[:60], env.joint_target, ACTION_SCALE)
    mine = encode_residual(wanted, env.joint_target, ACTION_SCALE)
    observation, _, terminated, truncated, info = env.step(np.append(mine, action[60]))
    ended = terminated or truncated
    if env.elapsed_steps % 3 == 0:
        frames.append(env.render())

# %%
# NBVAL_CHECK_OUTPUT
print("folded:", info["is_success"])

# %% tags=["demo"]
print(f"fold error {1000 * info['fold_error_m']:.1f} mm, {env.elapsed_steps / 20:.1f} s")
video.show_video(
    frames, fps=7, alt="Both hands take the far edge of a blue towel and fold it towards the robot."
)

# %% [markdown]
# (Success is strict in this course, and always means the same: all folds accepted, both hands open, cloth at rest, the
# moved cloth on average within 25 mm of its ideal place for the towel and 30 mm for the others, and a silhouette that
# overlaps the ideal one by at least 85 %.)
#
# ---
#
# **A natural pause.** You know the price of a number and how to write sixty of them. What is left is to get by with fewer.
# Save the notebook; what you did is kept on this machine and shown by `vla-course progress`.
#
# ---

# %% [markdown]
# ## 03.3 How far is one orientation from another?
#
# To move a hand you need the error of its position, which is a difference, and the error of its *orientation*, which is
# not. Orientations do not subtract: they multiply. The rotation that takes the current one, $R_c$, to the target, $R_t$, is
# the $D$ with $D R_c = R_t$. Written as axis times angle it is a vector of three numbers, and that is what the robot needs.
#
# Mind the frame: the answer is in the base frame, along the room's axes, not the hand's.

# %%
from vla_course.control.rotations import rotation_error  # exercise

# %%
checks.check_rotation_error(rotation_error)

# %% [markdown]
# ## 03.4 The step that does not explode
#
# Now the heart of it. Six numbers of error (three of position, three of orientation), a 6 × 6 Jacobian per arm, one damping.

# %%
from vla_course.robot.inverse_kinematics import damped_least_squares  # exercise

# %%
checks.check_damped_least_squares(damped_least_squares)

# %% [markdown]
# ### Play with it
#
# Your function moves this arm: two bones of a UR10e's lengths, seen from the side. Drag the orange target, slide λ. Then:
#
# 1. With λ = 0.02, drag the target slowly out over the dashed circle (the arm's reach) and back.
# 2. Do the same with λ = 0. Watch the step and the condition number as the elbow gets straight.
# 3. Find the smallest λ that keeps the step green on the way out. What does the largest one, 0.32, cost you?

# %% tags=["demo"]
IKPlayground(damped_least_squares)

# %% [markdown]
# The blue ellipse shows where the hand can go with little joint motion. With a bent elbow it is wide. With a straight one
# it is a line: no joint moves the hand along the arm any more. The undamped step answers an impossible demand with an enormous
# motion. The damped step is small, and the next one tries again.
#
# <details><summary>Answers</summary>
#
# 1. The arm stretches towards the target and waits there. Near the circle one step jumps to about 0.9 rad, nine times what the robot
#    can do: the bound is |e| / 2λ, and the playground never asks for more than 4 cm at once, so 0.04 / 0.04 = 1 rad. On the way back the
#    elbow may bend to the other side.
# 2. The condition number runs into the hundreds and beyond, and the step with it: 20 rad when we tried, three full turns, and without limit in
#    principle. The arm flails.
# 3. From λ = 0.2 on the step is green however fast you drag: 0.04 / (2 · 0.2) = 0.10 rad. If you drag slowly, less is enough. The price is
#    lag: with a target that moves 2 cm a step the hand trails by 1 mm at λ = 0.02, by 17 mm at 0.2, and by 43 mm at 0.32.
#
# </details>

# %% [markdown]
# ## 03.5 Seven numbers for a hand
#
# The last one is the way back: from two poses to the numbers that OpenVLA writes. Its training data (BridgeData) give
# an action as Δxyz and Δroll, Δpitch, Δyaw in the base frame. One turn, three angles.
#
# `rpy_from_matrix(R)` returns roll, pitch, yaw of a rotation matrix.

# %%
from vla_course.control.actions import end_effector_delta  # exercise

# %%
checks.check_end_effector_delta(end_effector_delta)

# %% [markdown]
# ## Run it on the robot
#
# `InverseKinematics` is the loop around your function: place the joints, take the errors of both hands, one damped step,
# four times over; then shorten the whole step so that no joint moves more than 0.10 rad. It takes your two functions as
# arguments, so from here on **your code moves the hands**.

# %%
ik = InverseKinematics(step=damped_least_squares, orientation_error=rotation_error)

position, rotation = ik.forward(home_position())
joints = ik.solve(home_position(), position + np.array([0.02, 0.0, 0.01]), rotation)
for name, change in zip(JOINT_NAMES[:6], (joints - home_position())[:6], strict=True):
    print(f"{name:20s} {round(change, 4) + 0:+.4f} rad")

# %% [markdown]
# Two centimetres forward and one up, with the joints that you tried by hand. Now the real thing, all three garments.


# %%
def fold(garment, color):
    """One episode of the expert, with your inverse kinematics inside; returns what came of it and a film."""
    env = FoldingEnv(garment, render_mode="rgb_array", render_size=(300, 400))
    expert = FoldingExpert(env, ik=ik)
    observation, info = env.reset(seed=1, options={"color": color})
    frames, ended = [env.render()], False
    while not ended:
        observation, _, terminated, truncated, info = env.step(expert.act(observation))
        ended = terminated or truncated
        if env.elapsed_steps % 4 == 0 or ended:
            frames.append(env.render())
    return info, frames


# %%
tshirt, tshirt_film = fold("tshirt", "blue")
towel, towel_film = fold("towel", "mustard")
trousers, trousers_film = fold("trousers", "violet")

# %%
# NBVAL_CHECK_OUTPUT
print("folded:", tshirt["is_success"], towel["is_success"], trousers["is_success"])

# %% tags=["demo"]
video.show_video(
    tshirt_film,
    fps=8,
    alt="The T-shirt: left sleeve in, right sleeve in, bottom up. The result is a neat rectangle.",
)

# %% tags=["demo"]
video.show_video(
    towel_film, fps=8, width=360, alt="The towel at an angle: both hands fold its far edge over."
)

# %% tags=["demo"]
video.show_video(trousers_film, fps=8, width=360, alt="The trousers: one leg over the other, then in half.")

# %% tags=["demo"]
for name, info in {"T-shirt": tshirt, "towel": towel, "trousers": trousers}.items():
    print(
        f"{name:8s}  error {1000 * info['fold_error_m']:4.1f} mm   overlap with the ideal fold {info['fold_iou']:.3f}"
    )

# %% [markdown]
# ## Three ways to say it
#
# Now the options, a few lines each. For today the expert plays the model: it knows which joint targets it wants, and an
# option must *write* them in its own numbers. So we measure what the action space costs, not yet what learning costs.
#
# Numbers become tokens as on Day 02: each goes to the centre of one of 255 bins.


# %%
def as_tokens(numbers):
    """What is left of numbers in [-1, 1] after they were written as tokens."""
    return (2 * np.clip(np.floor((np.asarray(numbers) + 1) * 127.5), 0, 254) + 1) / 255 - 1


# %% [markdown]
# **A: sixty-one numbers.** A residual per joint, from where its target is now. The 61st number is the stage signal, which says "next fold". It is
# counted among A's tokens; B and C, with hand poses, leave it to the robot's program. (With it they would be 15 tokens, which changes nothing below.)
# `scale` is for a later experiment.


# %%
def make_option_a(scale=1.0):
    reach = scale * ACTION_SCALE

    def option_a(wanted, target):
        said = encode_residual(wanted, target, reach)
        return decode_residual(as_tokens(said), target, reach), said

    return option_a


# %% [markdown]
# **B: fourteen numbers.** For each hand the step from where it is to where the wanted joints would put it, and a grip: +1 open,
# −1 closed. ±1 stands for 3 cm or 0.1 rad. Your inverse kinematics goes back to joints.

# %%
FINGERS = (slice(6, 30), slice(36, 60))
STEP = np.array([0.03, 0.03, 0.03, 0.10, 0.10, 0.10])


def say_b(wanted, target):
    (position, rotation), (goal, turned) = ik.forward(target), ik.forward(wanted)
    deltas = [end_effector_delta(position[h], rotation[h], goal[h], turned[h]) / STEP for h in (0, 1)]
    grips = [[1 - 2 * grip_closure(wanted[fingers])] for fingers in FINGERS]
    return np.clip(np.hstack([deltas, grips]), -1, 1)  # one row of seven per hand


def do_b(said, target):
    position, rotation = ik.forward(target)
    for hand, row in enumerate(said):
        position[hand] += STEP[:3] * row[:3]
        rotation[hand] = matrix_from_rpy(STEP[3:] * row[3:6]) @ rotation[hand]
    joints = ik.solve(target, position, rotation)
    for fingers, grip in zip(FINGERS, said[:, 6], strict=True):
        joints[fingers] = grip_pose((1 - grip) / 2)
    return joints


def option_b(wanted, target):
    said = say_b(wanted, target)
    return do_b(as_tokens(said), target), said[:, :6]


# %% [markdown]
# **C: fourteen numbers now and then, and sixty corrections in between.** A large model acts only at every eighth control step (2.5 Hz; in
# 03.1 the 7B model came to 3 Hz with 14 numbers). In between its last step is repeated. A small network, which needs no tokens, looks
# twenty times a second and adds a joint residual of limited reach. The expert plays that one, too.


# %%
def make_option_c(every=8, scale=1.0):
    reach, last = scale * ACTION_SCALE, {}

    def option_c(wanted, target):
        if last.setdefault("age", 0) % every == 0:
            last["said"] = as_tokens(say_b(wanted, target))
        last["age"] += 1
        base = do_b(last["said"], target)
        residual = encode_residual(wanted, base, reach)
        return decode_residual(residual, base, reach), residual

    return option_c


# %% [markdown]
# One loop runs them all. `wait` is how many control steps pass while the model thinks; the robot stands still meanwhile.


# %%
def play(option, wait=0, limit_s=20):
    """One T-shirt: the fold error over time, what came of it, and the share of numbers that were cut to ±1."""
    env = FoldingEnv("tshirt", config=FoldingConfig(time_limit_steps=20 * limit_s))
    expert = FoldingExpert(env, ik=ik)
    observation, info = env.reset(seed=0)
    curve, cut, ended = [info["fold_error_m"]], [], False
    while not ended:
        action = expert.act(observation)
        wanted = decode_residual(action[:60], env.joint_target, ACTION_SCALE)
        joints, said = option(wanted, env.joint_target)
        cut.append(np.mean(np.abs(said) >= 1))
        numbers = np.append(encode_residual(joints, env.joint_target, ACTION_SCALE), action[60])
        for pause in range(1 + wait):
            observation, _, terminated, truncated, info = env.step(numbers if pause == 0 else np.zeros(61))
            curve.append(info["fold_error_m"])
            ended = terminated or truncated
            if ended:
                break
    return {"error_mm": 1000 * np.array(curve), "cut": np.mean(cut), **info}


# %%
runs = {
    "A, 20 Hz": play(make_option_a()),
    "B, 20 Hz": play(option_b),
    "A, 5 Hz": play(make_option_a(), wait=3),
    "B, 5 Hz": play(option_b, wait=3),
    "C, model at 2.5 Hz": play(make_option_c()),
}

# %%
# NBVAL_CHECK_OUTPUT
{name: run["is_success"] for name, run in runs.items()}

# %% tags=["demo"]
tokens = {"A": 61, "B": 14, "C": 14}
rows = [
    "| option | tokens | nano | 7B | fold error | folded | cut to ±1 |",
    "| --- | --- | --- | --- | --- | --- | --- |",
]
for name, run in runs.items():
    n = tokens[name[0]]
    rows.append(
        f"| {name} | {n} | {1000 / nano_hz[n]:.0f} ms | {1000 / seven_b_hz[n]:.0f} ms | {run['error_mm'][-1]:.0f} mm "
        f"| {'yes' if run['is_success'] else '**no**'} | {100 * run['cut']:.1f} % |"
    )
Markdown("\n".join(rows))

# %% [markdown]
# ## Look
#
# The columns *nano* and *7B* are the time one action takes, from 03.1. At 20 Hz there are 50 ms.

# %% tags=["demo"]
plots.lines(
    np.arange(401) / 20,
    {name: run["error_mm"] for name, run in runs.items()},
    xlabel="seconds",
    ylabel="fold error, mm",
    level=(30, "30 mm: good enough"),
    nested=True,
    alt="Fold error over 20 seconds. A and B at 20 Hz and C fall below 30 mm; A and B at 5 Hz do not get there in time.",
)

# %% [markdown]
# What the table says:
#
# - **Fewer numbers are no loss.** At 20 Hz A and B fold, and to the same few millimetres. For this task fourteen numbers are enough
#   for sixty joints: where the hands are, how they are turned, and how far they are closed.
# - **Time decides.** The T-shirt takes the expert about 250 control steps, and the limit is 400. At 5 Hz, A and B are still at work when
#   time is up, because a step is as small as at 20 Hz here and the robot stands still between two decisions. (A policy trained for 5 Hz takes steps
#   four times as large: Day 04.) The 7B model would be slower than that with 14 numbers (3 Hz), and much slower with 61.
# - **C buys the time back.** Its large model acts 2.5 times a second, and the shirt is folded to a few millimetres all the same. The
#   price is a second, small network with a limited reach: some of its numbers hit ±1.
#
# The full form of option B, with either arm or both and at any rate, is `vla_course.envs.end_effector.EndEffectorAction`; that of C is
# `vla_course.policies.residual.ResidualPolicy`. Later days use those.

# %% [markdown]
# ## Break it: λ = 0 through a stretched elbow
#
# The left hand is led straight ahead, 90 cm, a centimetre a step, out of reach, and back again. We note the largest joint step that
# `damped_least_squares` asks for. With a bent elbow, a centimetre of hand is about 0.02 rad of joint.
#
# **Predict first.** With λ = 0, how large will the largest step be, in rad? (A full turn is 6.28.) Give a guess and a range you
# would bet on nine times in ten.

# %%
predictions.commit("day03.lambda_zero", guess=None, low=None, high=None, unit="rad")  # your three numbers


# %%
def lead_out_and_back(damping):
    """The largest joint step asked for at each point of the way, and the joints at its end."""
    asked, steps = [], []

    def watched(jacobian, error, damping):
        asked.append(np.abs(damped_least_squares(jacobian, error, damping)).max())
        return damped_least_squares(jacobian, error, damping)

    solver = InverseKinematics(step=watched, orientation_error=rotation_error, damping=damping)
    joints = home_position()
    position, rotation = solver.forward(joints)
    for forward_m in [*np.arange(1, 91) / 100, *np.arange(89, -1, -1) / 100]:
        target = position + np.array([forward_m, 0.0, 0.0])
        try:
            joints = solver.solve(joints, target, rotation, active=(True, False))
        except np.linalg.LinAlgError:
            print(f"λ = {damping}: singular matrix after {len(steps)} steps. There was no step to take.")
            break
        steps.append(max(asked))
        asked.clear()
    return steps, joints


# %%
elbow = JOINT_NAMES.index("left_elbow")
walks = {damping: lead_out_and_back(damping) for damping in (0.0, 0.01, 0.03, 0.1)}
for damping, (steps, joints) in walks.items():
    off_mm = 1000 * np.linalg.norm(ik.forward(joints)[0][0] - ik.forward(home_position())[0][0])
    print(
        f"λ = {damping:<5} largest step {max(steps):6.2f} rad; at the end {off_mm:4.0f} mm off, "
        f"elbow at {joints[elbow]:+.2f} rad (was {home_position()[elbow]:+.2f})"
    )

# %% tags=["demo"]
predictions.reveal("day03.lambda_zero", float(max(walks[0.0][0])))
plots.lines(
    np.arange(180) / 20,
    {f"λ = {damping:g}": steps for damping, (steps, _) in walks.items()},
    xlabel="seconds (out for 4.5, back for 4.5)",
    ylabel="largest joint step asked for, rad",
    log="y",
    level=(0.1, "0.10 rad: all the robot can do"),
    alt="Joint steps on a log scale. Near full stretch λ = 0 asks for many rad; larger λ ask for less.",
)

# %% [markdown]
# Without damping the step near full stretch is far more than the robot can do: 14 rad in our run, more than two full turns of a joint. How
# the walk goes on is then up to rounding, so it depends on how you wrote the function and on your processor. There are two endings:
#
# - **"Singular matrix".** The matrix has no inverse to working precision, and there is no step to take. In our run `np.linalg.solve` ended so
#   after 83 steps; with `np.linalg.inv` in its place the same machine ended after 73 or 75, depending on the order of the products.
# - **No error.** Rounding keeps the matrix just invertible, or you used `np.linalg.pinv` or `lstsq`, which always return something. The steps
#   asked for are as wild, and only the limit of 0.10 rad a call keeps the arm together. That it came home in our tries with `pinv` is luck,
#   no proof.
#
# A little damping gets the arm through, but look at the elbow: with λ = 0.01 it came back bent to the other side. Of these four only
# λ = 0.1 never asks for more than the robot can do.
#
# And notice where the hand ends: with any damping, exactly where it began. Damping costs **nothing** at a goal that
# can be reached: where the error is zero the step is zero, whatever λ is. It costs time on the way.

# %% [markdown]
# ## Break it: half the residual's reach
#
# In option C the small network corrects the large one. How far may it go? Until now, as far as the robot itself: 0.10 rad per
# arm joint. Somebody finds that unsafe and gives it half, then a quarter. Option A gets the same treatment for comparison,
# and both get twice the time, 40 s.
#
# **Predict first.** With *half* the reach, what is option C's fold error, in mm? Its error with full reach is in the
# table above, and 30 mm is the limit.

# %%
predictions.commit("day03.half_reach", guess=None, low=None, high=None, unit="mm")  # your three numbers

# %%
reaches = {}
for scale in (1.0, 0.5, 0.25):
    reaches[f"A, reach × {scale:g}"] = play(make_option_a(scale), limit_s=40)
    reaches[f"C, reach × {scale:g}"] = play(make_option_c(scale=scale), limit_s=40)

# %%
# NBVAL_CHECK_OUTPUT
{name: run["is_success"] for name, run in reaches.items()}

# %% tags=["demo"]
for name, run in reaches.items():
    print(
        f"{name}: error {run['error_mm'][-1]:4.0f} mm after {(len(run['error_mm']) - 1) / 20:4.1f} s, "
        f"cut to ±1: {100 * run['cut']:.1f} % of its numbers"
    )
predictions.reveal("day03.half_reach", float(reaches["C, reach × 0.5"]["error_mm"][-1]))

# %% tags=["demo"]
plots.lines(
    np.arange(801) / 20,
    {name: run["error_mm"] for name, run in reaches.items()},
    xlabel="seconds",
    ylabel="fold error, mm",
    level=(30, "30 mm: good enough"),
    nested=True,
    alt="Fold error over 40 seconds. A gets there at every reach, later the smaller it is; C with a quarter never does.",
)

# %% [markdown]
# Less reach makes A *late*. It makes C late, then *wrong*, and nothing reports it: no exception, no warning, only no fold. A
# number that is cut to ±1 is less than was meant, so count how many are cut.
#
# ## Break it: two hands told to swap places
#
# One more, quick. Each hand is sent to where the other one is. Inverse kinematics is asked for two poses, one per arm,
# and finds both. **Predict first:** when everything has come to rest, how far from its place is a hand, in mm?

# %%
predictions.commit("day03.swap", guess=None, low=None, high=None, unit="mm")  # your three numbers

# %%
env = FoldingEnv("towel")
env.reset(seed=0)
position, rotation = ik.forward(env.joint_target)
swapped, film = position[::-1], []
for _ in range(60):
    now, _ = ik.forward(env.joint_target)
    joints = ik.solve(env.joint_target, now + np.clip(swapped - now, -0.03, 0.03), rotation)
    env.step(np.append(encode_residual(joints, env.joint_target, ACTION_SCALE), 0.0))
    if env.elapsed_steps % 2 == 0:
        film.append(env.picture("front", (240, 320), pretty=True))

# %% tags=["demo"]
planned, _ = ik.forward(env.joint_target)
print(f"planned: {1000 * np.abs(planned - swapped).max():.0f} mm off")
predictions.reveal("day03.swap", float(1000 * np.linalg.norm(env.hand_position - swapped, axis=1).max()))
video.show_video(
    film, fps=10, width=320, alt="The hands meet, push past each other and stay with crossed forearms."
)

# %% [markdown]
# The plan is perfect, and goes straight through the other arm. Inverse kinematics knows one hand, one pose and one
# Jacobian; it knows nothing of collisions. The forearms cross and stay pressed against each other, and the hands stop
# short. A planner for two arms has to plan for both at once.

# %% [markdown]
# ## Your row of the strip
#
# Every policy of the course gets one row: the same T-shirt, the same start, the same camera, eight pictures in 20 seconds. Rows stand in the
# order of the days; those marked *recorded* are ours, and 219 mm is a T-shirt that nobody has moved. Yours today is the expert on your
# inverse kinematics, the one to beat.

# %% tags=["demo"]
env = strip.make_env()
strip.run("Scripted expert, your inverse kinematics", "day03", FoldingExpert(env, ik=ik).act, env)
strip.show()

# %% [markdown]
# ## Recap
#
# You built the bridge from what a vision-language-action model writes to what sixty joints do: its price
# (`control_rate_hz`), its two action spaces (`encode_residual`, `end_effector_delta`), and the solver between them
# (`rotation_error`, `damped_least_squares`).
#
# **At work.** Work out the rate before you train: seconds per token times numbers per action. Steps of the hand with inverse kinematics are
# the usual choice for arms, since they carry over to another one. For the solver use a library: `mink` on MuJoCo or `pink` on Pinocchio take
# your damped step as a small optimisation, with joint limits and distances between bodies as constraints, and MoveIt plans around obstacles.
#
# Three questions before you go:
#
# **1.** With a quarter of the reach, option A needed twice the time and then ended as exactly as before. Option C never got there. Both
# residuals were cut for about the same share of their numbers. Why the difference?
#
# <details><summary>Answer</summary>
#
# In A the residual starts from the joint's own target. What was cut in one step is still missing in the next, and is asked for
# again: the arm is late, not wrong. In C the residual has to *undo* the error of the large model's old step, at every step. Where
# that is more than the reach, the rest of the error stays, and the next step adds to it.
#
# </details>
#
# **2.** A colleague sets λ = 0.5 "to be safe". How far from the target do the hands end? What does it cost, and where would you
# see it?
#
# <details><summary>Answer</summary>
#
# The hands end on the target: where e = 0 the step is 0, whatever λ is. The cost is progress on the way: one step removes
# σ²/(σ² + λ²) of the error along a direction with singular value σ. The weakest direction of this arm at home has σ = 0.14 (in the
# solver's units), so λ = 0.5 removes 7 % of it per step, λ = 0.01 99 %. You see it as lag behind a *moving* target: the arc that carries cloth.
#
# </details>
#
# **3.** The laboratory replaces the UR10e arms by another make with seven joints. Which of A, B, C survives, and what has to be
# trained again?
#
# <details><summary>Answer</summary>
#
# B survives: "hand 3 cm to the left" means the same on any arm, and only the inverse kinematics needs the new model. A's numbers
# are the old arm's joints, so it has to be trained again. C is half and half: its large model survives, its residual network
# speaks in joints and does not.
#
# </details>
#
# ## What is next
#
# The expert has folded for you today. From Day 04 on its episodes become data, and from Day 05 a model learns from them; option B's fourteen
# numbers are what it will write first.

# %% tags=["demo"]
from vla_course import progress

for number, exercise in sorted(progress.exercises("day03").items()):
    print(number, exercise["name"], "·", exercise["status"])
