"""Day 01: the prompt, the closed loop, Wilson's interval."""

import itertools
import math
import re
from fractions import Fraction

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


# --- Written later, from the exercise notebook alone

# ---------------------------------------------------------------- 01.1 build_prompt


@wrong("build_prompt", fits=r"lower|upper|case|capital")
def keeps_the_capitals(instruction):
    """The instruction is not put in lower case."""
    return f"In: What action should the robot take to {instruction}?\nOut:"


@wrong("build_prompt", fits=r"space|nothing behind|behind|end|trailing|blank")
def a_space_after_out(instruction):
    """Ends with a space behind "Out:"."""
    return f"In: What action should the robot take to {instruction.lower()}?\nOut: "


@wrong("build_prompt", fits=r"new ?line|\\n|line break|backslash|second line")
def backslash_and_n_as_two_letters(instruction):
    """A raw string: backslash and n stand there as two characters, there is no new line."""
    return rf"In: What action should the robot take to {instruction.lower()}?\nOut:"


@wrong("build_prompt", fits=r"lower|upper|case|capital")
def all_of_the_prompt_in_lower_case(instruction):
    """Puts the whole sentence in lower case, not only the instruction."""
    return f"In: What action should the robot take to {instruction}?\nOut:".lower()


@wrong("build_prompt", fits=r"sentence|letter|words? for word|In:|Out:|trained on|format")
def the_chat_prompt_of_v01(instruction):
    """The prompt of the older OpenVLA v01 (a chat with USER and ASSISTANT)."""
    return (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: What action should the robot take to "
        f"{instruction.lower()}? ASSISTANT:"
    )


@wrong("build_prompt", fits=r"space|indent|new ?line|line|Out:")
def an_indented_second_line(instruction):
    """A triple-quoted string whose second line carries the indentation of the source."""
    return f"""In: What action should the robot take to {instruction.lower()}?
    Out:"""


@wrong("build_prompt", fits=r"return|None|str|text")
def prints_the_prompt(instruction):
    """Prints the prompt and returns nothing."""
    print(f"In: What action should the robot take to {instruction.lower()}?\nOut:")


@wrong("build_prompt", fits=r"lower|upper|case|capital")
def only_the_first_letter_in_lower_case(instruction):
    """Only the first letter becomes a small one; "touch the Red Cube" keeps its capitals."""
    words = instruction[:1].lower() + instruction[1:]
    return f"In: What action should the robot take to {words}?\nOut:"


@wrong("build_prompt", fits=r"question mark|\?|letter|sentence|punctuation")
def no_question_mark(instruction):
    """The question mark at the end of the sentence is missing."""
    return f"In: What action should the robot take to {instruction.lower()}\nOut:"


@wrong("build_prompt", fits=r"new ?line|line|\\n")
def one_line_only(instruction):
    """A space where the new line belongs."""
    return f"In: What action should the robot take to {instruction.lower()}? Out:"


@right("build_prompt")
def by_joining_lines(instruction):
    """Two lines joined by a new line."""
    return "\n".join(["In: What action should the robot take to " + instruction.lower() + "?", "Out:"])


@right("build_prompt")
def by_format(instruction):
    """str.format on a template."""
    return "In: What action should the robot take to {}?\nOut:".format(instruction.lower())


@right("build_prompt")
def by_percent(instruction):
    """The % operator, and chr(10) for the new line."""
    return "In: What action should the robot take to %s?%sOut:" % (str.lower(instruction), chr(10))


@right("build_prompt")
def by_a_triple_quoted_text(instruction):
    """A triple-quoted string without indentation."""
    words = instruction.lower()
    return f"""In: What action should the robot take to {words}?
Out:"""


# ---------------------------------------------------------------- 01.2 run_episode


