"""T-shirts, pullovers, coats and shirts."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import all_over_print, folds, garment_tone, pattern
from fmnist_dask.kernels.garments.strokes import ROW, Array, choose, stroke_by_row
from fmnist_dask.kernels.garments.torso import Torso, draw_torso, long_sleeves
from fmnist_dask.kernels.garments.trimmings import (
    buttons,
    chest_print,
    collar,
    hem_line,
    pockets,
    side_seam,
    upright_line,
)


def draw_tshirt(dice: Dice) -> Array:
    """T-shirts: short sleeves, some tank tops and some long sleeves."""
    kind = dice.uniform()
    tank, long_sleeved = kind < 0.1, kind > 0.91
    chest = dice.normal(7.4, 0.5)
    neck = dice.normal(3.6, 0.5)
    shoulder = np.maximum(choose(tank, neck + dice.uniform(1.2, 2.6), chest + dice.uniform(-0.3, 0.5)), neck + 1)
    drop = dice.uniform(1.4, 2.6)
    reach = choose(long_sleeved, chest + dice.uniform(2.2, 4.2), chest + dice.uniform(2.4, 4.8))
    end = choose(long_sleeved, dice.uniform(20, 26), choose(tank, 0.0, dice.uniform(7.5, 11)))
    hem_y = choose(dice.chance(0.15), dice.uniform(22, 26), dice.uniform(27, 28.2))
    shape = Torso(
        shift=dice.normal(0, 0.3), shear=dice.normal(0, 0.012), neck=neck, neck_depth=dice.uniform(0.8, 4.5),
        v_neck=dice.chance(0.3), shoulder=shoulder, shoulder_drop=drop, top=dice.uniform(0, 0.9), chest=chest,
        chest_y=dice.uniform(7, 9.5), waist=chest - dice.uniform(-0.2, 1), waist_y=dice.uniform(14, 18),
        hem=chest + dice.uniform(-0.5, 1.2), hem_y=hem_y, hem_curve=dice.uniform(-0.03, 0.03), sleeve_end=end,
        sleeve_tilt=choose(long_sleeved, 0.2, dice.uniform(0.3, 0.9)), sleeve_elbow=reach,
        sleeve_cuff=reach, sleeve_width=choose(long_sleeved, 3.6, 5.5),
    )  # fmt: skip
    tone = garment_tone(dice)
    parts = draw_torso(shape, tone, dice.normal(0, 0.07), dice.uniform(0, 0.2), folds(dice))
    side_seam(parts, dice.uniform(0, 0.35), 10.0)
    pattern(dice, parts.image, 0.1, 0.01, 0.02)
    all_over_print(dice, parts.image, 0.1)
    chest_print(dice, parts, tone, 0.45)
    collar(parts, neck, dice.uniform(0.5, 1.2), dice.normal(0, 0.15))
    return parts.image


def draw_pullover(dice: Dice) -> Array:
    """Pullovers: long sleeves, no opening, some with a hood."""
    chest = dice.normal(7.3, 0.5)
    neck = dice.normal(3.3, 0.45)
    hooded = dice.chance(0.15)
    shape = Torso(
        shift=dice.normal(0, 0.3), shear=dice.normal(0, 0.012), neck=neck,
        neck_depth=choose(hooded, 0.4, dice.uniform(0.5, 3)),
        v_neck=dice.chance(0.2), shoulder=chest + dice.uniform(-0.6, 0.4),
        shoulder_drop=dice.uniform(1.6, 3.2), top=dice.uniform(0, 0.6), chest=chest,
        chest_y=dice.uniform(8, 10.5), waist=chest + dice.uniform(-0.8, 0.4),
        waist_y=dice.uniform(15, 19), hem=chest + dice.uniform(-0.9, 0.6), hem_y=dice.uniform(24, 28.4),
        hem_curve=dice.uniform(-0.01, 0.015), **long_sleeves(dice, chest, 0.0),
    )  # fmt: skip
    tone = garment_tone(dice)
    parts = draw_torso(shape, tone, dice.normal(0.03, 0.09), dice.uniform(0, 0.25), folds(dice))
    side_seam(parts, dice.uniform(0.1, 0.6))
    pattern(dice, parts.image, 0.16, 0.02, 0.04)
    all_over_print(dice, parts.image, 0.08)
    chest_print(dice, parts, tone, 0.3)
    hem_line(parts, shape.hem_y - 2.2, dice.uniform(0, 0.25))
    collar(parts, neck, choose(hooded, dice.uniform(3, 5), dice.uniform(0.8, 1.8)), dice.normal(-0.1, 0.12))
    return parts.image


def draw_coat(dice: Dice) -> Array:
    """Coats and jackets: long sleeves, an opening down the front, lapels, pockets."""
    chest = dice.normal(7.5, 0.5)
    neck = dice.normal(3.2, 0.4)
    long_coat = dice.chance(0.2)
    chest = choose(long_coat, chest - 1.2, chest)
    shape = Torso(
        shift=dice.normal(0, 0.3), shear=dice.normal(0, 0.01), neck=neck, neck_depth=dice.uniform(0.2, 1.4),
        v_neck=dice.chance(0.5), shoulder=chest + dice.uniform(-0.5, 0.5), shoulder_drop=dice.uniform(2, 3.6),
        top=dice.uniform(0, 0.5), chest=chest, chest_y=dice.uniform(8.5, 11),
        waist=chest + dice.uniform(-0.9, 0.3), waist_y=dice.uniform(14, 18),
        hem=chest + dice.uniform(-0.4, 1.0), hem_y=dice.uniform(26, 28.4),
        hem_curve=dice.uniform(-0.02, 0.02), **long_sleeves(dice, chest, 0.2),
    )  # fmt: skip
    tone = garment_tone(dice, 0.2, 0.4)
    parts = draw_torso(shape, tone, dice.normal(0.02, 0.09), dice.uniform(0, 0.25), folds(dice, 0.14))
    side_seam(parts, dice.uniform(0.15, 0.7))
    pattern(dice, parts.image, 0.05, 0.05, 0.02)
    all_over_print(dice, parts.image, 0.12)
    lapel = choose(dice.chance(0.4), dice.uniform(6, 12), 0.0)
    opening = dice.uniform(0.2, 0.8) * choose(dice.chance(0.2), -1, 1)
    # Lapels: two dark lines from the collar down to the closing point.
    for side in (-1.0, 1.0):
        slant = parts.centre_by_row + side * np.maximum((lapel - ROW) * (neck / np.maximum(lapel, 1)), 0)
        columns = slice(8, 20)
        line = stroke_by_row(slant, 0.35, 1.0, lapel, columns)
        parts.image[:, columns] *= 1 - line * np.float32(0.55)
    upright_line(parts, dice.normal(0, 0.25), dice.uniform(0.15, 0.6), lapel, opening)
    buttons(dice, parts, choose(dice.chance(0.4), dice.normal(0.4, 0.2), 0.0))
    pockets(dice, parts, 0.5)
    hem_line(parts, choose(dice.chance(0.35), shape.hem_y - 2.5, 60.0), 0.3)
    collar(parts, neck, dice.uniform(1.2, 4.5), dice.normal(-0.22, 0.12))
    return parts.image


def draw_shirt(dice: Dice) -> Array:
    """Shirts and blouses: a placket with buttons and a collar, or a wide neck."""
    chest = dice.normal(7.2, 0.6)
    neck = dice.normal(3.0, 0.5)
    kind = dice.uniform()
    short, blouse = kind < 0.35, (kind < 0.12) | (kind > 0.8)
    sleeves = long_sleeves(dice, chest, -0.1)
    sleeves["sleeve_end"] = choose(short, dice.uniform(8, 12), sleeves["sleeve_end"])
    sleeves["sleeve_tilt"] = choose(short, dice.uniform(0.2, 0.7), sleeves["sleeve_tilt"])
    sleeves["sleeve_cuff"] = choose(short, sleeves["sleeve_elbow"], sleeves["sleeve_cuff"])
    shape = Torso(
        shift=dice.normal(0, 0.3), shear=dice.normal(0, 0.012), neck=choose(blouse, neck + 0.8, neck),
        neck_depth=choose(blouse, dice.uniform(1, 5), dice.uniform(0.3, 1.6)), v_neck=dice.chance(0.6),
        shoulder=chest + dice.uniform(-0.6, 0.4), shoulder_drop=dice.uniform(1.6, 3.2),
        top=dice.uniform(0, 0.6), chest=chest, chest_y=dice.uniform(7.5, 10),
        waist=chest - dice.uniform(-0.2, 1.1), waist_y=dice.uniform(14, 18),
        hem=chest + dice.uniform(-0.6, 1.0), hem_y=dice.uniform(26, 28.6),
        hem_curve=dice.uniform(-0.06, 0.02), **sleeves,
    )  # fmt: skip
    tone = garment_tone(dice)
    parts = draw_torso(shape, tone, dice.normal(0.02, 0.08), dice.uniform(0, 0.25), folds(dice, 0.12))
    side_seam(parts, choose(short, dice.uniform(0, 0.3), dice.uniform(0.1, 0.55)))
    pattern(dice, parts.image, 0.05, 0.2, 0.06)
    all_over_print(dice, parts.image, 0.18)
    gain = dice.normal(0.1, 0.3)
    placket = choose(blouse, 0.0, dice.uniform(0.15, 0.5))
    upright_line(parts, 0.9, 0.25, shape.neck_depth, placket)
    buttons(dice, parts, choose(blouse, 0.0, choose(dice.chance(0.5), 0.55, -0.5)))
    collar(parts, neck, choose(blouse, 0.6, dice.uniform(1.2, 2.8)), gain)
    return parts.image
