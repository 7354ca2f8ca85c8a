"""Grids without gaps: points of a plane to cells of a grid, near where they were."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.assignment import COST_BYTES, assign, bisected, cell_centres, improve, windows
from fmnist_dask.passes.protocol import Algorithm, Call, Tasks
from fmnist_dask.typing import FloatArray, IntArray

Method = Literal["auto", "exact", "tiled"]
#: Cells up to which ``auto`` assigns all at once, and up to which ``exact`` does at all: time grows with their cube.
AUTO_EXACT, MOST_EXACT = 1024, 6400
#: Cells along each side of a window, and windows of one call.
SIDE, BATCH = 16, 16
#: Sweeps end with one that gains less than this share of the cost, or after so many.
LEAST_SHARE, MOST_SWEEPS = 1e-4, 12


@dataclass(frozen=True)
class GridModel:
    """Which cell each point has.

    Attributes
    ----------
    cells : int64 array, shape (m,)
        Row × columns + column of each point's cell; no two are the same.
    rows, columns
        Of the grid.
    history : float64 array
        Mean squared distance of points and their cells' centres at the start and after each sweep; it never rises.
    exact
        Whether the last is the least there is.
    """

    cells: IntArray
    rows: int
    columns: int
    history: FloatArray
    exact: bool

    @property
    def cost(self) -> float:
        """Mean squared distance of points and their cells' centres, in a square of side 1."""
        return float(self.history[-1])


def scaled(places: FloatArray, outside: float = 0.0) -> FloatArray:
    """Places from 0 to 1 along each axis, each scaled by itself, so that the grid is filled; ½ where all are equal.

    The second axis is turned: rows of a grid count from the top, and places upwards.

    Parameters
    ----------
    outside
        Share of places that may lie beyond each end; they are moved to the edge. A few images of a class far from the
        rest would otherwise squeeze these into a corner.
    """
    low, high = np.quantile(places, [outside, 1 - outside], axis=0)
    span = high - low
    result: FloatArray = np.where(span > 0, (places - low) / np.where(span > 0, span, 1.0), 0.5).clip(0.0, 1.0)
    result[:, 1] = 1.0 - result[:, 1]
    return result


def grid_shape(m: int, rows: int | None = None, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns of a grid for ``m`` points: the squarest that holds them, unless they are given.

    Raises
    ------
    UsageError
        The given ones are too few.
    """
    if rows is None and columns is None:
        columns = math.isqrt(m - 1) + 1 if m else 1
    if rows is None:
        rows = max(1, -(-m // (columns or 1)))
    if columns is None:
        columns = max(1, -(-m // rows))
    if rows * columns < m:
        raise UsageError(
            f"{m:,} images do not fit into {rows:,} × {columns:,} = {rows * columns:,} cells",
            "give more rows or columns, or fewer images",
        )
    return rows, columns


def method_for(cells: int, method: Method) -> Literal["exact", "tiled"]:
    """How grids of so many cells are made.

    Raises
    ------
    UsageError
        Too many cells for the exact method.
    """
    if method == "auto":
        return "exact" if cells <= AUTO_EXACT else "tiled"
    if method == "exact" and cells > MOST_EXACT:
        raise UsageError(
            f"method: exact assigns up to {MOST_EXACT:,} cells (memory and time grow with their square and cube); "
            f"this grid has {cells:,}",
            "give fewer images, or method: tiled, which comes close for any number",
        )
    return method


def grid(
    points: FloatArray, rows: int, columns: int, method: Method = "auto", side: int = SIDE
) -> Algorithm[GridModel]:
    """Give each point a cell of its own, so that squared distances to the cells' centres are small.

    ``exact`` solves one linear assignment of all points and cells. ``tiled`` starts from halves of halves, and solves
    assignments among the cells of windows (:func:`~fmnist_dask.kernels.assignment.windows`), first of wide strides,
    then of blocks, each cut at two places; it sweeps again until that gains little.

    Parameters
    ----------
    points : float64 array, shape (m, 2)
        In the unit square, the second axis from the top.
    side
        Cells along each side of a window.

    Raises
    ------
    UsageError
        Points that are not finite, more points than cells, too many cells for the exact method.
    """
    grid_shape(len(points), rows, columns)
    if not np.isfinite(points).all():
        raise UsageError("places contain NaN or infinity", "take images that have places")
    centres = cell_centres(rows, columns)
    if not len(points):
        return GridModel(np.zeros(0, np.int64), rows, columns, np.zeros(1), True)
    if method_for(len(centres), method) == "exact":
        call = Call(assign, (points, centres), len(points))
        cells = (yield Tasks("assignment", (call,), exact_bytes(len(points), len(centres)), "images", late=True,
                             expected=lambda: [np.arange(len(points))]))[0]  # fmt: skip
        return GridModel(cells, rows, columns, np.array([_cost(points, centres, cells)]), True)
    cells = bisected(points, rows, columns)
    history = [_cost(points, centres, cells)]
    for _ in range(MOST_SWEEPS):
        for stride in _strides(max(rows, columns), side):
            for shifted in (False, True):
                cells = yield from _round(points, centres, cells, windows(rows, columns, side, stride, shifted))
        history.append(_cost(points, centres, cells))
        if history[-2] - history[-1] <= LEAST_SHARE * history[-2]:
            break
    return GridModel(cells, rows, columns, np.array(history), False)


def exact_bytes(m: int, cells: int) -> int:
    """Memory of one assignment of all points."""
    return COST_BYTES * m * cells + 64 * cells


def window_bytes(side: int = SIDE) -> int:
    """Memory of the windows of one call."""
    return exact_bytes(side**2, side**2) + 64 * BATCH * side**2


def _strides(longest: int, side: int) -> Iterator[int]:
    """From windows as wide as the grid to blocks."""
    stride = 1
    while stride * side < longest:
        stride *= 2
    while stride:
        yield stride
        stride //= 2


def _round(points: FloatArray, centres: FloatArray, cells: IntArray, groups: list[IntArray]) -> Algorithm[IntArray]:
    """Assign the points of each window anew; windows share no cell, so they are independent."""
    point_of = np.full(len(centres), -1, dtype=np.int64)
    point_of[cells] = np.arange(len(points))
    members, work = [], []
    for group in groups:
        held = np.flatnonzero(point_of[group] >= 0)
        if len(held) and len(group) > 1:
            inside = point_of[group[held]]
            members.append((inside, group))
            work.append((points[inside], centres[group], held))
    if not work:
        return cells
    batches = [work[at : at + BATCH] for at in range(0, len(work), BATCH)]
    calls = tuple(Call(improve, (batch,), sum(len(held) for _, _, held in batch)) for batch in batches)
    side = math.isqrt(max(map(len, groups)) - 1) + 1

    def unchanged() -> list[Any]:
        return [[held for _, _, held in batch] for batch in batches]

    answers = yield Tasks("windows of the grid", calls, window_bytes(side), unit="images", expected=unchanged)
    result = cells.copy()
    found = (positions for answer in answers for positions in answer)
    for (inside, group), positions in zip(members, found, strict=True):
        result[inside] = group[positions]
    return result


def _cost(points: FloatArray, centres: FloatArray, cells: IntArray) -> float:
    return math.fsum(((points - centres[cells]) ** 2).ravel().tolist()) / len(points)