@wrong("run_episode", fits=r"look|chunk|first action|every step|again|closed|open")
def plays_the_whole_chunk(env, policy, instruction, max_steps):
    """Carries out all actions of a chunk before it looks again."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        chunk = policy.act(batch_of_one(observation, instruction))[0]
        for action in chunk:
            observation, _, terminated, truncated, info = env.step(action)
            steps, ended = steps + 1, terminated or truncated
            if ended or steps == max_steps:
                break
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"policy\.reset|reset|forget|past|memory")
def never_resets_the_policy(env, policy, instruction, max_steps):
    """The policy is not told that a new episode begins."""
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"truncated|time is up|either")
def goes_on_when_truncated(env, policy, instruction, max_steps):
    """Ends only where the environment says terminated; truncated is thrown away."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, done = 0, False
    while steps < max_steps and not done:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, done, _, info = env.step(action)
        steps += 1
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"is_success|info|spoiled|terminated")
def terminated_is_success(env, policy, instruction, max_steps):
    """Takes "terminated" for success, though a spoiled task terminates, too."""
    policy.reset(np.array([True]))
    observation, _info = env.reset()
    steps, terminated, truncated = 0, False, False
    while steps < max_steps and not (terminated or truncated):
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, _info = env.step(action)
        steps += 1
    return bool(terminated), steps


@wrong("run_episode", fits=r"last|at the end|end|finally|latest")
def success_once_is_success(env, policy, instruction, max_steps):
    """A success somewhere on the way counts, even when it is gone at the end."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended, success = 0, False, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        success = success or bool(info["is_success"])
        steps, ended = steps + 1, terminated or truncated
    return success, steps


@wrong("run_episode", fits=r"look|again|observation|old|first picture|every step|new")
def sees_only_the_first_picture(env, policy, instruction, max_steps):
    """The observation of env.step is thrown away; the policy sees the start all the time."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    for steps in range(1, max_steps + 1):
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            break
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"first|chunk|\[0, 0\]|last action")
def the_last_action_of_the_chunk(env, policy, instruction, max_steps):
    """Carries out the last action of the chunk; the same where K is 1."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, -1]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"shape|\[0, 0\]|first|chunk|one action|\(A,\)")
def gives_the_environment_a_chunk(env, policy, instruction, max_steps):
    """Takes [0] instead of [0, 0]: the environment is given (K, A) numbers."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"environment says|terminated|go on|goes on|too early|early|stop|before")
def another_stops_at_the_first_success(env, policy, instruction, max_steps):
    """Stops as soon as info says success, although the environment has not ended the episode."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated or info["is_success"]
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"steps?|count|number|one (less|more|too)|from 0|off by")
def counts_from_zero(env, policy, instruction, max_steps):
    """Returns the index of the last step, one less than the number of steps."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    for step in range(max_steps):
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            break
    return bool(info["is_success"]), step


@wrong("run_episode", fits=r"max_steps|one step|too many|more")
def one_step_too_many(env, policy, instruction, max_steps):
    """`<=` instead of `<`: an episode without end takes max_steps + 1 steps."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps <= max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"instruction|told|words|argument")
def tells_what_the_environment_says(env, policy, instruction, max_steps):
    """The policy is told info["instruction"], and the argument is ignored."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    words = info.get("instruction", "")
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, words))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"policy\.reset|reset|once|forget|every step|past|before the loop")
def resets_the_policy_before_every_step(env, policy, instruction, max_steps):
    """The policy forgets its past at every step, not only at the start."""
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        policy.reset(np.array([True]))
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"is_success|info|reward")
def reward_is_success(env, policy, instruction, max_steps):
    """Takes a positive last reward for success."""
    policy.reset(np.array([True]))
    observation, _info = env.reset()
    steps, ended, reward = 0, False, 0.0
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, reward, terminated, truncated, _ = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(reward > 0), steps


@wrong("run_episode", fits=r"True|mask|reset|forget|past")
def resets_nothing(env, policy, instruction, max_steps):
    """The mask given to policy.reset is False: nothing is forgotten."""
    policy.reset(np.zeros(1, dtype=bool))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@right("run_episode")
