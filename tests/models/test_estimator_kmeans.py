"""KMeans as an estimator, against scikit-learn's."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import sklearn.cluster
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fmnist_dask import KMeans
from fmnist_dask.errors import UsageError
from fmnist_dask.passes.reductions.inertia import exact_parts


def blobs(n: int = 900, d: int = 6, k: int = 5, spread: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(0, 5, (k, d))[rng.integers(0, k, n)] + rng.normal(0, spread, (n, d))


@pytest.mark.data
def test_equal_to_scikit_learn_on_fashion_mnist(real_data: Callable[[str], Path]) -> None:
    raw = gzip.decompress((real_data("fashion-mnist") / "train-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, 5000 * 784, offset=16).reshape(5000, 784)
    init = pixels[[1, 50, 99, 444, 888, 1500, 2222, 3333, 4000, 4999]].astype(float)
    expected = sklearn.cluster.KMeans(10, init=init, n_init=1).fit(pixels.astype(float))
    for given in (pixels, pixels.astype(np.float32), da.from_array(pixels, chunks=(777, 784))):
        found = KMeans(10, init=init).fit(given)
        np.testing.assert_array_equal(found.labels_, expected.labels_)
        assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-9)
        assert found.n_iter_ == expected.n_iter_
        np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_methods_equal_those_of_scikit_learn(dtype: Any) -> None:
    values, other = blobs().astype(dtype), blobs(50).astype(dtype) + dtype(0.1)
    weights = np.random.default_rng(2).random(50)
    expected = sklearn.cluster.KMeans(5, init=values[:5], n_init=1).fit(values.astype(float))
    found = KMeans(5, init=values[:5]).fit(values)
    assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-12)
    np.testing.assert_array_equal(found.predict(other), expected.predict(other.astype(float)))
    np.testing.assert_allclose(found.transform(other), expected.transform(other.astype(float)), rtol=1e-6)
    assert found.transform(other).dtype == dtype
    score = expected.score(other.astype(float), sample_weight=weights)
    assert found.score(other, sample_weight=weights) == pytest.approx(score, rel=1e-12)
    np.testing.assert_array_equal(clone(found).fit_predict(values), found.labels_)
    np.testing.assert_array_equal(clone(found).fit_transform(values), found.transform(values))


def test_whole_weights_count_like_repeated_samples() -> None:
    values = blobs(300)
    weights = np.random.default_rng(1).integers(0, 4, 300)
    repeated = np.repeat(values, weights, axis=0)
    found = KMeans(5, init=values[:5], tol=0).fit(values, sample_weight=weights)
    expected = KMeans(5, init=values[:5], tol=0).fit(repeated)
    reference = sklearn.cluster.KMeans(5, init=values[:5], n_init=1, tol=0).fit(values, sample_weight=weights)
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-12)
    assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-12)
    assert found.inertia_ == pytest.approx(reference.inertia_, rel=1e-12)
    np.testing.assert_array_equal(np.repeat(found.labels_, weights), expected.labels_)
    np.testing.assert_array_equal(found.labels_, reference.labels_)
    pixels = np.clip(values * 10 + 128, 0, 255).astype(np.uint8)
    whole = KMeans(5, init=pixels[:5]).fit(pixels, sample_weight=2)
    assert whole.inertia_ == pytest.approx(2 * KMeans(5, init=pixels[:5]).fit(pixels).inertia_, rel=1e-12)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(300,\)!"),
        (np.ones((300, 1)), "Sample weights must be 1D array or scalar"),
        (np.full(300, np.nan), "Input sample_weight contains NaN"),
        (np.zeros(300), "not all zero"),
        (-np.ones(300), "not negative"),
        (da.ones(4), r"expected \(300,\)"),
    ],
)
def test_impossible_weights_are_refused(weights: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KMeans(2).fit(blobs(300), sample_weight=weights)


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_as_good_as_many_starts_of_scikit_learn(init: Any) -> None:
    values = blobs(k=9, spread=1.5)
    expected = sklearn.cluster.KMeans(9, n_init=30, random_state=0).fit(values)
    assert KMeans(9, init=init, random_state=1).fit(values).inertia_ <= expected.inertia_ * (1 + 1e-6)


def test_clusters_much_smaller_than_their_distances_keep_an_exact_inertia() -> None:
    values = blobs(k=3, spread=1e-7)
    expected = sklearn.cluster.KMeans(3, n_init=5, random_state=0).fit(values)
    exact = sum(((values - c)[expected.labels_ == i] ** 2).sum() for i, c in enumerate(expected.cluster_centers_))
    assert KMeans(3, random_state=0).fit(values).inertia_ == pytest.approx(exact, rel=1e-6)


def test_more_clusters_than_distinct_samples() -> None:
    values = np.repeat(np.array([[0.0, 1.0], [5.0, 5.0], [9.0, 2.0]]), 20, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\) found smaller than n_clusters \(5\)"):
        found = KMeans(5, random_state=0).fit(values)
    assert found.inertia_ == 0
    assert np.isfinite(found.cluster_centers_).all()


@pytest.mark.parametrize("values", [np.full((40, 3), 7.25), np.full((40, 3), 200, np.uint8), np.ones((1, 3))])
def test_one_cluster_of_constant_samples(values: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = KMeans(1, random_state=0).fit(values)
    np.testing.assert_array_equal(found.cluster_centers_, values[:1])
    assert found.inertia_ == 0
    assert found.n_iter_ >= 1


def test_random_states() -> None:
    values = blobs(k=9, spread=3)

    def centres(state: Any) -> np.ndarray:
        options = {"init": "random", "n_init": 1, "max_iter": 1}
        return np.asarray(KMeans(9, random_state=state, **options).fit(values).cluster_centers_)

    np.testing.assert_array_equal(centres(3), centres(3))
    np.testing.assert_array_equal(centres(np.random.RandomState(3)), centres(np.random.RandomState(3)))
    assert not np.array_equal(centres(3), centres(4))
    assert np.isfinite(centres(None)).all()


def test_parameters_of_dask_ml_are_taken() -> None:
    options = {
        "oversampling_factor": 3,
        "init_max_iter": 2,
        "n_jobs": 1,
        "algorithm": "full",
        "copy_x": True,
        "precompute_distances": "auto",
        "verbose": 0,
        "n_init": "auto",
    }
    found = KMeans(5, init="k-means||", random_state=0, **options).fit(da.from_array(blobs(), chunks=200))
    assert isinstance(found.labels_, da.Array)
    assert found.get_params()["oversampling_factor"] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_clusters": 0}, r"'n_clusters' parameter of KMeans must be an int in the range \[1, inf\). Got 0"),
        ({"n_clusters": 2.5}, "Got 2.5"),
        ({"n_clusters": 901}, "n_samples=900 should be >= n_clusters=901"),
        ({"n_init": 0}, "'n_init' parameter"),
        ({"max_iter": True}, "'max_iter' parameter"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"tol": float("nan")}, "'tol' parameter"),
        ({"init": "kmeans"}, "'init' parameter of KMeans must be a str among"),
        ({"init": np.zeros((7, 6))}, r"initial centers \(7, 6\) does not match the number of clusters 8"),
        ({"init": np.zeros((8, 2))}, r"initial centers \(8, 2\) does not match the number of features of the data 6"),
        ({"init": lambda values, k, state: values[:k]}, "init is a function"),
        ({"algorithm": "tree"}, "'algorithm' parameter"),
    ],
)
def test_impossible_parameters_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        KMeans(**options).fit(blobs())


def test_before_a_fit() -> None:
    for call in (KMeans().predict, KMeans().transform, KMeans().score):
        with pytest.raises(NotFittedError):
            call(blobs())


def test_exact_parts_hold_a_sum_that_floats_cannot() -> None:
    values = [1e300, 1.0, -1e300, 1e-300, 3.0]
    parts = exact_parts(values)
    assert parts == [4.0, 1e-300]
    assert exact_parts([]) == []
    assert exact_parts([2.0, -2.0]) == []
    assert np.isnan(exact_parts([1.0, np.inf])).all()


@pytest.mark.parametrize(("offset", "scale"), [(1e9, 1.0), (1e12, 1.0), (0.0, 1e-25), (0.0, 1e18), (0.0, 1e100)])
def test_clusters_do_not_depend_on_where_the_data_lie(offset: float, scale: float) -> None:
    data = blobs(d=4, k=6)
    best = sklearn.cluster.KMeans(6, n_init=10, random_state=0).fit(data).inertia_
    found = KMeans(6, random_state=0).fit(data * scale + offset).inertia_ / scale**2
    assert found == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("weight", [1e-300, 1e-45, 1e38, 1e39])
def test_clusters_do_not_depend_on_the_unit_of_weights(weight: float) -> None:
    data = blobs()
    expected = KMeans(5, random_state=0).fit(data, sample_weight=np.ones(len(data)))
    found = KMeans(5, random_state=0).fit(data, sample_weight=np.full(len(data), weight))
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    assert found.inertia_ == pytest.approx(expected.inertia_ * weight, rel=1e-9)
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-9)


def test_an_empty_cluster_takes_over_a_weighted_sample() -> None:
    """Weights of other than about 1: what moves has the unit of what it leaves."""
    data = np.array([[0.0], [1.0], [10.0], [11.0]])
    init = np.array([[5.0], [1e6]])
    weights = np.array([4.0, 4.0, 4.0, 4.0])
    expected = sklearn.cluster.KMeans(2, init=init, n_init=1).fit(data, sample_weight=weights)
    found = KMeans(2, init=init).fit(data, sample_weight=weights)
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_)


def test_small_features_count_beside_large_ones() -> None:
    rng = np.random.default_rng(0)
    data = np.c_[rng.normal(0, 1e12, 2000), rng.normal(0.3, 0.01, 2000)]
    data[0, 0] = 1e15
    found = KMeans(2, random_state=0).fit(data)
    for cluster in range(2):
        members = data[np.asarray(found.labels_) == cluster]
        np.testing.assert_allclose(found.cluster_centers_[cluster], members.mean(axis=0), rtol=1e-9)


def test_weights_that_would_be_lost_are_refused() -> None:
    weights = np.ones(900)
    weights[3] = 1e18
    with pytest.raises(UsageError, match="sample_weight goes from 1 to 1e"):
        KMeans(3).fit(blobs(), sample_weight=weights)


@pytest.mark.parametrize("row", [0, 500, 899])
def test_weights_that_are_no_numbers_are_named(row: int) -> None:
    data, weights = blobs(), np.ones(900)
    weights[row] = np.nan
    lazy = da.from_array(weights, chunks=200)
    for given, samples in ((weights, data), (lazy, data), (lazy, da.from_array(data, chunks=(100, 6)))):
        with pytest.raises(ValueError, match="sample_weight contains NaN"):
            KMeans(3).fit(samples, sample_weight=given)
    with pytest.raises(ValueError, match="sample_weight contains NaN"):
        KMeans(3).fit(data).score(da.from_array(data, chunks=(100, 6)), sample_weight=lazy)
