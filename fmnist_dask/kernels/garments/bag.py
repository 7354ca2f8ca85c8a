"""Bags: totes, arched handbags and clutches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import all_over_print, contrasting_tone, folds, garment_tone, pattern
from fmnist_dask.kernels.garments.strokes import (
    COLUMN,
    ROW,
    Array,
    X,
    Y,
    blend,
    choose,
    clip_unit,
    cover,
    profile,
    stretch,
)


def draw_bag(dice: Dice) -> Array:
    """Bags: body, details and handles."""
    kind = dice.uniform()
    tote, arched = kind < 0.25, (kind >= 0.25) & (kind < 0.6)
    clutch = kind >= 0.6
    half_width = choose(tote, dice.uniform(7.5, 13), dice.uniform(12, 14))
    body_height = choose(tote, dice.uniform(11, 18), choose(arched, dice.uniform(12, 19), dice.uniform(14, 25)))
    handle_height = choose(clutch, 0.0, np.minimum(dice.uniform(5, 13), 27.5 - body_height))
    bottom = 14 + (body_height + handle_height) * 0.5
    top = bottom - body_height
    flare = dice.uniform(-1.6, 1.8)
    round_top, round_bottom = (
        choose(dice.chance(0.3), dice.uniform(3, 8), dice.uniform(0.5, 2)),
        dice.uniform(0.5, 4),
    )
    width = half_width + profile(ROW, [(top, flare), (bottom, -flare)], smooth=False) - np.abs(flare)
    inset = np.maximum(top + round_top - ROW, 0) / round_top
    sag = np.maximum(ROW - bottom + round_bottom, 0) / round_bottom
    width = width - round_top * inset * inset * 0.9 - round_bottom * sag * sag * 0.7
    shift = dice.normal(0, 0.25)
    across = np.abs(X - shift)
    body = np.minimum(width[:, None] - across, np.minimum(ROW - top, bottom - ROW)[:, None])

    tone = garment_tone(dice, 0.15, 0.5)
    image = clip_unit(body * dice.uniform(0.08, 0.4) + dice.uniform(0.65, 1.0))
    image *= tone
    light = dice.uniform(-0.012, 0.012) * (COLUMN) + dice.uniform(-0.016, 0.01) * (ROW[14] - 14)
    image *= 1 + light + folds(dice, 0.06)
    _bag_details(dice, image, across, body, top, body_height, half_width, tone)
    pattern(dice, image, 0.05, 0.06, 0.06)
    all_over_print(dice, image, 0.16)
    image *= cover(body)
    _bag_handles(dice, image, across, top, bottom, handle_height, half_width, tone, clutch)
    return image


def _bag_details(
    dice: Dice,
    image: Array,
    across: Array,
    body: Array,
    top: Array,
    height: Array,
    half_width: Array,
    tone: Array,
) -> None:
    """Flap, front pocket, clasp and stitching of a bag, in place."""
    kind = dice.uniform()
    column = np.abs(COLUMN)
    flap_y = top + height * dice.uniform(0.35, 0.7)
    curve = flap_y - dice.uniform(0, 0.3) * column * column * dice.uniform(0, 0.12)
    below = np.abs(Y - curve)
    image *= 1 - clip_unit(1.1 - below) * choose(kind < 0.5, dice.uniform(0.25, 0.7), 0.0)
    image *= 1 + cover(curve - Y) * choose(kind < 0.5, dice.normal(0, 0.12), 0.0)
    zip_line = np.abs(ROW - top - dice.uniform(1.5, 3.5))
    image *= (1 - clip_unit(1 - zip_line) * choose(kind > 0.4, dice.uniform(0.1, 0.6), 0.0))[:, None]
    pocket = np.minimum(half_width * 0.62 - across, np.minimum(ROW - flap_y + 1, top + height - 2 - ROW)[:, None])
    outline = clip_unit(1 - np.abs(pocket)) * choose(kind > 0.6, dice.uniform(0.2, 0.6), 0.0)
    image *= 1 - outline
    stitching = clip_unit(0.8 - np.abs(body - 1.6)) * choose(dice.chance(0.4), dice.normal(0, 0.25), 0.0)
    image *= 1 - stitching
    clasp = np.minimum(dice.uniform(0.5, 1.5) - across, (dice.uniform(0.5, 1.4) - np.abs(ROW - flap_y))[:, None])
    blend(image, cover(clasp) * choose(dice.chance(0.6), 1.0, 0.0), contrasting_tone(dice, tone))


def _bag_handles(
    dice: Dice, image: Array, across: Array, top: Array, bottom: Array, height: Array, half_width: Array,
    tone: Array, clutch: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Carrying handle above the bag (arch, pair of straps or triangle) or a strap at its sides, in place."""
    shape = dice.uniform()
    reach = half_width * dice.uniform(0.35, 0.75)
    thickness = dice.uniform(0.5, 1.1) + choose(clutch, -9.0, 0.0)
    rise = clip_unit((top + 0.5 - ROW) / np.maximum(height, np.float32(1)))
    # Half width of the handle by height: a half ellipse, or straight strands that meet or stay apart.
    ellipse = np.sqrt(1 - rise * rise)
    strands = 1 - rise * dice.uniform(0.2, 0.95)
    curve = reach * choose(shape < 0.6, ellipse, strands)
    ring = thickness - np.abs(across - curve[:, None]) * stretch(curve)[:, None]
    crown = np.minimum(thickness - np.abs(ROW - (top - height) - 0.7), 0.0)
    crown_cover = np.minimum(crown[:, None], curve[:, None] + 0.3 - across)
    np.maximum(ring, crown_cover, out=ring)
    np.minimum(ring, np.minimum(ROW - (top - height), top + dice.uniform(0.5, 5) - ROW)[:, None], out=ring)
    strap_tone = tone * dice.uniform(0.55, 1.0)
    blend(image, cover(ring), strap_tone)
    # Shoulder strap hanging at one or both sides of a flat bag.
    on_sides = clutch & (shape < 0.6)
    bulge = profile(ROW, [(top, 0.0), ((top + bottom) * 0.5, 1.0), (bottom - 2, 0.0)])
    side = half_width - 1.2 + bulge * dice.uniform(0.5, 1.8)
    strip = np.minimum(0.55 - np.abs(across - side[:, None]), np.minimum(ROW - top + 1, bottom - 1 - ROW)[:, None])
    blend(image, cover(strip) * choose(on_sides, 1.0, 0.0), strap_tone)
