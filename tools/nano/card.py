"""Put what was recorded into the model card's table: python tools/nano/card.py

Everything between the two comments in data/checkpoints/openvla_nano/README.md is written anew.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prove import ABSENT, BLIND, NOISE, TOUCH_PART, WRONG_WORDS

from vla_course import assets, results
from vla_course.envs.tabletop.config import SPLITS, VERBS
from vla_course.files import write_text

CARD = assets.CHECKOUT / "data" / "checkpoints" / "openvla_nano" / "README.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
WAYS = (*SPLITS, WRONG_WORDS, NOISE, BLIND)


def table(conditions: Mapping[str, Mapping[str, Any]]) -> str:
    """Percent of episodes with 95 % intervals, a row for each verb and a column for each way it was measured."""
    lines = [
        "| | " + " | ".join(way.replace("_", " ") for way in WAYS) + " |",
        "|---" * (1 + len(WAYS)) + "|",
    ]
    for verb in (*VERBS, TOUCH_PART):
        cells = [_cell(conditions.get(f"{verb}/{way}")) for way in WAYS]
        lines.append(f"| {verb.replace('_', ' ')} | " + " | ".join(cells) + " |")
    absent = conditions.get(f"touch/{ABSENT}")
    if absent:
        touched, alike = absent["touched_anything"], absent["touched_alike"]
        lines += [
            "",
            f"Told to touch what is not there, it touched something in {touched} of {absent['starts']} episodes, in {alike} of",
            "them a thing of the same colour or the same kind.",
        ]
    return "\n".join(lines)


def with_table(card: str, conditions: Mapping[str, Mapping[str, Any]]) -> str:
    """The card with a new table.

    Raises: ValueError if the two comments are not in it.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.S)
    if not pattern.search(card):
        raise ValueError(f"the card has no place for a table: {BEGIN} … {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{table(conditions)}\n{END}", card)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    rate = 100 * row["successes"] / row["starts"]
    return f"{rate:.0f} ({100 * row['low']:.0f}–{100 * row['high']:.0f})"


def main(card: Path = CARD) -> None:
    """Rewrite the card in one step."""
    text = with_table(card.read_text(encoding="utf-8"), results.read("nano/success").values["conditions"])
    write_text(card, text)


if __name__ == "__main__":
    main()
