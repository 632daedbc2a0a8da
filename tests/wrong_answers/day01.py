"""Day 01: the prompt, the closed loop, Wilson's interval."""

import math
import re

import numpy as np
from run import right, wrong

from vla_course.evaluation.episodes import batch_of_one

# --- 01.1


@wrong("build_prompt", "letter by letter|In: What action")
def the_prompt_of_another_version(instruction):
    """OpenVLA v0.1's conversation, as assistants remember it."""
    return (
        "A chat between a curious user and an artificial intelligence assistant. USER: What action should the robot "
        f"take to {instruction.lower()}? ASSISTANT:"
    )


@wrong("build_prompt", "lower case|letter by letter")
def capital_first(instruction):
    """str.capitalize: the rest in lower case, the first letter not."""
    return f"In: What action should the robot take to {instruction.capitalize()}?\nOut:"


@wrong("build_prompt", "new line")
def a_backslash_and_an_n(instruction):
    """A raw string: two characters where a new line belongs."""
    return rf"In: What action should the robot take to {instruction.lower()}?\nOut:"


@wrong("build_prompt", "return")
def prints_it(instruction):
    """Shows the text and returns nothing."""
    print(f"In: What action should the robot take to {instruction.lower()}?\nOut:")


@wrong("build_prompt", "nothing|letter by letter")
def a_new_line_at_the_end(instruction):
    """Ends with a new line behind Out:."""
    return f"In: What action should the robot take to {instruction.lower()}?\nOut:\n"


@wrong("build_prompt", "letter by letter|space")
def indented(instruction):
    """A triple-quoted string that keeps its indentation."""
    return f"""In: What action should the robot take to {instruction.lower()}?
    Out:"""


@wrong("build_prompt", "handed in|whatever it says")
def remembers_the_first(instruction, memory=[]):
    """A mutable default: the first instruction for ever."""
    memory.append(instruction)
    return f"In: What action should the robot take to {memory[0].lower()}?\nOut:"


@wrong("build_prompt", "lower case|letter by letter|handed in")
def only_what_is_shouted(instruction):
    """Lower case for the first letter and for words in capitals only: a Name keeps its capital."""
    quiet = re.sub(r"\b[A-Z]+\b", lambda word: word.group().lower(), instruction)
    return f"In: What action should the robot take to {quiet[0].lower() + quiet[1:]}?\nOut:"


@right("build_prompt")
def joined(instruction):
    """Pieces, joined."""
    return "".join(["In: What action should the robot take to ", instruction.lower(), "?", chr(10), "Out:"])


@right("build_prompt")
def old_formatting(instruction):
    """Percent formatting."""
    return "In: What action should the robot take to %s?\nOut:" % str.lower(instruction)


@right("build_prompt")
def two_lines(instruction):
    """Two lines, joined by a new line, folded letter by letter."""
    asked = "".join(letter.lower() for letter in instruction)
    return "\n".join((f"In: What action should the robot take to {asked}?", "Out:"))


# --- 01.2


@wrong("run_episode", "max_steps|steps were taken")
def one_step_too_few(env, policy, instruction, max_steps):
    """range(1, max_steps): the last allowed step is never taken."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps = 0
    for steps in range(1, max_steps):
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            break
    return bool(info["is_success"]), steps


@wrong("run_episode", "terminated|truncated|after the end")
def both_ends_needed(env, policy, instruction, max_steps):
    """`terminated and truncated`: goes on after either."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated and truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", "terminated|truncated|after the end")
def only_a_time_out_ends_it(env, policy, instruction, max_steps):
    """Looks at truncated alone."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    for steps in range(1, max_steps + 1):
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, _, truncated, info = env.step(action)
        if truncated:
            break
    return bool(info["is_success"]), steps


@wrong("run_episode", "last step|says last|lost again|in the end")
def ever_successful(env, policy, instruction, max_steps):
    """A success at any step counts, also one that is lost again before the end."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended, success = 0, False, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        success = success or bool(info["is_success"])
        steps, ended = steps + 1, terminated or truncated
    return success, steps