def with_a_for_loop(env, policy, instruction, max_steps):
    """A for loop with a break."""
    observation, info = env.reset()
    policy.reset(np.ones(1, dtype=bool))
    steps = 0
    for steps in range(1, max_steps + 1):
        chunk = policy.act(batch_of_one(observation, instruction))
        observation, _, terminated, truncated, info = env.step(chunk[0][0])
        if terminated or truncated:
            break
    return bool(info["is_success"]), steps


@right("run_episode")
def with_a_return_in_the_loop(env, policy, instruction, max_steps):
    """An endless counter that is left by return."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    over = False
    for steps in itertools.count():
        if over or steps >= max_steps:
            return bool(info["is_success"]), steps
        actions = policy.act(batch_of_one(observation, instruction))
        observation, _, *end, info = env.step(np.array(actions[0, 0]))
        over = any(end)


@right("run_episode")
def with_a_generator(env, policy, instruction, max_steps):
    """A generator of infos; success is the last, steps are their number."""
    policy.reset(np.full(1, True))

    def infos():
        observation, info = env.reset()
        yield info
        done = False
        while not done:
            action = policy.act(batch_of_one(observation, instruction))[:, 0][0]
            observation, _, terminated, truncated, info = env.step(action)
            done = bool(terminated) or bool(truncated)
            yield info

    seen = list(itertools.islice(infos(), max_steps + 1))
    return bool(seen[-1]["is_success"]), len(seen) - 1


# ---------------------------------------------------------------- 01.3 wilson_interval


@wrong("wilson_interval", fits=r"textbook|wilson|z²|±|other way round|width|formula")
def textbook_interval(successes, episodes, z=1.96):
    """The textbook's p ± z sqrt(p(1 - p)/n), clipped."""
    p = successes / episodes
    half = z * math.sqrt(p * (1 - p) / episodes)
    return max(0.0, p - half), min(1.0, p + half)


@wrong("wilson_interval", fits=r"1 \+ z|divide|scale|denominator|over")
def not_divided(successes, episodes, z=1.96):
    """The division by 1 + z²/n is forgotten."""
    p = successes / episodes
    middle = p + z**2 / (2 * episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@wrong("wilson_interval", fits=r"1 \+ z|divide|both|half|denominator|over|width")
def only_the_middle_is_divided(successes, episodes, z=1.96):
    """Only the middle is divided by 1 + z²/n, the half width is not."""
    p = successes / episodes
    middle = (p + z**2 / (2 * episodes)) / (1 + z**2 / episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@wrong("wilson_interval", fits=r"1\.96|`z`|argument|other z|ignore|fixed|given z|z =")
def always_95_percent(successes, episodes, z=1.96):
    """The argument z is ignored: 1.96 is written into the formula."""
    p = successes / episodes
    middle = p + 1.96**2 / (2 * episodes)
    half = 1.96 * math.sqrt(p * (1 - p) / episodes + 1.96**2 / (4 * episodes**2))
    scale = 1 + 1.96**2 / episodes
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@wrong("wilson_interval", fits=r"bracket|parenthes|2n|2 ?\* ?|middle|z²/")
def missing_brackets(successes, episodes, z=1.96):
    """z**2 / 2 * episodes, without brackets: multiplies by n where it should divide."""
    p = successes / episodes
    middle = p + z**2 / 2 * episodes
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / 4 * episodes**2)
    scale = 1 + z**2 / episodes
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@wrong("wilson_interval", fits=r"4 ?n²|4n|root|sqrt|√|square|half")
def n_not_squared_under_the_root(successes, episodes, z=1.96):
    """z²/(4n) under the root instead of z²/(4n²)."""
    p = successes / episodes
    middle = p + z**2 / (2 * episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes))
    scale = 1 + z**2 / episodes
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@wrong("wilson_interval", fits=r"wilson|root|√|half|width|formula|other interval")
def another_agresti_coull(successes, episodes, z=1.96):
    """The interval of Agresti and Coull: the same middle, a wider spread."""
    n = episodes + z**2
    p = (successes + z**2 / 2) / n
    half = z * math.sqrt(p * (1 - p) / n)
    return max(0.0, p - half), min(1.0, p + half)


