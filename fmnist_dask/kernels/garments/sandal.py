"""Sandals, toe to the left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import garment_tone
from fmnist_dask.kernels.garments.strokes import (
    COLUMN,
    ROW,
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
    stroke_by_column,
    stroke_by_row,
    wave,
)


def draw_sandal(dice: Dice) -> Array:
    """Sandals: flat, wedge or high heel, with straps over the sole."""
    kind = dice.uniform()
    flat, wedge, stiletto = kind < 0.45, (kind >= 0.45) & (kind < 0.68), kind > 0.82
    lift = choose(flat, dice.uniform(0.2, 1.2), choose(wedge, dice.uniform(3, 7.5), dice.uniform(7, 12)))
    lift = choose(stiletto, dice.uniform(8, 12), lift)
    upper = choose(flat, dice.uniform(4.5, 9), dice.uniform(6.5, 11))
    total = lift + upper + 2
    ground = np.minimum(14 + total * 0.5, 27.6) + choose(flat, 1.5, 0.0)
    sole = dice.uniform(1.1, 2.3)
    platform = choose(flat, 0.0, dice.uniform(0, 1.6))
    toe_x, heel_x = dice.uniform(-14, -12.4), dice.uniform(12.4, 13.8)
    rise = profile(COLUMN, [(-6.0, 0.0), (9.5, 1.0)])
    foot = ground - sole - platform - lift * rise - dice.uniform(0, 1.2) * profile(COLUMN, [(-14.0, 1.0), (-9.0, 0.0)])
    under = choose(wedge, 1.0, 0.0) * (ground - foot - sole - platform) + foot + sole + platform

    sole_stretch = stretch(foot)
    body = np.minimum((Y - foot) * sole_stretch, (under - Y) * sole_stretch)
    np.minimum(body, np.minimum(COLUMN - toe_x, heel_x - COLUMN), out=body)
    heel_half = choose(stiletto, dice.uniform(0.45, 0.9), dice.uniform(1.3, 2.4))
    lean = dice.uniform(-0.18, 0.12)
    post_x = heel_x - heel_half - 0.6 + (ground - Y) * lean
    post = np.minimum(heel_half + (ground - Y) * 0.06 - np.abs(X - post_x), np.minimum(ground - Y, Y - foot - 0.5))
    np.maximum(body, choose(flat | wedge, -9.0, post), out=body)

    # Thin straps hold few pixels: darker ones would pass for a faded picture.
    tone = np.maximum(garment_tone(dice, 0.2, 0.45), np.float32(0.36))
    sole_tone = choose(dice.chance(0.5), tone, dice.uniform(0.36, 0.95))
    image = cover(body)
    image *= sole_tone * (0.86 + 0.14 * wave(COLUMN, dice.uniform(2, 9), dice.uniform(), 1.0))
    _sandal_straps(dice, image, foot, upper, tone, flat)
    return image


def _sandal_straps(dice: Dice, image: Array, foot: Array, upper: Array, tone: Array, flat: NDArray[np.bool_]) -> None:
    """Paint toe strap, instep strap, heel counter and ankle strap over the sole, in place."""
    everywhere = slice(0, SIZE)
    strappy = dice.uniform()
    # Vamp: an arched piece over the toes, full or cut into bands.
    middle, reach, height = dice.uniform(-8.5, -5), dice.uniform(3, 6), dice.uniform(2.8, 5)
    slide = flat & dice.chance(0.3)
    middle, reach = choose(slide, dice.uniform(-5, -1), middle), choose(slide, dice.uniform(4.5, 8), reach)
    height = choose(slide, dice.uniform(3.5, 5.5), height)
    ratio = (COLUMN - middle) / reach
    arch = foot - height * (1 - ratio * ratio)
    vamp = np.minimum((Y - arch) * stretch(arch), foot + 0.5 - Y)
    slanted = (X + Y * dice.uniform(-0.6, 0.6)) / dice.uniform(2.4, 4.0) + dice.uniform()
    slanted -= np.floor(slanted)
    slots = clip_unit((np.abs(slanted - 0.5) - 0.2) * 8) * choose(strappy < 0.55, dice.uniform(0.7, 1), 0.0)
    hollow = cover(vamp - dice.uniform(0.9, 1.6)) * choose(strappy > 0.7, dice.uniform(0.7, 1), 0.0)
    covered = cover(vamp)
    covered *= 1 - slots
    covered *= 1 - hollow
    blend(image, covered, tone)
    # Ankle: the counter rises from the heel, the strap runs round the ankle, a T-bar joins the vamp.
    absent = slide | (flat & dice.chance(0.15))
    offset = choose(absent, -9.0, 0.0)
    half = dice.uniform(0.6, 1.3) + offset
    heel_foot = foot[24]
    ankle_y = heel_foot - upper + dice.uniform(0.5, 2)
    counter_x = 11.6 - profile(ROW, [(ankle_y, dice.uniform(0.5, 3)), (heel_foot, 0.0)])
    back = slice(16, SIZE)
    counter = stroke_by_row(counter_x, half + dice.uniform(0, 0.9), ankle_y - 0.5, heel_foot + 1, back)
    blend(image[:, back], counter, tone)
    front_x = dice.uniform(1.5, 5)
    front_y = ankle_y + 0.5 + dice.uniform(-0.1, 0.7) * upper
    strap = profile(COLUMN, [(front_x - 1.5, front_y), (11.5, ankle_y + 0.5)])
    blend(image, stroke_by_column(strap, half, front_x, 11.5, everywhere), tone)
    joint = profile(COLUMN, [(middle - 1, foot[8] - height), (front_x + 2, front_y)])
    bar = choose(dice.chance(0.6), half, -9.0)
    blend(image, stroke_by_column(joint, bar, middle + 0.5, front_x + 1, everywhere), tone)
    side = profile(COLUMN, [(dice.uniform(-2, 3), foot[18]), (10.5, ankle_y + 1)], smooth=False)
    blend(
        image,
        stroke_by_column(side, choose(dice.chance(0.5), half, -9.0), -1.0, 11.0, everywhere),
        tone * 0.85,
    )
