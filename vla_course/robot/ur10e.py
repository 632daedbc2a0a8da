"""The Universal Robots UR10e arm out of its public Denavit-Hartenberg table: six joints, capsules and cylinders, no meshes."""

import math

import mujoco

from vla_course.robot.collisions import CollisionBits
from vla_course.robot.primitives import (
    Paint,
    Point,
    add_capsule,
    add_cylinder,
    add_position_joint,
    axis_angle,
)

ARM_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")

# Standard Denavit-Hartenberg parameters: frame i = frame i-1 * RotZ(q_i) * TransZ(d_i) * TransX(a_i) * RotX(alpha_i).
DH_A_M = (0.0, -0.6127, -0.57155, 0.0, 0.0, 0.0)
DH_D_M = (0.1807, 0.0, 0.0, 0.17415, 0.11985, 0.11655)
DH_ALPHA_RAD = (math.pi / 2, 0.0, 0.0, math.pi / 2, -math.pi / 2, 0.0)

LINK_MASS_KG = (7.369, 13.051, 3.989, 2.1, 1.98, 0.615)
ARM_LIMIT_RAD = (2 * math.pi, 2 * math.pi, math.pi, 2 * math.pi, 2 * math.pi, 2 * math.pi)
ARM_TORQUE_NM = (330.0, 330.0, 150.0, 56.0, 56.0, 56.0)
ARM_VELOCITY_RAD_S = tuple(math.radians(v) for v in (120, 120, 180, 180, 180, 180))

# Not from the data sheet: gains chosen so that the arm follows a 20 Hz target without ringing at a 1/120 s time step. The
# armature stands for the rotor and gear inertia seen at the joint.
_STIFFNESS = (3000.0, 3000.0, 2000.0, 800.0, 600.0, 400.0)
_ARMATURE = (2.0, 2.0, 1.0, 0.3, 0.2, 0.2)
_DAMPING = (2.0, 2.0, 2.0, 0.5, 0.5, 0.5)


def add_ur10e(
    spec: mujoco.MjSpec,
    *,
    prefix: str,
    position_m: Point,
    yaw_rad: float,
    bits: CollisionBits,
) -> mujoco.MjsBody:
    """A UR10e on a base plate, with one position actuator per joint; returns its tool flange, to put a hand on.

    The flange body's z axis points out of the tool. `yaw_rad` turns the base about the vertical; at yaw pi the stretched
    arm (all joints zero) points along world +x.

    Source: Universal Robots, "DH parameters for calculations of kinematics and dynamics", UR10e; "Max. joint torques" (size
    4, 4, 3, 2, 2, 2); UR10e user manual for the joint ranges.
    Differs: link inertias follow from the capsules and cylinders drawn here, with the table's masses. The velocity limits
    of the table are documented in ARM_VELOCITY_RAD_S and not enforced: the joint-target increments of 0.10 rad at 20 Hz
    (115 degrees/s) keep below them.
    """
    body = spec.worldbody.add_body(name=f"{prefix}base", pos=position_m, quat=axis_angle((0, 0, 1), yaw_rad))
    add_cylinder(body, (0, 0, 0), (0, 0, 0.03), 0.095, paint=Paint.DARK)
    offset, turn = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)
    for index, joint in enumerate(ARM_JOINTS):
        body = body.add_body(name=f"{prefix}{joint}_link", pos=offset, quat=turn, gravcomp=1)
        add_position_joint(
            spec,
            body,
            name=prefix + joint,
            axis=(0, 0, 1),
            range_rad=(-ARM_LIMIT_RAD[index], ARM_LIMIT_RAD[index]),
            torque_nm=ARM_TORQUE_NM[index],
            stiffness=_STIFFNESS[index],
            armature=_ARMATURE[index],
            damping=_DAMPING[index],
        )
        _add_link_geoms(body, index, bits)
        offset = (DH_A_M[index], 0.0, DH_D_M[index])
        turn = axis_angle((1, 0, 0), DH_ALPHA_RAD[index])
    return body.add_body(name=f"{prefix}flange", pos=offset, quat=turn, gravcomp=1)


def _add_link_geoms(body: mujoco.MjsBody, index: int, bits: CollisionBits) -> None:
    """The shape of link `index`, whose joint turns about the body's z axis. One geom carries the whole mass."""
    mass = LINK_MASS_KG[index]
    if index == 0:
        add_cylinder(body, (0, 0, 0.03), (0, 0, 0.105), 0.088, paint=Paint.GREY)
        add_capsule(body, (0, 0, 0.105), (0, 0, DH_D_M[0]), 0.078, paint=Paint.SILVER, mass_kg=mass)
    elif index == 1:
        add_capsule(
            body, (0, 0, 0.176), (DH_A_M[1], 0, 0.176), 0.056, paint=Paint.SILVER, mass_kg=mass, bits=bits
        )
        add_cylinder(body, (0, 0, 0.0), (0, 0, 0.255), 0.074, paint=Paint.GREY)
        add_cylinder(body, (0, 0, 0.255), (0, 0, 0.266), 0.066, paint=Paint.BLUE)
        add_cylinder(body, (DH_A_M[1], 0, 0.10), (DH_A_M[1], 0, 0.24), 0.062, paint=Paint.GREY)
        add_cylinder(body, (DH_A_M[1], 0, 0.24), (DH_A_M[1], 0, 0.25), 0.054, paint=Paint.BLUE)
    elif index == 2:
        add_capsule(
            body, (0, 0, 0.04), (DH_A_M[2], 0, 0.04), 0.044, paint=Paint.SILVER, mass_kg=mass, bits=bits
        )
        add_cylinder(body, (0, 0, -0.02), (0, 0, 0.10), 0.060, paint=Paint.GREY)
        add_cylinder(body, (DH_A_M[2], 0, -0.015), (DH_A_M[2], 0, 0.09), 0.048, paint=Paint.GREY)
        add_cylinder(body, (DH_A_M[2], 0, -0.024), (DH_A_M[2], 0, -0.015), 0.042, paint=Paint.BLUE)
    elif index == 3:
        add_capsule(body, (0, 0, 0.09), (0, 0, DH_D_M[3]), 0.046, paint=Paint.SILVER, mass_kg=mass, bits=bits)
        add_cylinder(body, (0, -0.055, DH_D_M[3]), (0, 0.04, DH_D_M[3]), 0.0465, paint=Paint.GREY)
        add_cylinder(body, (0, 0.04, DH_D_M[3]), (0, 0.05, DH_D_M[3]), 0.041, paint=Paint.BLUE)
    elif index == 4:
        add_capsule(body, (0, 0, 0.05), (0, 0, DH_D_M[4]), 0.046, paint=Paint.SILVER, mass_kg=mass, bits=bits)
        add_cylinder(body, (0, -0.05, DH_D_M[4]), (0, 0.05, DH_D_M[4]), 0.0465, paint=Paint.GREY)
        add_cylinder(body, (0, 0.05, DH_D_M[4]), (0, 0.06, DH_D_M[4]), 0.041, paint=Paint.BLUE)
    else:
        add_cylinder(body, (0, 0, 0.05), (0, 0, DH_D_M[5]), 0.046, paint=Paint.SILVER, mass_kg=mass)
