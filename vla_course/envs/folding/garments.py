"""Garments as sheets of vertices: their outline, their named keypoints, and the folds asked for.

Every garment is a grid of vertices whose rows and columns were sheared and squeezed until the border is smooth. Fold lines
lie on a row or a column of that grid, because cloth creases along its vertices: half a cell beside one, and the crease
moves by 16 mm.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from vla_course.envs.arguments import check_known

CELL_M = 0.032
GARMENTS = ("towel", "tshirt", "trousers")
LEFT, RIGHT = 0, 1


@dataclass(frozen=True)
class Fold:
    """One fold: mirror what lies beyond a line of the garment's own frame, held at one vertex per hand.

    `axis` and `line_m` say where the line is (axis 0: the line x = line_m), `side` (+1 or -1) which side of it moves,
    `grasps` which vertex each hand takes: pairs of (hand, vertex), 0 for the left hand.
    """

    name: str
    axis: int
    line_m: float
    side: int
    grasps: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Garment:
    """A flat garment, its keypoints and its folds, in its own frame (x across, y from hem to collar, metres)."""

    name: str
    instruction: str
    vertices: Float[np.ndarray, "V 2"]
    grid: Int[np.ndarray, "V 2"]
    triangles: Int[np.ndarray, "F 3"]
    keypoints: dict[str, int]
    folds: tuple[Fold, ...]
    yaw_rad: float
    """Yaw in the world at which the robots find the garment in front of them."""
    fold_tolerance_m: float
    box_share: float
    """Share of the garment that DexGarmentLab's success rule wants inside the target box."""

    def ideal_vertices(self, folds_done: int) -> Float[np.ndarray, "V 2"]:
        """Where every vertex lies after the first `folds_done` folds, each done perfectly."""
        vertices = self.vertices.copy()
        for fold in self.folds[:folds_done]:
            moved = beyond(vertices, fold)
            vertices[moved, fold.axis] = 2 * fold.line_m - vertices[moved, fold.axis]
        return vertices

    def moved_by(self, fold_index: int) -> Bool[np.ndarray, " V"]:
        """Which vertices this fold moves."""
        return beyond(self.ideal_vertices(fold_index), self.folds[fold_index])

    def scaled(self, factor: float) -> "Garment":
        """The same garment, larger or smaller."""
        folds = tuple(replace(fold, line_m=fold.line_m * factor) for fold in self.folds)
        return replace(self, vertices=self.vertices * factor, folds=folds)


def beyond(vertices: Float[np.ndarray, "V 2"], fold: Fold) -> Bool[np.ndarray, " V"]:
    """Which vertices lie on the moving side of a fold line, the line itself left out."""
    moved: Bool[np.ndarray, " V"] = (vertices[:, fold.axis] - fold.line_m) * fold.side > 1e-6
    return moved


def make_garment(name: str, *, quarter: bool = False) -> Garment:
    """The towel, T-shirt or trousers of the course, at its middle size.

    `quarter` folds the towel twice.

    Raises: ValueError for a name that is not a garment, or `quarter` for something else than the towel.
    """
    makers = {"towel": _towel, "tshirt": _tshirt, "trousers": _trousers}
    check_known("garment", [name], GARMENTS)
    if quarter and name != "towel":
        raise ValueError(
            f"quarter=True folds the towel twice; the {name} has its own folds: leave quarter out"
        )
    return _towel(quarter=quarter) if name == "towel" else makers[name]()


