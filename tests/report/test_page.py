"""The report page: everything that lies in a folder, in one file that needs nothing else, readable without seeing it."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vla_course.evaluation import studies
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.episodes import EpisodeResult, Evaluation
from vla_course.evaluation.record import EvaluationRecord, Film, gain, read, write, write_json
from vla_course.evaluation.robustness import TESTS
from vla_course.report import page as report
from vla_course.report.evidence import dimension_names
from vla_course.report.findings import gather
from vla_course.video import write_video

BASE = EvaluationRecord(
    EvaluationConfig(policy="expert"),
    Evaluation(()),
    seconds=3.0,
    command="x",
    revision="abc",
    date="2026-01-01",
)


# As fine_tuning/loop.py writes them (tests/fine_tuning/test_loop.py): validation is measured less often.
LEARNING = (
    {"step": 1, "optimizer/lr": 2e-4, "loss/bc": 3.0, "policy/token_accuracy": 0.1},
    {
        "step": 9,
        "loss/bc": 0.5,
        "policy/token_accuracy": 0.3,
        "validation/bc": 0.75,
        "validation/token_accuracy": 0.2,
    },
)


def made_up(label, won, total=20, films=None, **condition):
    """A record of so many episodes."""
    episodes = tuple(
        EpisodeResult(
            seed, "fold", seed < won, seed < won, "", "", 16, 0.01 if seed < won else 0.2, 0.25, "00"
        )
        for seed in range(total)
    )
    config = replace(BASE.config, label=label, episodes=total, **condition)
    return replace(BASE, config=config, evaluation=Evaluation(episodes), films=films or {})


def save(folder, name, *about, **condition):
    write(made_up(*about, **condition), folder / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two policies, all kinds of words, two tests, answers, alignment, a training run, two films."""
    folder = tmp_path_factory.mktemp("report")
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    for which in ("best", "worst"):
        write_video(folder / f"b_{which}.mp4", frames, 5)
    films = {"best": Film(0, "b_best.mp4"), "worst": Film(19, "b_worst.mp4")}
    save(folder, "a.json", "zero-shot", 1)
    save(folder, "b.json", "LoRA <r 8>", 13, films=films)
    save(folder, "c.json", "LoRA <r 8>", 11, words="paraphrase")
    save(folder, "d.json", "LoRA <r 8>", 12, words="wrong")
    save(folder, "e.json", "LoRA <r 8>", 7, total=10, test="table")
    save(folder, "f.json", "LoRA <r 8>", 2, test="moved")
    numbers = {key: [0.9] * 14 for key in ("l1", "token_accuracy", "majority_accuracy")}
    numbers |= {key: [0.4] * 14 for key in ("moving_token_accuracy", "moving_majority_accuracy")}
    about = {"kind": "action_quality", "label": "LoRA <r 8>", "frames": 100, "moving_frames": 30}
    write_json(folder / "g.json", about | numbers | {"action_change": 0.1, "expert_action_change": 0.2})
    seen = {"on_picture": 0.4, "on_garment": 0.3, "garment_share": 0.2, "ratio": 1.5}
    found = {"image_to_text": 0.61, "text_to_image": 0.5, "chance": 0.06}
    write_json(
        folder / "h.json", {"kind": "alignment", "label": "LoRA <r 8>", "retrieval": found, "attention": seen}
    )
    write_json(folder / "other.json", {"kind": "something else"})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LEARNING))
    return folder


