"""From zero-shot OpenVLA to a policy improved by reinforcement learning, one day at a time."""

import logging
import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from vla_course.envs.registration import register_environments

__version__ = "0.1.0"

MOVED = {
    "adapters.activations": ["memory.activations"],
    "adapters.live_memory": ["memory.measured"],
    "adapters.memory": ["memory.estimate"],
    "comparison": ["evaluation.intervals", "evaluation.language", "fine_tuning.losses"],
    "control.grip": ["robot.grip"],
    "control.inverse_kinematics": ["robot.inverse_kinematics"],
    "data.frames": ["data.videos"],
    "data.sentences": ["data.token_rows"],
    "data_browser": ["widgets.data_browser"],
    "envs.robot": ["robot.two_arms"],
    "envs.shadow_hand": ["robot.shadow_hand"],
    "envs.ur10e": ["robot.ur10e"],
    "evaluate": ["evaluation.episodes", "evaluation.intervals"],
    "evaluation.closed_loop": ["evaluation.workers"],
    "interval_playground": ["widgets.interval_playground"],
    "memory_bars": ["widgets.memory_bars"],
    "patch_eraser": ["widgets.patch_eraser"],
    "rank_microscope": ["widgets.rank_microscope"],
    "recording": ["evaluation.tabletop_recording"],
    "robustness": ["evaluation.robustness"],
    "say_it": ["widgets.say_it"],
    "strip": ["evaluation.strip"],
    "token_explorer": ["widgets.token_explorer"],
    "training.config": ["fine_tuning.config"],
    "training.fine_tuning": ["fine_tuning.loop"],
    "training.frozen_features": ["fine_tuning.frozen_features"],
    "training.losses": ["fine_tuning.losses"],
    "training.modes": ["fine_tuning.modes"],
    "training.order": ["training.sample_order"],
    "training.resuming": ["fine_tuning.resuming"],
    "training.run": ["fine_tuning.run"],
    "training.run_folder": ["fine_tuning.run_folder"],
}
"""Modules that lessons of version 0.1.0 or programs of learners import, and the modules that hold their names now."""


class _MovedModules(MetaPathFinder, Loader):
    """Imports a module of `MOVED` under its old name: its names are looked up where they are now, and a warning says where."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        known = name.startswith("vla_course.") and name.removeprefix("vla_course.") in MOVED
        return ModuleSpec(name, self) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        homes = [f"vla_course.{home}" for home in MOVED[spec.name.removeprefix("vla_course.")]]

        def look_up(name: str) -> Any:
            if name.startswith("__"):  # Python's own questions, such as __path__
                raise AttributeError(name)
            holders = {home: import_module(home) for home in homes}
            values = {
                home: getattr(module, name) for home, module in holders.items() if hasattr(module, name)
            }
            if not values:
                raise AttributeError(f"{spec.name} has moved to {', '.join(homes)}, which has no {name}")
            # One of them may only import the name from another: the one that defines it is named.
            home = next((h for h in values if getattr(values[h], "__module__", h) == h), next(iter(values)))
            warnings.warn(
                f"{spec.name} has moved: write `from {home} import {name}`", FutureWarning, stacklevel=2
            )
            return values[home]

        module = ModuleType(spec.name)
        module.__getattr__ = look_up  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run: names are looked up one by one."""


if not any(type(finder).__name__ == "_MovedModules" for finder in sys.meta_path):
    sys.meta_path.append(_MovedModules())

# Gymnasium stopped loading plug-ins by itself at 1.0, so importing the package is what makes the names known.
register_environments()

# Imported on a CPU with AVX-512 in bf16, bitsandbytes (peft imports it) asks for a package of faster 4-bit kernels and warns where
# there is none. No matter: on a CPU the course never takes the way they would make faster (openvla.checkpoint.never_repack).
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: not str(record.msg).startswith("Failed to load CPU gemm_4bit_forward")
)