@wrong("wilson_interval", fits=r"percent|%|100|share|\[0, 1\]|between 0 and 1")
def in_percent(successes, episodes, z=1.96):
    """The interval in percent, from 0 to 100."""
    p = successes / episodes
    middle = p + z**2 / (2 * episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2))
    scale = 1 + z**2 / episodes
    return max(0.0, 100 * (middle - half) / scale), min(100.0, 100 * (middle + half) / scale)


@wrong("wilson_interval", fits=r"outside|\[0, 1\]|below 0|above 1|clip|max|rounding|negative")
def not_clipped(successes, episodes, z=1.96):
    """Not cut to [0, 1]: rounding puts the end a hair below 0 or above 1."""
    rate = successes / episodes
    middle = rate + z**2 / (2 * episodes)
    half = z * math.sqrt(rate * (1 - rate) / episodes + z**2 / (4 * episodes**2))
    scale = 1 + z**2 / episodes
    return (middle - half) / scale, (middle + half) / scale


@wrong("wilson_interval", fits=r"ends|low|high|half|middle|two numbers|±")
def middle_and_half_width(successes, episodes, z=1.96):
    """Returns the middle and the half width instead of the two ends."""
    p = successes / episodes
    scale = 1 + z**2 / episodes
    middle = (p + z**2 / (2 * episodes)) / scale
    return middle, z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2)) / scale


@wrong("wilson_interval", fits=r"round|decimal|digit|exact")
def rounded_to_two_places(successes, episodes, z=1.96):
    """Rounded to two decimal places."""
    p = successes / episodes
    middle = p + z**2 / (2 * episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2))
    scale = 1 + z**2 / episodes
    return round(max(0.0, (middle - half) / scale), 2), round(min(1.0, (middle + half) / scale), 2)


@wrong("wilson_interval", fits=r"n ?[-−] ?1|episodes|p\(1|one fewer|crash|divi|zero")
def with_n_minus_one(successes, episodes, z=1.96):
    """Divides p(1 - p) by n - 1, as for a sample's variance; one episode crashes."""
    p = successes / episodes
    middle = p + z**2 / (2 * episodes)
    half = z * math.sqrt(p * (1 - p) / (episodes - 1) + z**2 / (4 * episodes**2))
    scale = 1 + z**2 / episodes
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@wrong("wilson_interval", fits=r"no success|0 of|none|all|every|ten of ten|certain|0 or|z²|± 0|width")
def sure_of_none_and_of_all(successes, episodes, z=1.96):
    """No success at all is (0, 0) and nothing but successes is (1, 1)."""
    if successes in (0, episodes):
        return successes / episodes, successes / episodes
    p = successes / episodes
    middle = p + z**2 / (2 * episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2))
    scale = 1 + z**2 / episodes
    return (middle - half) / scale, (middle + half) / scale


@right("wilson_interval")
def another_in_counts(successes, episodes, z=1.96):
    """All in counts: (s + z²/2 ± z sqrt(s(n - s)/n + z²/4)) / (n + z²)."""
    s, n = float(successes), float(episodes)
    root = z * math.sqrt(s * (n - s) / n + z * z / 4)
    low, high = [(s + z * z / 2 + sign * root) / (n + z * z) for sign in (-1, 1)]
    return min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)


@right("wilson_interval")
def by_bisection(successes, episodes, z=1.96):
    """Looks for the rates that would just not be surprising, by halving."""
    p = successes / episodes

    def surprising(rate):
        return abs(p - rate) > z * math.sqrt(rate * (1 - rate) / episodes)

    ends = []
    for outer in (0.0, 1.0):
        inner = p
        if outer == p:
            ends.append(p)
            continue
        far, near = outer, inner
        for _ in range(200):
            between = (far + near) / 2
            far, near = (between, near) if surprising(between) else (far, between)
        ends.append(near)
    return ends[0], ends[1]


