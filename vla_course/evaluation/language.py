"""Does it listen? The same task said rightly, in other words, wrongly, or not at all.

A policy that understands keeps its success when the words are others for the same, and loses it when they ask for something
else. One that acts on the picture alone does the same whatever is said.
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
"""Other words for every task of the folding robot. No demonstration says them."""


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
    """What the folding robot can be asked to do, in the words of the demonstrations."""
    garments = [make_garment(name) for name in GARMENTS] + [make_garment("towel", quarter=True)]
    return tuple(garment.instruction for garment in garments)


def instructions(
    own: str,
    words: str,
    seeds: Sequence[int],
    *,
    wrong: Callable[[Sequence[str], np.random.Generator], list[str]] = wrong_instructions,
) -> list[str]:
    """What is said in the episode of each seed, where the environment itself would say `own`.

    `words` is "own", "paraphrase", "wrong" (another of the folding robot's tasks, chosen by `wrong`) or "empty". The same seeds
    are told the same.

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
