"""Write the pictures of the README and the lessons under data/pictures/, and the first rows of the strip.

python tools/make_pictures.py              all of them
python tools/make_pictures.py command      one or some: tshirt, towel, trousers, strip, zero_shot, towels, command
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from vla_course import assets, plots
from vla_course.action_tokens import detokenize_actions, tokenize_actions
from vla_course.envs.end_effector import EndEffectorAction, SingleArmAction
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.evaluation import strip
from vla_course.evaluation.episodes import batch_of_one
from vla_course.fine_tuning.run_folder import load_run
from vla_course.openvla.load import load_vla
from vla_course.policies.folding import two_hand_policy
from vla_course.policies.openvla import RIGHT_HAND, OpenVLAPolicy, tabletop_policy
from vla_course.video import film_strip

DATA = Path(__file__).resolve().parents[1] / "data"
FOLDER = DATA / "pictures"
SEED, FRAMES, WIDTH = 4, 6, 1500


def fold_picture(garment: str) -> None:
    """Six moments of the expert folding one garment."""
    env = FoldingEnv(garment, render_mode="rgb_array", render_size=(300, 360))
    expert = FoldingExpert(env)
    observation, info = env.reset(seed=SEED)
    frames, ended = [env.render()], False
    while not ended:
        observation, _, terminated, truncated, info = env.step(expert.act(observation))
        ended = terminated or truncated
        if env.elapsed_steps % 2 == 0 or ended:
            frames.append(env.render())
    if not info["is_success"]:
        raise SystemExit(f"the expert did not fold the {garment}: no picture written")
    film = Image.fromarray(film_strip(frames, FRAMES))
    film = film.resize((WIDTH, round(film.height * WIDTH / film.width)), Image.Resampling.LANCZOS)
    film.save(FOLDER / f"{garment}_fold.jpg", quality=88, optimize=True)


def first_row() -> None:
    """What random actions do with the strip's T-shirt: the row that every policy has to beat."""
    env, rng = strip.make_env(), np.random.default_rng(0)
    strip.run("Random actions", "day00", lambda _: rng.uniform(-1, 1, 61), env, DATA / "strip")


def zero_shot_row() -> None:
    """What the nano makes of the strip's T-shirt with one hand, as in Day 01. To be made again with every other nano."""
    eyes = tabletop_policy(load_vla(), state=RIGHT_HAND)
    hand = SingleArmAction(strip.make_env(cameras=(eyes.camera,), image_size=eyes.image_size), "right")
    _vla_row("Zero-shot, one hand", "day01", eyes, hand)


def towels_row() -> None:
    """What the adapter that has learned to fold towels makes of the strip's T-shirt, as in Day 07. To be made again with every other adapter."""
    run = load_run(assets.find_folder("data/checkpoints/towel_lora"))
    eyes = two_hand_policy(run.model.eval(), unnorm_key=run.key, crop=run.config.crops)
    shown = strip.make_env(cameras=(eyes.camera,), image_size=eyes.image_size, observations=("end_effector",))
    _vla_row("LoRA on towels, two hands", "day07", eyes, EndEffectorAction(shown, rate_hz=5))


def _vla_row(name: str, day: str, policy: OpenVLAPolicy, env: gymnasium.Env[Any, Any]) -> None:
    fold = env.get_wrapper_attr("instruction")

    def act(observation: dict[str, Any]) -> np.ndarray:
        return policy.act(batch_of_one(observation, fold))[0, 0]

    strip.run(name, day, act, env, DATA / "strip")


