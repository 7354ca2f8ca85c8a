"""Projection in panels of absolute rows."""

import itertools

import numpy as np
import pytest

from fmnist_dask.kernels import projection
from fmnist_dask.kernels.projection import panels, project, scatter_about, sketch


def test_panels_follow_absolute_rows():
    rows = np.array([3, 255, 256, 300, 511, 512, 2000])
    assert [rows[part].tolist() for part in panels(rows)] == [[3, 255], [256, 300, 511], [512], [2000]]
    assert list(panels(np.zeros(0, dtype=np.int64))) == []


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_blocks_give_the_same_bits(dtype):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 256, (1500, 40)).astype(dtype)
    rows, mean, directions = np.arange(1500), features.mean(axis=0, dtype=np.float64), rng.random((40, 6))
    whole = project(features, rows, mean, directions)
    np.testing.assert_allclose(whole, (features - mean) @ directions, rtol=1e-12, atol=1e-9)
    cuts = [0, 256, 768, 1500]
    parts = [project(features[a:b], rows[a:b], mean, directions) for a, b in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    scale = 2.0 ** np.arange(40)
    pieces, once = np.zeros((40, 6), np.int64), np.zeros((40, 6), np.int64)
    for a, b in itertools.pairwise(cuts):
        sketch(features[a:b], rows[a:b], mean, directions, scale, pieces)
    sketch(features, rows, mean, directions, scale, once)
    np.testing.assert_array_equal(pieces, once)
    centred = (features - mean) * scale
    np.testing.assert_allclose(once, centred.T @ whole, rtol=1e-9, atol=len(cuts) * 2)


def test_many_features_are_taken_in_tiles(monkeypatch):
    rng = np.random.default_rng(0)
    features, rows = rng.integers(0, 256, (300, 40), dtype=np.uint8), np.arange(300)
    mean, directions, scale = features.mean(axis=0), rng.random((40, 6)), np.full(40, 2.0**20)
    whole, sums = project(features, rows, mean, directions), np.zeros((40, 6), np.int64)
    sketch(features, rows, mean, directions, scale, sums)
    for size in (1, 7, 39, 40):
        monkeypatch.setattr(projection, "TILE_FEATURES", size)
        np.testing.assert_allclose(project(features, rows, mean, directions), whole, rtol=1e-12, atol=1e-9)
        tiled = np.zeros_like(sums)
        sketch(features, rows, mean, directions, scale, tiled)
        np.testing.assert_allclose(tiled, sums, rtol=1e-10)


def test_scatter_on_a_grid_is_as_good_as_the_grid():
    features = np.random.default_rng(1).standard_normal((1000, 12)).astype(np.float32)
    mean = features.mean(axis=0, dtype=np.float64)
    total = np.zeros((12, 12), dtype=np.int64)
    scale = 2.0 ** np.arange(14, 26)
    scatter_about(features, np.arange(1000), mean, scale, total)
    expected = (features - mean).T @ (features - mean)
    found = total / np.multiply.outer(scale, scale)
    np.testing.assert_allclose(found, expected, atol=4 * 2.0**-28 + 1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(found[8:, 8:], expected[8:, 8:], atol=4 * 2.0**-44 + 1e-12 * np.abs(expected).max())