@right("wilson_interval")
def with_numpy(successes, episodes, z=1.96):
    """NumPy numbers, both ends at once."""
    p, n = np.float64(successes) / episodes, np.float64(episodes)
    middle = p + z**2 / n / 2
    half = z / n * np.sqrt(n * p * (1 - p) + np.square(z / 2))
    low, high = np.clip((middle + np.array([-half, half])) / (1 + z**2 / n), 0.0, 1.0)
    return low, high


@right("wilson_interval")
def with_fractions(successes, episodes, z=1.96):
    """Exact fractions up to the root."""
    p, n, w = Fraction(int(successes), int(episodes)), int(episodes), Fraction(z) ** 2
    centre = (p + w / (2 * n)) / (1 + w / n)
    half = math.sqrt(w * (p * (1 - p) / n + w / (4 * n * n))) / float(1 + w / n)
    return max(0.0, float(centre) - half), min(1.0, float(centre) + half)


# --- 01.3: neighbours of what got through


@wrong("wilson_interval", "half width is to be divided")
def only_the_middle_divided(successes, episodes, z=1.96):
    """The half width is not divided."""
    p, scale = successes / episodes, 1 + z**2 / episodes
    middle = (p + z**2 / (2 * episodes)) / scale
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@wrong("wilson_interval", r"a hair outside")
def only_the_lower_end_cut(successes, episodes, z=1.96):
    """Cut at 0, not at 1."""
    p, scale = successes / episodes, 1 + z**2 / episodes
    middle = p + z**2 / (2 * episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z**2 / (4 * episodes**2))
    return max(0.0, (middle - half) / scale), (middle + half) / scale


@wrong("wilson_interval", "rounded to 4")
def rounded_to_four_places(successes, episodes, z=1.96):
    """Four decimal places."""
    low, high = only_the_lower_end_cut(successes, episodes, z)
    return round(low, 4), round(min(1.0, high), 4)


# --- written from the notebook alone, a second time


@wrong("build_prompt", fits=r"lower|capital|upper|whole of your instruction")
def lowers_only_the_first_letter(instruction):
    """Only the first letter of the instruction becomes lower case; "touch the Red cube" keeps its R."""
    return f"In: What action should the robot take to {instruction[:1].lower()}{instruction[1:]}?\nOut:"


@wrong("build_prompt", fits=r"capital|lower.?case|only (the|your) instruction|In:|What")
def lowers_the_whole_prompt(instruction):
    """The sentence around the instruction loses its capitals, too."""
    return f"In: What action should the robot take to {instruction}?\nOut:".lower()


@wrong("build_prompt", fits=r"new ?line|line break|two lines|\\n|backslash")
def writes_a_backslash_and_an_n(instruction):
    """A raw string: backslash and n stand in the prompt instead of a new line."""
    return rf"In: What action should the robot take to {instruction.lower()}?\nOut:"


@wrong(
    "build_prompt",
    fits=r"whole|strip|cut|drop|lost|leave|left out|full stop|punctuation|end of (the|your) instruction|as it is|missing",
)
def tidies_the_instruction_up(instruction):
    """Takes a full stop or question mark off the instruction's end, though the whole of it should stand there."""
    return f"In: What action should the robot take to {instruction.lower().rstrip('.?! ')}?\nOut:"


@right("build_prompt")
def joined_lines(instruction):
    """Two lines joined, the instruction put in with %."""
    return "\n".join(["In: What action should the robot take to %s?" % str.lower(instruction), "Out:"])


@wrong(
    "run_episode", fits=r"terminat|truncat|until|too early|goes on|success.*(end|stop)|(end|stop).*success"
)
def stops_at_the_first_success_once_more(env, policy, instruction, max_steps):
    """Ends the episode as soon as info says success, although the environment goes on."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps += 1
        ended = terminated or truncated or info["is_success"]
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"instruction|words|argument|told")
def says_what_the_environment_says(env, policy, instruction, max_steps):
    """Tells the policy the environment's own instruction where there is one, and ignores the argument."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    said = info.get("instruction", instruction)
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, said))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"policy\.reset|reset.*(before|policy)|(before|policy).*reset|forget|past")
def cleans_up_after_itself(env, policy, instruction, max_steps):
    """Resets the policy after the episode instead of before its first step."""
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    policy.reset(np.array([True]))
    return bool(info["is_success"]), steps