@wrong("run_episode", "environment says|terminated|ends")
def stops_at_the_first_success(env, policy, instruction, max_steps):
    """Ends the episode itself at the first sign of success, although the environment goes on."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    for steps in range(1, max_steps + 1):
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated or info["is_success"]:
            break
    return bool(info["is_success"]), steps


@wrong("run_episode", "close|still needed|whoever|caller")
def closes_the_environment(env, policy, instruction, max_steps):
    """env.close() at the end, of an environment that belongs to the caller, who films it and begins the next episode."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    env.close()
    return bool(info["is_success"]), steps


@wrong("run_episode", "seed|same start")
def always_the_same_start(env, policy, instruction, max_steps):
    """env.reset(seed=0), for “reproducibility”: every episode is the same one."""
    policy.reset(np.array([True]))
    observation, info = env.reset(seed=0)
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", "one look|looked once|before every step")
def carries_out_the_whole_chunk(env, policy, instruction, max_steps):
    """All actions of a chunk before it looks again."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        for action in policy.act(batch_of_one(observation, instruction))[0]:
            observation, _, terminated, truncated, info = env.step(action)
            steps, ended = steps + 1, terminated or truncated
            if ended or steps == max_steps:
                break
    return bool(info["is_success"]), steps


@wrong("run_episode", "is_success")
def a_reward_is_success(env, policy, instruction, max_steps):
    """Success where the last reward was above 0."""
    policy.reset(np.array([True]))
    observation, _ = env.reset()
    steps, ended, reward = 0, False, 0.0
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, reward, terminated, truncated, _ = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return reward > 0, steps


@wrong("run_episode", "True or False|success.*steps")
def steps_first(env, policy, instruction, max_steps):
    """(steps, success): the order is turned round."""
    return plain_loop(env, policy, instruction, max_steps)[::-1]


@wrong("run_episode", "reset")
def resets_nobody(env, policy, instruction, max_steps):
    """policy.reset with a mask that names no environment."""
    policy.reset(np.array([False]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", r"shape \(1,\)|\(N, K, A\)")
def hands_over_the_chunk(env, policy, instruction, max_steps):
    """env.step gets the chunk, not one action."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@right("run_episode")
def plain_loop(env, policy, instruction, max_steps):
    """A for loop that is left early; the environment first, then the policy; a mask of ones."""
    observation, info = env.reset()
    policy.reset(np.ones(1, dtype=bool))
    taken = 0
    for taken in range(1, max_steps + 1):
        chunk = policy.act(batch_of_one(observation, instruction))
        observation, _, terminated, truncated, info = env.step(chunk[0][0])
        if terminated or truncated:
            break
    return bool(info["is_success"]), taken


@right("run_episode")
def builds_the_batch_itself(env, policy, instruction, max_steps):
    """No batch_of_one; an endless loop that returns from within; numpy's own truth values."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps = 0
    while True:
        if steps == max_steps:
            return np.bool_(info["is_success"]), steps
        seen = {key: np.asarray(value)[None] for key, value in observation.items()} | {
            "instruction": [instruction]
        }
        observation, _, terminated, truncated, info = env.step(np.asarray(policy.act(seen))[0, 0])
        steps += 1
        if terminated or truncated:
            return np.bool_(info["is_success"]), steps


@right("run_episode")
def collects_what_happened(env, policy, instruction, max_steps):
    """A list of infos, whose length is the number of steps; returns a list."""
    policy.reset(np.array([True]))
    observation, _ = env.reset()
    infos, over = [], False
    while not over and len(infos) < max_steps:
        (chunk,) = policy.act(batch_of_one(observation, instruction))
        observation, _, *ends, info = env.step(chunk[0])
        infos.append(info)
        over = any(ends)
    return [bool(infos[-1]["is_success"]), len(infos)]


# --- 01.3

FORMULA = "z²/4n²|formula"


@wrong("wilson_interval", FORMULA)
def with_continuity_correction(successes, episodes, z=1.96):
    """Newcombe's interval with continuity correction."""
    n, p = episodes, successes / episodes
    low = (2 * n * p + z**2 - 1 - z * math.sqrt(max(z**2 - 2 - 1 / n + 4 * p * (n * (1 - p) + 1), 0))) / (
        2 * (n + z**2)
    )
    high = (2 * n * p + z**2 + 1 + z * math.sqrt(max(z**2 + 2 - 1 / n + 4 * p * (n * (1 - p) - 1), 0))) / (
        2 * (n + z**2)
    )
    return max(0.0, low), min(1.0, high)


