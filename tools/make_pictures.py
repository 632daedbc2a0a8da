"""Write the pictures of the README and the lessons under data/pictures/, and the first row of the strip.

python tools/make_pictures.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from vla_course import strip
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert
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


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for garment in ("tshirt", "towel", "trousers"):
        fold_picture(garment)
    first_row()


if __name__ == "__main__":
    main()
