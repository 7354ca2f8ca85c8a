"""Details placed on a trunk: chest prints, plackets, buttons, collars, seams and pockets."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import contrasting_tone
from fmnist_dask.kernels.garments.strokes import (
    COLUMN,
    ROW,
    Array,
    Value,
    X,
    Y,
    blend,
    choose,
    clip_unit,
    cover,
    stroke_by_column,
    stroke_by_row,
)
from fmnist_dask.kernels.garments.torso import TorsoParts


def chest_print(dice: Dice, parts: TorsoParts, tone: Array, probability: float) -> None:
    """Paint a logo, a line of lettering or a picture on the chest of a share of the garments."""
    chosen = np.flatnonzero(dice.chance(probability))
    ink = contrasting_tone(dice, tone)[chosen]
    centre_y, half_height = dice.uniform(9, 13)[chosen], dice.uniform(0.8, 4.5)[chosen]
    half_width = dice.uniform(2, 5)[chosen]
    is_round = dice.chance(0.4)[chosen]
    is_solid = dice.chance(0.3)[chosen]
    if chosen.size == 0:
        return
    rows, columns = slice(5, 19), slice(8, 20)
    down, along = (Y[rows] - centre_y) / half_height, (X[:, columns]) / half_width
    reach = choose(is_round, np.sqrt(down * down + along * along), np.maximum(np.abs(down), np.abs(along)))
    coverage = cover((1 - reach) * np.minimum(half_height, half_width))
    cells = dice.cells(chosen, 14 * 12).reshape(14, 12, -1)
    coverage *= choose(is_solid, 0.95, clip_unit((cells - 0.4) * 4 + 0.5))
    window = parts.image[rows, columns][:, :, chosen]
    coverage *= window > 0
    blend(window, coverage, ink)
    parts.image[rows, columns, chosen] = window


def upright_line(parts: TorsoParts, offset: Value, half_width: Value, first: Array | float, depth: Value) -> None:
    """Darken (depth > 0) or lighten an upright line along the trunk, in place."""
    columns = slice(9, 19)
    line = stroke_by_row(parts.centre_by_row + offset, half_width, first, 30.0, columns)
    parts.image[:, columns] *= 1 - line * depth


def buttons(dice: Dice, parts: TorsoParts, depth: Value) -> None:
    """Row of small dots down the front, in place; depth as for `upright_line`."""
    spacing = dice.uniform(3, 4.5)
    cycles = ROW / spacing + dice.uniform()
    cycles -= np.floor(cycles)
    dots = clip_unit(1 - np.abs(cycles - 0.5) * spacing) * clip_unit(ROW - 6)
    columns = slice(11, 17)
    across = clip_unit(1.3 - np.abs(X[:, columns] - parts.centre_by_row[:, None]))
    parts.image[:, columns] *= 1 - across * (dots * depth)[:, None]


def collar(parts: TorsoParts, neck: Value, depth: Value, gain: Value) -> None:
    """Lighten or darken a collar: a strip along the neck edge, in place."""
    rows, columns = slice(0, 9), slice(6, 22)
    below = Y[rows] - parts.top_by_column[columns]
    strip = np.minimum(depth - below, neck + 1 - np.abs(X[:, columns]))
    parts.image[rows, columns] *= 1 + cover(strip) * gain


def hem_line(parts: TorsoParts, y: Value, depth: Value) -> None:
    """Darken one row-wide line across the garment (rib, belt, seam), in place."""
    parts.image *= (1 - clip_unit(1.2 - np.abs(ROW - y)) * depth)[:, None]


def side_seam(parts: TorsoParts, depth: Value, last: Value = 30.0) -> None:
    """Darken the seam or gap between trunk and sleeves, in place."""
    seam = parts.across - parts.width_by_row[:, None]
    np.abs(seam, out=seam)
    np.subtract(1, seam, out=seam)
    np.maximum(seam, 0, out=seam)
    seam *= (clip_unit(ROW - 3) * clip_unit(last - ROW) * depth)[:, None]
    np.subtract(1, seam, out=seam)
    parts.image *= seam


def pockets(dice: Dice, parts: TorsoParts, probability: float) -> None:
    """Darken slanted or level pocket openings on both sides, in place."""
    depth = choose(dice.chance(probability), dice.uniform(0.25, 0.6), 0.0)
    y, slant, x = dice.uniform(17, 21), dice.uniform(-0.9, 0.4), dice.uniform(3.6, 4.6)
    column = np.abs(COLUMN)
    rows = slice(13, 26)
    line = stroke_by_column(y + (column - x) * slant, 0.3, -9.0, 9.0, rows)
    line *= cover(1.6 - np.abs(column - x))
    parts.image[rows] *= 1 - line * depth
