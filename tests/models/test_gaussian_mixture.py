"""Mixtures of Gaussians against scikit-learn's, for any chunking."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import sklearn.mixture
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from support import collection_of, with_features

from fmnist_dask import GaussianMixture
from fmnist_dask.errors import UsageError
from fmnist_dask.models.gaussian_mixture import gaussian_mixture
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions
from fmnist_dask.passes.local import LocalEngine, drive


def blobs(n: int = 1200, d: int = 4, k: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shapes = rng.normal(0, 1, (k, d, d))
    label = rng.integers(0, k, n)
    return rng.normal(0, 6, (k, d))[label] + np.einsum("nd,nde->ne", rng.normal(size=(n, d)), shapes[label])


def start_of(values: np.ndarray, k: int, kind: str) -> dict[str, Any]:
    """The same components to begin with, for both sides."""
    precision = 1 / values.var(axis=0)
    one = np.diag(precision) if kind == "full" else precision
    shaped = np.broadcast_to(one, (k, *one.shape))
    means = values[:: len(values) // k][:k]
    return {"weights_init": np.full(k, 1 / k), "means_init": means, "precisions_init": shaped.copy()}


@pytest.mark.data
@pytest.mark.parametrize("kind", ["full", "diag"])
def test_equal_to_scikit_learn_on_fashion_mnist(real_data: Callable[[str], Path], kind: str) -> None:
    raw = gzip.decompress((real_data("fashion-mnist") / "train-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, 5000 * 784, offset=16).reshape(5000, 784) / 255
    codes = PCA(10, svd_solver="full").fit_transform(pixels)
    given = {"covariance_type": kind, **start_of(codes, 10, kind)}
    expected = sklearn.mixture.GaussianMixture(10, **given).fit(codes)
    found = GaussianMixture(10, **given).fit(codes)
    assert found.n_iter_ == expected.n_iter_ > 10
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-9)
    np.testing.assert_array_equal(found.predict(codes), expected.predict(codes))
    np.testing.assert_allclose(found.predict_proba(codes), expected.predict_proba(codes), atol=1e-8)
    np.testing.assert_allclose(found.covariances_, expected.covariances_, rtol=1e-6, atol=1e-9)
    assert found.bic(codes) == pytest.approx(expected.bic(codes), rel=1e-9)
    assert found.aic(codes) == pytest.approx(expected.aic(codes), rel=1e-9)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_methods_equal_those_of_scikit_learn(kind: str) -> None:
    values, other = blobs(), blobs(300, seed=1)
    given = {"covariance_type": kind, "tol": 1e-6, **start_of(values, 3, kind)}
    expected = sklearn.mixture.GaussianMixture(3, **given).fit(values)
    found = GaussianMixture(3, **given).fit(values)
    assert found.n_iter_ == expected.n_iter_
    np.testing.assert_allclose(found.lower_bounds_, expected.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(found.score_samples(other), expected.score_samples(other), rtol=1e-8)
    np.testing.assert_allclose(found.precisions_, expected.precisions_, rtol=1e-7, atol=1e-9)
    assert found.score(other) == pytest.approx(expected.score(other), rel=1e-10)
    drawn, of = found.sample(2000)
    assert (drawn.shape, len(of)) == ((2000, 4), 2000)
    assert found.score(drawn) > found.score(other) - 2


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_same_to_the_last_bit_for_any_chunking(kind: str) -> None:
    values = blobs(5000)
    whole = GaussianMixture(3, covariance_type=kind, random_state=0).fit(values)
    shares = whole.predict_proba(values)
    for chunks in (777, 256, 3001):
        lazy = da.from_array(values, chunks=(chunks, 4))
        found = GaussianMixture(3, covariance_type=kind, random_state=0).fit(lazy)
        np.testing.assert_array_equal(found.means_, whole.means_)
        np.testing.assert_array_equal(found.covariances_, whole.covariances_)
        assert found.lower_bounds_ == whole.lower_bounds_
        np.testing.assert_allclose(found.predict_proba(lazy).compute(), shares, atol=1e-10)


@pytest.mark.slow
def test_pixels_of_a_split_for_any_chunking_and_number_of_tasks() -> None:
    results = []
    for chunk_rows, tasks in ((128, 1), (900, 3), (77, 2)):
        source = collection_of(900, (4, 3), chunk_rows, seed=3)
        n = int((source.read("split", 0, source.n) == 0).sum())
        options = GaussianMixtureOptions(4, reg_covar=1.0, max_iter=5)
        results.append(drive(gaussian_mixture(source, n, options, "train"), source, LocalEngine(tasks)))
    inside = source.read("split", 0, source.n) == 0
    features = source.read("image", 0, source.n).reshape(source.n, -1)[inside].astype(np.float64)
    for model in results:
        # Chunks of 77 rows cut panels, in which products are summed.
        np.testing.assert_allclose(model.covariances, results[0].covariances, rtol=1e-12, atol=1e-9)
    expected = sklearn.mixture.GaussianMixture(
        4,
        weights_init=model.weights,
        means_init=model.means,
        precisions_init=np.linalg.inv(model.covariances),
        max_iter=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        likelihood = expected.fit(features).lower_bound_
    assert model.history == sorted(model.history)
    assert model.history[-1] <= likelihood < model.history[-1] + 0.5


@pytest.mark.slow
def test_as_good_as_many_starts_of_scikit_learn() -> None:
    values = blobs(3000, 3, 6)
    expected = sklearn.mixture.GaussianMixture(6, n_init=20, random_state=0).fit(values)
    found = GaussianMixture(6, n_init=5, random_state=1).fit(values)
    assert found.lower_bound_ >= expected.lower_bound_ - 1e-3
    again = GaussianMixture(6, n_init=5, random_state=1, warm_start=True)
    assert again.fit(values).lower_bound_ == found.lower_bound_
    assert again.fit(values).lower_bounds_[0] >= found.lower_bound_ - 1e-9  # it went on


def test_a_subset_is_where_many_samples_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    from fmnist_dask.models import mixture_starts as module

    values = blobs(20_000, 3, 4)
    whole = GaussianMixture(4, random_state=0).fit(values)
    monkeypatch.setattr(module, "SUBSET", 1000)
    monkeypatch.setattr("fmnist_dask.passes.reductions.subset.SUBSET_ROWS", 1000)
    found = GaussianMixture(4, random_state=0).fit(values)
    assert found.converged_
    assert found.lower_bound_ == pytest.approx(whole.lower_bound_, abs=2e-3)


def test_samples_that_leave_little_to_fit() -> None:
    constant = np.full((40, 3), 7.25)
    with pytest.warns(ConvergenceWarning, match="component 0 "):
        found = GaussianMixture(1).fit(constant)
    np.testing.assert_array_equal(found.means_, constant[:1])
    np.testing.assert_allclose(found.covariances_[0], 1e-6 * np.eye(3), atol=1e-15)
    # More components than distinct points: finite, and said.
    points = np.repeat(np.array([[0.0, 1.0], [5.0, 5.0], [9.0, 2.0]]), 20, axis=0)
    with pytest.warns(ConvergenceWarning, match="fewer than two samples, or no variance"):
        found = GaussianMixture(5, random_state=0).fit(points)
    assert np.isfinite(found.means_).all()
    assert found.degenerate_.all()
    assert found.weights_.sum() == pytest.approx(1)
    assert len(np.unique(found.predict(points))) == 3
    # A constant feature beside others that vary.
    flat = np.hstack([blobs(400, 2, 2), np.full((400, 1), 3.0)])
    with pytest.warns(ConvergenceWarning, match="no variance in some direction"):
        found = GaussianMixture(2, random_state=0).fit(flat)
    expected = sklearn.mixture.GaussianMixture(2, n_init=5, random_state=0).fit(flat)
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-2)


def test_one_component_is_mean_and_covariance() -> None:
    values = blobs()
    found = GaussianMixture().fit(values)
    np.testing.assert_allclose(found.means_[0], values.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.covariances_[0], np.cov(values.T, bias=True) + 1e-6 * np.eye(4), rtol=1e-10)
    assert found.converged_
    assert not found.degenerate_.any()


def test_a_component_of_one_sample_is_reported() -> None:
    values = np.vstack([np.random.default_rng(0).normal(size=(300, 2)), [[60.0, 60.0]]])
    with pytest.warns(ConvergenceWarning, match="fewer than two samples"):
        found = GaussianMixture(2, random_state=0, n_init=3).fit(values)
    assert found.degenerate_.sum() == 1
    assert found.weights_[found.degenerate_][0] == pytest.approx(1 / 301)


@pytest.mark.parametrize(
    ("given", "values", "words"),
    [
        ({"n_components": 5}, np.ones((3, 2)), "n_components = 5, n_samples = 3"),
        ({"covariance_type": "tied"}, np.ones((3, 2)), "'covariance_type' parameter"),
        ({"reg_covar": -1.0}, np.ones((3, 2)), "'reg_covar' parameter"),
        ({"means_init": np.zeros((1, 3))}, np.ones((3, 2)), "should have the shape of"),
        ({"weights_init": np.ones(1)}, np.ones((3, 2)), "without means_init"),
        ({"means_init": np.zeros((1, 2)), "weights_init": np.full(1, 0.5)}, np.ones((3, 2)), "add up to 1"),
        ({"means_init": np.zeros((1, 2)), "precisions_init": -np.eye(2)[None]}, np.ones((3, 2)), "positive definite"),
        ({"reg_covar": 0.0}, np.ones((3, 2)), "increase reg_covar"),
        ({}, da.from_array(np.array([[1.0, np.nan], [0.0, 1.0]])), "NaN or infinity, the first in row 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(given: dict[str, Any], values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GaussianMixture(**given).fit(values)


def test_wrong_shapes_to_begin_with_are_named() -> None:
    source = with_features(blobs(100), 50)
    start = (np.ones(1), np.zeros((1, 4)), np.ones((1, 4)))
    with pytest.raises(UsageError, match=r"covariances to begin with have shape \(1, 4\), not \(1, 4, 4\)"):
        drive(gaussian_mixture(source, 100, GaussianMixtureOptions(1, start=start)), source, LocalEngine(1))
