"""Cloth and leather: brightness, folds, stripes, checks and all-over prints."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.strokes import COLUMN, ROW, Array, choose, clip_unit, wave


def garment_tone(dice: Dice, dark: float = 0.2, light: float = 0.45) -> Array:
    """Brightness of a garment: a share of dark and of light ones, the rest between."""
    kind = dice.uniform()
    position = dice.uniform()
    middle = position * np.float32(0.25) + np.float32(0.58)
    return choose(
        kind < dark,
        position * np.float32(0.28) + np.float32(0.18),
        choose(kind < 1 - light, middle, position * np.float32(0.15) + np.float32(0.85)),
    )


def contrasting_tone(dice: Dice, tone: Array) -> Array:
    """A tone that stands out from another one."""
    offset = dice.uniform(0.3, 0.6)
    return choose(tone > 0.5, tone - offset, tone + offset)


def folds(dice: Dice, strength: float = 0.09) -> Array:
    """Vertical light and dark bands by column, shape (28, n)."""
    first = wave(COLUMN, dice.uniform(7, 15), dice.uniform(), 1.0)
    second = wave(COLUMN, dice.uniform(3, 6), dice.uniform(), 0.8)
    gain = dice.uniform(0.2, 1) * np.float32(strength)
    return np.asarray((first - 0.6) * gain + (second - 0.5) * (dice.uniform() * gain))


def pattern(dice: Dice, image: Array, stripes: float, checks: float, upright: float) -> None:
    """Multiply stripes, checks or upright stripes into the pictures that get one, in place."""
    kind = dice.uniform()
    rows_on = kind < stripes + checks
    columns_on = (kind >= stripes) & (kind < stripes + checks + upright)
    depth = dice.uniform(0.25, 0.75)
    row_depth = choose(rows_on, depth, 0)
    column_depth = choose(columns_on, depth * dice.uniform(0.5, 1), 0)
    by_row = 1 - wave(ROW, dice.uniform(2.6, 7), dice.uniform()) * row_depth
    by_column = 1 - wave(COLUMN, dice.uniform(2.4, 6), dice.uniform()) * column_depth
    image *= by_row[:, None]
    image *= by_column[None]


def all_over_print(dice: Dice, image: Array, probability: float) -> None:
    """Multiply blotches (flowers, camouflage, knit) into a share of the pictures, in place."""
    depth = dice.uniform(0.25, 0.85)
    coarse = dice.chance(0.5)
    chosen = np.flatnonzero(dice.chance(probability))
    if chosen.size == 0:
        return
    cells = dice.cells(chosen, 14 * 14).reshape(14, 14, -1)
    beside = (cells + np.roll(cells, 1, axis=0)) * np.float32(0.5)
    spread = (beside + np.roll(beside, 1, axis=1) - 1) * np.float32(0.9) + np.float32(0.5)
    cells = np.where(coarse[chosen], spread, cells)
    fine = np.repeat(np.repeat(cells, 2, axis=0), 2, axis=1)
    fine += np.roll(fine, 1, axis=0)
    fine += np.roll(fine, 1, axis=1)
    blotches = clip_unit((fine - 1.4) * 0.8)
    image[:, :, chosen] *= 1 - blotches * depth[chosen]
