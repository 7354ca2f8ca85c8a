"""Starts of k-means on a subset."""

import numpy as np
import pytest

from fmnist_dask.kernels import seeding
from fmnist_dask.kernels.seeding import StartSearch, find_starts, group_means, principal_plane


def blobs(k=12, each=60, d=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-100, 100, (k, d))
    truth = np.repeat(np.arange(k), each)
    return (centres[truth] + rng.standard_normal((k * each, d))).astype(np.float32), truth


def inertia_of(points, labels):
    return sum(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum() for k in np.unique(labels))


def test_every_start_finds_clusters_that_are_plain_to_see():
    points, truth = blobs()
    best = inertia_of(points, truth)
    for start in find_starts(points, None, 12, 3, list(range(6)), "k-means++", True):
        assert start["inertia"] == pytest.approx(best, rel=1e-3)
        assert len(np.unique(start["labels"])) == 12


def test_swaps_mend_starts_that_lloyd_leaves_behind():
    points, truth = blobs(k=25, each=30)
    best = inertia_of(points, truth)
    plain = [start["inertia"] for start in find_starts(points, None, 25, 1, list(range(8)), "random", False)]
    mended = [start["inertia"] for start in find_starts(points, None, 25, 1, list(range(8)), "random", True)]
    assert min(plain) > 2 * best
    assert max(mended) < 1.001 * best


def test_a_start_depends_on_seed_and_number_alone():
    points, _ = blobs()
    together = find_starts(points, None, 7, 5, [0, 1, 2], "k-means++", True)
    alone = find_starts(points, None, 7, 5, [2], "k-means++", True)[0]
    np.testing.assert_array_equal(alone["labels"], together[2]["labels"])
    other = find_starts(points, None, 7, 6, [2], "k-means++", False)[0]
    assert (other["labels"] != alone["labels"]).any()


def test_the_first_centre_is_drawn_at_random():
    points, _ = blobs(k=4, each=100)
    search = StartSearch(points)
    firsts = {tuple(search.seeds(2, np.random.default_rng(seed), "k-means++")[0].tolist()) for seed in range(20)}
    assert len(firsts) > 15


def test_weights_count_like_repeated_points():
    points, _ = blobs(k=5, each=20)
    weights = np.where(np.arange(100) % 2, 3.0, 1.0)
    start = StartSearch(points, weights).find(5, np.random.default_rng(0), "k-means++")
    repeated = np.repeat(points, weights.astype(int), axis=0)
    assert start.inertia == pytest.approx(inertia_of(repeated, np.repeat(start.labels, weights.astype(int))), rel=1e-4)


def test_fewer_distinct_points_than_centres():
    points = np.repeat(np.eye(2, 3, dtype=np.float32), 10, axis=0)
    start = find_starts(points, None, 5, 0, [0], "k-means++", True)[0]
    assert start["inertia"] == 0
    means = group_means(points, None, start["labels"], 5)
    assert np.isfinite(means).all()


@pytest.mark.parametrize(("m", "d"), [(300, 100), (60, 100), (300, 20), (1, 100)])
def test_the_plane_keeps_distances_as_far_as_it_can(m, d):
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((m, 10)) @ rng.standard_normal((10, d)) * 20 + 100).astype(np.float32)
    plane, unit = principal_plane(features)
    assert plane.dtype == np.float32
    assert np.abs(plane).max() <= 64
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose((plane**2).sum() * unit**2, (centred**2).sum(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1500, 1200), (1100, 3000)])
def test_the_plane_of_many_features_comes_from_an_iteration(shape):
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((shape[0], 30)) @ rng.standard_normal((30, shape[1]))).astype(np.float32)
    plane, unit = principal_plane(features)
    assert plane.shape == (shape[0], 48)
    centred = features - features.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose((plane.astype(float) ** 2).sum() * unit**2, (centred**2).sum(), rtol=1e-4)


def test_tiles_change_nothing(monkeypatch):
    points, _ = blobs()
    whole = find_starts(points, None, 12, 3, [0, 1], "k-means++", True)
    monkeypatch.setattr(seeding, "TILE", 12 * 100)
    for one, other in zip(whole, find_starts(points, None, 12, 3, [0, 1], "k-means++", True), strict=True):
        np.testing.assert_array_equal(one["labels"], other["labels"])


@pytest.mark.parametrize("weight", [1e-300, 1e-45, 1.0, 1e38, 1e300])
def test_weights_of_any_size_are_alike(weight):
    points, _ = blobs(k=5)
    expected = find_starts(points, None, 5, 0, [0], "k-means++", True)[0]
    found = find_starts(points, np.full(len(points), weight), 5, 0, [0], "k-means++", True)[0]
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    assert found["inertia"] == pytest.approx(expected["inertia"] * weight)
    np.testing.assert_allclose(
        group_means(points, np.full(len(points), weight), found["labels"], 5),
        group_means(points, None, found["labels"], 5),
    )
