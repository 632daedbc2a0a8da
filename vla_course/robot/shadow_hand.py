"""A five-fingered hand with the Shadow Dexterous Hand's 24 joints, out of capsules, in a left and a right version."""

import math
from typing import Literal

import mujoco

from vla_course.robot.collisions import CollisionBits
from vla_course.robot.primitives import (
    Paint,
    Point,
    add_capsule,
    add_cylinder,
    add_position_joint,
    add_sphere,
    axis_angle,
)

Side = Literal["left", "right"]

_SPREAD, _BASE, _CURL = (-20, 20), (-15, 90), (0, 90)
# Joint limits in degrees, in the order of the actuators.
_LIMIT_DEG: dict[str, tuple[int, int]] = {
    **{"WRJ2": (-30, 10), "WRJ1": (-40, 28)},
    **{"FFJ4": _SPREAD, "FFJ3": _BASE, "FFJ2": _CURL, "FFJ1": _CURL},
    **{"MFJ4": _SPREAD, "MFJ3": _BASE, "MFJ2": _CURL, "MFJ1": _CURL},
    **{"RFJ4": _SPREAD, "RFJ3": _BASE, "RFJ2": _CURL, "RFJ1": _CURL},
    **{"LFJ5": (0, 45), "LFJ4": _SPREAD, "LFJ3": _BASE, "LFJ2": _CURL, "LFJ1": _CURL},
    **{"THJ5": (-60, 60), "THJ4": (0, 70), "THJ3": (-12, 12), "THJ2": (-40, 40), "THJ1": (-15, 90)},
}
HAND_JOINTS = tuple(_LIMIT_DEG)
HAND_LIMIT_RAD = {joint: (math.radians(low), math.radians(high)) for joint, (low, high) in _LIMIT_DEG.items()}

FINGERTIPS = ("FF_tip", "MF_tip", "RF_tip", "LF_tip", "TH_tip")

# Where the closed thumb and fingers meet, in the frame of a right palm.
GRASP_POINT_M: Point = (0.024, -0.069, 0.124)


def _pose(**angles_rad: tuple[float, ...]) -> dict[str, float]:
    """A hand pose from each finger's last joints, J1 being the outermost; all other joints are straight."""
    pose = dict.fromkeys(HAND_JOINTS, 0.0)
    for finger, angles in angles_rad.items():
        pose |= {f"{finger}J{len(angles) - k}": angle for k, angle in enumerate(angles)}
    return pose


OPEN_HAND = _pose(
    FF=(0.15, 0.30, 0.10),
    MF=(0.15, 0.30, 0.10),
    RF=(0.20, 0.30, 0.10),
    LF=(0.25, 0.30, 0.10),
    TH=(0.60, 0.50, 0.0, 0.0, 0.0),
)
"""Joint angles in rad of a relaxed open hand."""

CLOSED_HAND = _pose(
    FF=(0.60, 0.83, 0.43),
    MF=(0.62, 0.86, 0.44),
    RF=(0.75, 0.95, 0.50),
    LF=(0.80, 1.00, 0.50),
    TH=(0.90, 0.93, 0.0, 0.10, 0.0),
)
"""Joint angles in rad of a pinch: thumb, first and middle finger meet at GRASP_POINT_M."""

_FINGER_RADIUS_M = 0.0085
_PHALANX_M = (0.045, 0.025, 0.026)
_PHALANX_MASS_KG = (0.030, 0.017, 0.013)


