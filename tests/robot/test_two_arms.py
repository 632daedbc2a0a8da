"""The two-arm robot against public tables, an independent kinematic computation, and what may not happen when it moves."""

import mujoco
import numpy as np
import pytest

from vla_course.envs.table import TABLE_PLANE, add_table_and_sky
from vla_course.robot import two_arms as robot
from vla_course.robot.collisions import CLOTH_COLLISION, ROBOT_COLLISION, TABLE_COLLISION, CollisionBits
from vla_course.robot.shadow_hand import CLOSED_HAND, FINGERTIPS, HAND_JOINTS, OPEN_HAND
from vla_course.robot.ur10e import ARM_VELOCITY_RAD_S

# Written down from the public tables, not imported from the package.
UR10E_A = [0, -0.6127, -0.57155, 0, 0, 0]
UR10E_D = [0.1807, 0, 0, 0.17415, 0.11985, 0.11655]
UR10E_ALPHA = [np.pi / 2, 0, 0, np.pi / 2, -np.pi / 2, 0]
UR10E_MASS = [7.369, 13.051, 3.989, 2.1, 1.98, 0.615]
UR10E_LIMIT = [6.2832, 6.2832, 3.1416, 6.2832, 6.2832, 6.2832]
UR10E_TORQUE = [330, 330, 150, 56, 56, 56]
SPREAD, BASE, CURL = (-0.3491, 0.3491), (-0.2618, 1.5708), (0, 1.5708)
SHADOW_LIMIT = {
    "WRJ2": (-0.5236, 0.1745),
    "WRJ1": (-0.6981, 0.4887),
    **{"FFJ4": SPREAD, "FFJ3": BASE, "FFJ2": CURL, "FFJ1": CURL},
    **{"MFJ4": SPREAD, "MFJ3": BASE, "MFJ2": CURL, "MFJ1": CURL},
    **{"RFJ4": SPREAD, "RFJ3": BASE, "RFJ2": CURL, "RFJ1": CURL},
    **{"LFJ5": (0, 0.7854), "LFJ4": SPREAD, "LFJ3": BASE, "LFJ2": CURL, "LFJ1": CURL},
    "THJ5": (-1.0472, 1.0472),
    "THJ4": (0, 1.2217),
    "THJ3": (-0.2094, 0.2094),
    "THJ2": (-0.6981, 0.6981),
    "THJ1": (-0.2618, 1.5708),
}
ARM = ["shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"]
MIRROR = np.diag([1.0, -1.0, 1.0])


def at_home(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:60] = data.ctrl[:] = robot.home_position()
    mujoco.mj_forward(model, data)
    return data


def arms_over_table() -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = 1 / 120
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.solver = mujoco.mjtSolver.mjSOL_CG
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    add_table_and_sky(spec)
    robot.add_two_arms(spec)
    return spec.compile()


def dh_chain(joint_position: np.ndarray, base_m: tuple, yaw: float) -> np.ndarray:
    """The tool flange's pose (4, 4) by multiplying Denavit-Hartenberg matrices."""
    pose = np.eye(4)
    pose[:3, 3] = base_m
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    for q, a, d, alpha in zip(joint_position, UR10E_A, UR10E_D, UR10E_ALPHA, strict=True):
        c, s, ca, sa = np.cos(q), np.sin(q), np.cos(alpha), np.sin(alpha)
        pose = pose @ [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]]
    return pose


def test_sixty_joints_and_actuators_in_the_stated_order():
    expected = [f"{side}_{joint}" for side in ("left", "right") for joint in [*ARM, *SHADOW_LIMIT]]
    model = robot.robot_model()
    assert list(robot.JOINT_NAMES) == expected and len(expected) == 60
    assert (model.nq, model.nv, model.nu) == (60, 60, 60)
    assert [model.actuator(i).name for i in range(60)] == expected
    assert [model.joint(i).name for i in range(60)] == expected
    assert model.actuator_trnid[:, 0].tolist() == list(range(60))


def test_arm_kinematics_equals_a_chain_of_dh_matrices():
    model = robot.robot_model()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    bases = {"left": ((-0.62, 0.42, 0), 0.0), "right": ((-0.62, -0.42, 0), np.pi)}
    for _ in range(20):
        data.qpos[:] = rng.uniform(-3, 3, 60)
        mujoco.mj_kinematics(model, data)
        for offset, (side, (base, yaw)) in zip((0, 30), bases.items(), strict=True):
            pose = dh_chain(data.qpos[offset : offset + 6], base, yaw)
            flange = data.body(f"{side}_flange")
            np.testing.assert_allclose(flange.xpos, pose[:3, 3], atol=1e-9)
            np.testing.assert_allclose(flange.xmat.reshape(3, 3), pose[:3, :3], atol=1e-9)


