"""k-means by mini-batches: scikit-learn's centres from the same batches, the same for any chunks, edge cases."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.cluster
from sklearn.datasets import make_blobs

from fmnist_dask import KMeans, MiniBatchKMeans
from fmnist_dask.errors import UsageError


def blobs(n: int = 3000, k: int = 6) -> np.ndarray:
    return make_blobs(n, centers=k, n_features=5, cluster_std=1.0, center_box=(-8, 8), random_state=4)[0]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_batches_move_centres_as_in_scikit_learn(dtype: str, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    values = (blobs() * 5 + 120).clip(0, 255).astype(dtype)
    init = values[:6].astype(np.float64)
    given = {"init": init, "n_init": 1, "reassignment_ratio": 0}
    ours, theirs = MiniBatchKMeans(6, **given), sklearn.cluster.MiniBatchKMeans(6, **given)
    for start in range(0, 3000, 300):
        batch = values[start : start + 300]
        weight = rng.uniform(0, 3, 300) if weighted else None
        ours.partial_fit(batch, sample_weight=weight)
        theirs.partial_fit(batch.astype(np.float64), sample_weight=weight)
        np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-9)
        np.testing.assert_array_equal(ours.labels_, theirs.labels_)
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)
    np.testing.assert_allclose(ours.counts_, theirs._counts, rtol=1e-12)
    assert ours.n_steps_ == theirs.n_steps_ == 10


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_any_chunks_give_the_same_centres(dtype: str) -> None:
    values = (blobs() * 5 + 120).clip(0, 255).astype(dtype)
    model = MiniBatchKMeans(6, batch_size=200, random_state=1).fit(values)
    with dask.config.set(scheduler="threads"):
        for chunks in (257, 1000):
            lazy = da.from_array(values, chunks=(chunks, -1))
            other = MiniBatchKMeans(6, batch_size=200, random_state=1).fit(lazy)
            np.testing.assert_array_equal(other.cluster_centers_, model.cluster_centers_)
            assert isinstance(other.labels_, da.Array)
            np.testing.assert_array_equal(other.labels_, model.labels_)
            assert (other.inertia_, other.n_steps_) == (model.inertia_, model.n_steps_)


def test_few_passes_come_near_the_best_clusters() -> None:
    values = blobs(8000)
    best = KMeans(6, n_init=5, random_state=0).fit(values)
    found = MiniBatchKMeans(6, batch_size=256, random_state=0).fit(values)
    assert found.n_passes_ <= 3
    assert found.n_iter_ == -(-found.n_steps_ * 256 // 8000)
    assert found.inertia_ <= 1.05 * best.inertia_
    direct = ((values - found.cluster_centers_[found.labels_]) ** 2).sum()
    assert found.inertia_ == pytest.approx(direct, rel=1e-9)
    assert found.score(values) == -found.inertia_
    np.testing.assert_array_equal(found.predict(values), found.labels_)


def test_the_end_is_that_of_patience_of_stillness_or_of_the_samples() -> None:
    values = blobs()
    common = {"batch_size": 100, "random_state": 0}
    patient = MiniBatchKMeans(6, max_no_improvement=None, max_iter=2, **common).fit(values)
    assert patient.n_steps_ == 60
    still = MiniBatchKMeans(6, max_no_improvement=None, tol=1e9, **common).fit(values)
    assert still.n_steps_ == 2
    assert MiniBatchKMeans(6, max_no_improvement=3, **common).fit(values).n_steps_ < 400


def test_small_clusters_are_moved_to_random_samples() -> None:
    values = blobs()
    # Two centres begin where no sample ever is.
    init = np.concatenate([values[:4], np.full((2, 5), 1e3)])
    moved = MiniBatchKMeans(6, init=init, batch_size=300, random_state=0).fit(values)
    assert np.abs(moved.cluster_centers_).max() < 100
    assert len(np.unique(moved.labels_)) == 6
    stuck = MiniBatchKMeans(6, init=init, batch_size=300, reassignment_ratio=0, random_state=0).fit(values)
    assert (stuck.cluster_centers_[4:] == 1e3).all()
    assert (stuck.counts_[4:] == 0).all()


@pytest.mark.parametrize(
    ("values", "k"),
    [
        (np.full((50, 3), 7, np.uint8), 4),
        (np.zeros((50, 3)), 4),
        (np.repeat(np.eye(3), 20, axis=0), 5),
        (np.arange(6.0)[:, None], 6),
        (np.arange(6.0)[:, None], 1),
    ],
    ids=["constant pixels", "zeros", "more clusters than points", "a cluster each", "one cluster"],
)
def test_odd_samples(values: np.ndarray, k: int) -> None:
    found = MiniBatchKMeans(k, random_state=0).fit(values)
    assert np.isfinite(found.cluster_centers_).all()
    distinct = len(np.unique(values, axis=0))
    assert len(np.unique(found.labels_)) <= min(k, distinct)
    if k >= distinct:
        assert found.inertia_ == pytest.approx(0, abs=1e-9)


def test_what_cannot_be_worked_with_is_refused() -> None:
    values = blobs(40)
    with pytest.raises(UsageError, match="n_samples=40 should be >= n_clusters=41"):
        MiniBatchKMeans(41).fit(values)
    with pytest.raises(UsageError, match="n_samples=40 should be >= n_clusters=41"):
        MiniBatchKMeans(41).partial_fit(values)
    broken = values.copy()
    broken[3, 1] = np.nan
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match="NaN"):
            getattr(MiniBatchKMeans(2), method)(broken)
        with pytest.raises(ValueError, match="weight"):
            getattr(MiniBatchKMeans(2), method)(values, sample_weight=np.full(40, -1.0))
    with pytest.raises(UsageError, match="'batch_size' parameter"):
        MiniBatchKMeans(2, batch_size=0).fit(values)
    begun = MiniBatchKMeans(2, random_state=0).partial_fit(values)
    with pytest.raises(UsageError, match="n_clusters is 3, but 2 have been begun with"):
        begun.set_params(n_clusters=3).partial_fit(values)


def test_batches_of_lazy_arrays_are_looked_at() -> None:
    values = blobs(400)
    values[7, 1] = np.nan
    with dask.config.set(scheduler="threads"), pytest.raises(UsageError, match="contains NaN"):
        MiniBatchKMeans(2, random_state=0).partial_fit(da.from_array(values, chunks=(100, -1)))


def test_centres_do_not_move_to_samples_without_weight() -> None:
    values = blobs(400)
    values[20:] += 1e6
    weights = np.zeros(400)
    weights[:20] = 1
    init = np.concatenate([values[:1], np.full((3, 5), -1e9)])
    found = MiniBatchKMeans(4, init=init, random_state=0).partial_fit(values, sample_weight=weights)
    assert np.abs(found.cluster_centers_).max() < 100


@pytest.mark.slow
def test_a_fit_takes_little_more_memory_than_it_gathers() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (42_000, 784), dtype=np.uint8)
    MiniBatchKMeans(2, init=pixels[:2].astype(float), random_state=0).fit(pixels[:2000])
    tracemalloc.start()
    try:
        MiniBatchKMeans(2, init=pixels[:2].astype(float), tol=1e-9, max_iter=1, random_state=0).fit(pixels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 * 2**20


@pytest.mark.data
def test_fashion_mnist_beside_scikit_learn(real_data: Callable[[str], Path]) -> None:
    raw = gzip.decompress((real_data("fashion-mnist") / "train-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, 5000 * 784, offset=16).reshape(5000, 784)
    ours = MiniBatchKMeans(10, random_state=0).fit(pixels)
    theirs = sklearn.cluster.MiniBatchKMeans(10, random_state=0, n_init=3).fit(pixels.astype(np.float32))
    assert ours.inertia_ <= 1.02 * theirs.inertia_
    init = pixels[:10].astype(np.float64)
    given = {"init": init, "n_init": 1, "reassignment_ratio": 0}
    ours, theirs = MiniBatchKMeans(10, **given), sklearn.cluster.MiniBatchKMeans(10, **given)
    for start in range(0, 5000, 1000):
        ours.partial_fit(pixels[start : start + 1000])
        theirs.partial_fit(pixels[start : start + 1000].astype(np.float64))
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-9, atol=1e-9)
