"""What is printed moves no cursor and changes no colour, whoever wrote the text."""

import json
import sys
import warnings

import pytest

from vla_course.cli import experiments
from vla_course.cli import main as cli
from vla_course.cli.terminal import plainly, printable, say_error
from vla_course.errors import CannotRunError

NASTY = "a\x1b[31mred\x07\r\x9b2J\u202eback\u2028\ud800"
PLAIN = r"a\u001b[31mred\u0007\r\u009b2J\u202eback\u2028\ud800"


def test_control_characters_are_written_out_and_words_are_left_alone():
    assert printable(NASTY) == PLAIN
    assert json.loads(f'"{printable(NASTY)}"') == NASTY
    for text in ("78 of 100 (69–85 %) ✓ × 手 é", ""):
        assert printable(text) == text
    assert printable("a\nb") == "a\\nb" and printable("a\nb", ("\n",)) == "a\nb"


def test_everything_printed_goes_that_way(capsys):
    with plainly():
        print(NASTY, "next\tcolumn")
        warnings.warn(f"{NASTY}\nsecond line", stacklevel=1)
    say_error(NASTY + "\n" + NASTY)
    out, err = capsys.readouterr()
    assert out == f"{PLAIN} next\tcolumn\n"
    assert err.splitlines() == [f"vla-course: note: {PLAIN}", f"vla-course: {PLAIN}\\n{PLAIN}"]
    assert err.count("\n") == 2 and "\x1b" not in err


def test_names_and_settings_cannot_colour_an_error(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (
        ["report", "\x1b[31mx"],
        ["train", "--data", "\x1b[31mx", "--out", "b"],
        ["train", "\x1b[31mx=1"],
    ):
        assert cli.main(words) == 2
        out, err = capsys.readouterr()
        assert "\\u001b[31mx" in err and "\x1b" not in out + err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CannotRunError("no GPU:\n  - buy one"), 2, "vla-course: no GPU:\n  - buy one\n"),
        (KeyboardInterrupt(), 130, "vla-course: stopped\n"),
        (
            KeyboardInterrupt("the same command goes on"),
            130,
            "vla-course: stopped: the same command goes on\n",
        ),
    ],
)
def test_how_a_command_ends_early(capsys, monkeypatch, error, code, said):
    monkeypatch.setattr(experiments, "_report", lambda options: (_ for _ in ()).throw(error))
    assert cli.main(["report", "x"]) == code
    assert capsys.readouterr().err == said


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(experiments, "_report", lambda options: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["report", "x"])
    assert sys.stdout is not None
