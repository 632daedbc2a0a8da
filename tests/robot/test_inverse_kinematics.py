import pickle
from copy import deepcopy

import jaxtyping
import mink
import mujoco
import numpy as np
import pytest

from vla_course.control.rotations import rotation_error
from vla_course.robot.inverse_kinematics import InverseKinematics, damped_least_squares
from vla_course.robot.two_arms import JOINT_NAMES, home_position, robot_model

SIX_JOINTS = """
<mujoco>
  <worldbody>
    <body><joint name="pan" axis="0 0 1" range="-170 170"/><geom size=".02"/>
      <body pos="0 0 .3"><joint name="lift" axis="0 1 0" range="-100 100"/><geom size=".02"/>
        <body pos=".4 0 0"><joint name="elbow" axis="0 1 0" range="-150 150"/><geom size=".02"/>
          <body pos=".4 0 0"><joint name="bend" axis="0 1 0" range="-170 170"/><geom size=".02"/>
            <body pos=".1 0 0"><joint name="turn" axis="0 0 1" range="-170 170"/><geom size=".02"/>
              <body pos=".1 0 0"><joint name="roll" axis="1 0 0" range="-170 170"/><geom size=".02"/>
                <site name="tip" pos=".05 0 0"/>
  </body></body></body></body></body></body></worldbody>
</mujoco>
"""
ARM = ("pan", "lift", "elbow", "bend", "turn", "roll")
BENT = np.array([0.2, -0.5, 1.2, 0.4, 0.3, -0.2])


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def one_arm(**options) -> InverseKinematics:
    model = mujoco.MjModel.from_xml_string(SIX_JOINTS)
    return InverseKinematics(model, sites=("tip",), joints=(ARM,), **options)


