"""The letters that name array axes in every signature, and the units that numbers carry.

Lengths are metres, angles radians, times seconds, rates hertz, masses kilograms; a name says so where the type cannot
(`edge_m`, `angle_rad`, `control_hz`). The world frame has its origin on the table's surface at its centre, x away from
the robots, y to their left, z up. Rotations are 3 × 3 matrices that turn hand coordinates into world coordinates.
"""

AXES: dict[str, str] = {
    "B": "batch: samples that go through a model together",
    "T": "time: control steps of an episode or a rollout",
    "N": "parallel environments, or things on a table",
    "L": "tokens of a sequence",
    "P": "image patches, or points on a garment's surface",
    "D": "width of a model's vectors",
    "K": "actions in a chunk, or named keypoints of a garment",
    "A": "numbers in one action",
    "J": "joints",
    "E": "numbers in a task-space error: three of position, three of rotation, per hand",
    "H": "image rows",
    "W": "image columns",
    "C": "colour channels, grid columns, or cameras",
    "R": "grid rows",
    "V": "vertices of a garment",
    "F": "triangles of a garment",
    "M": "vertices of the finer skin that a garment is drawn with",
    "G": "triangles of that skin",
    "S": "samples: points of an outline, or numbers of a saved state",
}