@wrong("run_episode", fits=r"is_success|truncat|last.{0,20}info|time is up")
def out_of_time_is_failure(env, policy, instruction, max_steps):
    """A truncated episode counts as failed, whatever the last info says."""
    policy.reset(np.array([True]))
    observation, info = env.reset()
    for step in range(1, max_steps + 1):
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        if truncated:
            return False, step
        if terminated:
            return bool(info["is_success"]), step
    return bool(info["is_success"]), max_steps


@right("run_episode")
def with_a_for_and_a_break(env, policy, instruction, max_steps):
    """A for loop with a break; the environment is reset first; the chunk is taken apart by names."""
    observation, info = env.reset()
    policy.reset(np.ones(1, dtype=bool))
    taken = 0
    for taken in range(1, max_steps + 1):
        (chunk,) = policy.act(batch_of_one(observation, instruction))
        result = env.step(chunk[0])
        observation, info = result[0], result[4]
        if any(result[2:4]):
            break
    return bool(info["is_success"]), taken


@wrong("wilson_interval", fits=r"divid|both ends|1 \+ z|scale|denominator|whole")
def half_width_is_not_divided(successes, episodes, z=1.96):
    """Only the middle is divided by 1 + z²/n, the half width is not."""
    rate = successes / episodes
    middle = (rate + z**2 / (2 * episodes)) / (1 + z**2 / episodes)
    half = z * math.sqrt(rate * (1 - rate) / episodes + z**2 / (4 * episodes**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@wrong(
    "wilson_interval",
    fits=r"`?\bz\b`?.*(argument|ignored|1\.96|used|given|other|default)|(argument|ignored|1\.96|default).*\bz\b",
)
def always_95_percent_once_more(successes, episodes, z=1.96):
    """Ignores the argument z: always 1.96."""
    rate, square = successes / episodes, 1.96**2
    middle = rate + square / (2 * episodes)
    half = 1.96 * math.sqrt(rate * (1 - rate) / episodes + square / (4 * episodes**2))
    return max(0.0, (middle - half) / (1 + square / episodes)), min(
        1.0, (middle + half) / (1 + square / episodes)
    )


@wrong("wilson_interval", fits=r"half|width|root|variance|4n|second term|formula|own rate|Wilson")
def agresti_and_coull(successes, episodes, z=1.96):
    """Agresti and Coull's interval: Wilson's middle, but the textbook's half width around it."""
    count = episodes + z**2
    middle = (successes + z**2 / 2) / count
    half = z * math.sqrt(middle * (1 - middle) / count)
    return max(0.0, middle - half), min(1.0, middle + half)


@wrong("wilson_interval", fits=r"round|digits|decimal|exact")
def rounded_to_two_digits(successes, episodes, z=1.96):
    """Rounds both ends to whole percent."""
    rate = successes / episodes
    middle = rate + z**2 / (2 * episodes)
    half = z * math.sqrt(rate * (1 - rate) / episodes + z**2 / (4 * episodes**2))
    scale = 1 + z**2 / episodes
    return round(max(0.0, (middle - half) / scale), 2), round(min(1.0, (middle + half) / scale), 2)


@right("wilson_interval")
def in_counts_once_more(successes, episodes, z=1.96):
    """The formula multiplied through by n: counts instead of rates."""
    square, missed = z * z, episodes - successes
    half = z * (successes * missed / episodes + square / 4) ** 0.5
    ends = ((successes + square / 2 + sign * half) / (episodes + square) for sign in (-1, 1))
    low, high = (float(np.clip(end, 0, 1)) for end in ends)
    return low, high
