"""Sections of the report about episodes: success, gain, language, robustness. Each is HTML, "" where nothing was measured."""

from collections.abc import Iterable
from html import escape

import numpy as np

from vla_course import plots
from vla_course.evaluation.config import WORDS
from vla_course.evaluation.record import EvaluationRecord, gain
from vla_course.evaluation.robustness import PLAIN, TESTS, groups
from vla_course.report.findings import Findings
from vla_course.report.html import picture, points, section, table

SAID = {"own": "right", "paraphrase": "in other words", "wrong": "another task's", "empty": "nothing"}


MOST_NAMED = 3
"""Policies that the first sentence can name; where there are more, it names the first and the best."""


def verdict(found: Findings) -> str:
    """The first sentence: the first policy's success, and the gain of the others, or of the best where there are many."""
    if not found.plain:
        return ""
    first, *others = found.plain
    comparable = [other for other in others if _same_starts(first, other)]
    text = f"{escape(first.config.name)} succeeds in {first.evaluation}"
    if len(found.plain) <= MOST_NAMED:
        text += "".join(
            f"; {escape(other.config.name)} in {other.evaluation}, {_gained(first, other)}"
            for other in comparable
        )
    elif comparable:
        best = max(comparable, key=lambda other: other.evaluation.rate)
        ties = sum(other.evaluation.rate == best.evaluation.rate for other in comparable) - 1
        equal = f", equalled by {ties} more" if ties else ""
        text += (
            f". Of {len(comparable)} other policies from the same starts, the best is {escape(best.config.name)}: "
            f"{best.evaluation}{equal}, {_gained(first, best)}. "
            "Chosen for its rate, it will probably do a little worse on new starts. The table has them all"
        )
    return f'<p class="lead">{text}.</p>'


def _gained(first: EvaluationRecord, other: EvaluationRecord) -> str:
    """The gain in words, as in "a gain of +12 points (+6 to +19), more than chance"."""
    change = gain(first, other)
    return f"a gain of {change}, {'more than chance' if change.certain else 'which may be chance'}"


def success(found: Findings) -> str:
    """The rate of each policy, with both intervals."""
    if not found.plain:
        return ""
    shared = all(_same_starts(found.plain[0], one) for one in found.plain)
    rows = {
        one.config.name: {"success": (one.evaluation.rate, *one.evaluation.interval)} for one in found.plain
    }
    spoken = "; ".join(f"{one.config.name} {one.evaluation}" for one in found.plain)
    figure = plots.rates(
        rows, xlabel="strict success, percent, with 95 % interval (Wilson)", alt=f"Success rates: {spoken}."
    )
    rows_shown = table(
        "Every episode from the start of its own seed"
        + ("; all policies from the same starts." if shared else ". Not all policies from the same starts."),
        ["policy", "success", "95 % (Wilson)", "95 % (bootstrap)", "mean fold error", "action change"],
        [
            [
                one.config.name,
                f"{one.evaluation.successes}/{len(one.evaluation.episodes)}",
                _range(one.evaluation.interval),
                _range(one.evaluation.bootstrap),
                "" if one.mean_fold_error_m is None else f"{1000 * one.mean_fold_error_m:.0f} mm",
                _mean_change(one),
            ]
            for one in found.plain
        ],
    )
    return section("Success", picture(figure) + rows_shown)


def gains(found: Findings) -> str:
    """The gain of each policy over the first, start by start."""
    if len(found.plain) < 2:
        return ""
    first, *others = found.plain
    rows = []
    for other in others:
        if not _same_starts(first, other):
            continue
        change = gain(first, other)
        low, high = change.interval
        rows.append(
            [
                change.after,
                f"{points(change.mean)} points",
                f"{points(low)} to {points(high)}",
                str(change.won),
                str(change.lost),
                "yes" if change.certain else "no",
            ]
        )
    if not rows:
        return ""
    rows_shown = table(
        f"Against {first.config.name}, from the same {len(first.evaluation.episodes)} starts.",
        ["policy", "gain", "95 % (paired bootstrap)", "newly won", "lost", "beyond chance"],
        rows,
    )
    return section("Gain", rows_shown)


def language(found: Findings) -> str:
    """Success under own words, a paraphrase, another task's words, and none."""
    told = [one for one in found.evaluations if one.config.test == PLAIN]
    if len({one.config.words for one in told}) < 2:
        return ""
    rows = []
    for name in _names(one for one in told if one.config.words != "own"):
        cells = {one.config.words: str(one.evaluation) for one in told if one.config.name == name}
        rows.append([name, *(cells.get(words, "–") for words in WORDS)])
    note = (
        "A policy that listens keeps its success when the same is said in other words, and loses it when something else is "
        "said. One that acts on the picture alone does not care."
    )
    return section(
        "Does it listen?",
        f"<p>{note}</p>" + table("What was said, and success.", ["policy", *(SAID[w] for w in WORDS)], rows),
    )


def robustness(found: Findings) -> str:
    """Success under each robustness test: a row for each test, a column for each policy."""
    tested = [one for one in found.evaluations if one.config.words == "own"]
    if all(one.config.test == PLAIN for one in tested):
        return ""
    names = _names([one for one in tested if one.config.test != PLAIN])
    cells = {(one.config.test, one.config.name): one for one in tested}
    body = ""
    for group, tests in groups().items():
        shown = [test for test in tests if any((test, name) in cells for name in names)]
        if shown and group != PLAIN:
            body += f'<tr><th scope="rowgroup" colspan="{len(names) + 1}">{group}</th></tr>'
        for test in shown:
            label = "as in the demonstrations" if test == PLAIN else TESTS[test].changes
            columns = "".join(_tinted(cells.get((test, name)), cells.get((PLAIN, name))) for name in names)
            body += f'<tr><th scope="row">{escape(label)}</th>{columns}</tr>'
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["what is different", *names])
    caption = "Success, and in brackets the difference to the first row from the same starts, in points. Darker blue is more."
    matrix = f'<div class="scroll"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    note = "Sixteen small changes that no demonstration shows, each alone, in the three groups of RL4VLA."
    return section("What if the world is a little different?", f"<p>{note}</p>{matrix}")


def _tinted(one: EvaluationRecord | None, plain: EvaluationRecord | None) -> str:
    """A cell of the matrix: the number, with a tint that repeats it."""
    if one is None:
        return "<td>–</td>"
    evaluation = one.evaluation
    text = f"{evaluation.successes}/{len(evaluation.episodes)}"
    if plain is not None and plain is not one:
        before = {episode.seed: episode.success for episode in plain.evaluation.episodes}
        pairs = [
            episode.success - before[episode.seed]
            for episode in evaluation.episodes
            if episode.seed in before
        ]
        text += f" ({points(float(np.mean(pairs)))})" if pairs else ""
    title = escape(str(evaluation), quote=True)
    return (
        f'<td title="{title}" style="background: rgba(0, 114, 178, {0.5 * evaluation.rate:.2f})">{text}</td>'
    )


def _names(records: Iterable[EvaluationRecord]) -> list[str]:
    return list(dict.fromkeys(one.config.name for one in records))


def _same_starts(one: EvaluationRecord, other: EvaluationRecord) -> bool:
    return one.config.env == other.config.env and one.config.seeds == other.config.seeds


def _range(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.0f}–{100 * interval[1]:.0f} %"


def _mean_change(one: EvaluationRecord) -> str:
    known = [row.action_change for row in one.evaluation.episodes if row.action_change is not None]
    return f"{np.mean(known):.3f}" if known else ""