def turned_towel(towel: Garment, quarter_turns: int) -> Garment:
    """The same square towel with its names given a quarter turn on, so that "far" is far from the robots at any yaw."""
    angle = quarter_turns * np.pi / 2
    cosine, sine = round(np.cos(angle)), round(np.sin(angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    lookup = {tuple(point): vertex for vertex, point in enumerate(np.round(towel.vertices, 6).tolist())}
    renamed = [lookup[tuple((np.round(turn @ point, 6) + 0.0).tolist())] for point in towel.vertices]
    folds = []
    for fold in towel.folds:
        normal = turn @ (fold.side * np.eye(2)[fold.axis])
        axis = int(np.abs(normal).argmax())
        grasps = tuple((hand, renamed[vertex]) for hand, vertex in fold.grasps)
        folds.append(replace(fold, axis=axis, side=int(normal[axis]), grasps=grasps))
    keypoints = {name: renamed[vertex] for name, vertex in towel.keypoints.items()}
    return replace(towel, keypoints=keypoints, folds=tuple(folds))


def _sheet(
    points: Float[np.ndarray, "R C 2"], kept: Bool[np.ndarray, "R C"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, grid coordinates (column, row) and triangles of the part of a grid that is cloth."""
    rows, columns = np.nonzero(kept)
    number = np.full(kept.shape, -1)
    number[rows, columns] = np.arange(len(rows))
    vertices = points[rows, columns]
    vertices = vertices - (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    triangles = []
    for row in range(kept.shape[0] - 1):
        for column in range(kept.shape[1] - 1):
            a, b = number[row, column], number[row, column + 1]
            d, c = number[row + 1, column], number[row + 1, column + 1]
            corners = [v for v in (a, b, c, d) if v >= 0]
            if len(corners) == 3:
                triangles.append(tuple(corners))
            elif len(corners) == 4:
                # Diagonals alternate, so that the cloth is not stiffer one way than the other.
                triangles += [(a, b, c), (a, c, d)] if (row + column) % 2 == 0 else [(a, b, d), (b, c, d)]
    return vertices, np.column_stack([columns, rows]), np.array(triangles)


def _grid(columns: int, rows: int, cell_m: float = CELL_M) -> Float[np.ndarray, "R C 2"]:
    x, y = np.meshgrid(np.arange(columns) * cell_m, np.arange(rows) * cell_m)
    return np.stack([x, y], axis=-1)


def _towel(*, quarter: bool = False) -> Garment:
    size = 11
    vertices, grid, triangles = _sheet(_grid(size, size, 0.36 / (size - 1)), np.ones((size, size), bool))
    at = _finder(grid)
    last, middle = size - 1, size // 2
    # At yaw 0 the garment's frame is the world's: +x is away from the robots, +y to their left.
    corners = {
        "far_left": at(last, last),
        "far_right": at(last, 0),
        "near_left": at(0, last),
        "near_right": at(0, 0),
    }
    middles = {"fold_left": at(middle, last), "fold_right": at(middle, 0)}
    folds = [Fold("half", 0, 0.0, 1, ((LEFT, corners["far_left"]), (RIGHT, corners["far_right"])))]
    if quarter:
        folds.append(Fold("quarter", 1, 0.0, -1, ((RIGHT, at(middle // 2, 0)),)))
    return Garment(
        name="towel",
        instruction="fold the towel in quarters" if quarter else "fold the towel in half",
        vertices=vertices,
        grid=grid,
        triangles=triangles,
        keypoints=corners | middles,
        folds=tuple(folds),
        yaw_rad=0.0,
        fold_tolerance_m=0.025,
        box_share=0.88,
    )


def _tshirt() -> Garment:
    columns, rows, sleeve = 17, 15, 4
    points = _grid(columns, rows)
    kept = np.zeros((rows, columns), bool)
    kept[:, sleeve : columns - sleeve] = True
    kept[rows - 5 :, :] = True
    centre = (columns - 1) / 2
    armpit = rows - 5
    for column in range(columns):
        outwards = max(0.0, abs(column - centre) - (centre - sleeve))  # 0 on the body, 4 at the sleeve's end
        height = points[armpit:, column, 1]
        middle = height.mean()
        # Sleeves hang: sheared down 0.45 cell a column, and narrower towards the end.
        points[armpit:, column, 1] = (
            middle + (height - middle) * (1 - 0.04 * outwards) - 0.45 * CELL_M * outwards
        )
        # The neckline is a shallow scoop that the three rows under it share.
        scoop = max(0.0, 1 - ((column - centre) / 2.0) ** 2)
        points[rows - 3 :, column, 1] -= CELL_M * scoop * np.array([0.2, 0.5, 1.0])
    vertices, grid, triangles = _sheet(points, kept)
    at = _finder(grid)
    line = [vertices[at(column, 0), 0] for column in (sleeve, columns - 1 - sleeve)]
    keypoints = {
        "left_sleeve": at(0, rows - 3),
        "left_shoulder": at(sleeve, rows - 1),
        "right_sleeve": at(columns - 1, rows - 3),
        "right_shoulder": at(columns - 1 - sleeve, rows - 1),
        "left_hem": at(sleeve, 0),
        "right_hem": at(columns - 1 - sleeve, 0),
        "collar": at(columns // 2, rows - 1),
    }
    return Garment(
        name="tshirt",
        instruction="fold the t-shirt",
        vertices=vertices,
        grid=grid,
        triangles=triangles,
        keypoints=keypoints,
        folds=(
            Fold("left sleeve in", 0, line[0], -1, ((LEFT, keypoints["left_sleeve"]),)),
            Fold("right sleeve in", 0, line[1], 1, ((RIGHT, keypoints["right_sleeve"]),)),
            Fold(
                "bottom up",
                1,
                vertices[at(sleeve, 7), 1],
                -1,
                ((LEFT, keypoints["left_hem"]), (RIGHT, keypoints["right_hem"])),
            ),
        ),
        yaw_rad=-np.pi / 2,
        fold_tolerance_m=0.030,
        box_share=0.88,
    )


def _trousers() -> Garment:
    columns, rows, crotch = 11, 19, 12
    points = _grid(columns, rows)
    kept = np.ones((rows, columns), bool)
    kept[:crotch, 5] = False
    width = 10 * CELL_M
    for row in range(crotch):
        # Each leg has five columns; they draw together towards the hem, so that the inside of the leg is a straight line.
        leg = (4.6 - 0.9 * (crotch - 1 - row) / (crotch - 1)) * CELL_M
        points[row, :5, 0] = np.linspace(0, leg, 5)
        points[row, 6:, 0] = width - np.linspace(leg, 0, 5)
    vertices, grid, triangles = _sheet(points, kept)
    at = _finder(grid)
    keypoints = {
        "near_waist": at(0, rows - 1),
        "far_waist": at(columns - 1, rows - 1),
        "near_hem": at(0, 0),
        "far_hem": at(columns - 1, 0),
        "near_inner_hem": at(4, 0),
        "far_inner_hem": at(6, 0),
        "crotch": at(5, crotch),
    }
    return Garment(
        name="trousers",
        instruction="fold the trousers",
        vertices=vertices,
        grid=grid,
        triangles=triangles,
        keypoints=keypoints,
        folds=(
            Fold("leg over leg", 0, 0.0, 1, ((LEFT, keypoints["far_waist"]), (RIGHT, keypoints["far_hem"]))),
            Fold("half", 1, vertices[at(0, 9), 1], -1, ((RIGHT, at(2, 0)),)),
        ),
        yaw_rad=0.0,
        fold_tolerance_m=0.030,
        box_share=0.85,
    )


def _finder(grid: Int[np.ndarray, "V 2"]):  # type: ignore[no-untyped-def]
    """A function from grid coordinates (column, row) to the vertex there."""
    numbers = {(int(column), int(row)): vertex for vertex, (column, row) in enumerate(grid)}
    return lambda column, row: numbers[column, row]
