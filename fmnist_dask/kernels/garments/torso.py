"""Trunk and sleeves, the outline shared by upper garments and dresses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.strokes import COLUMN, ROW, Array, Value, X, Y, choose, cover, profile


@dataclass
class Torso:
    """Outline of an upper garment or dress: pixels, widths are half widths; each an (n,) array."""

    shift: Value
    shear: Value
    neck: Value
    neck_depth: Value
    v_neck: NDArray[np.bool_]
    shoulder: Value
    shoulder_drop: Value
    top: Value
    chest: Value
    chest_y: Value
    waist: Value
    waist_y: Value
    hem: Value
    hem_y: Value
    hem_curve: Value
    sleeve_end: Value
    sleeve_tilt: Value
    sleeve_elbow: Value
    sleeve_cuff: Value
    sleeve_width: Value


@dataclass
class TorsoParts:
    """Pieces of a drawn trunk that details are placed by."""

    image: Array
    across: Array
    width_by_row: Array
    centre_by_row: Array
    top_by_column: Array


def _sleeve_distance(shape: Torso, across: Array, column: Array) -> Array:
    """Signed distance to the edge of both sleeves: outer and inner outline by row, and the cuff."""
    outer = profile(
        ROW,
        [
            (shape.shoulder_drop, shape.shoulder),
            (
                np.minimum(shape.chest_y + 4, np.maximum(shape.sleeve_end - 1, shape.shoulder_drop + 1)),
                shape.sleeve_elbow,
            ),
            (shape.sleeve_end, shape.sleeve_cuff),
        ],
        smooth=False,
    )
    inner = np.maximum(
        profile(
            ROW,
            [
                (shape.chest_y - 1, shape.chest - 1),
                (shape.chest_y + 5, shape.sleeve_elbow - shape.sleeve_width),
                (shape.sleeve_end, shape.sleeve_cuff - shape.sleeve_width * 0.85),
            ],
        ),
        np.float32(0),
    )
    cuff = shape.sleeve_end - shape.sleeve_tilt * (column - shape.sleeve_cuff)

    distance = np.minimum(outer[:, None] - across, across - inner[:, None])
    return np.minimum(distance, cuff - Y, out=distance)


def draw_torso(shape: Torso, tone: Array, sleeve_gain: Array, edge_dark: Array, folds: Array) -> TorsoParts:
    """Draw trunk and sleeves with shading; the texture is multiplied in later."""
    centre = shape.shift + shape.shear * (ROW - 14)
    across = np.abs(X - centre[:, None])
    column = np.abs(COLUMN - shape.shift)

    inside = np.minimum(column / shape.neck, np.float32(1))
    scoop = choose(shape.v_neck, 1 - inside, 1 - inside * inside)
    slope = (shape.shoulder_drop - shape.top) / np.maximum(shape.shoulder - shape.neck, np.float32(0.5))
    top = shape.top + shape.neck_depth * scoop + np.maximum(column - shape.neck, np.float32(0)) * slope
    bottom = shape.hem_y + shape.hem_curve * column * column

    width = profile(
        ROW,
        [
            (shape.shoulder_drop, shape.shoulder),
            (shape.chest_y, shape.chest),
            (shape.waist_y, shape.waist),
            (shape.hem_y, shape.hem),
        ],
    )

    trunk = np.minimum(width[:, None] - across, bottom - Y)
    np.maximum(trunk, _sleeve_distance(shape, across, column), out=trunk)
    np.minimum(trunk, Y - top, out=trunk)

    # Darker towards every edge; sleeves a little lighter or darker than the trunk; vertical folds.
    image = np.minimum(trunk * np.float32(0.5), np.float32(1))
    image -= 1
    image *= edge_dark
    image += 1
    on_sleeve = cover(across - width[:, None])
    on_sleeve *= sleeve_gain
    on_sleeve += 1
    image *= on_sleeve
    image *= (tone * (1 + folds))[None]
    image *= cover(trunk)
    return TorsoParts(image, across, width, centre, top)


def long_sleeves(dice: Dice, chest: Array, spread: float) -> dict[str, Value]:
    """Sleeve parameters shared by pullovers, coats and most shirts."""
    elbow = chest + dice.uniform(2.4, 3.6) + spread
    return {
        "sleeve_end": dice.uniform(22.5, 28.5),
        "sleeve_tilt": dice.uniform(-0.2, 0.35),
        "sleeve_elbow": elbow,
        "sleeve_cuff": np.minimum(elbow + dice.uniform(-0.6, 1.4), np.float32(14)),
        "sleeve_width": dice.uniform(3.2, 4.4),
    }
