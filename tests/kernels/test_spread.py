"""Orders of points of which every beginning is spread over the plane."""

from __future__ import annotations

import numpy as np
import pytest

from fmnist_dask.kernels.spread import FIRST_CELLS, spread_order


def crowded(m: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Nearly all in one corner, the rest anywhere."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0.1, 0.02, (m - 200, 2)), rng.uniform(0, 1, (200, 2))])
    return points, rng.permutation(m)


def test_every_point_has_its_turn() -> None:
    points, priority = crowded()
    np.testing.assert_array_equal(np.sort(spread_order(points, priority)), np.arange(len(points)))


@pytest.mark.parametrize("side", [FIRST_CELLS, 2 * FIRST_CELLS, 4 * FIRST_CELLS])
def test_a_beginning_has_one_of_each_cell(side: int) -> None:
    points, priority = crowded()
    low, high = points.min(axis=0), points.max(axis=0)
    cells = np.minimum(((points - low) / (high - low) * side).astype(int), side - 1) @ [side, 1]
    held = np.unique(cells)
    order = spread_order(points, priority)
    # Cells of coarser levels gave one each before.
    np.testing.assert_array_equal(np.unique(cells[order[: len(held)]]), held)
    first = order[: len(np.unique(cells))]
    assert len(first) < 300


def test_the_order_of_the_points_does_not_matter() -> None:
    points, priority = crowded()
    shuffled = np.random.default_rng(1).permutation(len(points))
    order = spread_order(points[shuffled], priority[shuffled])
    np.testing.assert_array_equal(shuffled[order], spread_order(points, priority))


def test_points_that_coincide_go_by_priority() -> None:
    order = spread_order(np.zeros((5, 2)), np.array([3, 1, 4, 0, 2]))
    np.testing.assert_array_equal(order, np.argsort([3, 1, 4, 0, 2]))
    assert len(spread_order(np.zeros((0, 2)), np.zeros(0))) == 0