@pytest.mark.parametrize("side", ["left", "right"])
def test_limits_torques_and_masses_equal_the_public_tables(side):
    model = robot.robot_model()
    for joint, limit, torque, mass in zip(ARM, UR10E_LIMIT, UR10E_TORQUE, UR10E_MASS, strict=True):
        np.testing.assert_allclose(model.joint(f"{side}_{joint}").range, [-limit, limit], atol=1e-4)
        np.testing.assert_allclose(model.actuator(f"{side}_{joint}").forcerange, [-torque, torque])
        np.testing.assert_allclose(model.body(f"{side}_{joint}_link").mass, mass, atol=1e-9)
    for joint, limit in SHADOW_LIMIT.items():
        np.testing.assert_allclose(model.joint(f"{side}_{joint}").range, limit, atol=1e-4)
    np.testing.assert_allclose(model.actuator_ctrlrange, model.jnt_range)


def test_increments_keep_below_the_speed_limit_at_20_hz():
    arm = robot.ACTION_SCALE[:6]
    assert np.all(arm * 20 <= np.array(ARM_VELOCITY_RAD_S))
    np.testing.assert_array_equal(robot.ACTION_SCALE, np.tile([0.10] * 6 + [0.25] * 24, 2))
    with pytest.raises(ValueError, match="read-only"):
        robot.ACTION_SCALE[0] = 1


def test_left_side_is_the_mirror_image_of_the_right():
    model = robot.robot_model()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(1)
    low, high = model.jnt_range[30:].T
    for _ in range(10):
        right = rng.uniform(low, high)
        data.qpos[30:] = right
        data.qpos[:6] = robot.mirrored_arm(right[:6])
        data.qpos[6:30] = right[6:]
        mujoco.mj_kinematics(model, data)
        for name in [f"{joint}_link" for joint in ARM] + ["palm", "LF_metacarpal"]:
            np.testing.assert_allclose(
                data.body(f"left_{name}").xpos, MIRROR @ data.body(f"right_{name}").xpos, atol=1e-9
            )
        for name in ("grasp", *FINGERTIPS):
            np.testing.assert_allclose(
                data.site(f"left_{name}").xpos, MIRROR @ data.site(f"right_{name}").xpos, atol=1e-9
            )
    np.testing.assert_allclose(robot.mirrored_arm(robot.mirrored_arm(right[:6])), right[:6])


def test_thumb_is_on_the_right_side_and_fingers_curl_towards_the_palm():
    model = robot.robot_model()
    data = at_home(model)
    palm = data.body("right_palm")
    thumb = palm.xmat.reshape(3, 3).T @ (data.site("right_TH_tip").xpos - palm.xpos)
    assert thumb[0] > 0.03, (
        "a right hand with fingers up and its palm towards you has the thumb on your right"
    )
    before = palm.xmat.reshape(3, 3).T @ (data.site("right_FF_tip").xpos - palm.xpos)
    data.qpos[30 + robot.JOINT_NAMES.index("left_FFJ3")] = 1.0
    mujoco.mj_kinematics(model, data)
    after = palm.xmat.reshape(3, 3).T @ (data.site("right_FF_tip").xpos - palm.xpos)
    assert after[1] < before[1] - 0.03


def test_closing_brings_thumb_and_fingers_to_the_grasp_site():
    model = robot.robot_model()
    data = at_home(model)

    def reach(pose: dict[str, float]) -> dict[str, float]:
        data.qpos[36:60] = [pose[joint] for joint in HAND_JOINTS]
        mujoco.mj_kinematics(model, data)
        site = data.site("right_grasp").xpos
        return {tip: float(np.linalg.norm(data.site(f"right_{tip}").xpos - site)) for tip in FINGERTIPS}

    opened, closed = reach(OPEN_HAND), reach(CLOSED_HAND)
    for tip in ("FF_tip", "MF_tip", "TH_tip"):
        assert closed[tip] < 0.025 < opened[tip]


def test_home_is_held_and_returned_to_within_two_milliradians():
    model = arms_over_table()
    data = at_home(model)
    home = robot.home_position()
    assert np.all((home >= model.jnt_range[:, 0]) & (home <= model.jnt_range[:, 1]))
    assert data.ncon == 0
    for _ in range(100):
        mujoco.mj_step(model, data, 6)
    assert np.abs(data.qpos - home).max() < 2e-3
    data.qpos[:] = home + np.random.default_rng(2).uniform(0, 0.1, 60)
    for _ in range(100):
        mujoco.mj_step(model, data, 6)
    assert np.abs(data.qpos - home).max() < 2e-3


