"""Prints of garments: hems and stitches as a grey texture that tints the garment's colour, and an emblem."""

import numpy as np
from jaxtyping import Float, Int, UInt8

_RESOLUTION = 256
_HEIGHT_M = {"towel": 0.36, "tshirt": 0.448, "trousers": 0.576}
_REACH_M = 0.03  # nothing below is further from the border
_CLOTH, _SHADE, _LIGHT = 0.86, 0.62, 1.0


def garment_print(
    name: str, vertices: Float[np.ndarray, "V 2"], outline: list[tuple[int, int]]
) -> UInt8[np.ndarray, "R R 3"]:
    """A grey picture of the garment's front, stretched over its bounding box; MuJoCo multiplies it with the colour.

    Row 0 is the lower edge (the hem), column 0 the left one. `outline` lists the edges of the border as vertex pairs. The
    lengths below are in metres on the garment's middle size: a larger garment has a larger print, the same picture.
    """
    vertices = vertices * (_HEIGHT_M[name] / np.ptp(vertices[:, 1]))
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    columns, rows = (np.linspace(low[k], high[k], _RESOLUTION) for k in (0, 1))
    border = _distance_to_border(columns, rows, vertices, outline)
    x, y = np.meshgrid(columns, rows)
    tone = np.full(x.shape, _CLOTH)
    tone += 0.02 * np.random.default_rng(3).standard_normal(tone.shape)
    if name == "towel":
        end = np.minimum(x - low[0], high[0] - x)
        for near, far, value in ((0.036, 0.056, _LIGHT), (0.062, 0.068, _LIGHT), (0.056, 0.062, _SHADE)):
            tone[(end > near) & (end < far)] = value
        tone[border < 0.009] = _LIGHT
        tone[(border > 0.009) & (border < 0.012)] = _SHADE
    elif name == "tshirt":
        top = high[1] - y
        middle = np.abs(x - (low[0] + high[0]) / 2)
        tone[(border > 0.014) & (border < 0.0175)] = _SHADE
        tone[(middle < 0.095) & (top < 0.075) & (border < 0.016)] = _SHADE - 0.08
    elif name == "trousers":
        tone[(border > 0.010) & (border < 0.0135)] = _SHADE
        top = high[1] - y
        tone[(top > 0.026) & (top < 0.031)] = _SHADE - 0.1
        tone[top < 0.026] = _CLOTH - 0.12
        middle = np.abs(x - (low[0] + high[0]) / 2)
        tone[(middle < 0.003) & (top < 0.22)] = _SHADE
        pocket = np.hypot(middle - 0.165, top - 0.02)
        tone[(np.abs(pocket - 0.085) < 0.003) & (top > 0.03)] = _SHADE
    gray = (255 * np.clip(tone, 0, 1)).astype(np.uint8)
    image: UInt8[np.ndarray, "R R 3"] = np.repeat(gray[..., None], 3, axis=2)
    return image


def star(
    center: Float[np.ndarray, "2"], radius_m: float, *, points: int = 5, levels: int = 2
) -> tuple[Float[np.ndarray, "S 2"], Int[np.ndarray, "G 3"]]:
    """A star as a fine mesh of triangles, so that it bends with the cloth under it."""
    angle = np.pi / 2 + np.pi * np.arange(2 * points) / points
    reach = radius_m * np.where(np.arange(2 * points) % 2 == 0, 1.0, 0.45)
    rim = np.column_stack([np.cos(angle), np.sin(angle)]) * reach[:, None]
    vertices = np.concatenate([np.zeros((1, 2)), rim])
    corners = vertices[[(0, 1 + k, 1 + (k + 1) % (2 * points)) for k in range(2 * points)]]
    for _ in range(levels):
        a, b, c = corners.swapaxes(0, 1)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        parts = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        corners = np.concatenate([np.stack(part, axis=1) for part in parts])
    flat, inverse = np.unique(np.round(corners.reshape(-1, 2), 9), axis=0, return_inverse=True)
    return flat + center, inverse.reshape(-1, 3)


def _distance_to_border(
    columns: Float[np.ndarray, " C"],
    rows: Float[np.ndarray, " R"],
    vertices: Float[np.ndarray, "V 2"],
    outline: list[tuple[int, int]],
) -> Float[np.ndarray, "R C"]:
    """How far each point of a grid is from the border, in metres; infinity beyond _REACH_M."""
    nearest = np.full((len(rows), len(columns)), np.inf)
    for start, end in outline:
        a, along = vertices[start], vertices[end] - vertices[start]
        low, high = np.minimum(a, a + along) - _REACH_M, np.maximum(a, a + along) + _REACH_M
        window = tuple(
            slice(*np.searchsorted(axis, (low[k], high[k]))) for k, axis in ((1, rows), (0, columns))
        )
        x, y = np.meshgrid(columns[window[1]] - a[0], rows[window[0]] - a[1])
        share = np.clip((x * along[0] + y * along[1]) / (along @ along), 0, 1)
        distance = np.hypot(x - share * along[0], y - share * along[1])
        nearest[window] = np.minimum(nearest[window], np.where(distance < _REACH_M, distance, np.inf))
    return nearest