def add_shadow_hand(
    spec: mujoco.MjSpec, mount: mujoco.MjsBody, *, prefix: str, side: Side, bits: CollisionBits
) -> None:
    """Puts a hand on `mount` (a flange whose z axis points out), with 24 joints and as many position actuators.

    Frames: in the palm frame z runs along the fingers, -y is the way the palm looks, and the thumb is on +x in a right hand
    and on -x in a left one. The left hand is the mirror image in x: equal joint angles give mirrored poses. Sites:
    `<prefix>grasp`, where thumb and fingers meet, and `<prefix>FF_tip` and so on. Camera: `<prefix>wrist`, which looks
    over the palm at the fingertips.

    Source: Shadow Robot, "Shadow Dexterous Hand Technical Specification" (joint ranges, layout) and the public
    sr_description model (link offsets and masses).
    Differs: a real hand has 20 actuators, because in its four fingers J2 and J1 are coupled; here all 24 joints are driven,
    which is a convention of simulated garment tasks. The forearm is 0.11 m long instead of 0.213 m, so that an arm and a
    hand reach a table between them, and weighs 0.8 kg instead of 3 kg.
    """
    sign = 1.0 if side == "right" else -1.0
    hand = _HandBuilder(spec, prefix, sign, bits)

    forearm = mount.add_body(name=f"{prefix}forearm", gravcomp=1)
    add_cylinder(forearm, (0, 0, 0.0), (0, 0, 0.012), 0.046, paint=Paint.DARK)
    add_capsule(forearm, (0, 0, 0.03), (0, 0, 0.075), 0.037, paint=Paint.GRAPHITE, mass_kg=0.8, bits=bits)
    wrist = forearm.add_body(name=f"{prefix}wrist", pos=(0, 0, 0.11), gravcomp=1)
    hand.add_joint(wrist, "WRJ2", (0, sign, 0), torque_nm=10.0, stiffness=20.0, armature=0.005, damping=0.1)
    add_capsule(wrist, (-0.016, 0, 0.0), (0.016, 0, 0.0), 0.018, paint=Paint.STEEL, mass_kg=0.1)
    palm = wrist.add_body(name=f"{prefix}palm", pos=(0, 0, 0.034), gravcomp=1)
    hand.add_joint(palm, "WRJ1", (1, 0, 0), torque_nm=10.0, stiffness=20.0, armature=0.005, damping=0.1)
    hand.add_palm_geoms(palm)

    hand.add_finger(palm, "FF", (0.033 * sign, 0, 0.095), spread_axis=(0, -sign, 0))
    hand.add_finger(palm, "MF", (0.011 * sign, 0, 0.099), spread_axis=(0, -sign, 0))
    hand.add_finger(palm, "RF", (-0.011 * sign, 0, 0.095), spread_axis=(0, sign, 0))
    metacarpal = palm.add_body(name=f"{prefix}LF_metacarpal", pos=(-0.033 * sign, 0, 0.02071), gravcomp=1)
    # The little finger's metacarpal swings towards the thumb about an axis 35 degrees off the finger direction.
    tilt = math.radians(35)
    hand.add_joint(metacarpal, "LFJ5", (math.sin(tilt), 0, sign * math.cos(tilt)))
    add_capsule(metacarpal, (0, 0, 0.0), (0, 0, 0.056), 0.0105, paint=Paint.DARK, mass_kg=0.03)
    hand.add_finger(metacarpal, "LF", (0, 0, 0.06579), spread_axis=(0, sign, 0))
    hand.add_thumb(palm)

    x, y, z = GRASP_POINT_M
    palm.add_site(
        name=f"{prefix}grasp", pos=(sign * x, y, z), size=[0.006] * 3, rgba=(0.2, 0.8, 0.4, 1), group=4
    )
    palm.add_camera(name=f"{prefix}wrist", pos=(0, -0.075, -0.03), quat=_WRIST_CAMERA_QUAT, fovy=70)


# A camera looks along its own -z with +y up. This one looks along the fingers, the palm's +z, with the back of the hand
# down in the picture.
_WRIST_CAMERA_QUAT = axis_angle((1, 0, 0), math.pi)


