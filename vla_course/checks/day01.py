"""Checks of Day 01: the text the model reads, one episode in closed loop, and an interval that does not flatter."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

from vla_course.checks.calls import Rules, last_call
from vla_course.checks.claims import Claim, roundings
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day01")
show_case, borrow = lesson.show_case, lesson.borrow

SAID = "count in tens"


class CountingEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """Shows how often it has been stepped, and keeps the actions. The episode is over after `length` steps.

    It tells of success after the last step where `success` is True, and after step `success_at` alone where that is given.
    """

    def __init__(
        self,
        *,
        length: int = 3,
        success: bool = False,
        truncates: bool = False,
        success_at: int | None = None,
    ) -> None:
        self.length, self.success, self.truncates, self.success_at = length, success, truncates, success_at
        self.actions: list[float] = []
        self.resets = 0
        self.seeds: list[int | None] = []
        self.closed = False

    def __repr__(self) -> str:
        text = f"length={self.length}, success={self.success}, truncates={self.truncates}"
        return f"CountingEnv({text}{f', success_at={self.success_at}' if self.success_at else ''})"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Nothing counted yet."""
        self.actions, self.resets = [], self.resets + 1
        self.seeds.append(seed)
        return self._shown()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One more. Nobody has to stop when the episode is over."""
        if np.shape(action) != (1,):
            raise ValueError(
                f"an action here has shape (1,), this has {np.shape(action)}: policy.act returns (N, K, A), "
                "for N environments K actions each"
            )
        self.actions.append(float(action[0]))
        observation, info = self._shown()
        over = len(self.actions) >= self.length
        return observation, 0.0, over and not self.truncates, over and self.truncates, info

    def close(self) -> None:
        """Noted: whoever made the environment may still need it."""
        self.closed = True

    def _shown(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What there is to see, and whether this step tells of success."""
        if self.success_at is None:
            success = self.success and len(self.actions) >= self.length
        else:
            success = len(self.actions) == self.success_at
        shown = {"count": np.array([float(len(self.actions))])}
        return shown, {"is_success": success, "instruction": "the environment's own words"}