class Page(HTMLParser):
    """Headings, table rows, pictures and films of a page; complains of what is opened and not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.rows, self.pictures, self.films = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.pictures.append(attributes)
        if tag == "video":
            self.films.append(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag not in ("img", "meta", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings[-1] += data


def test_the_page_says_everything_that_was_found(folder):
    text = report.page([folder])
    page = Page(text)
    wanted = ["Success", "Gain", "Does it listen?", "What if the world is a little different?", "Answers"]
    wanted += ["Do picture and words meet?", "Training", "Films", "How this was measured"]
    assert page.headings == ["Did it really get better?", *wanted]
    rows = {tuple(row) for row in page.rows}
    assert ("LoRA <r 8>", "13/20", "43–82 %", "45–85 %", "76 mm", "0.250") in rows
    assert ("zero-shot", "1/20 (1–24 %)", "–", "–", "–") not in rows, "it was told nothing else"
    assert ("LoRA <r 8>", "13/20 (43–82 %)", "11/20 (34–74 %)", "12/20 (39–78 %)", "–") in rows
    assert ("as in the demonstrations", "13/20") in rows and (TESTS["moved"].changes, "2/20 (−55)") in rows
    assert (TESTS["table"].changes, "7/10 (−30)") in rows, "compared over the ten starts that both have"
    gain = next(row for row in page.rows if row[0] == "LoRA <r 8>" and "points" in row[1])
    assert gain[1] == "+60 points" and gain[3:] == ["12", "0", "yes"]
    assert (
        "zero-shot succeeds in 1/20 (1–24 %); LoRA &lt;r 8&gt; in 13/20 (43–82 %), a gain of +60 points"
        in text
    )


def test_the_page_needs_nothing_else_and_can_be_read_aloud(folder):
    text = report.page([folder])
    page = Page(text)
    assert not re.findall(r'(?:src|href)="(?!data:)', text) and "http" not in text.split("</style>")[1]
    assert len(page.pictures) == 3 and all(len(one["alt"]) > 20 for one in page.pictures)
    assert [one["aria-label"].split(":")[0] for one in page.films] == [
        "LoRA <r 8>, best episode",
        "LoRA <r 8>, worst episode",
    ]
    assert "not folded, error 200 mm after 16 actions (seed 19)" in page.films[1]["aria-label"]


def test_the_validation_loss_is_drawn_beside_the_training_loss(folder, tmp_path):
    (learning,) = [one["alt"] for one in Page(report.page([folder])).pictures if "Training of" in one["alt"]]
    assert learning == (
        f"Training of {folder.name}, over steps: loss/bc ends at 0.5; validation/bc ends at 0.75; "
        "policy/token_accuracy ends at 0.3; validation/token_accuracy ends at 0.2."
    )
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss/bc": 3.0}\n')
    (learning,) = [
        one["alt"]
        for one in Page(report.page([folder / "a.json", tmp_path])).pictures
        if "Training of" in one["alt"]
    ]
    assert learning.endswith("over steps: loss/bc ends at 3."), "what was not measured has no curve"


def test_many_policies_are_summed_up_and_the_table_says_the_rest(tmp_path):
    for number, won in enumerate((1, 12, 17, 17, 3)):
        save(tmp_path, f"{number}.json", f"policy {number}", won)
    save(tmp_path, "5.json", "elsewhere", 20, env="FoldTShirt-v0")
    text = report.page([tmp_path])
    (lead,) = re.findall(r'<p class="lead">(.*?)</p>', text)
    change = gain(made_up("", 1), made_up("", 17))
    assert lead == (
        "policy 0 succeeds in 1/20 (1–24 %). Of 4 other policies from the same starts, the best is policy 2: 17/20 (64–95 %), "
        f"equalled by 1 more, a gain of {change}, more than chance. Chosen for its rate, it will probably do a little worse on "
        "new starts. The table has them all."
    )
    rows = {row[0]: row[1] for row in Page(text).rows if len(row) == 6 and "/" in row[1]}
    assert {name: rows[name] for name in ("policy 1", "policy 3", "elsewhere")} == {
        "policy 1": "12/20",
        "policy 3": "17/20",
        "elsewhere": "20/20",
    }
    assert "Not all policies from the same starts" in text
    (three,) = re.findall(
        r'<p class="lead">(.*?)</p>', report.page([tmp_path / f"{n}.json" for n in range(3)])
    )
    assert "policy 1 in 12/20" in three and "policy 2 in 17/20" in three and "best" not in three


def test_a_study_is_reported_whole_or_in_part_with_its_films(folder, tmp_path):
    records = {name: read(folder / f"{name}.json") for name in "baf"}
    path = studies.write(records, folder / "study" / "towels.parquet")
    for film in folder.glob("*.mp4"):
        shutil.copy(film, path.parent)
    assert [one for one in gather([path]).evaluations] == list(records.values()), "in the study's order"
    assert gather([path.parent]).evaluations == gather([path]).evaluations
    part = gather([f"{path}::a", Path(f"{path}::b")])
    assert part.evaluations == [records["a"], records["b"]]
    assert [name for name, *_ in part.films["LoRA <r 8>"]] == ["best", "worst"]
    whole, files = report.page([path]), report.page([folder / f"{name}.json" for name in records])
    assert whole == files, "the same page, films and all"
    with pytest.raises(ValueError, match=r"towels\.parquet has no 'c': name one of b, a, f"):
        gather([f"{path}::c"])
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet is not there"):
        gather([tmp_path / "gone.parquet::a"])


def test_other_tables_in_a_folder_are_passed_over(folder, tmp_path):
    pq.write_table(pa.table({"seed": [1]}), tmp_path / "numbers.parquet")
    shutil.copy(folder / "a.json", tmp_path)
    assert len(gather([tmp_path]).evaluations) == 1
    with pytest.raises(ValueError, match="no study of evaluations"):
        gather([tmp_path / "numbers.parquet"])


def test_what_was_not_measured_is_left_out(tmp_path):
    save(tmp_path, "a.json", "alone", 3)
    assert Page(report.page([tmp_path / "a.json"])).headings[1:] == ["Success", "How this was measured"]
    save(tmp_path, "b.json", "elsewhere", 3, env="FoldTShirt-v0")
    assert "Gain" not in Page(report.page([tmp_path])).headings


def test_the_notebook_shows_the_same(folder, monkeypatch):
    shown = []
    monkeypatch.setattr(report, "display", shown.append)
    report.show([folder], title="Today")
    assert shown[0].data in report.page([folder], title="Today")


def test_a_report_is_one_html_file(folder, tmp_path):
    path = report.write([folder], tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == report.page([folder])
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(ValueError, match=r"\.html"):
        report.write([folder], tmp_path / "report.pdf")


def test_what_cannot_be_reported_says_why(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        gather([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match="nothing to report"):
        gather([folder / "other.json"])
    with pytest.raises(ValueError, match="no evaluation to report"):
        gather([tmp_path])
    with pytest.raises(ValueError, match="different labels"):
        gather([folder / "a.json", folder / "a.json"])
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="no JSON"):
        gather([tmp_path])


def test_numbers_of_an_action_have_names():
    assert dimension_names(7)[0] == "x" and dimension_names(14)[13] == "right grip"
    assert dimension_names(3) == ["0", "1", "2"]
