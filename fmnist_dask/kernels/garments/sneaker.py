"""Sneakers, toe to the left."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import all_over_print, contrasting_tone, garment_tone
from fmnist_dask.kernels.garments.strokes import (
    COLUMN,
    SIZE,
    Array,
    X,
    Y,
    blend,
    choose,
    clip_unit,
    cover,
    profile,
    stretch,
    wave,
)


def draw_sneaker(dice: Dice) -> Array:
    """Sneakers: low or high, with laces, side stripes and a sole."""
    bottom, top, sole_height, collar_x = _sneaker_outline(dice)
    rows = slice(4, 25)
    y = Y[rows]
    depth = (y - top) * stretch(top)
    inside = np.minimum(depth, bottom - y)
    np.minimum(inside, np.minimum(COLUMN + dice.uniform(13.6, 14.2), dice.uniform(13.2, 14.0) - COLUMN), out=inside)

    tone = garment_tone(dice, 0.22, 0.42)
    shade = clip_unit(depth * dice.uniform(0.1, 0.3) + dice.uniform(0.7, 1.0))
    shade *= tone
    # Lining in the opening, laces on the instep, toe cap, side stripes, heel tab.
    opening = cover(np.minimum(1.8 - depth, np.minimum(COLUMN - collar_x - 0.5, 11.8 - COLUMN)))
    blend(shade, opening, tone * dice.uniform(0.25, 0.8))
    accent = contrasting_tone(dice, tone)
    lace_on = choose(dice.chance(0.75), dice.uniform(0.5, 1.0), 0.0)
    laces = wave(COLUMN + 0.0, dice.uniform(1.9, 2.6), dice.uniform()) * cover(
        np.minimum(COLUMN + 5, collar_x - 0.5 - COLUMN)
    )
    blend(shade, cover(np.minimum(2.6 - depth, depth - 0.4)) * (laces * lace_on), accent)
    _side_stripes(dice, shade, y, depth, bottom - sole_height - y, accent)
    cap = cover(dice.uniform(-12, -7.5) - COLUMN + 0.0 * tone) * choose(dice.chance(0.35), 0.8, 0.0)
    shade *= 1 - cap * dice.uniform(-0.3, 0.4)
    heel = cover(COLUMN - dice.uniform(9, 11.5)) * choose(dice.chance(0.4), dice.uniform(-0.3, 0.4), 0.0)
    shade *= 1 - heel
    blend(
        shade,
        cover(y - bottom + sole_height),
        choose(dice.chance(0.6), dice.uniform(0.7, 1.0), dice.uniform(0.12, 0.5)),
    )
    shade *= 1 - clip_unit(1 - np.abs(y - bottom + sole_height)) * dice.uniform(0, 0.5)
    shade *= cover(inside)
    image = np.zeros((SIZE, SIZE, tone.size), dtype=np.float32)
    image[rows] = shade
    all_over_print(dice, image, 0.07)
    return image


def _sneaker_outline(dice: Dice) -> tuple[Array, Array, Array, Array]:
    """Lower and upper edge by column, height of the sole and front end of the opening."""
    high = dice.uniform(9, 12) + choose(dice.chance(0.12), 4.0, 0.0)
    ground = dice.uniform(18.6, 20.6) + high * 0.08
    spring = dice.uniform(0.0, 1.6)
    sole_height = dice.uniform(1.2, 2.8)
    toe_height = dice.uniform(3.4, 5.2) + sole_height * 0.3
    collar_x = dice.uniform(2.0, 4.5)
    bottom = (
        ground - spring * profile(COLUMN, [(-14.0, 1.0), (-6.0, 0.0)]) - dice.uniform(0, 0.6) * clip_unit(COLUMN - 11)
    )
    top = ground - profile(
        COLUMN,
        [
            (-14.4, 1.6 + spring),
            (-11.0, toe_height),
            (-5.0, toe_height + dice.uniform(0.8, 2.4)),
            (collar_x, high),
            (collar_x + 4.0, high - dice.uniform(0.5, 2.2)),
            (12.6, high + dice.uniform(-0.8, 0.8)),
            (14.2, high - 2.5),
        ],
    )
    return bottom, top, sole_height, collar_x


def _side_stripes(dice: Dice, shade: Array, y: Array, depth: Array, height: Array, tone: Array) -> None:
    """Paint slanted stripes or a curved band on the side of a sneaker, in place."""
    kind = dice.uniform()
    slant = dice.uniform(0.4, 1.0)
    along = X - (16 - y) * slant
    centre = dice.uniform(-1.5, 2.5)
    period = dice.uniform(2.2, 3.2)
    count = choose(dice.chance(0.6), 1.5, 0.5)
    along -= centre
    phase = along / period
    reach = count * period - np.abs(along)
    phase -= np.floor(phase)
    stripes = clip_unit((0.5 - np.abs(phase - 0.5)) * period - 0.4)
    stripes *= cover(np.minimum(reach, np.minimum(depth - 1, height)))
    stripes *= choose(kind < 0.45, dice.uniform(0.6, 1.0), 0.0)
    blend(shade, stripes, tone)
    swoosh = height - dice.uniform(0.6, 1.4) - profile(COLUMN, [(-7.0, 0.4), (-2.0, 0.2), (11.0, 4.2)])
    thickness = profile(COLUMN, [(-8.0, 0.2), (-2.5, 1.1), (11.0, 0.1)])
    band = cover(thickness - np.abs(swoosh))
    band *= cover(np.minimum(COLUMN + 8, 11 - COLUMN)) * choose(kind > 0.7, dice.uniform(0.5, 1.0), 0.0)
    blend(shade, band, tone)
