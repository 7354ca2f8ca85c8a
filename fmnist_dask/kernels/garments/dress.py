"""Dresses: a narrow trunk with a flared or straight skirt."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import all_over_print, folds, garment_tone, pattern
from fmnist_dask.kernels.garments.strokes import Array, choose
from fmnist_dask.kernels.garments.torso import Torso, draw_torso
from fmnist_dask.kernels.garments.trimmings import collar, hem_line, side_seam


def draw_dress(dice: Dice) -> Array:
    """Dresses: sleeveless, short-sleeved or long-sleeved."""
    chest = dice.normal(4.9, 0.5)
    neck = np.minimum(dice.normal(2.4, 0.4), chest - 1)
    kind = dice.uniform()
    sleeveless, long_sleeved = kind < 0.45, kind > 0.75
    shoulder = choose(sleeveless, neck + dice.uniform(0.8, 1.8), chest + dice.uniform(-0.2, 0.4))
    elbow = chest + choose(long_sleeved, dice.uniform(1.5, 3.0), dice.uniform(1.0, 2.6))
    end = choose(long_sleeved, dice.uniform(13, 22), choose(sleeveless, 0.0, dice.uniform(5, 9)))
    flare = choose(dice.chance(0.45), dice.uniform(1.5, 4.5), dice.uniform(-0.6, 1.2))
    waist = chest - dice.uniform(0, 1.1)
    shape = Torso(
        shift=dice.normal(0, 0.3), shear=dice.normal(0, 0.014), neck=neck, neck_depth=dice.uniform(0.8, 4.5),
        v_neck=dice.chance(0.4), shoulder=shoulder, shoulder_drop=dice.uniform(1, 2.2),
        top=dice.uniform(0, 0.6), chest=chest, chest_y=dice.uniform(5, 6.5), waist=waist,
        waist_y=dice.uniform(9, 12.5), hem=waist + 0.6 + flare,
        hem_y=dice.uniform(26.6, 28.3), hem_curve=dice.uniform(-0.02, 0.02), sleeve_end=end,
        sleeve_tilt=choose(long_sleeved, 0.2, dice.uniform(0.3, 0.8)), sleeve_elbow=elbow,
        sleeve_cuff=elbow + choose(long_sleeved, dice.uniform(0, 1.5), 0.0),
        sleeve_width=choose(long_sleeved, 2.3, 4.5),
    )  # fmt: skip
    tone = garment_tone(dice)
    parts = draw_torso(shape, tone, dice.normal(0, 0.07), dice.uniform(0, 0.2), folds(dice, 0.16))
    side_seam(parts, choose(sleeveless, 0.0, dice.uniform(0, 0.5)))
    pattern(dice, parts.image, 0.07, 0.03, 0.05)
    all_over_print(dice, parts.image, 0.16)
    hem_line(parts, shape.waist_y, choose(dice.chance(0.45), dice.normal(0.3, 0.25), 0.0))
    collar(parts, neck, 0.7, dice.normal(0, 0.12))
    return parts.image