class _HandBuilder:
    """Carries what every link of one hand has in common: the model being built, the name prefix, the mirror sign."""

    def __init__(self, spec: mujoco.MjSpec, prefix: str, sign: float, bits: CollisionBits) -> None:
        self.spec = spec
        self.prefix = prefix
        self.sign = sign
        self.bits = bits

    def add_joint(
        self,
        body: mujoco.MjsBody,
        joint: str,
        axis: Point,
        *,
        torque_nm: float = 1.0,
        stiffness: float = 1.0,
        armature: float = 5e-4,
        damping: float = 0.01,
    ) -> None:
        add_position_joint(
            self.spec,
            body,
            name=self.prefix + joint,
            axis=axis,
            range_rad=HAND_LIMIT_RAD[joint],
            torque_nm=torque_nm,
            stiffness=stiffness,
            armature=armature,
            damping=damping,
        )

    def add_palm_geoms(self, palm: mujoco.MjsBody) -> None:
        palm.add_geom(
            name=f"{self.prefix}palm",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=(0, 0, 0.045),
            size=(0.040, 0.011, 0.045),
            rgba=Paint.DARK.value,
            mass=0.3,
            contype=int(self.bits.contype),
            conaffinity=int(self.bits.conaffinity),
            condim=1,
        )

    def add_finger(self, base: mujoco.MjsBody, finger: str, position_m: Point, *, spread_axis: Point) -> None:
        """Knuckle (J4 spreads), then proximal, middle and distal phalanx (J3, J2, J1 curl towards the palm)."""
        body = base.add_body(name=f"{self.prefix}{finger}_knuckle", pos=position_m, gravcomp=1)
        self.add_joint(body, f"{finger}J4", spread_axis)
        add_sphere(body, (0, 0, 0), 0.0105, paint=Paint.STEEL, mass_kg=0.008)
        offset = 0.0
        for joint, part, length, mass in zip(
            (3, 2, 1), ("proximal", "middle", "distal"), _PHALANX_M, _PHALANX_MASS_KG, strict=True
        ):
            body = body.add_body(name=f"{self.prefix}{finger}_{part}", pos=(0, 0, offset), gravcomp=1)
            self.add_joint(body, f"{finger}J{joint}", (1, 0, 0))
            paint = (
                Paint.FINGERTIP if part == "distal" else Paint.DARK if part == "middle" else Paint.GRAPHITE
            )
            add_capsule(
                body, (0, 0, 0), (0, 0, length), _FINGER_RADIUS_M, paint=paint, mass_kg=mass, bits=self.bits
            )
            offset = length
        body.add_site(name=f"{self.prefix}{finger}_tip", pos=(0, 0, offset), size=[0.006] * 3, group=4)

    def add_thumb(self, palm: mujoco.MjsBody) -> None:
        sign, prefix = self.sign, self.prefix
        base = palm.add_body(
            name=f"{prefix}TH_base",
            pos=(0.034 * sign, -0.00858, 0.029),
            quat=axis_angle((0, 1, 0), sign * math.pi / 4),
            gravcomp=1,
        )
        self.add_joint(base, "THJ5", (0, 0, -sign), torque_nm=2.0, stiffness=1.5)
        add_sphere(base, (0, 0, 0), 0.0135, paint=Paint.STEEL, mass_kg=0.01)
        proximal = base.add_body(name=f"{prefix}TH_proximal", gravcomp=1)
        self.add_joint(proximal, "THJ4", (1, 0, 0), torque_nm=2.0, stiffness=1.5)
        add_capsule(
            proximal, (0, 0, 0), (0, 0, 0.038), 0.0105, paint=Paint.GRAPHITE, mass_kg=0.04, bits=self.bits
        )
        hub = proximal.add_body(name=f"{prefix}TH_hub", pos=(0, 0, 0.038), gravcomp=1)
        self.add_joint(hub, "THJ3", (1, 0, 0))
        add_sphere(hub, (0, 0, 0), 0.011, paint=Paint.STEEL, mass_kg=0.005)
        middle = hub.add_body(name=f"{prefix}TH_middle", gravcomp=1)
        self.add_joint(middle, "THJ2", (0, -sign, 0))
        add_capsule(middle, (0, 0, 0), (0, 0, 0.032), 0.0095, paint=Paint.DARK, mass_kg=0.02, bits=self.bits)
        distal = middle.add_body(name=f"{prefix}TH_distal", pos=(0, 0, 0.032), gravcomp=1)
        self.add_joint(distal, "THJ1", (0, -sign, 0))
        add_capsule(
            distal, (0, 0, 0), (0, 0, 0.0275), 0.0095, paint=Paint.FINGERTIP, mass_kg=0.017, bits=self.bits
        )
        distal.add_site(name=f"{prefix}TH_tip", pos=(0, 0, 0.0275), size=[0.006] * 3, group=4)
