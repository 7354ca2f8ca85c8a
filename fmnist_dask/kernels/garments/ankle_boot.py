"""Ankle boots, toe to the left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import all_over_print, contrasting_tone, folds, garment_tone
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
    wave,
)


def draw_ankle_boot(dice: Dice) -> Array:
    """Ankle boots: flat, block or high heel."""
    heel_kind = dice.uniform()
    high_heel = heel_kind > 0.7
    heel = choose(
        heel_kind < 0.55,
        dice.uniform(0.6, 2.4),
        choose(high_heel, dice.uniform(6, 9.5), dice.uniform(2.5, 4.5)),
    )
    height = choose(high_heel, 27.5, dice.uniform(18, 25)) + dice.uniform(-0.6, 0.3)
    ground = 14 + height * 0.5
    toe_x = choose(high_heel, dice.uniform(-13.5, -10), -13.8)
    back_x = dice.uniform(11.5, 13.6)
    front_x = dice.uniform(-0.5, 3.5)
    shaft_top = ground - height
    toe = dice.uniform(4.0, 6.5)

    arch = profile(COLUMN, [(-5.0, 0.0), (6.0, 1.0)])
    underside = ground - heel * arch
    instep = dice.uniform(10, 13) + heel * 0.5
    top = ground - profile(
        COLUMN,
        [
            (toe_x - 0.8, 0.5),
            (toe_x + 3.0, toe),
            (toe_x + 7.0, toe + 1.6),
            (front_x + 1.5, instep),
        ],
    )
    foot = np.minimum((Y - top) * stretch(top), underside - Y)
    np.minimum(foot, np.minimum(COLUMN - toe_x, back_x - COLUMN), out=foot)

    shaft, front, rim = _boot_shaft(dice, shaft_top, front_x, back_x, ground, instep, underside)
    np.maximum(foot, shaft, out=foot)

    tone = garment_tone(dice, 0.15, 0.5)
    image = foot * dice.uniform(0.06, 0.2)
    image += dice.uniform(0.65, 1.0)
    clip_unit(image)
    image *= tone * (1 + folds(dice, 0.1))
    _boot_details(dice, image, shaft, front, rim, tone)

    _boot_heel(dice, image, foot, underside, ground, back_x, heel, high_heel, tone)
    all_over_print(dice, image, 0.07)
    return image


def _boot_shaft(
    dice: Dice,
    shaft_top: Array,
    front_x: Array,
    back_x: Array,
    ground: Array,
    instep: Array,
    underside: Array,
) -> tuple[Array, Array, Array]:
    """Signed distance to the edge of the shaft, its front edge by row and its rim by column."""
    lean = dice.uniform(-1.2, 1.6)
    front = front_x - lean + profile(ROW, [(shaft_top, lean), (shaft_top + 9, 0.0), (ground - instep + 3.5, -1.5)])
    back = back_x + profile(
        ROW, [(shaft_top, dice.uniform(-1, 0.2)), (ground - 9, dice.uniform(-1.4, -0.2)), (ground - 3, 0.0)]
    )
    rim = (
        shaft_top
        + (COLUMN - 6) * dice.uniform(-0.15, 0.12)
        + dice.uniform(0, 1.2) * profile(COLUMN, [(3.0, 0.0), (8.0, 1.0), (13.0, 0.0)])
    )
    shaft = np.minimum(X - front[:, None], back[:, None] - X)
    np.minimum(shaft, np.minimum(Y - rim, underside - Y), out=shaft)
    return shaft, front, rim


def _boot_heel(
    dice: Dice, image: Array, foot: Array, underside: Array, ground: Array, back_x: Array, heel: Array,
    high_heel: NDArray[np.bool_], tone: Array,
) -> None:  # fmt: skip
    """Add the heel block under the arch and the sole line, then cut the boot out, in place."""
    sole = dice.uniform(0.6, 1.8)
    heel_width = choose(high_heel, dice.uniform(2.0, 5.0), dice.uniform(5.5, 8.0))
    taper = (ground - Y[:, 0]) / np.maximum(heel, np.float32(1))
    heel_front = back_x - heel_width - 0.5 * taper
    block = np.minimum(X - heel_front[:, None], back_x - 0.1 - X)
    np.minimum(block, np.minimum(Y - underside + 0.6, ground - Y), out=block)
    # Sole and heel are often darker than the upper.
    dark = choose(dice.chance(0.6), dice.uniform(0.2, 0.55), dice.uniform(0.8, 1.1))
    image *= 1 - cover(Y - underside + sole) * (1 - dark)
    covered = cover(np.maximum(foot, block))
    blend(image, cover(block - np.maximum(foot, -0.5)), tone * dark)
    image *= covered


def _boot_details(dice: Dice, image: Array, shaft: Array, front: Array, rim: Array, tone: Array) -> None:
    """Laces, elastic gusset, rim and ankle creases of a boot, in place."""
    kind = dice.uniform()
    accent = contrasting_tone(dice, tone)
    rows = slice(2, 18)
    # Laces: short bars along the front edge of the shaft.
    bars = wave(ROW[rows], dice.uniform(2.0, 2.8), dice.uniform()) * choose(kind < 0.4, dice.uniform(0.5, 0.9), 0.0)
    distance = X - front[rows, None]
    blend(image[rows], cover(np.minimum(distance - 0.3, 3.2 - distance)) * bars[:, None], accent)
    # Elastic gusset: a darker wedge on the side.
    wedge = dice.uniform(1.2, 2.4) - np.abs(X - dice.uniform(5.5, 7.5))
    gusset = np.minimum(np.minimum(wedge, 14.5 - Y), shaft)
    image *= 1 - cover(gusset) * choose((kind >= 0.4) & (kind < 0.6), dice.uniform(0.3, 0.7), 0.0)
    # Zip or seam down the side, and creases at the ankle.
    seam = cover(0.4 - np.abs(X - dice.uniform(5, 9)))
    image *= 1 - seam * choose(kind > 0.75, dice.uniform(0.2, 0.6), 0.0)
    crease = dice.uniform(13, 16) + COLUMN * dice.uniform(-0.4, 0.4)
    image *= 1 - stroke_by_column(crease, 0.3, -2.0, 9.0, slice(0, SIZE)) * dice.uniform(0, 0.35)
    image *= 1 - clip_unit(1.6 - (Y - rim)) * dice.uniform(-0.3, 0.5)
