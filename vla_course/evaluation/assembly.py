"""What an EvaluationConfig describes, put together: the environment, the policy, the starts."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium

from vla_course.data.statistics import HANDS
from vla_course.envs.end_effector import EndEffectorAction, SingleArmAction
from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.config import UNSEEN_PHRASING
from vla_course.envs.vector import known_spec
from vla_course.evaluation.config import EXPERT, NANO, EvaluationConfig
from vla_course.evaluation.language import instructions
from vla_course.evaluation.robustness import TESTS, reset_options
from vla_course.evaluation.trials import Env, Trial
from vla_course.policy import Policy
from vla_course.settings import both_sides

if TYPE_CHECKING:
    from vla_course.fine_tuning.config import TrainConfig
    from vla_course.policies.openvla import OpenVLAPolicy

FILM_SIZE = (240, 320)
NANO_SIZE = (84, 84)


def make_env(config: EvaluationConfig) -> Env:
    """The environment as the policy meets it: what it sees, how it moves the robot, what the robustness test changes.

    Raises:
        ValueError: the environment is unknown, or one of its options.
    """
    test = TESTS[config.test]
    told = (state_key(config),)
    options: dict[str, Any] = {"render_mode": "rgb_array", "render_size": FILM_SIZE, "observations": told}
    if config.policy != EXPERT:
        options |= {"cameras": cameras(config), "image_size": picture_size(config)}
    options |= test.env_options | config.env_options
    env: Env = gymnasium.make(known_spec(config.env), disable_env_checker=True, **options)
    if test.wrap is not None:
        env = test.wrap(env)
    if config.moves == "end_effector":
        return EndEffectorAction(env, rate_hz=config.rate_hz)
    if config.moves in ("left_hand", "right_hand"):
        return SingleArmAction(env, config.moves.removesuffix("_hand"), rate_hz=config.rate_hz)
    return env


def settled(config: EvaluationConfig) -> EvaluationConfig:
    """The same evaluation with the settings filled in that the policy's run decides: cameras, state and picture size."""
    return replace(
        config, cameras=cameras(config), state_key=state_key(config), image_size=picture_size(config)
    )


def cameras(config: EvaluationConfig) -> tuple[str, ...]:
    """What the policy looks through: as the config says, else as its run did, else the close camera."""
    run = None if config.cameras else _run_of(config)
    return config.cameras or (run.cameras if run else ()) or (CLOSE_CAMERA,)


def state_key(config: EvaluationConfig) -> str:
    """The observation that the policy is told as its state: as the config says, else as its run has it, else where hands are."""
    run = _run_of(config) if config.state_key is None else None
    return config.state_key or (run.state_key if run else None) or HANDS


def picture_size(config: EvaluationConfig) -> tuple[int, int]:
    """Height and width of what the policy sees: as the config says, else of the pictures its run learned from, or as its model looks.

    A model resizes whatever it is shown. But small pictures made large are blurred, and large ones made small are smooth: what
    it is shown when it acts comes from the same size as what it learned from.
    """
    if config.image_size is not None:
        return config.image_size
    folder = Path(config.policy)
    if config.policy in (EXPERT, NANO) or not folder.is_dir():
        return NANO_SIZE
    # Imported here, for the expert's sake, as below.
    from vla_course.openvla import checkpoint

    run = _run_of(config)
    if run is None:
        return both_sides(checkpoint.read_config(folder).image_size)
    return run.image_size or NANO_SIZE  # earlier runs did not keep it


def make_policy(config: EvaluationConfig, env: Env) -> Policy:
    """The policy for an environment of `make_env`.

    Raises:
        FileNotFoundError: its weights are not there.
        ValueError: the model does not speak the environment's actions.
    """
    if config.policy == EXPERT:
        from vla_course.policies.expert import ExpertPolicy

        return ExpertPolicy(env)
    policy = _model_policy(config)
    wanted = (env.action_space.shape or (0,))[-1]
    if policy.action_dim != wanted:
        raise ValueError(
            f"{config.name} says {policy.action_dim} numbers, and {config.env} with action={config.moves} takes {wanted}: "
            "choose another action=, or another policy"
        )
    return policy


def trials(config: EvaluationConfig) -> list[Trial]:
    """A start for each seed, with what the condition pins and says there."""
    if config.on_tabletop:
        return _tabletop_trials(config)
    pinned = [reset_options(config.test, seed) for seed in config.seeds]
    if config.said == "own":
        return [Trial(seed, None, options) for seed, options in zip(config.seeds, pinned, strict=True)]
    env = gymnasium.make(known_spec(config.env), disable_env_checker=True, **config.env_options)
    said = instructions(env.get_wrapper_attr("instruction"), config.said, config.seeds)
    env.close()
    return [Trial(*trial) for trial in zip(config.seeds, said, pinned, strict=True)]


def _tabletop_trials(config: EvaluationConfig) -> list[Trial]:
    """The tabletop has instructions of its own for every table, right and wrong ones."""
    pinned: dict[str, dict[str, Any] | None] = {
        "own": None,
        "paraphrase": {"split": UNSEEN_PHRASING},
        "wrong": {"wrong_instruction": True},
        "empty": None,
    }
    said = "" if config.said == "empty" else None
    return [Trial(seed, said, pinned[config.said]) for seed in config.seeds]


def _run_of(config: EvaluationConfig) -> "TrainConfig | None":
    """The settings of the run that the policy is, if it is one."""
    if config.policy in (EXPERT, NANO):
        return None
    from vla_course.fine_tuning.run_folder import is_run, read_config

    return read_config(config.policy) if is_run(config.policy) else None


def _model_policy(config: EvaluationConfig) -> "OpenVLAPolicy":
    if config.policy != NANO and not Path(config.policy).is_dir():
        raise FileNotFoundError(
            f"policy {config.policy!r} is neither {EXPERT!r} nor {NANO!r}, and no folder of a run or a model"
        )
    # Imported here, so that workers that play the expert never wait for torch.
    from vla_course.fine_tuning.run_folder import is_run, load_run
    from vla_course.openvla.load import load_vla
    from vla_course.policies.folding import one_hand_policy, two_hand_policy
    from vla_course.policies.openvla import tabletop_policy

    key, crop, area = config.unnorm_key, bool(config.center_crop), 0.9
    if config.policy == NANO:
        model = load_vla("nano")
    elif is_run(config.policy):
        run = load_run(config.policy)
        model, key = run.model, key or run.key
        crop = run.config.crops if config.center_crop is None else crop
        area = run.config.crop_area
    else:
        model = load_vla(path=config.policy)
    model.eval()
    if config.on_tabletop:
        return tabletop_policy(model, camera=cameras(config), state_key=state_key(config))
    if config.moves in ("left_hand", "right_hand"):
        return one_hand_policy(model, config.moves.removesuffix("_hand"), camera=cameras(config))
    return two_hand_policy(
        model,
        camera=cameras(config),
        unnorm_key=key,
        crop=crop,
        crop_area=area,
        state_key=state_key(config),
    )
