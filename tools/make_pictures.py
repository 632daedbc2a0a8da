"""Write the pictures of the README and the lessons under data/pictures/.

python tools/make_pictures.py
"""

from pathlib import Path

from PIL import Image

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.video import film_strip

FOLDER = Path(__file__).resolve().parents[1] / "data" / "pictures"
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
    strip = Image.fromarray(film_strip(frames, FRAMES))
    strip = strip.resize((WIDTH, round(strip.height * WIDTH / strip.width)), Image.Resampling.LANCZOS)
    strip.save(FOLDER / f"{garment}_fold.jpg", quality=88, optimize=True)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for garment in ("tshirt", "towel", "trousers"):
        fold_picture(garment)


if __name__ == "__main__":
    main()
