"""Makes the course's environments known to `gymnasium.make`."""

import gymnasium

ENTRY_POINT = "vla_course.envs.folding.env:FoldingEnv"
GARMENTS = {
    "vla_course/FoldTowel-v0": "towel",
    "vla_course/FoldTShirt-v0": "tshirt",
    "vla_course/FoldTrousers-v0": "trousers",
}
TABLETOP = "vla_course/Tabletop-v0"
TABLETOP_ENTRY_POINT = "vla_course.envs.tabletop.env:TabletopEnv"


def register_environments() -> None:
    """Register every environment; runs at `import vla_course`, so it imports nothing heavy.

    `gymnasium.make("vla_course:vla_course/FoldTowel-v0")` needs no import of ours first: Gymnasium imports what stands
    before the colon. The environments end their episodes themselves, so there is no `max_episode_steps` here.
    """
    for name, garment in GARMENTS.items():
        gymnasium.register(id=name, entry_point=ENTRY_POINT, kwargs={"garment": garment})
    gymnasium.register(id=TABLETOP, entry_point=TABLETOP_ENTRY_POINT)
