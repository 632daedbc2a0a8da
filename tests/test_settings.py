"""Settings: what comes later wins, and what does not fit is one line that says what and where."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from vla_course.data.demonstrations import CollectConfig
from vla_course.evaluation.config import EvaluationConfig
from vla_course.fine_tuning.config import TrainConfig
from vla_course.settings import (
    FORMER_NAMES,
    SettingsError,
    both_sides,
    described,
    from_record,
    keys,
    listing,
    presets,
    read_settings,
    to_yaml,
)


@dataclass(frozen=True)
class Part:
    rank: int = 8
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Whole:
    data: str
    mode: Literal["lora", "full"] = "lora"
    learning_rate: float = 1e-3
    state_dim: int | None = None
    quick: bool = False
    part: Part = field(default_factory=Part)

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError("learning_rate: want a number above zero")


def write(folder, text: str) -> str:
    (folder / "settings.yaml").write_text(text, encoding="utf-8")
    return str(folder / "settings.yaml")


def test_later_wins(tmp_path):
    path = write(tmp_path, "data: here\nlearning_rate: 5e-4\npart:\n  rank: 4\n")
    found = read_settings(Whole, file=path, overrides=["learning_rate=2e-4", "part.names=[b,c]"])
    assert found == Whole("here", learning_rate=2e-4, part=Part(4, ("b", "c")))


def test_settings_survive_a_file(tmp_path):
    settings = Whole("there", "full", 0.3, 14, True, Part(2, ("x", "y")))
    assert read_settings(Whole, file=write(tmp_path, to_yaml(settings))) == settings
    assert list(keys(Whole)) == [
        "data", "mode", "learning_rate", "state_dim", "quick", "part", "part.rank", "part.names",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "data is not set, and has no default: give data=…"),
        (["learnin_rate=3"], "learnin_rate=3: learnin_rate is no setting: did you mean learning_rate?"),
        (["part.rnk=3"], "part.rnk=3: part.rnk is no setting: did you mean part.rank or part.names?"),
        (["rank=3"], "rank=3: rank is no setting: did you mean part.rank?"),
        (["zebra=3"], "zebra=3: zebra is no setting (--help lists all)"),
        (["state_dim=1.5"], "state_dim=1.5: state_dim: Value '1.5' of type 'float' could not be converted"),
        (["quick=maybe"], "quick=maybe: quick: Value 'maybe' is not a valid bool"),
        (["mode=qlora"], "mode=qlora: mode: Invalid value 'qlora', expected one of ['lora', 'full']"),
        (["part.names=b"], "part.names=b: part.names: want a list, like [front] or [front,wrist]"),
        (["part=3"], "part=3: "),
        (["rank"], "'rank': a setting is written key=value, like learning_rate=5e-4"),
        (["part.names=[a"], "'part.names=[a': the value cannot be read"),
        (["data=x", "learning_rate=0"], "learning_rate: want a number above zero"),
        (
            ["data=${oc.env:HOME}"],
            "data=${oc.env:HOME}: '${oc.env:HOME}' holds ${: values are taken as they stand",
        ),
        (
            ["part.names=[${data}]"],
            "part.names=[${data}]: '[${data}]' holds ${: values are taken as they stand",
        ),
    ],
)
def test_a_word_that_does_not_fit(words, message):
    with pytest.raises(SettingsError) as error:
        read_settings(Whole, overrides=words)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: x\nlearnin_rate: 3", "{path}: learnin_rate is no setting: did you mean learning_rate?"),
        ("data: x\npart:\n  rank: four", "{path}: part.rank: Value 'four' of type 'str' could not be"),
        (
            "learning_rate: 1\ndata: ${oc.env:HOME}",
            "{path}, line 2: '${{oc.env:HOME}}' holds ${{: values are taken",
        ),
        ("data: x\npart: {{names: [a, '${{data'}}", "{path}, line 2: "),
        ("data: x\n mode: full", "{path}, line 2: no YAML: mapping values are not allowed"),
        ("- 1\n- 2", "{path}: want lines like `learning_rate: 5e-4`"),
        ("", "data is not set"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        read_settings(Whole, file=path)
    assert str(error.value).startswith(message.format(path=path)) and "\n" not in str(error.value)


@dataclass(frozen=True)
class Texts:
    out: str
    label: str = ""
    start: str | None = None
    names: tuple[str, ...] = ()
    mode: Literal["on", "off"] = "off"
    options: dict[str, Any] = field(default_factory=dict)


def test_a_text_is_the_text_as_typed(tmp_path):
    words = ["out=2026_10_05", "label=on", "start=1e3", "names=[007,no,~]", "mode=on", "options={rate: 5e-1}"]
    asked = Texts("2026_10_05", "on", "1e3", ("007", "no", None), "on", {"rate": 0.5})
    with pytest.raises(SettingsError, match="names"):
        read_settings(Texts, overrides=words)
    words[3], asked = "names=[007,no]", replace(asked, names=("007", "no"))
    assert read_settings(Texts, overrides=words) == asked
    path = write(tmp_path, "\n".join(word.replace("=", ": ", 1) for word in words))
    assert read_settings(Texts, file=path) == asked
    assert read_settings(Texts, file=write(tmp_path, to_yaml(asked))) == asked
    said = ("a: b", "[a", "'a'", "null", "a # b", "2026-11-30", " a", "x=y")
    assert [read_settings(Texts, flags={"out": text}).out for text in said] == list(said)
    assert [read_settings(Texts, overrides=[f"out={text}"]).out for text in said] == list(said)
    assert read_settings(Texts, flags={"out": "a", "start": "b"}, overrides=["start=null"]).start is None


def test_flags_stand_between_file_and_words(tmp_path):
    path = write(tmp_path, "data: file\nlearning_rate: 1\nstate_dim: 1")
    found = read_settings(Whole, file=path, flags={"data": "flag", "state_dim": 2}, overrides=["state_dim=3"])
    assert (found.data, found.learning_rate, found.state_dim) == ("flag", 1.0, 3)
    with pytest.raises(SettingsError, match=r"^--data: '\$\{x\}' holds \$\{"):
        read_settings(Whole, flags={"data": "${x}"})


def test_every_setting_says_what_it_is():
    for kind in (TrainConfig, CollectConfig, EvaluationConfig):
        assert [setting.key for setting in described(kind) if not setting.meaning] == []


def test_the_list_has_every_key_with_its_default_and_meaning():
    lines = listing(TrainConfig, 80).splitlines()
    assert max(map(len, lines)) <= 80
    for line in (
        "  data=…  (must be given)",
        "  scale=nano  (one of nano, 7b)",
        "  lora.rank=8",
        "  init_from=null",
    ):
        assert line in lines
    assert {"  cameras=[]", "  augment=true", "  learning_rate=0.0005"} <= set(lines)
    assert lines[lines.index("  save_every=100") + 1] == "      Steps between two checkpoints."
    inner = {key for key in keys(TrainConfig) if key != "lora"}
    assert {line.strip().partition("=")[0] for line in lines if line[2] != " "} == inner


CONFIGURATIONS = (TrainConfig, CollectConfig, EvaluationConfig)


def test_a_setting_has_one_name_and_one_type_in_all_configurations():
    for kind in CONFIGURATIONS:
        types = {setting.key: setting.type for setting in described(kind)}
        assert not FORMER_NAMES.keys() & types.keys()
        assert types["cameras"] == tuple[str, ...]
        assert types["state_key"] in (str, str | None)
        assert types["image_size"] in (tuple[int, int], tuple[int, int] | None)
        assert types.get("unnorm_key", str | None) == str | None
        assert not any(f"  {name}=" in listing(kind) for name in FORMER_NAMES), "--help lists present names"


@pytest.mark.parametrize("kind", CONFIGURATIONS)
@pytest.mark.parametrize(
    ("former", "name", "value"),
    [
        ("camera=top", "cameras", ("top",)),
        ("camera_names=[top,close]", "cameras", ("top", "close")),
        ("state=1e3", "state_key", "1e3"),
        ("dataset_key=007", "unnorm_key", "007"),
        ("image_size=28", "image_size", (28, 28)),
        ("image_size=[28,32]", "image_size", (28, 32)),
    ],
)
def test_former_names_are_read_and_the_present_one_is_said(tmp_path, recwarn, kind, former, name, value):
    needed = {"data": "a", "out": "b"} if kind is TrainConfig else {}
    if name not in keys(kind):
        with pytest.raises(SettingsError, match="is no setting"):
            read_settings(kind, flags=needed, overrides=[former])
        return
    path = write(tmp_path, former.replace("=", ": ", 1))
    by_word = read_settings(kind, flags=needed, overrides=[former])
    by_file = read_settings(kind, flags=needed, file=path)
    key = former.partition("=")[0]
    notes = [] if key == name else [f"{where}: {key} is now called {name}" for where in (former, path)]
    assert [str(warning.message) for warning in recwarn] == notes
    assert getattr(by_word, name) == getattr(by_file, name) == value
    assert read_settings(kind, flags=needed, file=path, recorded=True) == by_file
    assert len(recwarn) == len(notes), "a recorded file needs no note"
    assert read_settings(kind, file=write(tmp_path, to_yaml(by_file))) == by_file


def test_a_setting_under_two_names_is_refused_where_they_differ(tmp_path):
    both = write(tmp_path, "camera: top\ncameras: [close]\n")
    with pytest.raises(SettingsError, match=r"cameras is there twice, once under its former name: keep one"):
        read_settings(CollectConfig, file=both)
    for text in ("camera: top\ncameras: []\n", "camera: null\ncameras: [top]\n"):
        assert read_settings(EvaluationConfig, file=write(tmp_path, text), recorded=True).cameras == ("top",)


def test_recorded_settings_are_read_under_former_names():
    old = {
        "camera": "close",
        "cameras": [],
        "state": "end_effector",
        "image_size": 84,
        "env_options": {"a": 1},
    }
    now = EvaluationConfig(
        cameras=("close",), state_key="end_effector", image_size=(84, 84), env_options={"a": 1}
    )
    assert from_record(EvaluationConfig, old, "out.json") == now
    with pytest.raises(TypeError, match="shoes"):
        from_record(EvaluationConfig, {"shoes": 2}, "out.json")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read: No such file"):
        read_settings(Whole, file=tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"binary\.yaml is no text"):
        read_settings(Whole, file=tmp_path / "binary.yaml")


def test_every_preset_fits_and_is_what_its_name_says():
    found = {
        name: read_settings(TrainConfig, preset=name, overrides=["data=a", "out=b"]) for name in presets()
    }
    assert set(found) == {
        f"finetune-{kind}" for kind in ("quick", "standard", "full", "lora", "memory-efficient")
    }
    assert {name for name, one in found.items() if one.training_mode == "full"} == {"finetune-full"}
    lean = found["finetune-memory-efficient"]
    assert lean.bits == 4 and lean.gradient_checkpointing
    assert all(4 <= one.lora.rank <= 16 for one in found.values() if one.adapts)
    assert [name for name, one in found.items() if one.gradient_checkpointing] == [
        "finetune-memory-efficient"
    ]


def test_a_preset_that_is_not_there_and_one_that_is_near():
    with pytest.raises(
        SettingsError,
        match=r"no preset 'finetune-lor' \(there are finetune-full, .*\): did you mean finetune-lora\?",
    ):
        read_settings(TrainConfig, preset="finetune-lor")


def test_one_number_is_a_square():
    assert both_sides(84) == (84, 84) and both_sides((48, 64)) == (48, 64)
