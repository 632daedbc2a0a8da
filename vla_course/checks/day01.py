"""Checks of Day 01: the text the model reads, one episode in closed loop, and an interval that does not flatter."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

from vla_course.checks.claims import Claim
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day01")
show_case, borrow = lesson.show_case, lesson.borrow

SAID = "count in tens"


class CountingEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """Shows how often it has been stepped, and keeps the actions. The episode is over after `length` steps."""

    def __init__(self, *, length: int = 3, success: bool = False, truncates: bool = False) -> None:
        self.length, self.success, self.truncates = length, success, truncates
        self.actions: list[float] = []
        self.resets = 0

    def __repr__(self) -> str:
        return f"CountingEnv(length={self.length}, success={self.success}, truncates={self.truncates})"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Nothing counted yet."""
        self.actions, self.resets = [], self.resets + 1
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

    def _shown(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The last step tells of success; before it there is none."""
        success = self.success and len(self.actions) >= self.length
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
        "`In: What action should the robot take to …?`, then a new line, then `Out:` with nothing behind it. Your words stand at "
        "the dots, in lower case.",
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
)
def check_build_prompt(build_prompt: Callable[[str], str]) -> Iterator[Claim]:
    """Letter for letter, with capitals in the instruction."""
    sentence = "In: What action should the robot take to {}?\nOut:"
    plain = sentence.format("pick up the red cube")
    yield Claim(
        "“Pick up the RED cube” stands in the model's own sentence, in lower case",
        got=build_prompt("Pick up the RED cube"),
        expected=plain,
        hint="compare letter by letter: `In: What action should the robot take to pick up the red cube?`, a new line, `Out:`",
        mistakes={
            "the model has only seen instructions in lower case": sentence.format("Pick up the RED cube"),
            "nothing stands behind `Out:`; a space there would become a token of its own": plain + " ",
            "between the question and `Out:` stands a new line, not a space": plain.replace("\n", " "),
            "only your words are put in lower case; `In`, `What` and `Out` keep their capitals": plain.lower(),
            "the question ends with a question mark": plain.replace("?", ""),
        },
    )
    yield Claim(
        "other words stand in the same place",
        got=build_prompt("push the green ball to the left"),
        expected=sentence.format("push the green ball to the left"),
        hint="the instruction that is handed in stands in the sentence, whatever it says",
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
)
def check_run_episode(run_episode: Callable[..., tuple[bool, int]]) -> Iterator[Claim]:
    """A policy that acts ten times what it sees, in an environment that shows how often it was stepped."""
    env, policy = CountingEnv(success=True), TensPolicy()
    ended = run_episode(env, policy, SAID, 3)
    yield Claim(
        "an episode begins with one reset of the environment",
        got=env.resets,
        expected=1,
        hint="`observation, info = env.reset()` comes once, before the loop",
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
        },
    )
    yield Claim(
        "a success after three steps is (True, 3)",
        got=ended,
        expected=(True, 3),
        hint='bool(info["is_success"]) of the last step, and how many steps were taken',
        mistakes={"steps are counted from one: after the first step there was one": (True, 2)},
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
        mistakes={"the episode went on to its own end: max_steps is not looked at": (False, 20)},
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
            "policy.reset stands within the loop: the policy may remember what was earlier in this episode": ", ".join(
                ["forget [True]", SAID] * 3
            ),
            "the policy was told the environment's own instruction: say the one that is handed in": ", ".join(
                ["forget [True]", *["the environment's own words"] * 3]
            ),
        },
    )


@lesson.exercise(
    "01.3",
    library="vla_course.evaluation.intervals:wilson_interval",
    minutes=10,
    difficulty=2,
    hints=(
        "Ask the question the other way round: which true rates would make what you saw not too surprising? All of those are the "
        "interval.",
        "With p = successes / episodes and n = episodes: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n).",
        "First line: `rate = successes / episodes`. Then `middle = rate + z**2 / (2 * episodes)`, then the half width, then both "
        "ends over `1 + z**2 / episodes`.",
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
)
def check_wilson_interval(wilson_interval: Callable[..., tuple[float, float]]) -> Iterator[Claim]:
    """Published values for none, some and all, and what the simpler formulas give in their place."""
    yield Claim(
        "20 of 20 is 84 to 100 %: twenty episodes are no certainty",
        got=wilson_interval(20, 20),
        expected=(0.8389, 1.0),
        tolerance=2e-4,
        hint="(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)",
        mistakes={
            "p ± z √(p(1 − p)/n) says that twenty successes prove perfection: the z²-terms are missing": (
                1.0,
                1.0,
            ),
            "both ends are divided by 1 + z²/n at last": (1.0, 1.19208),
            "under the root, z²/4n² is missing: with p = 1 nothing is left there": (0.9194, 0.9194),
            "an interval has two ends, a lower and an upper one; this is its middle and its half width": (
                0.9194,
                0.0806,
            ),
            "the lower end comes first": (1.0, 0.8389),
            "a rate is a number from 0 to 1 here, not in percent": (83.89, 100.0),
        },
    )
    wald = 1.96 * math.sqrt(0.7 * 0.3 / 20)
    yield Claim(
        "14 of 20 is 48 to 85 %",
        got=wilson_interval(14, 20),
        expected=(0.4810, 0.8545),
        tolerance=2e-4,
        hint="(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)",
        mistakes={
            "that is p ± z √(p(1 − p)/n), cut to [0, 1]: the z²-terms are missing": (0.7 - wald, 0.7 + wald),
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
