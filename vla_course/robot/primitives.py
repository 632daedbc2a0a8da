"""Small building blocks for MuJoCo models: a painted capsule, cylinder or box, and a joint with its position actuator."""

import enum

import mujoco
import numpy as np

from vla_course.robot.collisions import NO_COLLISION, CollisionBits

Point = tuple[float, float, float]
"""x, y, z in metres; also an axis or a colour."""


class Paint(enum.Enum):
    """The robot's colours as RGBA in [0, 1]."""

    SILVER = (0.80, 0.82, 0.84, 1.0)
    GREY = (0.42, 0.45, 0.49, 1.0)
    BLUE = (0.42, 0.66, 0.84, 1.0)
    DARK = (0.17, 0.18, 0.21, 1.0)
    GRAPHITE = (0.26, 0.28, 0.32, 1.0)
    STEEL = (0.62, 0.64, 0.67, 1.0)
    FINGERTIP = (0.93, 0.90, 0.84, 1.0)


def axis_angle(axis: Point, angle_rad: float) -> tuple[float, float, float, float]:
    """The unit quaternion (w, x, y, z) that turns by `angle_rad` about `axis`."""
    quat = np.zeros(4)
    mujoco.mju_axisAngle2Quat(quat, np.array(axis, dtype=float) / np.linalg.norm(axis), angle_rad)
    return (float(quat[0]), float(quat[1]), float(quat[2]), float(quat[3]))


def add_capsule(
    body: mujoco.MjsBody,
    start_m: Point,
    end_m: Point,
    radius_m: float,
    *,
    paint: Paint,
    mass_kg: float = 0.0,
    bits: CollisionBits = NO_COLLISION,
) -> mujoco.MjsGeom:
    """A rod with round ends between two points of the body's frame; looks only, unless `bits` says what stops it."""
    return _add_rod(mujoco.mjtGeom.mjGEOM_CAPSULE, body, start_m, end_m, radius_m, paint, mass_kg, bits)


def add_cylinder(
    body: mujoco.MjsBody,
    start_m: Point,
    end_m: Point,
    radius_m: float,
    *,
    paint: Paint,
    mass_kg: float = 0.0,
    bits: CollisionBits = NO_COLLISION,
) -> mujoco.MjsGeom:
    """A rod with flat ends between two points of the body's frame; looks only, unless `bits` says what stops it."""
    return _add_rod(mujoco.mjtGeom.mjGEOM_CYLINDER, body, start_m, end_m, radius_m, paint, mass_kg, bits)


def _add_rod(
    shape: mujoco.mjtGeom,
    body: mujoco.MjsBody,
    start_m: Point,
    end_m: Point,
    radius_m: float,
    paint: Paint,
    mass_kg: float,
    bits: CollisionBits,
) -> mujoco.MjsGeom:
    return body.add_geom(
        type=shape,
        fromto=[*start_m, *end_m],
        size=[radius_m, 0, 0],
        rgba=paint.value,
        mass=mass_kg,
        contype=int(bits.contype),
        conaffinity=int(bits.conaffinity),
        condim=1,  # robot against robot needs no friction; against the table the plane's own condim decides
    )


def add_sphere(
    body: mujoco.MjsBody, center_m: Point, radius_m: float, *, paint: Paint, mass_kg: float = 0.0
) -> None:
    """A ball to look at."""
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        pos=center_m,
        size=[radius_m, 0, 0],
        rgba=paint.value,
        mass=mass_kg,
        contype=0,
        conaffinity=0,
    )


def add_position_joint(
    spec: mujoco.MjSpec,
    body: mujoco.MjsBody,
    *,
    name: str,
    axis: Point,
    range_rad: tuple[float, float],
    torque_nm: float,
    stiffness: float,
    armature: float,
    damping: float,
) -> None:
    """A hinge and, under the same name, a critically damped position actuator with the joint's range and a torque limit."""
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=axis,
        range=range_rad,
        armature=armature,
        damping=damping,
    )
    actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    actuator.set_to_position(kp=stiffness, dampratio=1.0)
    actuator.forcerange = [-torque_nm, torque_nm]
    actuator.ctrlrange = range_rad
