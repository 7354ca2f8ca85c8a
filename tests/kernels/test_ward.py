"""Ward's hierarchy of weighted points, against SciPy's of single ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage as scipy_linkage
from sklearn.metrics import adjusted_rand_score

from fmnist_dask.kernels.ward import cut, weighted_ward


@pytest.mark.parametrize("m", [2, 3, 17, 400])
def test_equal_to_scipy_for_single_points(m):
    points = np.random.default_rng(m).normal(size=(m, 5))
    found = weighted_ward(points, np.ones(m))
    expected = scipy_linkage(points, "ward")
    np.testing.assert_array_equal(found[:, :2], expected[:, :2])
    np.testing.assert_allclose(found[:, 2:], expected[:, 2:], rtol=1e-9)


def test_weights_count_like_repeated_points():
    rng = np.random.default_rng(1)
    points, weight = rng.normal(size=(60, 3)), rng.integers(1, 9, 60)
    found = weighted_ward(points, weight.astype(float))
    expected = scipy_linkage(np.repeat(points, weight, axis=0), "ward")
    # Repeated points merge first, at no distance.
    np.testing.assert_allclose(found[:, 2:], expected[-59:, 2:], rtol=1e-9)
    for n_clusters in (2, 7, 30):
        repeated = cut(expected, n_clusters)
        assert adjusted_rand_score(np.repeat(cut(found, n_clusters), weight), repeated) == 1


def test_cuts_are_nested_and_numbered_by_their_first_points():
    points = np.random.default_rng(2).normal(size=(50, 2))
    linkage = weighted_ward(points, np.ones(50))
    assert cut(linkage, 50).tolist() == list(range(50))
    assert set(cut(linkage, 1)) == {0}
    finer = cut(linkage, 9)
    for n_clusters in range(8, 0, -1):
        coarser = cut(linkage, n_clusters)
        assert len(np.unique(coarser)) == n_clusters
        assert len(np.unique(finer * 100 + coarser)) == n_clusters + 1  # one of the coarser is two of the finer
        assert np.unique(coarser, return_index=True)[1].tolist() == sorted(np.unique(coarser, return_index=True)[1])
        finer = coarser
    assert cut(linkage, 60).tolist() == list(range(50))


def test_equal_points_and_equal_distances():
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2)
    points = np.vstack([grid, grid])
    found = weighted_ward(points, np.ones(72))
    assert (found[:36, 2] == 0).all()
    assert (np.diff(found[:, 2]) >= 0).all()
    assert found[-1, 3] == 72
