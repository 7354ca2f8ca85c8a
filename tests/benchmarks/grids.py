"""Grids of images: windows against exact assignment by SciPy and, where it is installed, lapx; the same places.

Places are drawn in ten groups, as those of a map are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from fmnist_dask.kernels.assignment import cell_centres, squared_distances
from fmnist_dask.models.grid import GridModel, grid, scaled
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import ArrayCollection, drive
from tests.benchmarks.rows import Row, Timed, beside_base, beside_peer, timed
from tests.benchmarks.settings import Options, Settings, alone


@dataclass(frozen=True)
class GridBenchmark(Options):
    """Cells of a side, where all ways are compared, and of the windows alone."""

    side: int = 50
    large_side: int = 245


BY_SIZE = {"tiny": GridBenchmark(1, 20, 40), "usual": GridBenchmark()}


def chapter(settings: Settings, options: GridBenchmark) -> Iterator[Row]:
    """Windows, SciPy and lapx on a small grid; windows alone on a large one."""
    with settings.workers() as (_, engine):
        points = places(options.side)
        ours, model = windows(engine, points, options.side, options.repeats)
        yield from compared(settings, points, ours, model, options)
        side = options.large_side
        seconds, large = windows(engine, places(side), side, 1)
    told = f"mean squared distance {large.cost:.5f}"
    base = f"{options.side} × {options.side}"
    yield beside_base(f"grid, {side} × {side}, by windows", seconds, base, ours, side**2, remark=told)


def places(side: int) -> np.ndarray:
    """As many places as cells, in the unit square."""
    rng = np.random.default_rng(0)
    middles = rng.uniform(-1, 1, (10, 2))
    return scaled(middles[rng.integers(0, 10, side**2)] + rng.normal(0, 0.12, (side**2, 2)))


def windows(engine: DistributedEngine, points: np.ndarray, side: int, repeats: int) -> tuple[Timed, GridModel]:
    """Seconds and result of the windows, by two workers."""
    nothing = ArrayCollection(np.zeros((1, 1, 1), np.uint8))
    models: list[GridModel] = []
    work = lambda: models.append(drive(grid(points, side, side, "tiled"), nothing, engine))  # noqa: E731
    return timed(work, repeats), models[0]


def compared(
    settings: Settings, points: np.ndarray, ours: Timed, model: GridModel, options: GridBenchmark
) -> Iterator[Row]:
    """The exact ways, from the same places; their costs were there."""
    side, n = options.side, len(points)
    costs = squared_distances(points, cell_centres(side, side))
    least = costs[linear_sum_assignment(costs)].mean()
    scipy = timed(lambda: linear_sum_assignment(costs), options.repeats)
    what, near = f"grid, {side} × {side}, by windows, 2 workers", bool(model.cost < 1.02 * least)
    told = f"cost {model.cost / least:.4f} × the least, which is {least:.5f}"
    yield beside_peer(what, ours, "SciPy", "linear_sum_assignment, exact", scipy, n, agrees=near, remark=told)
    if settings.has("lapx"):
        import lap

        found: list[float] = []
        lapx = timed(lambda: found.append(lap.lapjv(costs)[0]), options.repeats)
        told = f"theirs {found[0] / n / least:.6f} × the least"
        yield beside_peer(what, ours, "lapx", "lapjv, exact", lapx, n, agrees=near, remark=told)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "grids")
