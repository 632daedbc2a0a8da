"""Many episodes by several processes, told apart by their hashes, kept, filmed, and played again."""

import copy
import errno
import json
import os
from dataclasses import replace
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from vla_course.evaluation import kept_workers, run
from vla_course.evaluation.assembly import make_env, make_policy, trials
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.episodes import EpisodeResult, Evaluation
from vla_course.evaluation.intervals import bootstrap_interval
from vla_course.evaluation.record import EvaluationRecord, gain, read, to_json, write
from vla_course.evaluation.run import RecordNotWritten, evaluate_policy, verify
from vla_course.evaluation.trials import Trial, action_change, best_and_worst, play
from vla_course.evaluation.workers import crew, film, play_all
from vla_course.policies.expert import ExpertPolicy

EXPERT = EvaluationConfig(policy="expert", episodes=3, workers=0)


class Walk(gymnasium.Env):
    """A walk on a line from a place drawn by the seed; beyond 3 it is a success."""

    observation_space = spaces.Dict({"place": spaces.Box(-10, 10, (1,), np.float32)})
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012
    render_mode = "rgb_array"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = float(self.np_random.uniform(-2, 2)) + (options or {}).get("shift", 0.0)
        return self._seen(), self._info()

    def step(self, action):
        self.place += float(action[0])
        return self._seen(), self.place, self.place > 3, False, self._info()

    def render(self):
        return np.full((16, 16, 3), int(40 + 20 * self.place) % 256, np.uint8)

    def _seen(self):
        return {"place": np.array([self.place], np.float32)}

    def _info(self):
        return {
            "instruction": "walk right",
            "is_success": self.place > 3,
            "fold_error_m": abs(3 - self.place),
        }


class Walker:
    """Walks to the right, unless it is told otherwise, and counts its steps to find out who was reset."""

    def __init__(self, env, speed=0.5):
        self.speed, self.steps = speed, 0

    def act(self, observations):
        self.steps += 1
        sign = 1 if observations["instruction"] == ["walk right"] else -1
        return np.array([[[sign * self.speed / self.steps**0.1]]])

    def reset(self, mask):
        self.steps = 0


class Hoarder(Walker):
    """Notes which process it is in, and how many of its kind were there."""

    made: list[int] = []  # noqa: RUF012

    def __init__(self, env, speed=0.5):
        super().__init__(env, speed)
        self.made.append(os.getpid())
        env.told = f"{os.getpid()}, number {len(self.made)}"


class Signed(Walk):
    """Tells what its policy noted."""

    told = ""

    def _info(self):
        return {**super()._info(), "touched": self.told}


STARTS = [Trial(seed) for seed in range(6)]


def test_an_episode_is_the_same_in_this_process_and_in_two_others():
    with crew(Walk, Walker, 0) as ask:
        here = play_all(ask, STARTS, max_steps=8)
    seen = []
    with crew(Walk, lambda env: Walker(env), 2) as ask:
        there = play_all(
            ask, STARTS, max_steps=8, progress=lambda done, total, episode: seen.append((done, total))
        )
        with pytest.raises(TypeError, match="unsupported operand") as broken:
            play_all(ask, [Trial(4, options={"shift": "far"})])
    assert here == there and [episode.seed for episode in there.episodes] == list(range(6))
    assert len({episode.sha256 for episode in here.episodes}) == 6
    assert seen == [(k, 6) for k in range(1, 7)]
    assert broken.value.__notes__ == ["in the episode of seed 4"]


def test_workers_stay_alive_and_keep_nothing_of_the_policy_before(tmp_path, monkeypatch):
    def played(make_policy):
        with crew(Signed, make_policy, 1) as ask:
            return play_all(ask, STARTS[:2], max_steps=8)

    first, other, again = played(Hoarder), played(partial(Hoarder, speed=0.3)), played(Hoarder)
    assert first == again and first != other
    (pid,) = {episode.touched for one in (first, other, again) for episode in one.episodes}
    assert pid.endswith(", number 1"), "one process, and what a module holds is gone with its policy"
    monkeypatch.chdir(tmp_path)
    elsewhere = played(Hoarder)
    assert {episode.touched for episode in elsewhere.episodes} != {pid}, (
        "another working folder, other processes"
    )
    assert [row.sha256 for row in elsewhere.episodes] == [row.sha256 for row in first.episodes], (
        "as new ones play"
    )
    with pytest.raises(ZeroDivisionError), crew(Signed, lambda env: 1 / 0, 1) as ask:
        play_all(ask, STARTS[:1])
    assert not kept_workers._kept, "after an error they end"


