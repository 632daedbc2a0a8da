"""Whether a policy follows its instruction: the same task with its own words, a paraphrase, another task's words, or none.

A policy that understands the instruction keeps its success under a paraphrase, and loses it under another task's words. One that
acts on the picture alone does the same under all of them.
"""

from collections.abc import Callable, Sequence

import numpy as np

from vla_course.envs.folding.garments import GARMENTS, make_garment

PARAPHRASES: dict[str, tuple[str, ...]] = {
    "fold the towel in half": (
        "double the towel over",
        "lay one half of the towel on the other",
        "bring the far edge of the towel over to the near edge",
    ),
    "fold the towel in quarters": (
        "fold the towel twice",
        "make the towel four layers thick",
        "fold the towel in half and then in half again",
    ),
    "fold the t-shirt": (
        "put the t-shirt together neatly",
        "lay both sleeves of the t-shirt in and bring its bottom up",
        "make a small packet of the t-shirt",
    ),
    "fold the trousers": (
        "put the trousers together neatly",
        "lay one leg of the trousers on the other and fold them in half",
        "make a small packet of the trousers",
    ),
}
"""Paraphrases of every task of the folding robot. No demonstration uses them."""


def wrong_instructions(instructions: Sequence[str], rng: np.random.Generator) -> list[str]:
    """For every episode a text that asks for something else: another episode's, never its own words.

    The texts come from the same set, so that they are as usual as the right ones, and each is drawn anew with `rng`. An
    episode's own text is not given back to it even where it is another episode's too.

    Raises:
        ValueError: all episodes say the same.
    """
    if len(set(instructions)) < 2:
        raise ValueError(
            f"all {len(instructions)} episodes say the same, so none of their texts is wrong: add other tasks"
        )
    others = {own: [text for text in instructions if text != own] for own in set(instructions)}
    return [str(rng.choice(others[own])) for own in instructions]


def folding_instructions() -> tuple[str, ...]:
    """The instructions of all folding tasks, as in the demonstrations."""
    garments = [make_garment(name) for name in GARMENTS] + [make_garment("towel", quarter=True)]
    return tuple(garment.instruction for garment in garments)


def instructions(
    own: str,
    words: str,
    seeds: Sequence[int],
    *,
    wrong: Callable[[Sequence[str], np.random.Generator], list[str]] = wrong_instructions,
) -> list[str]:
    """The instruction of the episode of each seed; `own` is the environment's.

    `words` is "own", "paraphrase", "wrong" (another of the folding robot's tasks, chosen by `wrong`) or "empty". The same seeds
    get the same instructions.

    Raises:
        ValueError: there is no paraphrase of `own`, or `words` is none of the four.
    """
    if words == "own":
        return [own] * len(seeds)
    if words == "empty":
        return [""] * len(seeds)
    rng = np.random.default_rng([min(seeds), len(seeds)])
    if words == "paraphrase":
        if own not in PARAPHRASES:
            raise ValueError(f"there are no other words for {own!r}: add them to PARAPHRASES")
        return [str(rng.choice(PARAPHRASES[own])) for _ in seeds]
    if words == "wrong":
        others = [text for text in folding_instructions() if text != own]
        return wrong([own] * len(seeds) + others, rng)[: len(seeds)]
    raise ValueError(f"words are 'own', 'paraphrase', 'wrong' or 'empty', not {words!r}")
