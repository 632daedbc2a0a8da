"""Metrics of a fold: distance to the ideal, overlap of silhouettes, and DexGarmentLab's box rule."""

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw

PIXEL_M = 0.004
BOX_MARGIN_M = (0.05, 0.10)


def fold_error_m(
    vertices: Float[np.ndarray, "V _"], ideal: Float[np.ndarray, "V _"], moved: Bool[np.ndarray, " V"]
) -> float:
    """Mean horizontal distance of the moved vertices from their ideal place, metres."""
    offset = vertices[moved, :2] - ideal[moved, :2]
    return float(np.hypot(offset[:, 0], offset[:, 1]).mean())


def silhouette(
    vertices: Float[np.ndarray, "V _"], triangles: Int[np.ndarray, "F 3"], half_extent_m: float = 0.7
) -> Bool[np.ndarray, "H W"]:
    """Mask of the garment seen from above: 4 mm pixels over a square around the origin."""
    pixels = round(2 * half_extent_m / PIXEL_M)
    mask = Image.new("1", (pixels, pixels))
    draw = ImageDraw.Draw(mask)
    corners = np.clip((vertices[:, :2] + half_extent_m) / PIXEL_M, -1, pixels)[triangles]
    for triangle in corners.reshape(-1, 6).tolist():
        draw.polygon(triangle, fill=1)
    return np.asarray(mask)


def silhouette_iou(a: Bool[np.ndarray, "H W"], b: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union of two masks, 1 for two empty ones."""
    union = int((a | b).sum())
    return 1.0 if union == 0 else float((a & b).sum() / union)


def share_in_box(
    vertices: Float[np.ndarray, "V _"],
    ideal: Float[np.ndarray, "V _"],
    position: Float[np.ndarray, "2"],
    yaw_rad: float,
) -> float:
    """Share of the garment's vertices inside DexGarmentLab's target box.

    The box lies along the garment's own axes around the ideal fold, 5 cm wider across and 10 cm longer along on each side.

    Source: DexGarmentLab, `Env_StandAlone/Fold_Tops_Env.py` (success box from keypoints on the flat garment).
    Differs: the box is put around our ideal fold, since the keypoints differ.
    """
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    to_garment = np.array([[cosine, -sine], [sine, cosine]])
    target = (ideal[:, :2] - position) @ to_garment
    points = (vertices[:, :2] - position) @ to_garment
    inside = (points >= target.min(axis=0) - BOX_MARGIN_M) & (points <= target.max(axis=0) + BOX_MARGIN_M)
    return float(inside.all(axis=1).mean())