class TensPolicy:
    """Ten times what it sees. Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __repr__(self) -> str:
        return "TensPolicy()"

    def act(self, observations: Mapping[str, Any]) -> np.ndarray:
        """A chunk of two actions, of which only the first belongs to what is seen now."""
        (said,) = observations["instruction"]
        self.asked.append(said)
        first = 10 * np.asarray(observations["count"])[:, None]
        return np.concatenate([first, first - 1], axis=1)

    def reset(self, mask: np.ndarray) -> None:
        """Noted as well."""
        self.asked.append(f"forget {np.asarray(mask).tolist()}")


@lesson.exercise(
    "01.1",
    library="vla_course.openvla.processor:build_prompt",
    minutes=5,
    difficulty=1,
    hints=(
        "The model was trained on one sentence with a gap in it. Every letter of it counts, so that your words stand where all "
        "the others stood.",
        "Compare the three training prompts above, letter by letter: what is the same in all of them stays, capitals, question "
        "mark and new line included. Where they differ stands an instruction, and none of those has a capital.",
        'First line: `return f"In: What action should the robot take to {instruction.lower()}?…"`. A new line is `\\n`.',
    ),
    case=WorkedCase(
        call='build_prompt("Pick up the RED cube")',
        steps=(
            ("your words, in lower case", "pick up the red cube"),
            (
                "the sentence with the gap filled",
                "In: What action should the robot take to pick up the red cube?",
            ),
            ("a new line, and where the answer begins", "Out:"),
        ),
        answer="In: What action should the robot take to pick up the red cube?\nOut:",
    ),
    rules=Rules(returns=""),
)
def check_build_prompt(build_prompt: Callable[[str], str]) -> Iterator[Claim]:
    """Letter for letter, with capitals in the instruction."""
    sentence = "In: What action should the robot take to {}?\nOut:"
    plain = sentence.format("pick up the red cube")
    yield Claim(
        "“Pick up the RED cube” stands in the model's own sentence, in lower case",
        got=build_prompt("Pick up the RED cube"),
        expected=plain,
        hint="compare letter by letter with the three training prompts above: the first word, capitals, the question mark, the "
        "new line, and what stands behind `Out:`",
        mistakes={
            "the model has only seen instructions in lower case": sentence.format("Pick up the RED cube"),
            "the model has only seen instructions in lower case, the first letter included": sentence.format(
                "Pick up the red cube"
            ),
            "nothing stands behind `Out:`; a space there would become a token of its own": plain + " ",
            "nothing stands behind `Out:`, no new line either": plain + "\n",
            "between the question and `Out:` stands a new line, not a space": plain.replace("\n", " "),
            "between the question and `Out:` stands one new line, not two": plain.replace("\n", "\n\n"),
            "a backslash and an n are two characters: a new line is `\\n` in an ordinary string, without an r before it": (
                plain.replace("\n", "\\n")
            ),
            "only your words are put in lower case; `In`, `What` and `Out` keep their capitals": plain.lower(),
            "the question ends with a question mark": plain.replace("?", ""),
        },
    )
    other = "Fold the T-shirt on Ada's table, then wave at R2-D2"
    yield Claim(
        "other words stand in the same place, names in lower case as well",
        got=build_prompt(other),
        expected=sentence.format(other.lower()),
        hint="the instruction that is handed in stands in the sentence, whatever it says, all of it in lower case",
    )
    ends = "Stop at the line. Then wait for Ada."
    yield Claim(
        "an instruction that ends in a full stop keeps it, and the question mark follows",
        got=build_prompt(ends),
        expected=sentence.format(ends.lower()),
        hint="the whole instruction stands in the sentence as it is, only in lower case: nothing of it is cut off, left out or replaced",
        mistakes={
            "the full stop at the end of the instruction is cut off: the whole of it stands in the sentence": sentence.format(
                ends.lower().rstrip(".")
            ),
        },
    )


@lesson.exercise(
    "01.2",
    library="vla_course.evaluation.episodes:run_episode",
    minutes=15,
    difficulty=1,
    hints=(
        "Closed loop means: look, decide, act, and look again before the next decision. Whatever the policy decided a step ago "
        "knows nothing of what happened since.",
        "Before the loop: `policy.reset(np.array([True]))` and `env.reset()`. In it: `policy.act(batch_of_one(observation, "
        "instruction))` gives numbers of shape (1, K, A), of which `[0, 0]` is carried out. `env.step` returns observation, reward, "
        "terminated, truncated, info. The loop ends with either of the two, or after `max_steps`.",
        "First line: `policy.reset(np.array([True]))`, second: `observation, info = env.reset()`, third: "
        "`steps, ended = 0, False`. Then `while steps < max_steps and not ended:`.",
    ),
    case=WorkedCase(
        call='run_episode(checks.CountingEnv(success=True), checks.TensPolicy(), "count in tens", 9)',
        steps=(
            ("the environment shows 0, the policy acts ten times that", "0"),
            ("it shows 1", "10"),
            ("it shows 2, and says that the episode is over", "20"),
            ("info['is_success'] of the last step, and the number of steps", "True, 3"),
        ),
        answer=(True, 3),
    ),
    rules=Rules(returns=(True, 1), may_change=("env", "policy")),
)
def check_run_episode(run_episode: Callable[..., tuple[bool, int]]) -> Iterator[Claim]:
    """A policy that acts ten times what it sees, in an environment that shows how often it was stepped."""
    env, policy = CountingEnv(success=True), TensPolicy()
    ended = run_episode(env, policy, SAID, 9)
    first = last_call(run_episode)
    yield Claim(
        "an episode begins with one reset of the environment",
        got=env.resets,
        expected=1,
        hint="`observation, info = env.reset()` comes once, before the loop",
    )
    yield Claim(
        "the environment says after three steps that the episode is over (terminated), and gets no more",
        got=len(env.actions),
        expected=3,
        hint="the loop ends when the environment says terminated or truncated, not before and not after",
        mistakes={
            "it went on after the end: either of terminated and truncated ends an episode": 9,
            "the last step is missing: the loop ends after the step that says terminated or truncated": 2,
        },
    )
    yield Claim(
        "a policy that acts ten times what it sees, and sees 0, 1, 2, acts 0, 10, 20",
        got=env.actions,
        expected=[0.0, 10.0, 20.0],
        hint="one look, one decision, one step, in a circle",
        mistakes={
            "the policy looked once and repeated itself (open loop): ask it again before every step": [0.0]
            * 3,
            "the policy saw the picture from one step ago: keep the observation that env.step returns": [
                0.0,
                0.0,
                10.0,
            ],
            "of the chunk (1, K, A) the first action belongs to what is seen now: [0, 0]": [-1.0, 9.0, 19.0],
            "a whole chunk was carried out in one go: only its first action, then look again, before every step": [
                0.0,
                -1.0,
                20.0,
            ],
        },
    )
    yield Claim(
        "a success after three steps is (True, 3)",
        got=ended,
        expected=(True, 3),
        hint='two things in this order: bool(info["is_success"]) of the last step, and how many steps were taken',
        mistakes={
            "steps are counted from one: after the first step there was one": (True, 2),
            "one step too many is counted: after the first step there was one": (True, 4),
            'a reward says nothing of success here: it is in info["is_success"] of the last step': (False, 3),
        },
        call=first,
    )
    over = 'that an episode is over says nothing of success: it is in info["is_success"] of the last step'
    yield Claim(
        "an episode that ends in failure after three steps is (False, 3)",
        got=run_episode(CountingEnv(), TensPolicy(), SAID, 9),
        expected=(False, 3),
        hint='bool(info["is_success"]) of the last step, and how many steps were taken',
        mistakes={over: (True, 3)},
    )
    yield Claim(
        "an episode whose time is up after three steps (truncated) is (False, 3)",
        got=run_episode(CountingEnv(truncates=True), TensPolicy(), SAID, 9),
        expected=(False, 3),
        hint="the loop ends when the environment says terminated or truncated",
        mistakes={
            over: (True, 3),
            "it went on after the end: truncated ends an episode as well as terminated does": (False, 9),
        },
    )
    yield Claim(
        "where the environment goes on, five steps are enough if max_steps says so",
        got=run_episode(CountingEnv(length=20), TensPolicy(), SAID, 5),
        expected=(False, 5),
        hint="count the steps: no more than max_steps of them",
        mistakes={
            "the episode went on to its own end: max_steps is not looked at": (False, 20),
            "one step too few: max_steps of them may be taken, the last one too": (False, 4),
            "one step too many: max_steps of them were allowed": (False, 6),
        },
    )
    yield Claim(
        "the policy forgets what was before, once, and then hears your words at every step",
        got=", ".join(policy.asked),
        expected=", ".join(["forget [True]", *[SAID] * 3]),
        hint="policy.reset(np.array([True])) before the loop, and batch_of_one(observation, instruction) at every step",
        mistakes={
            "policy.reset(np.array([True])) is missing: the policy still remembers the episode before": ", ".join(
                [SAID] * 3
            ),
            "the mask of policy.reset says True where an episode begins: np.array([True])": ", ".join(
                ["forget [False]", *[SAID] * 3]
            ),
            "policy.reset stands within the loop: the policy may remember what was earlier in this episode": ", ".join(
                ["forget [True]", SAID] * 3
            ),
            "the policy was told the environment's own instruction: say the one that is handed in": ", ".join(
                ["forget [True]", *["the environment's own words"] * 3]
            ),
        },
        call=first,
    )
    yield Claim(
        "a success after step 2 of 4 that is lost again is none: (False, 4)",
        got=run_episode(CountingEnv(length=4, success_at=2), TensPolicy(), SAID, 9),
        expected=(False, 4),
        hint='what counts is info["is_success"] of the last step, and the environment says which step that is',
        mistakes={
            "a success that is lost again before the end is none: only what the environment says last counts": (
                True,
                4,
            ),
            "the episode ends where the environment says terminated or truncated, not at the first success": (
                True,
                2,
            ),
        },
    )
    yield Claim(
        "where max_steps ends the episode, its last step may be a success as well: (True, 5)",
        got=run_episode(CountingEnv(length=20, success_at=5), TensPolicy(), SAID, 5),
        expected=(True, 5),
        hint='info["is_success"] of the last step, also where neither terminated nor truncated came',
    )
    yield Claim(
        "where time is up (truncated) the last step may be a success as well: (True, 3)",
        got=run_episode(CountingEnv(success=True, truncates=True), TensPolicy(), SAID, 9),
        expected=(True, 3),
        hint='info["is_success"] of the last step, also where truncated ends the episode',
        mistakes={
            "that time is up (truncated) is no failure by itself: whether the episode succeeded is in "
            'info["is_success"] of the last step': (False, 3),
        },
    )
    yield Claim(
        "the environment chooses the start: reset is given no seed",
        got=env.seeds[-1] is None,
        expected=True,
        hint="env.reset() without a seed: with one, every episode begins at the same start",
        call=first,
    )
    yield Claim(
        "the environment stays open: the caller films it, and begins the next episode",
        got=env.closed,
        expected=False,
        hint="no env.close() here: whoever made the environment, the caller, closes it",
        call=first,
    )


@lesson.exercise(
    "01.3",
    library="vla_course.evaluation.intervals:wilson_interval",
    minutes=10,
    difficulty=2,
    hints=(
        "Ask the question the other way round: which true rates would make what you saw not too surprising? All of those are the "
        "interval.",
        "Three parts: a middle, which is the rate moved a little towards ½; a half width, a root of the rate's own variance and of "
        "a second term that does not vanish at a rate of 0 or 1; and one number that both ends are divided by. z² stands in all three.",
        "With p = successes / episodes and n = episodes: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). First line: "
        "`rate = successes / episodes`.",
    ),
    case=WorkedCase(
        call="wilson_interval(20, 20)",
        steps=(
            ("p = 1, n = 20, z² = 3.8416", ""),
            ("p + z²/2n", "1 + .09604 = 1.09604"),
            ("z √(p(1 − p)/n + z²/4n²)", "1.96 √.00240 = .09604"),
            ("1 + z²/n", "1.19208"),
            ("(1.09604 ± .09604) / 1.19208", ".8389 and 1"),
        ),
        answer=(1 / 1.19208, 1.0),
    ),
    rules=Rules(returns=(0.0, 1.0)),
)
def check_wilson_interval(wilson_interval: Callable[..., tuple[float, float]]) -> Iterator[Claim]:
    """Published values for none, some and all, and what the simpler formulas give in their place; another z and other counts."""
    parts = (
        'the formula has a middle, a half width and a number that both are divided by: checks.show_case("01.3") works out each '
        "of them. Which one differs in yours?"
    )
    rate, n, z2 = 0.7, 20, 1.96**2
    middle, half, wald = (
        rate + z2 / (2 * n),
        1.96 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n**2)),
        1.96 * math.sqrt(rate * (1 - rate) / n),
    )
    low, high = _wilson_ends(14, n, 1.96)
    missing = "p ± z √(p(1 − p)/n) would say that 20 of 20 prove perfection: the z²-terms are missing"
    yield Claim(
        "14 of 20 is 48 to 85 %",
        got=wilson_interval(14, 20),
        expected=(low, high),
        hint=parts,
        mistakes={
            missing: (rate - wald, rate + wald),
            "14 // 20 is 0: the rate that goes into the formula needs /, not //": (0.0, 0.1611),
            "both ends are still to be divided by 1 + z²/n": (middle - half, 1.0),
            "both ends are still to be divided by 1 + z²/n, and then none lies outside [0, 1]": (
                middle - half,
                middle + half,
            ),
            "the half width is to be divided by 1 + z²/n as well": (
                middle / (1 + z2 / n) - half,
                middle / (1 + z2 / n) + half,
            ),
            "the half width is to be divided by 1 + z²/n as well (and the sum is no longer cut)": (
                middle / (1 + z2 / n) - half,
                1.0,
            ),
            "the middle is to be divided by 1 + z²/n as well": (
                middle - half / (1 + z2 / n),
                middle + half / (1 + z2 / n),
            ),
            "the rate moves a little towards ½: z²/2n is missing in the middle": (
                (rate - half) / (1 + z2 / n),
                (rate + half) / (1 + z2 / n),
            ),
            "under the root, z²/4n² is missing": (
                (middle - wald) / (1 + z2 / n),
                (middle + wald) / (1 + z2 / n),
            ),
            "an interval has two ends, a lower and an upper one; this is its middle and its half width": (
                middle / (1 + z2 / n),
                half / (1 + z2 / n),
            ),
            "the lower end comes first": (high, low),
            "a rate is a number from 0 to 1 here, not in percent": (100 * low, 100 * high),
        }
        | roundings((low, high), (1, 2, 3, 4, 5)),
        tolerance=1e-6,
    )
    yield Claim(
        "20 of 20 is 84 to 100 %: twenty episodes are no certainty",
        got=wilson_interval(20, 20),
        expected=(0.8389, 1.0),
        tolerance=2e-4,
        hint="the same formula; nothing special happens at p = 1",
        mistakes={
            "twenty successes do not prove perfection: with p = 1 the z²-terms are all that is left": (
                1.0,
                1.0,
            )
        },
    )
    yield Claim(
        "0 of 10 is 0 to 28 %: never seen is not impossible",
        got=wilson_interval(0, 10),
        expected=(0.0, 0.2775),
        tolerance=2e-4,
        hint="the same formula; nothing special happens at p = 0",
    )
    yield Claim(
        "with z = 1, 0 of 9 is 0 to 1/10: less sure, so narrower",
        got=wilson_interval(0, 9, z=1.0),
        expected=(0.0, 0.1),
        hint="z is an argument: where does 1.96 stand in your formula, or z where z² belongs?",
    )
    yield Claim(
        "37 of 153 with z = 2.5 is 16.7 to 33.7 %",
        got=wilson_interval(37, 153, z=2.5),
        expected=_wilson_ends(37, 153, 2.5),
        hint="other counts and another z: is a number of the cases above left in your formula?",
        mistakes=roundings(_wilson_ends(37, 153, 2.5), (2, 3, 4)),
    )
    edges, edge_call = (0.0, 1.0), ""
    for successes, episodes in EDGES:
        edges = wilson_interval(successes, episodes)
        edge_call = last_call(wilson_interval)
        if edges[0] < 0 or edges[1] > 1:
            break
    yield Claim(
        "none of many and all of many: no end outside [0, 1], not by a hair either",
        got=bool(edges[0] >= 0 and edges[1] <= 1),
        expected=True,
        hint=f"rounding puts an end a hair outside [0, 1], here at {edges[0]!r} or {edges[1]!r}: a rate below 0 or above 1 breaks "
        "whoever takes a root of it. Cut both ends to [0, 1]",
        call=edge_call,
    )


EDGES = ((0, 5), (0, 23), (5, 5), (19, 19))
"""Counts at which rounding puts an end of the interval outside [0, 1] in most orders of computing it."""


def _wilson_ends(successes: int, episodes: int, z: float) -> tuple[float, float]:
    """The two rates p from which the observed one is just z standard errors away: (rate − p)² = z² p (1 − p) / episodes."""
    rate = successes / episodes
    low, high = np.sort(np.roots([1 + z**2 / episodes, -2 * rate - z**2 / episodes, rate**2]).real)
    return float(low), float(high)
