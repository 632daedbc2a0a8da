"""The report's second half: answers, alignment, training, films, and where the numbers come from."""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from vla_course import plots
from vla_course.evaluation.robustness import PLAIN
from vla_course.picture import Picture
from vla_course.report.findings import Findings
from vla_course.report.html import picture, section, table

CURVES = ("loss/total", "loss/bc", "validation/loss/bc")


def answers(found: Findings) -> str:
    """Action quality on recorded frames, and why it is not success."""
    if not found.answers:
        return ""
    rows = [
        [
            one["label"],
            f"{np.mean(one['l1']):.3f}",
            *(_percent(one[key]) for key in ("token_accuracy", "majority_accuracy")),
            *(_percent(one[key]) for key in ("moving_token_accuracy", "moving_majority_accuracy")),
            f"{one['action_change']:.3f} ({one['expert_action_change']:.3f})",
        ]
        for one in found.answers
    ]
    one = found.answers[0]
    rows_shown = table(
        f"On {one['frames']} recorded frames, in {one['moving_frames']} of which something moves. Means over dimensions. "
        "Right: exactly the expert's token. Usual: what always saying the most frequent token would reach.",
        ["policy", "L1", "right", "usual", "right, moving", "usual, moving", "change (expert's)"],
        rows,
    )
    last = found.answers[-1]
    figure = _token_accuracy(last)
    note = (
        "How often an answer is exactly the expert's, on frames of demonstrations. Where little moves, always saying the most "
        "frequent token is nearly always right: only what a policy knows beyond that helps it to fold."
    )
    return section("Answers", f"<p>{note}</p>{rows_shown}{picture(figure)}")


def alignment(found: Findings) -> str:
    """Retrieval, and attention on the garment."""
    if not found.alignments:
        return ""
    rows = []
    for one in found.alignments:
        near, look = one["retrieval"], one["attention"]
        rows.append(
            [
                one["label"],
                f"{100 * near['image_to_text']:.0f} %",
                f"{100 * near['text_to_image']:.0f} %",
                f"{100 * near['chance']:.0f} %",
                f"{100 * look['on_garment']:.0f} %",
                f"{100 * look['garment_share']:.0f} %",
                f"{look['ratio']:.2f} ×",
            ]
        )
    rows_shown = table(
        "Scenes that find their own text and texts that find their scene; attention of the position that acts.",
        ["policy", "image → text", "text → image", "guessing", "on the garment", "its area", "ratio"],
        rows,
    )
    return section("Do picture and words meet?", rows_shown)


def curves(found: Findings) -> str:
    """The losses of training runs."""
    series: dict[str, dict[float, float]] = {}
    for run, lines in found.curves.items():
        for name in CURVES:
            points = {float(line["step"]): float(line[name]) for line in lines if name in line}
            if points:
                series[f"{run}: {name}"] = points
    if not series:
        return ""
    drawing, (axes,) = plots.figure()
    for color, (name, points) in zip(plots.COLORS, series.items(), strict=False):
        axes.plot(list(points), list(points.values()), color=color, label=name, linewidth=1.6)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, fontsize=8)
    ends = "; ".join(f"{name} ends at {list(points.values())[-1]:.3g}" for name, points in series.items())
    return section("Training", picture(plots.picture(drawing, f"Loss over steps: {ends}.")))


def films(found: Findings) -> str:
    """The best and the worst episode of each policy."""
    shown = ""
    for name, entries in found.films.items():
        for which, one, film in entries:
            if one not in found.plain:
                continue
            seed = one.films[which].seed
            episode = next(row for row in one.evaluation.episodes if row.seed == seed)
            came = "folded" if episode.success else "not folded"
            error = "" if episode.fold_error_m is None else f", error {1000 * episode.fold_error_m:.0f} mm"
            words = f"{name}, {which} episode: {came}{error} after {episode.steps} actions (seed {seed})"
            source = base64.b64encode(film).decode("ascii")
            shown += (
                f'<figure><video controls loop muted playsinline aria-label="{escape(words, quote=True)}">'
                f'<source type="video/mp4" src="data:video/mp4;base64,{source}"></video>'
                f"<figcaption>{escape(words)}</figcaption></figure>"
            )
    return section("Films", f'<div class="films">{shown}</div>') if shown else ""


def about(found: Findings) -> str:
    """Where the numbers come from."""
    rows = []
    for one in found.evaluations:
        config = one.config
        condition = ", ".join(word for word in (config.words, config.test) if word not in ("own", PLAIN))
        rows.append(
            [
                config.name,
                config.env,
                condition or "–",
                f"{config.seeds[0]}–{config.seeds[-1]}",
                one.date,
                one.revision[:12] + ("+changes" if one.revision.endswith("+changes") else ""),
                f"{one.seconds:.0f} s",
            ]
        )
    first = found.evaluations[0]
    versions = ", ".join(f"{name} {number}" for name, number in first.versions.items())
    note = (
        f"{escape(str(first.hardware.get('processor', '')))}; {escape(versions)}. Every file holds a hash of each trajectory: "
        "<code>vla-course eval --verify FILE</code> plays a share of the episodes again and compares."
    )
    heads = ["policy", "environment", "condition", "seeds", "date", "revision", "took"]
    return section("How this was measured", f'<p class="quiet">{note}</p>{table("", heads, rows)}')


def _token_accuracy(one: dict[str, Any]) -> Picture:
    """A row of dots for each dimension: all frames, moving frames, and what needs no policy at all."""
    names = dimension_names(len(one["l1"]))
    keys = {
        "all frames": "token_accuracy",
        "frames that move": "moving_token_accuracy",
        "always the most frequent token": "majority_accuracy",
    }
    drawing, (axes,) = plots.figure(height=0.9 + 0.24 * len(names))
    for color, marker, (name, key) in zip(plots.COLORS, "os|", keys.items(), strict=False):
        axes.plot(
            100 * np.array(one[key]),
            range(len(names)),
            marker,
            color=color,
            label=name,
            ms=9 if marker == "|" else 6,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.grid(axis="x", color=plots.PALE)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"tokens right, percent ({one['label']})")
    drawing.legend(frameon=False, loc="outside lower center", ncols=len(keys))
    means = "; ".join(f"{name} {100 * np.mean(one[key]):.0f} percent" for name, key in keys.items())
    return plots.picture(
        drawing, f"Token accuracy of {one['label']} for each dimension of the action; on average: {means}."
    )


def dimension_names(count: int) -> list[str]:
    """What the numbers of an action are called: seven for each hand, numbers alone where they are others."""
    hand = ["x", "y", "z", "roll", "pitch", "yaw", "grip"]
    if count == len(hand):
        return hand
    if count == 2 * len(hand):
        return [f"{side} {name}" for side in ("left", "right") for name in hand]
    return [str(number) for number in range(count)]


def _percent(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.0f} %"