def test_idle_workers_end(monkeypatch):
    monkeypatch.setattr(kept_workers, "IDLE_S", 0.3)
    with crew(Signed, lambda env: Walker(env), 1) as ask:
        play_all(ask, STARTS[:1], max_steps=2)
    (kept,) = kept_workers._kept
    kept.timer.join(30)
    assert not kept_workers._kept and not kept.workers.alive()


def test_what_is_pinned_said_or_done_otherwise_is_another_episode():
    env = Walk()
    plain = play(env, Walker(env), Trial(1), 8)
    assert plain == play(env, Walker(env), Trial(1), 8) and plain.success
    others = [
        play(env, Walker(env, 0.4), Trial(1), 8),
        play(env, Walker(env), Trial(1, "walk left"), 8),
        play(env, Walker(env), Trial(1, options={"shift": 0.1}), 8),
        play(env, Walker(env), Trial(1), 2),
    ]
    assert len({episode.sha256 for episode in [plain, *others]}) == 5
    assert others[1].instruction == "walk left" and not others[1].success and others[1].steps == 8


def test_a_film_has_a_picture_of_every_moment():
    with crew(Walk, Walker, 0) as ask:
        ((episode, frames, fps),) = film(ask, [Trial(2)])
    assert frames.shape == (episode.steps + 1, 16, 16, 3) and fps == 5


def test_no_films_of_what_does_not_draw():
    env = Walk()
    env.render_mode = None
    with crew(lambda: env, Walker, 0) as ask, pytest.raises(ValueError, match="rgb_array"):
        film(ask, [Trial(2)])
    with crew(Walk, Walker, 0) as ask, pytest.raises(ValueError, match="at least one"):
        play_all(ask, [])


def test_smoothness_and_ranks_by_hand():
    assert action_change(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])) == pytest.approx((5 / 4) ** 0.5)
    assert action_change(np.ones((1, 3))) == 0.0
    row = EpisodeResult(0, "fold", False, False, "", "", 40, fold_error_m=0.2)
    good, quick = (
        replace(row, seed=1, success=True, fold_error_m=0.01),
        replace(row, seed=2, fold_error_m=0.1),
    )
    assert best_and_worst((row, good, quick)) == (good, row)
    assert best_and_worst((quick, row)) == (quick, row)


