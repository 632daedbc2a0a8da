"""Import lines of earlier lessons still work, and say what to write now."""

import importlib
import subprocess
import sys
import warnings

import pytest

import vla_course

OLD_LINES = {
    ("evaluate", "wilson_interval"): "evaluation.intervals",
    ("evaluate", "run_episode"): "evaluation.episodes",
    ("comparison", "wrong_instructions"): "evaluation.language",
    ("comparison", "action_token_accuracy"): "fine_tuning.losses",
    ("control.inverse_kinematics", "damped_least_squares"): "robot.inverse_kinematics",
    ("adapters.memory", "training_state_gb"): "memory.estimate",
    ("data.sentences", "build_labels"): "data.token_rows",
    ("training.config", "TrainConfig"): "fine_tuning.config",
}


@pytest.mark.parametrize(("old", "new"), OLD_LINES.items(), ids=lambda value: str(value))
def test_an_old_import_line_works_and_names_the_new_one(old, new):
    module, name = old
    with pytest.warns(FutureWarning, match=f"from vla_course.{new} import {name}`"):
        got = getattr(importlib.import_module(f"vla_course.{module}"), name)
    assert got is getattr(importlib.import_module(f"vla_course.{new}"), name)


def test_every_moved_module_has_a_home_and_no_other_module_takes_its_name():
    for old, homes in vla_course.MOVED.items():
        with pytest.raises(AttributeError, match="has moved to"):
            _ = importlib.import_module(f"vla_course.{old}").no_such_name
        for home in homes:
            importlib.import_module(f"vla_course.{home}")


def test_a_name_that_never_was_is_an_error_and_not_a_warning():
    with warnings.catch_warnings(), pytest.raises(ImportError, match="no_such_name"):
        warnings.simplefilter("error")
        exec("from vla_course.evaluate import no_such_name", {})
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("vla_course.no_such_module")


def test_importing_the_package_imports_none_of_them():
    code = "import sys, vla_course; print('torch' in sys.modules, 'vla_course.evaluation' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "False"]
