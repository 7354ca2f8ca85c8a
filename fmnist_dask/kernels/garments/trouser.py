"""Trousers and shorts."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.garments.dice import Dice
from fmnist_dask.kernels.garments.fabric import all_over_print, garment_tone, pattern
from fmnist_dask.kernels.garments.strokes import ROW, SIZE, Array, X, choose, clip_unit, cover, profile


def draw_trouser(dice: Dice) -> Array:
    """Trousers, and a few shorts."""
    shorts = dice.chance(0.05)
    waist = dice.normal(4.3, 0.4)
    hip = waist + dice.uniform(0.4, 1.3)
    knee_y, crotch = dice.uniform(15, 18), dice.uniform(8, 11)
    ankle_out = choose(dice.chance(0.2), hip + dice.uniform(-0.2, 1.4), hip - dice.uniform(-0.2, 1.6))
    leg = choose(dice.chance(0.25), dice.uniform(3.6, 5.0), dice.uniform(2.3, 3.6))
    ankle_out = choose(shorts, hip + 2.5, ankle_out)
    leg = np.minimum(choose(shorts, 5.5, leg), ankle_out - 0.2)
    outer = profile(ROW, [(0.0, waist), (crotch - 2, hip), (knee_y, (hip + ankle_out) * 0.5), (27.0, ankle_out)])
    inner = profile(
        ROW, [(crotch - 3, -1.5), (crotch, 0.1), (knee_y, (ankle_out - leg) * 0.6), (27.5, ankle_out - leg)]
    )
    bend = dice.normal(0, 0.5)
    centre = (
        dice.normal(0, 0.4)
        + dice.normal(0, 0.02) * (ROW - 14)
        + bend * profile(ROW, [(8.0, 0.0), (17.0, 1.0), (28.0, -0.6)])
    )
    top, hem_y = dice.uniform(0, 0.7), choose(shorts, dice.uniform(20, 25), dice.uniform(27.2, 28.4))

    columns = slice(3, 25)
    across = np.abs(X[:, columns] - centre[:, None])
    inside = np.minimum(outer[:, None] - across, across - inner[:, None])
    np.minimum(inside, np.minimum(ROW - top, hem_y - ROW)[:, None], out=inside)

    image = np.zeros((SIZE, SIZE, hem_y.size), dtype=np.float32)
    tone = garment_tone(dice, 0.12, 0.55)
    middle = (outer + np.maximum(inner, np.float32(0))) * np.float32(0.5)
    # A light crease along the middle of each leg, darker towards its sides.
    shade = np.abs(across - middle[:, None])
    shade *= dice.uniform(-0.02, 0.14)
    np.subtract(1, shade, out=shade)
    shade *= 1 - clip_unit(1 - np.minimum(inside, 1)) * dice.uniform(0, 0.3)
    shade *= cover(inside)
    waistband = clip_unit(1.2 - np.abs(ROW - dice.uniform(2.2, 3.4))) * dice.uniform(0, 0.4)
    faded_knee = profile(ROW, [(8.0, 0.0), (15.0, 1.0), (24.0, 0.0)]) * dice.normal(0.08, 0.1)
    shade *= (tone * (1 - waistband) * (1 + faded_knee))[:, None]
    fly = (
        cover(0.6 - np.abs(X[:, columns] - centre[:, None])) * (clip_unit(crotch - ROW) * dice.uniform(0, 0.4))[:, None]
    )
    shade *= 1 - fly
    image[:, columns] = shade
    pattern(dice, image, 0.01, 0.02, 0.04)
    all_over_print(dice, image, 0.08)
    return image
