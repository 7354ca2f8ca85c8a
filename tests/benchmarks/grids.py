"""Grids of images: windows against exact assignment by SciPy and, where it is installed, lapx; the same places.

Places are drawn in ten groups, as those of a map are.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from fmnist_dask.kernels.assignment import cell_centres, squared_distances
from fmnist_dask.models.grid import GridModel, grid, scaled
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import ArrayCollection, drive
from tests.benchmarks.common import arguments, median_seconds, show, two_workers


def main() -> None:
    """Windows, SciPy and lapx at 50 × 50; windows alone at 245 × 245."""
    given = arguments(__doc__, fashion=False).parse_args()
    with two_workers(given.directory) as (_, engine):
        rows = compared(engine, 50, given.repeats)
        points = places(245)
        seconds, model = windows(engine, points, 245, 1)
        rows.append(("windows, 245 × 245", seconds, f"mean squared distance {model.cost:.5f}"))
    show("one cell for each of as many places", rows)


def places(side: int) -> np.ndarray:
    """As many places as cells, in the unit square."""
    rng = np.random.default_rng(0)
    middles = rng.uniform(-1, 1, (10, 2))
    return scaled(middles[rng.integers(0, 10, side**2)] + rng.normal(0, 0.12, (side**2, 2)))


def windows(engine: DistributedEngine, points: np.ndarray, side: int, repeats: int) -> tuple[float, GridModel]:
    """Seconds and result of the windows, by two workers."""
    nothing = ArrayCollection(np.zeros((1, 1, 1), np.uint8))
    models: list[GridModel] = []
    work = lambda: models.append(drive(grid(points, side, side, "tiled"), nothing, engine))  # noqa: E731
    return median_seconds(work, repeats)[0], models[0]


def compared(engine: DistributedEngine, side: int, repeats: int) -> list[tuple[str, float, str]]:
    """All ways, from the same places."""
    points = places(side)
    costs = squared_distances(points, cell_centres(side, side))
    least = costs[linear_sum_assignment(costs)].mean()
    ours, model = windows(engine, points, side, repeats)
    scipy, _ = median_seconds(lambda: linear_sum_assignment(costs), repeats)
    name = f"{side} × {side}"
    rows = [
        (f"windows, {name}", ours, f"cost {model.cost / least:.4f} × the least; {ours / scipy:.2f} × SciPy's time"),
        (f"SciPy, exact, {name}", scipy, f"mean squared distance {least:.5f}; costs were there"),
    ]
    try:
        import lap
    except ImportError:
        return rows
    found: list[float] = []
    lapx, _ = median_seconds(lambda: found.append(lap.lapjv(costs)[0]), repeats)
    told = f"{found[0] / len(points) / least:.6f} × the least; windows {ours / lapx:.2f} × its time"
    return [*rows, (f"lapx, exact, {name}", lapx, told)]


if __name__ == "__main__":
    main()
