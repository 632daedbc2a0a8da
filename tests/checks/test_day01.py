"""Plausible wrong answers for Day 01, each with a fragment of the hint that it must get."""

import math

import numpy as np

from vla_course.evaluation.episodes import batch_of_one
from vla_course.evaluation.intervals import wilson_interval
from vla_course.openvla.processor import build_prompt

# --- 01.1


def keeps_capitals(instruction):
    return f"In: What action should the robot take to {instruction}?\nOut:"


def a_space_after_out(instruction):
    return build_prompt(instruction) + " "


def a_space_for_the_new_line(instruction):
    return build_prompt(instruction).replace("\n", " ")


def everything_in_lower_case(instruction):
    return build_prompt(instruction).lower()


def no_question_mark(instruction):
    return build_prompt(instruction).replace("?", "")


def only_the_words(instruction):
    return instruction.lower()


def one_instruction_for_all(instruction):
    return build_prompt("pick up the red cube")


# --- 01.2: one loop, spoiled in one place at a time


def loop(env, policy, instruction, max_steps, *, again=True, fresh=True, first=(0, 0), forget=True, own_words=False,
         back=False, often=False, ends=("terminated", "truncated"), success=lambda info, over: bool(info["is_success"]), counted=0):  # fmt: skip
    if forget:
        policy.reset(np.array([True]))
    observation, info = env.reset()
    seen, chunk, steps = observation, None, 0
    while steps < max_steps:
        if back:
            observation, info = env.reset()
            seen = observation
        if often and steps:
            policy.reset(np.array([True]))
        if chunk is None or again:
            words = info["instruction"] if own_words else instruction
            chunk = policy.act(batch_of_one(seen, words))
        before = observation
        observation, _, terminated, truncated, info = env.step(chunk[first])
        seen = observation if fresh else before
        steps += 1
        over = {"terminated": terminated, "truncated": truncated}
        if any(over[name] for name in ends):
            break
    return success(info, any(over.values())), steps - counted


def decides_once(*arguments):
    return loop(*arguments, again=False)


def looks_at_the_last_picture(*arguments):
    return loop(*arguments, fresh=False)


def takes_the_last_action_of_a_chunk(*arguments):
    return loop(*arguments, first=(0, -1))


def any_end_is_success(*arguments):
    return loop(*arguments, success=lambda info, over: over)


def a_time_out_is_success(*arguments):
    return loop(*arguments, success=lambda info, over: bool(info["is_success"]) or over)


def goes_on_after_truncation(*arguments):
    return loop(*arguments, ends=("terminated",))


def counts_from_zero(*arguments):
    return loop(*arguments, counted=1)


def has_no_limit(env, policy, instruction, max_steps):
    return loop(env, policy, instruction, 1000)


def one_step_too_many(env, policy, instruction, max_steps):
    return loop(env, policy, instruction, max_steps + 1)


def never_resets_the_policy(*arguments):
    return loop(*arguments, forget=False)


def resets_the_environment_at_every_step(*arguments):
    return loop(*arguments, back=True)


def resets_the_policy_at_every_step(*arguments):
    return loop(*arguments, often=True)


def says_the_environments_words(*arguments):
    return loop(*arguments, own_words=True)


# --- 01.3


def wald(successes, episodes, z=1.96):
    p = successes / episodes
    half = z * math.sqrt(p * (1 - p) / episodes)
    return max(0.0, p - half), min(1.0, p + half)


def does_not_divide(successes, episodes, z=1.96):
    low, high = wilson_interval(successes, episodes, z)
    return low * (1 + z**2 / episodes), high * (1 + z**2 / episodes)


def no_term_under_the_root(successes, episodes, z=1.96):
    p, n = successes / episodes, episodes
    half = z * math.sqrt(p * (1 - p) / n)
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n), (p + z**2 / (2 * n) + half) / (1 + z**2 / n)


def middle_and_half_width(successes, episodes, z=1.96):
    low, high = wilson_interval(successes, episodes, z)
    return (low + high) / 2, (high - low) / 2


def upper_end_first(successes, episodes, z=1.96):
    return wilson_interval(successes, episodes, z)[::-1]


def in_percent(successes, episodes, z=1.96):
    low, high = wilson_interval(successes, episodes, z)
    return 100 * low, 100 * high


def wald_unless_all_succeed(successes, episodes, z=1.96):
    return wilson_interval(successes, episodes, z) if successes == episodes else wald(successes, episodes, z)


def always_95_percent(successes, episodes, z=1.96):
    return wilson_interval(successes, episodes)


def nothing_where_nothing_succeeded(successes, episodes, z=1.96):
    return wilson_interval(successes, episodes, z) if successes else (0.0, 0.0)


MISTAKES = {
    "build_prompt": [
        (keeps_capitals, "only seen instructions in lower case"),
        (a_space_after_out, "nothing stands behind"),
        (a_space_for_the_new_line, "a new line, not a space"),
        (everything_in_lower_case, "keep their capitals"),
        (no_question_mark, "question mark"),
        (only_the_words, "compare letter by letter"),
        (one_instruction_for_all, "the instruction that is handed in"),
    ],
    "run_episode": [
        (decides_once, "open loop"),
        (looks_at_the_last_picture, "one step ago"),
        (takes_the_last_action_of_a_chunk, "the first action belongs"),
        (any_end_is_success, "says nothing of success"),
        (a_time_out_is_success, "says nothing of success"),
        (goes_on_after_truncation, "it went on after the end"),
        (counts_from_zero, "steps are counted from one"),
        (has_no_limit, "max_steps is not looked at"),
        (one_step_too_many, "max_steps of them were allowed"),
        (resets_the_environment_at_every_step, "once, before the loop"),
        (never_resets_the_policy, "still remembers"),
        (resets_the_policy_at_every_step, "policy.reset stands within the loop"),
        (says_the_environments_words, "the environment's own instruction"),
    ],
    "wilson_interval": [
        (wald, "prove perfection"),
        (does_not_divide, "divided by 1 + z²/n"),
        (no_term_under_the_root, "z²/4n² is missing"),
        (middle_and_half_width, "two ends"),
        (upper_end_first, "the lower end comes first"),
        (in_percent, "not in percent"),
        (wald_unless_all_succeed, "the z²-terms are missing"),
        (always_95_percent, "z is an argument"),
        (nothing_where_nothing_succeeded, "nothing special happens at p = 0"),
    ],
}
