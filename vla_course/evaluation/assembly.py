"""Environment, policy and starts of an EvaluationConfig."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium

from vla_course.data.statistics import HANDS
from vla_course.envs.end_effector import EndEffectorAction, SingleArmAction
from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.config import UNSEEN_PHRASING
from vla_course.envs.vector import known_spec
from vla_course.evaluation.config import EXPERT, NANO, POLICIES, EvaluationConfig
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
    """The policy's environment: cameras, action space, and the change of the robustness test.

    Raises:
        ValueError: the environment is unknown, or one of its options.
    """
    config, test = settled(config), TESTS[config.test]
    options: dict[str, Any] = {
        "render_mode": "rgb_array",
        "render_size": FILM_SIZE,
        "observations": (config.state_key,),
    }
    if config.policy != EXPERT:
        options |= {"cameras": config.cameras, "image_size": config.image_size}
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
    """The same evaluation with cameras, state and picture size filled in: from the settings, else from the policy's run, else defaults.

    A settled evaluation is returned as it is. The defaults are the close camera, the state of the hands (`HANDS`) and the size of
    the model's own pictures.
    """
    if config.cameras and config.state_key is not None and config.image_size is not None:
        return config
    run = _run_of(config)
    return replace(
        config,
        cameras=config.cameras or (run.cameras if run else ()) or (CLOSE_CAMERA,),
        state_key=config.state_key or (run.state_key if run else None) or HANDS,
        image_size=config.image_size or _picture_size(config, run),
    )


def check_policy(config: EvaluationConfig) -> None:
    """Make sure that the policy is there, before anything is started for it.

    Raises:
        FileNotFoundError: it is neither the expert nor the nano, and no folder.
    """
    if config.policy not in (EXPERT, NANO) and not Path(config.policy).is_dir():
        raise FileNotFoundError(f"policy: {config.policy} is no folder; give {POLICIES}")


def _picture_size(config: EvaluationConfig, run: "TrainConfig | None") -> tuple[int, int]:
    """Height and width in pixels of what the policy sees: those of the pictures its run learned from, else its model's own.

    A model resizes any picture. But enlarged pictures are blurred, and reduced ones are smooth: the policy acts on pictures
    of the size that it learned from.
    """
    folder = Path(config.policy)
    if config.policy in (EXPERT, NANO) or not folder.is_dir():
        return NANO_SIZE
    if run is None:
        from vla_course.openvla import checkpoint  # here, for the expert's sake, as below

        return both_sides(checkpoint.read_config(folder).image_size)
    return run.image_size or NANO_SIZE  # runs did not record it at first


def make_policy(config: EvaluationConfig, env: Env) -> Policy:
    """The policy for an environment of `make_env`.

    Raises:
        FileNotFoundError: its weights are not there.
        ValueError: the model's actions have another size than the environment's.
    """
    if config.policy == EXPERT:
        from vla_course.policies.expert import ExpertPolicy

        return ExpertPolicy(env)
    check_policy(config)
    policy = _model_policy(settled(config))
    wanted = (env.action_space.shape or (0,))[-1]
    if policy.action_dim != wanted:
        raise ValueError(
            f"{config.name} says {policy.action_dim} numbers, and {config.env} with action={config.moves} takes {wanted}: "
            "choose another action=, or another policy"
        )
    return policy


def trials(config: EvaluationConfig) -> list[Trial]:
    """A trial for each seed, with instruction and reset options of the condition."""
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
    """The settings of the run that produced the policy; None for other policies."""
    if config.policy in (EXPERT, NANO):
        return None
    from vla_course.fine_tuning.run_folder import is_run, read_config

    return read_config(config.policy) if is_run(config.policy) else None


def _model_policy(config: EvaluationConfig) -> "OpenVLAPolicy":
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
    camera, state = config.cameras, str(config.state_key)
    if config.on_tabletop:
        return tabletop_policy(model, camera=camera, state_key=state)
    if config.moves in ("left_hand", "right_hand"):
        return one_hand_policy(model, config.moves.removesuffix("_hand"), camera=camera)
    return two_hand_policy(model, camera=camera, unnorm_key=key, crop=crop, crop_area=area, state_key=state)
