"""Drawing primitives: pixel grids, curves through knots, strokes, waves and painting.

Arrays put the image index LAST: a picture is (28 rows, 28 columns, n images), so every parameter is
a plain (n,) array that broadcasts, and inner loops run over contiguous images.  A silhouette is built
from signed distances to its edges in pixels; most edges are one-dimensional profiles ((28, n): half
widths by row, or heights by column), which keeps whole-picture operations few.

Only float32 ``+ - * /``, square root, minimum, maximum, absolute value, floor and comparisons are
used: IEEE 754 defines their results exactly, so the pictures are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 28

# All float32 at run time; the stubs widen float32 combined with a Python float to a union.
Array = NDArray[np.floating[Any]]
Value = Array | float
Knots = Sequence[tuple[Value, Value]]

# Pixel centres, in pixels: rows from the top edge, columns from the vertical centre line.
ROW = (np.arange(SIZE, dtype=np.float32) + np.float32(0.5))[:, None]
COLUMN = (np.arange(SIZE, dtype=np.float32) - np.float32(13.5))[:, None]
Y = ROW[:, :, None]
X = COLUMN[None, :, :]


def choose(condition: NDArray[np.bool_], yes: Value, no: Value) -> Array:
    """Float32 value of each image by a condition."""
    return np.where(condition, np.asarray(yes, dtype=np.float32), np.asarray(no, dtype=np.float32))


def clip_unit(values: Array) -> Array:
    """Clip to 0..1, in place."""
    np.maximum(values, np.float32(0), out=values)
    return np.minimum(values, np.float32(1), out=values)


def cover(distance: Array) -> Array:
    """Pixel coverage 0..1 of a shape from the signed distance to its edge, in place."""
    distance += np.float32(0.5)
    return clip_unit(distance)


def profile(position: Array, knots: Knots, smooth: bool = True) -> Array:
    """Curve through knots (position, value), constant beyond the ends, shape (28, n).

    Smooth curves have zero slope in the knots (cubic steps), others are piecewise linear.
    """
    total: Array | None = None
    for (start, low), (end, high) in pairwise(knots):
        step = clip_unit((position - start) / np.maximum(np.subtract(end, start, dtype=np.float32), np.float32(1e-3)))
        if smooth:
            step = step * step * (3 - 2 * step)
        step = step * np.subtract(high, low, dtype=np.float32)
        total = low + step if total is None else total + step
    assert total is not None
    return total


def stretch(curve: Array) -> Array:
    """Factor that turns a distance along the axis into one square to a curve, shape as `curve`."""
    slope = np.empty_like(curve)
    slope[1:-1] = (curve[2:] - curve[:-2]) * np.float32(0.5)
    slope[0] = slope[1]
    slope[-1] = slope[-2]
    return np.float32(1) / np.sqrt(slope * slope + 1)


def stroke_by_column(curve: Array, half_width: Value, first: Value, last: Value, rows: slice) -> Array:
    """Coverage of a line y = curve(x) for x in first..last, over some rows."""
    ends = np.minimum(COLUMN - first, last - COLUMN)
    scale = stretch(curve)
    distance = np.abs(Y[rows] - curve) * scale
    np.subtract(half_width, distance, out=distance)
    return cover(np.minimum(distance, ends, out=distance))


def stroke_by_row(curve: Array, half_width: Value, first: Value, last: Value, columns: slice) -> Array:
    """Coverage of a line x = curve(y) for y in first..last, over some columns."""
    ends = np.minimum(ROW - first, last - ROW)
    scale = stretch(curve)
    distance = np.abs(X[:, columns] - curve[:, None]) * scale[:, None]
    np.subtract(half_width, distance, out=distance)
    return cover(np.minimum(distance, ends[:, None], out=distance))


def wave(position: Array, period: Value, phase: Value, sharpness: float = 3.0) -> Array:
    """Soft square wave 0..1 along one axis."""
    cycles = position / period + phase
    cycles -= np.floor(cycles)
    return clip_unit((np.abs(cycles - 0.5) - 0.25) * np.float32(sharpness) * 2 + 0.5)


def blend(image: Array, coverage: Array, tone: Value) -> None:
    """Paint a tone over a picture (or a window of it) where covered, in place."""
    image += (tone - image) * coverage