def test_gravity_is_compensated_on_every_link():
    model = robot.robot_model()
    moving = np.array([model.body_weldid[body] != 0 for body in range(model.nbody)])
    assert np.all(model.body_gravcomp[moving] == 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_full_scale_random_actions_stay_finite(smoothing):
    model = arms_over_table()
    data = at_home(model)
    low, high = model.actuator_ctrlrange.T
    rng = np.random.default_rng(0)
    wish = np.zeros(60)
    groups = {ROBOT_COLLISION["left"].contype, ROBOT_COLLISION["right"].contype, TABLE_COLLISION.contype}
    for _ in range(1500):
        wish = smoothing * wish + (1 - smoothing) * rng.uniform(-1, 1, 60) * (4 if smoothing else 1)
        data.ctrl[:] = np.clip(data.ctrl + robot.ACTION_SCALE * np.clip(wish, -1, 1), low, high)
        mujoco.mj_step(model, data, 6)
        for contact in data.contact:
            kinds = {int(model.geom_contype[geom]) for geom in contact.geom}
            assert kinds <= groups and len(kinds) == 2, "nothing touches its own kind"
    assert np.all(np.isfinite(data.qpos)) and np.all(np.isfinite(data.qvel))
    assert [warning.number for warning in data.warning] == [0] * len(data.warning)
    assert np.all(data.qpos > low - 0.1) and np.all(data.qpos < high + 0.1)


def deepest_overlap(model: mujoco.MjModel) -> float:
    """Turns both shoulders until the hands should have changed places: the least distance of a left to a right geom."""
    groups = [ROBOT_COLLISION[side].contype for side in robot.SIDES]
    left, right = (np.nonzero(model.geom_contype == group)[0] for group in groups)
    data = at_home(model)
    least = 1.0
    for step in range(80):
        inwards = min(1.0, step / 50) * 0.9
        data.ctrl[0], data.ctrl[30] = -inwards, inwards
        mujoco.mj_step(model, data, 6)
        for one in left:
            for other in right:
                least = min(least, mujoco.mj_geomDistance(model, data, one, other, least, None))
    assert [warning.number for warning in data.warning] == [0] * len(data.warning)
    return least


def test_arms_and_hands_stop_each_other():
    model = arms_over_table()
    assert -0.008 < deepest_overlap(model) < 0.0, "they touch, and sink into each other by less than 8 mm"
    model.geom_conaffinity[:] = 0
    assert deepest_overlap(model) < -0.04, "without their bits they pass through each other"


def test_table_stops_a_hand_and_fingers_give_way():
    model = arms_over_table()
    data = at_home(model)
    for _ in range(40):
        data.ctrl[1] -= 0.012  # both shoulders lean forward
        data.ctrl[31] += 0.012
        mujoco.mj_step(model, data, 6)
    sites = [data.site(f"{side}_{tip}").xpos[2] for side in robot.SIDES for tip in FINGERTIPS]
    assert min(sites) > -0.005
    assert data.ncon > 0
    plane = model.geom(TABLE_PLANE).id
    assert all(plane in contact.geom for contact in data.contact)


@pytest.mark.parametrize(
    ("first", "second", "touch"),
    [
        (ROBOT_COLLISION["left"], ROBOT_COLLISION["right"], True),
        (ROBOT_COLLISION["left"], ROBOT_COLLISION["left"], False),
        (ROBOT_COLLISION["right"], ROBOT_COLLISION["right"], False),
        (ROBOT_COLLISION["left"], TABLE_COLLISION, True),
        (ROBOT_COLLISION["right"], TABLE_COLLISION, True),
        (CLOTH_COLLISION, TABLE_COLLISION, True),
        (CLOTH_COLLISION, CLOTH_COLLISION, False),
        (CLOTH_COLLISION, ROBOT_COLLISION["left"], False),
        (CLOTH_COLLISION, ROBOT_COLLISION["right"], False),
    ],
)
def test_collision_groups(first: CollisionBits, second: CollisionBits, touch: bool):
    """MuJoCo itself decides: two overlapping balls with these bits."""
    balls = "".join(
        f'<body><freejoint/><geom size=".1" contype="{int(bits.contype)}" conaffinity="{int(bits.conaffinity)}"/></body>'
        for bits in (first, second)
    )
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{balls}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    data.qpos[0] = 0.05
    mujoco.mj_forward(model, data)
    assert (data.ncon > 0) is touch


def test_one_arm_alone_can_be_built():
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    robot.add_arm_with_hand(spec, prefix="", position_m=(0, 0, 0), yaw_rad=0.0, side="right")
    model = spec.compile()
    assert model.nu == 30
    assert model.actuator(0).name == "shoulder_pan" and model.actuator(29).name == "THJ1"
    assert model.site("grasp").id >= 0 and model.camera("wrist").id >= 0


def test_bad_input_says_what_to_do():
    spec = mujoco.MjSpec()
    with pytest.raises(ValueError, match=r"spec\.compiler\.degree = False"):
        robot.add_two_arms(spec)


def test_robot_model_is_shared_and_small():
    assert robot.robot_model() is robot.robot_model()
    model = robot.robot_model()
    assert model.ngeom < 110, "every geom costs time in each picture"
