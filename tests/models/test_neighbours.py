"""Nearest neighbours of collections: scikit-learn's, the same for any chunking, within memory that is told before."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from support import collection_of, rechunked, with_features

from fmnist_dask.errors import MemoryLimitError, UsageError
from fmnist_dask.models import neighbours as module
from fmnist_dask.models.neighbours import nearest_neighbours, pair_bytes, pair_neighbours, rounds
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.protocol import Tasks


def found_in(source, k, inside=None, tasks=3, split="all"):
    chosen = np.ones(source.n, bool) if inside is None else inside
    return drive(nearest_neighbours(source, chosen, k, split), source, LocalEngine(tasks))


def normal(n=900, d=20, dtype="float32"):
    return np.random.default_rng(d).normal(size=(n, d)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [2, 30])
def test_floats_agree_with_scikit_learn(d, dtype):
    features = normal(1200, d, dtype) + 100
    found = found_in(with_features(features, 500), 6)
    values = features.astype(np.float64)
    distances, rows = NearestNeighbors(n_neighbors=7, algorithm="kd_tree").fit(values).kneighbors(values)
    np.testing.assert_array_equal(found.neighbours, rows[:, 1:])
    np.testing.assert_allclose(found.distances, distances[:, 1:], rtol=1e-12)
    assert found.neighbours.dtype == np.int64


def test_pixels_are_exact_and_the_same_for_any_chunking_blocks_and_rounds(monkeypatch):
    source = collection_of(800, (5, 4), 128, distinct=700, seed=3)
    flat = source.image.reshape(800, -1).astype(np.int64)
    squares = np.square(flat[:, None] - flat).sum(axis=2)
    np.fill_diagonal(squares, 10**9)
    order = np.argsort(squares, axis=1, kind="stable")[:, :5]
    for chunk_rows, least_rows, answers in ((800, 512, 2**28), (100, 64, 2**28), (77, 33, 50_000), (128, 200, 1)):
        monkeypatch.setattr(module, "LEAST_ROWS", least_rows)
        monkeypatch.setattr(module, "BLOCK_ROWS", least_rows)
        monkeypatch.setattr(module, "ROUND_BYTES", answers)
        found = found_in(rechunked(source, chunk_rows), 5)
        np.testing.assert_array_equal(found.neighbours, order)
        np.testing.assert_array_equal(found.distances, np.sqrt(np.take_along_axis(squares, order, axis=1)))


def test_rounds_look_at_each_pair_once_and_first_at_blocks_with_themselves(monkeypatch):
    monkeypatch.setattr(module, "ROUND_BYTES", 10_000)
    cut = list(rounds(1000, 100, 3))
    pairs = [pair for part in cut for pair in part]
    assert sorted(pairs) == [(left, right) for left in range(10) for right in range(left, 10)]
    assert all(left == right for part in cut[:2] for left, right in part)
    assert max(len(part) * 2 * 100 * (3 * 16 + 8) for part in cut[2:]) <= 2 * 10_000
    assert list(rounds(0, 100, 3)) == []


def test_only_some_samples_take_part():
    features = normal()
    inside = np.random.default_rng(0).random(900) < 0.3
    inside[600:] = False  # whole chunks without any
    features[~inside] = np.float32(0)  # would be near to all
    for chunk_rows in (50, 900):
        found = found_in(with_features(features, chunk_rows), 4, inside)
        rows = np.flatnonzero(inside)
        alone = found_in(with_features(features[inside]), 4)
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_array_equal(found.neighbours, rows[alone.neighbours])
        np.testing.assert_array_equal(found.distances, alone.distances)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_samples_than_neighbours(n):
    found = found_in(with_features(normal(n)), 4)
    assert found.neighbours.shape == (n, 4)
    assert (np.sort(found.neighbours[:, : n - 1], axis=1) != np.arange(n)[:, None]).all()
    assert (found.neighbours[:, n - 1 :] == -1).all()
    assert np.isinf(found.distances[:, n - 1 :]).all()
    assert np.isfinite(found.distances[:, : n - 1]).all()


def test_constant_features_are_neighbours_at_distance_zero():
    found = found_in(with_features(np.full((700, 12), 3.5, np.float32), 100), 2)
    assert (found.distances == 0).all()
    assert (found.neighbours[2:] == [0, 1]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_with_its_row(value):
    features = normal()
    features[123, 4] = value
    with pytest.raises(UsageError, match="1 values are NaN or infinity, the first in row 123"):
        found_in(with_features(features), 3)


def test_what_does_not_fit_is_refused_with_a_way_out(monkeypatch):
    with pytest.raises(UsageError, match="0 neighbours"):
        found_in(with_features(normal()), 0)
    monkeypatch.setattr(module, "MOST_STATE", 100_000)
    with pytest.raises(MemoryLimitError, match=r"50 neighbours of each of 900 images(.|\n)*fewer neighbours"):
        found_in(with_features(normal()), 50)
    assert found_in(with_features(normal()), 3).neighbours.shape == (900, 3)


def test_a_call_takes_no_more_memory_than_it_says():
    source = with_features(normal(6000, 200), 1000)
    algorithm = nearest_neighbours(source, np.ones(6000, bool), 20)
    request = algorithm.send(None)
    request = algorithm.send(LocalEngine().scan(source, {"a": request})["a"])
    assert isinstance(request, Tasks)
    pair_neighbours(request.shared, 0, 1)  # compiles
    for pair in ((0, 0), (0, 1)):
        tracemalloc.start()
        pair_neighbours(request.shared, *pair)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert request.task_bytes / 5 < peak < request.task_bytes
    assert request.task_bytes == pair_bytes(source, 1000, 20)