def test_a_record_is_kept_filmed_and_verified(tmp_path):
    path = tmp_path / "walk.json"
    makers = {"make_env": Walk, "make_policy": Walker}
    config = EvaluationConfig(policy="walker", episodes=4, workers=0, max_steps=6, label="walks")
    record = evaluate_policy(config, path, **makers)
    assert read(path) == record and record.config.name == "walks"
    for spot in record.films.values():
        assert (tmp_path / spot.file).stat().st_size > 500
    best, worst = best_and_worst(record.evaluation.episodes)
    assert {name: spot.seed for name, spot in record.films.items()} == {
        "best": best.seed,
        "worst": worst.seed,
    }
    content = json.loads(path.read_text())
    assert content["success"]["wilson_95"] == list(record.evaluation.interval)
    assert content["revision"] and content["versions"]["numpy"] == np.__version__ and content["seconds"] >= 0

    again = verify(path, 0.5, seed=3, **makers)
    assert again.passed and len(again.seeds) == 2 and not again.changed
    assert str(again) == "2 of 2 episodes are the same in every recorded value (chosen with seed 3)"
    assert verify(path, 0.5, seed=3, **makers).seeds == again.seeds
    assert len({verify(path, 0.25, seed=seed, **makers).seeds for seed in range(12)}) > 1, "any of them"
    assert len({verify(path, 0.25, **makers).seed for _ in range(3)}) > 1, "nobody knows beforehand which"
    other = verify(path, 1.0, make_env=Walk, make_policy=partial(Walker, speed=0.4))
    assert (
        not other.passed and other.differing == (0, 1, 2, 3) and "0, 1, 2, 3 are not: seed 0: " in str(other)
    )
    content["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(content))
    assert verify(path, 0.1, **makers).changed == ("numpy",)
    with pytest.raises(ValueError, match="share"):
        verify(path, 0.0, **makers)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The content of a record of four walks, one of which succeeds."""
    path = tmp_path_factory.mktemp("kept") / "walk.json"
    config = EvaluationConfig(policy="walker", episodes=4, workers=0, max_steps=6, label="walks")
    evaluate_policy(config, path, films=False, make_env=Walk, make_policy=Walker)
    return json.loads(path.read_text())


def forged(content: dict, place: str, value) -> dict:
    """The record with one value replaced: "success/rate", "episodes/2/steps"."""
    fake = copy.deepcopy(content)
    *way, last = place.split("/")
    part = fake
    for name in way:
        part = part[int(name) if isinstance(part, list) else name]
    part[int(last) if isinstance(part, list) else last] = value
    return fake


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("success/successes", 4, "successes is 4, and its episodes give 1"),
        ("success/rate", 0.99, "rate is 0.99, and its episodes give 0.25"),
        ("success/wilson_95", [0.9, 1.0], r"wilson_95 is \[0.9, 1.0\], and its episodes give \(0.0"),
        ("success/bootstrap_95", [1.0, 1.0], "bootstrap_95 is"),
        ("success/episodes", 400, "episodes is 400, and its episodes give 4"),
        ("mean_fold_error_m", 0.0, "mean_fold_error_m is 0.0"),
        ("label", "gpt", "label is gpt, and its episodes give walks"),
        ("config/episodes", 3, "one episode of each seed from 0 to 2, and holds 4 episodes"),
        ("config/first_seed", 7, "one episode of each seed from 7 to 10"),
        ("config/max_steps", 2, "seed 0: [3-6] steps, where max_steps is 2"),
        ("episodes/1/seed", 3, "holds 4 episodes, seed 3 2 times"),
        ("episodes/1/steps", 0, "seed 1: 0 steps"),
        ("films", {"best": {"seed": 0, "file": "../secret.mp4"}}, "the film ../secret.mp4 .* is none"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_and_says_where(kept, tmp_path, place, value, message):
    path = tmp_path / "walk.json"
    path.write_text(json.dumps(forged(kept, place, value)))
    with pytest.raises(ValueError, match=f"walk.json contradicts itself: .*{message}"):
        verify(path, make_env=Walk, make_policy=Walker)


def test_two_successes_in_one_episode_are_refused(kept, tmp_path):
    path = tmp_path / "walk.json"
    path.write_text(json.dumps(forged(kept, "episodes/1/success", 2)))
    with pytest.raises(
        ValueError, match=r"success is true or false, not 2|does not fit"
    ):  # here types are checked, too
        read(path)


def test_episodes_in_triple_are_refused(kept, tmp_path):
    path = tmp_path / "walk.json"
    path.write_text(json.dumps({**kept, "episodes": kept["episodes"] * 3}))
    with pytest.raises(ValueError, match="holds 12 episodes, seed 0 3 times"):
        verify(path, make_env=Walk, make_policy=Walker)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 1),
        ("instruction", "walk left"),
        ("told_success", True),
        ("touched", "the wall"),
        ("failure", "tired"),
        ("action_change", 0.5),
        ("sha256", "0" * 64),
        ("sha256", ""),
    ],
)
def test_any_recorded_value_that_was_changed_is_found_and_named(kept, tmp_path, name, value):
    path = tmp_path / "walk.json"
    path.write_text(json.dumps(forged(kept, f"episodes/2/{name}", value)))
    found = verify(path, 1.0, make_env=Walk, make_policy=Walker)
    assert not found.passed and found.differing == (2,)
    true = kept["episodes"][2][name]
    assert found.first == f"seed 2: {name} is {value}, and played again it is {true}" and found.first in str(
        found
    )


def test_success_that_was_flipped_with_its_summary_is_found(kept, tmp_path):
    """A forger who works out the summary again is still caught where the episode is played."""
    path = tmp_path / "walk.json"
    path.write_text(json.dumps(kept))
    record = read(path)
    rows = record.evaluation.episodes
    lost = next(row for row in rows if not row.success)
    lies = tuple(replace(row, success=True, told_success=True) if row is lost else row for row in rows)
    write(replace(record, evaluation=Evaluation(lies)), path)
    found = verify(path, 1.0, make_env=Walk, make_policy=Walker)
    assert found.first == f"seed {lost.seed}: success is True, and played again it is False"


def test_a_place_that_cannot_be_written_is_found_before_anything_is_played(tmp_path, monkeypatch):
    def nobody(env):
        raise AssertionError("played")

    config = EvaluationConfig(policy="walker", episodes=2, workers=0, max_steps=6)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.json").mkdir()
    for place in ("file/out.json", "folder.json"):
        with pytest.raises(OSError, match=rf"{place} cannot be written \(.*so nothing was played"):
            evaluate_policy(config, tmp_path / place, make_env=Walk, make_policy=nobody)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device\), so nothing was played"):
        evaluate_policy(config, tmp_path / "out.json", make_env=Walk, make_policy=nobody)
    assert not (tmp_path / "out.json").exists()


def test_a_record_that_cannot_be_written_in_the_end_is_not_lost(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    config = EvaluationConfig(policy="walker", episodes=2, workers=0, max_steps=6)
    makers = {"make_env": Walk, "make_policy": Walker}
    monkeypatch.setattr(run, "write_video", fails)
    with pytest.raises(RecordNotWritten, match=r"out.json or its films .*: No space left") as found:
        evaluate_policy(config, tmp_path / "out.json", **makers)
    assert read(tmp_path / "out.json") == found.value.record, "only films are missing"
    monkeypatch.setattr(run, "write", fails)
    with pytest.raises(RecordNotWritten) as found:
        evaluate_policy(config, tmp_path / "other.json", **makers)
    assert len(json.loads(to_json(found.value.record))["episodes"]) == 2


def test_damaged_records_say_what_is_wrong(tmp_path):
    path = tmp_path / "x.json"
    write(EvaluationRecord(EXPERT, Evaluation((EpisodeResult(0, "fold", True, True, "", "", 9),))), path)
    content = json.loads(path.read_text())
    damaged = {
        "no JSON": path.read_text()[:-40],
        "no evaluation": json.dumps({"kind": "something"}),
        "does not fit": json.dumps({**content, "config": {"polcy": "nano"}}),
        "contradicts itself": json.dumps({**content, "success": {"successes": 0}}),
    }
    for message, text in damaged.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read(path)
    with pytest.raises(ValueError, match=r"\.json"):
        evaluate_policy(EXPERT, tmp_path / "x.txt")


def record_of(label, successes, seeds=None) -> EvaluationRecord:
    episodes = tuple(
        EpisodeResult(seed, "fold", bool(won), bool(won), "", "", 9)
        for seed, won in zip(seeds or range(len(successes)), successes, strict=True)
    )
    return EvaluationRecord(replace(EXPERT, label=label, episodes=len(episodes)), Evaluation(episodes))


def test_a_gain_is_counted_start_by_start():
    found = gain(record_of("old", [1, 0, 0, 0] * 25), record_of("new", [0, 1, 1, 0] * 25))
    assert (found.won, found.lost, found.mean) == (50, 25, 0.25) and found.certain
    assert found.interval[0] == pytest.approx(0.25 - 1.96 * np.sqrt(0.75 - 0.0625) / 10, abs=0.015)
    assert str(found).startswith("+25 points (+")
    same = gain(record_of("old", [1, 0]), record_of("new", [0, 1]), interval=lambda *_: (-0.5, 0.5))
    assert not same.certain and same.interval == (-0.5, 0.5)
    with pytest.raises(ValueError, match="same starts"):
        gain(record_of("old", [1, 0]), record_of("new", [1, 0], seeds=[4, 5]))


def test_the_bootstrap_of_a_mean():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert bootstrap_interval(np.ones(5)) == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval(np.zeros(0))


def test_the_expert_folds_in_joints_and_in_hand_steps():
    for config in (EXPERT, replace(EXPERT, action="end_effector")):
        env = make_env(config)
        policy = make_policy(config, env)
        assert isinstance(policy, ExpertPolicy)
        episode = play(env, policy, trials(config)[0])
        assert (
            episode.success
            and episode.fold_error_m < 0.025
            and episode.instruction == "fold the towel in half"
        )
        with pytest.raises(ValueError, match="its own environment only"):
            policy.act({"instruction": ["a", "b"]})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"action": "feet"}, "action 'feet'"),
        ({"words": "loud"}, "words 'loud'"),
        ({"test": "rain"}, "test 'rain'"),
        ({"episodes": 0}, "episodes is 1 or more"),
        ({"workers": -1}, "workers is 0 or more"),
        ({"env": "Tabletop-v0", "test": "light"}, "not for the tabletop"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        EvaluationConfig(**wrong)


def test_what_cannot_be_found_or_does_not_fit_says_so():
    with pytest.raises(ValueError, match="unknown environment"):
        make_env(EvaluationConfig(env="FoldHat-v0"))
    config = EvaluationConfig(policy="runs/nowhere", action="own")
    with pytest.raises(FileNotFoundError, match="neither 'expert' nor 'nano'"):
        make_policy(config, make_env(config))


def test_auto_is_the_way_that_fits():
    ways = {("expert", "FoldTowel-v0"): "own", ("nano", "FoldTowel-v0"): "right_hand"}
    ways |= {("runs/x/", "FoldTowel-v0"): "end_effector", ("nano", "vla_course/Tabletop-v0"): "own"}
    for (policy, env), way in ways.items():
        assert EvaluationConfig(policy=policy, env=env).moves == way
    assert EvaluationConfig(policy="nano", action="left_hand").moves == "left_hand"
    assert EvaluationConfig(policy="runs/x/").name == "x"