def target_near_home(ik: InverseKinematics, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Poses that the arms can certainly reach: where they are after moving every joint a little."""
    rng = np.random.default_rng(seed)
    joints = home_position()
    for group in ik.joints:
        joints[group] += rng.uniform(-0.4, 0.4, len(group))
    return ik.forward(joints)


def solve_until_there(ik, joints, position, rotation, calls=40, **options):
    for _ in range(calls):
        joints = ik.solve(joints, position, rotation, **options)
    return joints


# --- the step


def test_hand_worked_steps():
    step = damped_least_squares(np.array([[2.0, 0, 0], [0, 1.0, 0]]), np.array([1.0, 1.0]), 0.5)
    np.testing.assert_allclose(step, [2 / 4.25, 1 / 1.25, 0])
    singular = damped_least_squares(np.array([[1.0, 0], [0, 0]]), np.array([1.0, 1.0]), 0.5)
    np.testing.assert_allclose(singular, [0.8, 0])


def test_step_minimises_error_plus_damped_motion():
    rng = np.random.default_rng(0)
    jacobian, error, damping = rng.normal(size=(6, 9)), rng.normal(size=6), 0.3
    stacked = np.vstack([jacobian, damping * np.eye(9)])
    expected = np.linalg.lstsq(stacked, np.r_[error, np.zeros(9)], rcond=None)[0]
    np.testing.assert_allclose(damped_least_squares(jacobian, error, damping), expected)


def test_step_is_never_longer_than_error_over_twice_the_damping():
    rng = np.random.default_rng(1)
    for _ in range(50):
        jacobian = rng.normal(size=(6, 6)) * rng.choice([1e-6, 1e-2, 1.0], size=(6, 1))
        error = rng.normal(size=6)
        step = damped_least_squares(jacobian, error, 0.05)
        assert np.linalg.norm(step) <= np.linalg.norm(error) / (2 * 0.05) + 1e-9


def test_bad_steps_are_one_clear_error(as_learners_run):
    for jacobian, error, damping in [
        (np.eye(3), np.ones(2), 0.1),
        (np.eye(3), np.array([1.0, np.nan, 0.0]), 0.1),
        (np.eye(3), np.ones(3), -0.1),
        (np.eye(3), np.ones(3), np.nan),
    ]:
        with pytest.raises(ValueError, match="want jacobian"):
            damped_least_squares(jacobian, error, damping)


# --- the solver


def test_reaches_poses_near_home_with_both_arms():
    ik = InverseKinematics()
    for seed in range(10):
        position, rotation = target_near_home(ik, seed)
        joints = solve_until_there(ik, home_position(), position, rotation)
        reached_position, reached_rotation = ik.forward(joints)
        np.testing.assert_allclose(reached_position, position, atol=1e-6)
        np.testing.assert_allclose(reached_rotation, rotation, atol=1e-6)


def test_forward_is_mujocos_own():
    ik = InverseKinematics()
    model, data = robot_model(), mujoco.MjData(robot_model())
    data.qpos[:] = home_position() + 0.1
    mujoco.mj_forward(model, data)
    position, rotation = ik.forward(home_position() + 0.1)
    for arm, name in enumerate(("left_grasp", "right_grasp")):
        np.testing.assert_allclose(position[arm], data.site(name).xpos)
        np.testing.assert_allclose(rotation[arm], data.site(name).xmat.reshape(3, 3))


def test_jacobian_is_the_slope_of_forward():
    ik = one_arm()
    position, rotation = ik.forward(BENT)
    jacobian = ik.jacobian(0)
    for joint in range(6):
        nudged = BENT.copy()
        nudged[joint] += 1e-6
        moved, turned = ik.forward(nudged)
        np.testing.assert_allclose((moved[0] - position[0]) / 1e-6, jacobian[:3, joint], atol=1e-5)
        np.testing.assert_allclose(
            rotation_error(rotation[0], turned[0]) / 1e-6, jacobian[3:, joint], atol=1e-5
        )


def test_model_order_is_joint_names():
    model = robot_model()
    assert tuple(model.joint(i).name for i in range(model.njnt)) == JOINT_NAMES


def test_mink_reaches_the_same_poses():
    ik, model = InverseKinematics(), robot_model()
    position, rotation = target_near_home(ik, seed=3)
    ours = solve_until_there(ik, home_position(), position, rotation)

    configuration = mink.Configuration(model, home_position())
    tasks = []
    for arm, name in enumerate(("left_grasp", "right_grasp")):
        task = mink.FrameTask(name, "site", position_cost=1.0, orientation_cost=0.25)
        turn = mink.SO3.from_matrix(rotation[arm])
        task.set_target(mink.SE3.from_rotation_and_translation(turn, position[arm]))
        tasks.append(task)
    still = [
        name
        for name in JOINT_NAMES
        if not name.endswith(tuple(n.removeprefix("left_") for n in JOINT_NAMES[:6]))
    ]
    velocity = mink.VelocityLimit(model, dict.fromkeys(still, 0.0))
    limits = [mink.ConfigurationLimit(model), velocity]
    for _ in range(100):
        step = mink.solve_ik(configuration, tasks, 1.0, solver="daqp", damping=1e-6, limits=limits)
        configuration.integrate_inplace(step, 1.0)
    np.testing.assert_allclose(ours, configuration.q, atol=1e-4)


def test_one_step_equals_minks_at_the_same_damping():
    model = mujoco.MjModel.from_xml_string(SIX_JOINTS)
    configuration = mink.Configuration(model, BENT)
    for damping in (0.01, 0.1, 0.5):
        ik = one_arm(damping=damping, iterations=1, max_joint_step_rad=10.0)
        position, rotation = ik.forward(BENT)
        goal = position[0] + np.array([0.02, -0.03, 0.01])
        # With the orientation already right, mink's error (a logarithm in the hand's frame) is ours, turned.
        task = mink.FrameTask("tip", "site", position_cost=1.0, orientation_cost=0.25)
        task.set_target(mink.SE3.from_rotation_and_translation(mink.SO3.from_matrix(rotation[0]), goal))
        step = mink.solve_ik(configuration, [task], 1.0, solver="daqp", damping=damping**2, limits=[])
        ours = ik.solve(BENT, goal[None], rotation) - BENT
        np.testing.assert_allclose(ours, step, atol=1e-6 + 0.01 * np.abs(step).max())
        assert ours @ step > 0.9999 * np.linalg.norm(ours) * np.linalg.norm(step)


def test_far_targets_are_approached_without_turning_away():
    ik = InverseKinematics()
    position, rotation = ik.forward(home_position())
    goal = position + np.array([0.12, 0.05, -0.1])
    joints, distances = home_position(), []
    for _ in range(12):
        joints = ik.solve(joints, goal, rotation)
        distances.append(np.linalg.norm(ik.forward(joints)[0] - goal))
    assert distances == sorted(distances, reverse=True) or distances[-1] < 1e-6
    assert distances[-1] < 1e-6


def test_steps_and_joint_limits_are_respected():
    model = mujoco.MjModel.from_xml_string(SIX_JOINTS)
    position, rotation = one_arm().forward(BENT + np.array([0, 0, 0.9, 0, 0, 0]))
    model.joint("elbow").range[1] = 1.5
    ik = InverseKinematics(model, sites=("tip",), joints=(ARM,), max_joint_step_rad=0.07)
    joints = BENT
    for _ in range(40):
        new = ik.solve(joints, position, rotation)
        assert np.abs(new - joints).max() <= 0.07 + 1e-12
        joints = new
    assert (joints >= ik.low).all() and (joints <= ik.high).all()
    assert joints[2] == pytest.approx(1.5)


def test_only_the_active_arm_moves():
    ik = InverseKinematics()
    position, rotation = target_near_home(ik, seed=5)
    position[0], rotation[0] = np.nan, np.nan
    joints = solve_until_there(ik, home_position(), position, rotation, active=(False, True))
    moved = np.flatnonzero(joints != home_position())
    assert set(moved) == set(range(30, 36))
    np.testing.assert_allclose(ik.forward(joints)[0][1], position[1], atol=1e-6)


def test_solving_changes_nothing_it_was_given():
    ik = InverseKinematics()
    joints, (position, rotation) = home_position(), target_near_home(ik, seed=6)
    copies = joints.copy(), position.copy(), rotation.copy()
    first = ik.solve(joints, position, rotation)
    for given, copy in zip((joints, position, rotation), copies, strict=True):
        np.testing.assert_array_equal(given, copy)
    np.testing.assert_array_equal(ik.solve(joints, position, rotation), first)


def test_works_for_one_arm():
    ik = one_arm()
    position, rotation = ik.forward(BENT + np.array([0.3, 0.2, -0.3, 0.2, -0.3, 0.3]))
    joints = solve_until_there(ik, BENT, position, rotation)
    np.testing.assert_allclose(ik.forward(joints)[0], position, atol=1e-6)


def test_runs_the_step_and_the_error_it_is_given():
    calls = {"step": 0, "error": 0}

    def backwards(jacobian, error, damping):
        calls["step"] += 1
        return -damped_least_squares(jacobian, error, damping)

    def counted(current, target):
        calls["error"] += 1
        return rotation_error(current, target)

    ik = InverseKinematics(step=backwards, orientation_error=counted, iterations=1)
    position, rotation = ik.forward(home_position())
    goal = position + 0.02
    joints = ik.solve(home_position(), goal, rotation)
    assert calls == {"step": 2, "error": 2}
    assert (
        np.linalg.norm(ik.forward(joints)[0] - goal, axis=1) > np.linalg.norm(position - goal, axis=1)
    ).all()


def test_damping_decides_how_wild_a_stretched_arm_moves():
    stretched = np.array([0.0, 0.0, 1e-4, 0.0, 0.0, 0.0])
    lengths = []
    for damping in (0.0, 0.01, 0.1):
        ik = one_arm(damping=damping)
        ik.forward(stretched)
        jacobian, error = ik.jacobian(0), np.array([-0.02, 0, 0, 0, 0, 0])
        lengths.append(np.abs(damped_least_squares(jacobian, error, damping)).max())
    assert lengths[0] > 10 and lengths[1] < 1.01 and lengths[2] < 0.11


def test_bad_construction_is_one_clear_error(as_learners_run):
    for options in ({"damping": -0.01}, {"iterations": 0}, {"max_joint_step_rad": 0.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            InverseKinematics(**options)
    with pytest.raises(ValueError, match="no site named 'nose'"):
        InverseKinematics(sites=("nose", "right_grasp"))
    with pytest.raises(ValueError, match="no joint named 'knee'"):
        InverseKinematics(joints=(("knee",), JOINT_NAMES[30:36]))
    with pytest.raises(ValueError, match="one group of joints per site"):
        InverseKinematics(sites=("left_grasp",))
    ball = '<mujoco><worldbody><body><joint name="b" type="ball"/><geom size=".1"/><site name="s"/></body></worldbody></mujoco>'
    with pytest.raises(ValueError, match="no free or ball joints"):
        InverseKinematics(mujoco.MjModel.from_xml_string(ball), sites=("s",), joints=(("b",),))


def test_bad_targets_are_one_clear_error(as_learners_run):
    ik = InverseKinematics()
    position, rotation = ik.forward(home_position())
    not_finite = position.copy()
    not_finite[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"joint_position: want shape \(60,\), got \(59,\)"):
        ik.solve(home_position()[:59], position, rotation)
    with pytest.raises(ValueError, match=r"target_position: want shape \(2, 3\)"):
        ik.solve(home_position(), position[0], rotation)
    with pytest.raises(ValueError, match=r"target_rotation: want shape \(2, 3, 3\)"):
        ik.solve(home_position(), position, rotation[0])
    with pytest.raises(ValueError, match="target_position: holds a number that is not finite"):
        ik.solve(home_position(), not_finite, rotation)
    with pytest.raises(ValueError, match="active"):
        ik.solve(home_position(), position, rotation, active=(True,))
    with pytest.raises(ValueError, match="not finite"):
        ik.forward(np.full(60, np.inf))


def test_a_step_that_is_not_finite_is_named(as_learners_run):
    ik = InverseKinematics(step=lambda jacobian, error, damping: np.full(6, np.nan))
    position, rotation = ik.forward(home_position())
    with pytest.raises(ValueError, match="step returned"):
        ik.solve(home_position(), position + 0.01, rotation)


def test_a_copy_computes_what_the_original_does():
    ik = InverseKinematics()
    joints = home_position()
    for twin in (deepcopy(ik), pickle.loads(pickle.dumps(ik))):
        moved, _ = twin.forward(joints + 0.1)
        np.testing.assert_array_equal(moved, ik.forward(joints + 0.1)[0])