def command_picture() -> None:
    """The way of Day 02: picture, patches among words, seven tokens, seven numbers, and where such commands lead.

    The tokens are what a model should have said: the expert's action, written in Llama's vocabulary.
    """
    env = TabletopEnv(verbs=("touch",), cameras=("close",), image_size=(84, 84), render_mode="rgb_array")
    expert = TabletopExpert(env)
    for seed in range(100):
        observation, info = env.reset(seed=seed)
        if len(info["instruction"]) < 20 and env.start.garment is None:
            break
    seen, action = observation["image_close"], expert.act()
    ended = False
    while not ended:
        _, _, terminated, truncated, _ = env.step(expert.act())
        ended = terminated or truncated
    ids = tokenize_actions(action)
    meant = detokenize_actions(ids) * [120, 120, 120, *[np.degrees(0.2)] * 3, 100]

    drawing, _ = plots.figure(width=12, height=3.7)
    drawing.clear()
    drawing.set_layout_engine("none")
    panels = [drawing.add_axes(box) for box in ((0.005, 0.08, 0.24, 0.80), (0.755, 0.08, 0.24, 0.80))]
    titles = ("one picture, 36 patches", f"{env.elapsed_steps} commands later")
    for panel, picture, title in zip(panels, (seen, env.render()), titles, strict=True):
        panel.imshow(picture)
        panel.set_title(title, fontsize=11)
        panel.axis("off")
    for line in range(1, 6):
        panels[0].axhline(14 * line - 0.5, color="white", linewidth=0.8)
        panels[0].axvline(14 * line - 0.5, color="white", linewidth=0.8)

    middle = drawing.add_axes((0.255, 0.0, 0.49, 1.0))
    middle.axis("off")
    colorful = seen.reshape(6, 14, 84, 3).astype(float).std(axis=3).mean(axis=(1, 2)).argmax()
    left = _box(middle, 0, "start", "#d9dce1")
    left = _box(middle, left, "…", "white")
    for column in range(6):
        patch = seen[14 * colorful :, 14 * column :][:14, :14]
        middle.imshow(patch, extent=(left, left + 1.9, 33, 36.2), aspect="auto", zorder=2)
        left += 2.1
    for word in ("…", "In:", "…", *info["instruction"].split(), "?", "Out:", "␣"):
        left = _box(middle, left, word, "white" if word == "…" else "#f6e7c9")
    middle.text(
        0, 38.2, "the picture stands in the sentence as if it were words", fontsize=11, color=plots.GREY
    )
    middle.annotate("", (25, 27), (25, 32.4), arrowprops={"arrowstyle": "->", "color": plots.INK})
    middle.text(26, 29, "seven times the next token", fontsize=11, color=plots.GREY)
    names = ("Δx", "Δy", "Δz", "Δroll", "Δpitch", "Δyaw", "grip")
    units = ("mm", "mm", "mm", "°", "°", "°", "%")
    for number in range(7):
        x = 7.2 * number
        _box(middle, x, str(ids[number]), "#cfe3f3", y=23, width=6.4)
        arrow = {"arrowstyle": "->", "color": plots.GREY}
        middle.annotate("", (x + 3.2, 18.4), (x + 3.2, 22.6), arrowprops=arrow)
        value = f"{meant[number]:+.0f}" if abs(meant[number]) >= 0.5 else "0"
        middle.text(x + 3.2, 15.6, f"{value} {units[number]}", ha="center", fontsize=11, weight="bold")
        middle.text(x + 3.2, 12.8, names[number], ha="center", fontsize=10, color=plots.GREY)
    middle.set(xlim=(0, 50), ylim=(10, 43))
    (FOLDER / "pixels_to_command.png").write_bytes(plots.png(drawing, dpi=110, colors=255))


def _box(axes: Axes, x: float, text: str, color: str, *, y: float = 33, width: float = 0) -> float:
    """A word in its box; where the next one may begin."""
    width = width or 0.72 * len(text) + 0.9
    edge = color if color == "white" else plots.GREY
    axes.add_patch(Rectangle((x, y), width, 3.2, facecolor=color, edgecolor=edge, linewidth=0.6))
    axes.text(x + width / 2, y + 1.6, text, ha="center", va="center", fontsize=9)
    return x + width + 0.2


def main(wanted: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    programs = {garment: partial(fold_picture, garment) for garment in ("tshirt", "towel", "trousers")}
    programs |= {
        "strip": first_row,
        "zero_shot": zero_shot_row,
        "towels": towels_row,
        "command": command_picture,
    }
    for name in wanted or programs:
        if name not in programs:
            raise SystemExit(f"no picture {name!r}: there are {', '.join(programs)}")
        programs[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