@wrong("wilson_interval", FORMULA)
def agresti_coull(successes, episodes, z=1.96):
    """Wald around (x + z²/2) / (n + z²)."""
    n = episodes + z**2
    p = (successes + z**2 / 2) / n
    half = z * math.sqrt(p * (1 - p) / n)
    return max(0.0, p - half), min(1.0, p + half)


@wrong("wilson_interval", FORMULA)
def whole_division(successes, episodes, z=1.96):
    """p = successes // episodes: 14 of 20 is 0."""
    return _wilson(successes // episodes, episodes, z)


@wrong("wilson_interval", FORMULA)
def precedence(successes, episodes, z=1.96):
    """z**2 / 4 * n**2: multiplied where it should be divided."""
    p, n = successes / episodes, episodes
    half = z * math.sqrt(p * (1 - p) / n + z**2 / 4 * n**2)
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n), (p + z**2 / (2 * n) + half) / (1 + z**2 / n)


@wrong("wilson_interval", FORMULA)
def sample_variance(successes, episodes, z=1.96):
    """n − 1 under p(1 − p)."""
    p, n = successes / episodes, episodes
    half = z * math.sqrt(p * (1 - p) / (n - 1) + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n), (p + z**2 / (2 * n) + half) / (1 + z**2 / n)


@wrong("wilson_interval", FORMULA)
def clopper_pearson(successes, episodes, z=1.96):
    """The exact interval, by bisection."""

    def tail(p):
        return sum(
            math.comb(episodes, k) * p**k * (1 - p) ** (episodes - k) for k in range(successes, episodes + 1)
        )

    def bisect(f):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if f(middle) < 0 else (low, middle)
        return low

    lower = bisect(lambda p: tail(p) - 0.025) if successes else 0.0
    cdf = lambda p: (
        1 - tail(p) + math.comb(episodes, successes) * p**successes * (1 - p) ** (episodes - successes)
    )
    upper = bisect(lambda p: 0.025 - cdf(p)) if successes < episodes else 1.0
    return lower, upper


@wrong("wilson_interval", "z is an argument|z where z²")
def z_of_its_own_under_the_root(successes, episodes, z=1.96):
    """3.84 stands under the root, whatever z is."""
    p, n = successes / episodes, episodes
    half = z * math.sqrt(p * (1 - p) / n + 3.8416 / (4 * n**2))
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n), (p + z**2 / (2 * n) + half) / (1 + z**2 / n)


def _wilson(p, n, z):
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n), (p + z**2 / (2 * n) + half) / (1 + z**2 / n)


@right("wilson_interval")
def in_counts(successes, episodes, z=1.96):
    """The same in counts: (2x + z² ± z √(z² + 4xq)) / 2(n + z²), not cut."""
    x, n = successes, episodes
    root = z * math.sqrt(z**2 + 4 * x * (1 - x / n))
    return (2 * x + z**2 - root) / (2 * (n + z**2)), (2 * x + z**2 + root) / (2 * (n + z**2))


@right("wilson_interval")
def roots_of_a_quadratic(successes, episodes, z=1.96):
    """The two rates at which the difference is z standard errors."""
    p, n = successes / episodes, episodes
    low, high = sorted(np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2]).real)
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


@right("wilson_interval")
def weighted_mean_of_two(successes, episodes, z=1.96):
    """The middle as a weighted mean of p and ½; numpy numbers in a list."""
    p, weight = np.float64(successes) / episodes, episodes / (episodes + z**2)
    middle = weight * p + (1 - weight) / 2
    half = z * np.sqrt(weight * (p * (1 - p)) / episodes * weight + ((1 - weight) / (2 * z)) ** 2)
    return [np.maximum(middle - half, 0), np.minimum(middle + half, 1)]
