"""PCA and IncrementalPCA as estimators, against scikit-learn's."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import sklearn.decomposition
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fmnist_dask import PCA, IncrementalPCA
from fmnist_dask.errors import UsageError

#: Attributes that are the same numbers in scikit-learn.
ATTRIBUTES = (
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
    "mean_",
    "noise_variance_",
)


def correlated(n: int = 700, d: int = 12, dtype: Any = np.float64) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (n, d)) * np.arange(1, d + 1) @ rng.normal(0, 1, (d, d)) + 30
    return np.clip(values, 0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def assert_alike(found: Any, expected: Any, tolerance: float = 1e-10, names: tuple[str, ...] = ATTRIBUTES) -> None:
    for name in names:
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.abs(other).max(), err_msg=name)
    assert found.n_components_ == expected.n_components_


@pytest.mark.data
def test_equal_to_scikit_learn_on_fashion_mnist(real_data: Callable[[str], Path]) -> None:
    raw = gzip.decompress((real_data("fashion-mnist") / "train-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(raw, np.uint8, offset=16).reshape(60_000, 28, 28)
    flat = pixels.reshape(60_000, 784)
    expected = sklearn.decomposition.PCA(50, svd_solver="covariance_eigh").fit(flat.astype(np.float64))
    found = PCA(50).fit(pixels)
    assert_alike(found, expected, 1e-8)
    assert_alike(PCA(50).fit(flat.astype(np.float32)), expected, 1e-8)
    full = sklearn.decomposition.PCA(50, svd_solver="full").fit(flat[:10_000].astype(np.float64))
    assert_alike(PCA(50).fit(pixels[:10_000]), full, 1e-8)
    batches = IncrementalPCA(50)
    for start in range(0, 60_000, 7001):
        batches.partial_fit(pixels[start : start + 7001])
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(batches, name), getattr(found, name))
    lazy = IncrementalPCA(50).fit(da.from_array(pixels, chunks=(4444, 28, 28)))
    np.testing.assert_array_equal(lazy.components_, found.components_)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("n_components", [None, 5, 0.8])
def test_equal_to_a_full_decomposition(dtype: Any, n_components: Any) -> None:
    values = correlated(dtype=dtype)
    expected = sklearn.decomposition.PCA(n_components, svd_solver="full").fit(values.astype(np.float64))
    found = PCA(n_components).fit(values)
    assert_alike(found, expected)
    assert found.n_samples_ == 700
    assert found.exact_
    codes = found.transform(values)
    assert codes.dtype == (np.float32 if dtype == np.float32 else np.float64)
    rounding = 1e-5 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(codes, expected.transform(values.astype(np.float64)), rtol=rounding, atol=rounding * 100)
    np.testing.assert_array_equal(clone(found).fit_transform(values), codes)
    np.testing.assert_allclose(found.get_covariance(), expected.get_covariance(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.get_precision(), expected.get_precision(), rtol=1e-8, atol=1e-10)
    assert found.score(values) == pytest.approx(expected.score(values.astype(np.float64)), rel=1e-9)


@pytest.mark.parametrize(
    "estimator", [PCA(whiten=True), IncrementalPCA(whiten=True), PCA(), PCA(3), PCA(3, whiten=True)]
)
@pytest.mark.parametrize("lazy", [False, True])
def test_there_and_back_again(estimator: Any, lazy: bool) -> None:
    values: Any = correlated()
    data = da.from_array(values, chunks=(300, 5)) if lazy else values
    codes = clone(estimator).fit_transform(data)
    fitted = clone(estimator).fit(data)
    assert isinstance(codes, da.Array) == lazy
    back = np.asarray(fitted.inverse_transform(codes))
    if fitted.n_components_ == 12:
        np.testing.assert_allclose(back, values, rtol=1e-9, atol=1e-9)
    else:
        mean, basis = values.mean(axis=0), fitted.components_
        np.testing.assert_allclose(back, (values - mean) @ basis.T @ basis + mean, rtol=1e-9, atol=1e-9)
    if fitted.whiten:
        np.testing.assert_allclose(np.cov(np.asarray(codes).T), np.eye(fitted.n_components_), atol=1e-10)


def test_whitening_where_nothing_varies() -> None:
    values = correlated()
    values[:, 3] = 4.0
    fitted = PCA(whiten=True).fit(values)
    codes = fitted.transform(values)
    assert np.abs(codes).max() < 10
    np.testing.assert_allclose(fitted.inverse_transform(codes), values, atol=1e-9)


@pytest.mark.parametrize("values", [np.full((40, 3), 7.25), np.full((40, 3), 200, np.uint8), np.full((1, 3), 0.5)])
def test_constant_samples(values: np.ndarray) -> None:
    for estimator in (PCA(), IncrementalPCA()):
        fitted = estimator.fit(values)
        np.testing.assert_array_equal(fitted.mean_, values[0])
        np.testing.assert_allclose(fitted.explained_variance_, 0)
        np.testing.assert_array_equal(fitted.transform(values), 0)
        assert np.isfinite(fitted.explained_variance_ratio_).all()


def test_the_randomized_solver_says_that_it_is_not_exact() -> None:
    values = correlated()
    fitted = PCA(3, svd_solver="randomized", random_state=0).fit(values)
    assert not fitted.exact_
    np.testing.assert_allclose(fitted.components_, PCA(3).fit(values).components_, atol=1e-3)


@pytest.mark.parametrize("solver", ["full", "covariance_eigh", "tsqr", "arpack", "auto"])
def test_names_of_the_exact_solver(solver: str) -> None:
    values = correlated()
    fitted = PCA(3, svd_solver=solver, tol=0.1, iterated_power=3, copy=False).fit(values)
    np.testing.assert_array_equal(fitted.components_, PCA(3).fit(values).components_)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_components": 13}, r"n_components=13 must be between 1 and min\(n_samples, n_features\)=12"),
        ({"n_components": 0}, "must be between 1 and"),
        ({"n_components": 1.0}, "'n_components' parameter of PCA must be"),
        ({"n_components": "mle"}, "'n_components' parameter of PCA must be"),
        ({"svd_solver": "svd"}, "'svd_solver' parameter of PCA must be a str among"),
        ({"n_components": 0.5, "svd_solver": "randomized"}, "cannot know how many components"),
    ],
)
def test_impossible_parameters_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PCA(**options).fit(correlated())


def test_before_a_fit() -> None:
    assert not hasattr(IncrementalPCA(), "components_")
    for estimator in (PCA(), IncrementalPCA()):
        for call in (estimator.transform, estimator.inverse_transform, estimator.get_covariance, estimator.score):
            with pytest.raises(NotFittedError):
                call(correlated()) if call != estimator.get_covariance else call()


@given(cuts=st.lists(st.integers(1, 699), max_size=6), dtype=st.sampled_from([np.uint8, np.float32, np.float64]))
@settings(max_examples=20)
def test_batches_do_not_matter(cuts: list[int], dtype: Any) -> None:
    values = correlated(dtype=dtype)
    expected = PCA().fit(values)
    found = IncrementalPCA()
    for batch in np.split(values, sorted(set(cuts))):
        found.partial_fit(batch)
    assert_alike(found, expected)
    assert found.n_samples_seen_ == 700
    np.testing.assert_allclose(found.var_, values.astype(np.float64).var(axis=0), rtol=1e-10)
    if dtype == np.uint8:
        np.testing.assert_array_equal(found.components_, expected.components_)


def test_batches_of_several_types_and_kinds() -> None:
    pixels = correlated(dtype=np.uint8)
    floats = pixels.astype(np.float64)
    found = IncrementalPCA(5).partial_fit(pixels[:100])
    found.partial_fit(da.from_array(pixels[100:300], chunks=(33, 5)))
    found.partial_fit(floats[300:301]).partial_fit(pixels[301:600]).partial_fit(floats[600:])
    assert_alike(found, PCA(5).fit(pixels))
    far = floats + 1e6  # sums of squares would lose twelve digits here
    apart = IncrementalPCA(5).partial_fit(far[:200]).partial_fit(far[200:])
    np.testing.assert_allclose(apart.components_, PCA(5).fit(floats).components_, atol=1e-8)


def test_a_fit_forgets_and_goes_on() -> None:
    values = correlated()
    found = IncrementalPCA(4).partial_fit(values[:50] * 3).fit(values[:300])
    np.testing.assert_array_equal(found.components_, PCA(4).fit(values[:300]).components_)
    assert found.batch_size_ == 60
    assert found.exact_
    assert_alike(found.partial_fit(values[300:]), PCA(4).fit(values))
    before = found.components_
    found.set_params(n_components=2)
    np.testing.assert_array_equal(found.components_, before)


def test_equal_to_scikit_learn_where_that_is_exact() -> None:
    """With all components kept, scikit-learn's batches lose nothing."""
    values = correlated(400, 8)
    expected = sklearn.decomposition.IncrementalPCA(batch_size=90).fit(values)
    found = IncrementalPCA(batch_size=90).fit(values)
    assert_alike(found, expected, 1e-8, (*ATTRIBUTES[:-1], "var_"))
    assert found.n_samples_seen_ == expected.n_samples_seen_
    assert found.batch_size_ == expected.batch_size_


@pytest.mark.parametrize("lazy", [False, True])
def test_many_features_go_to_scikit_learn(lazy: bool) -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(0, 1, (60, 3)) * [9, 6, 3] @ rng.normal(0, 1, (3, 4200))).astype(np.float32)
    expected = sklearn.decomposition.IncrementalPCA(3, batch_size=20).fit(values)
    found = IncrementalPCA(3, batch_size=20).fit(da.from_array(values, chunks=(17, 999)) if lazy else values)
    assert not found.exact_
    assert found.n_samples_seen_ == 60
    np.testing.assert_allclose(found.components_, expected.components_, atol=1e-6)
    np.testing.assert_allclose(found.transform(values), expected.transform(values), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_components": 13}, "n_components=13 invalid for n_features=12"),
        ({"n_components": 9}, "n_components=9 must be less or equal to the batch number of samples 6"),
        ({"n_components": 0.5}, "'n_components' parameter of IncrementalPCA"),
        ({"batch_size": 0}, "'batch_size' parameter"),
    ],
)
def test_impossible_batches_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        IncrementalPCA(**options).partial_fit(correlated(6))


def test_small_features_count_beside_large_ones() -> None:
    rng = np.random.default_rng(0)
    data = np.c_[rng.normal(0, 1e12, 3000), rng.normal(0.3, 0.01, 3000), rng.normal(0, 1e-6, 3000)]
    data[0, 0] = 1e15
    expected = sklearn.decomposition.PCA().fit(data)
    for found in (PCA().fit(data), IncrementalPCA().fit(data)):
        np.testing.assert_allclose(found.mean_, expected.mean_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.explained_variance_, expected.explained_variance_, rtol=1e-8)


def test_a_refit_that_fails_leaves_nothing_fitted() -> None:
    estimator = IncrementalPCA(2).fit(np.random.default_rng(0).random((10, 3)))
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(np.full((3, 3), np.nan))
    with pytest.raises(NotFittedError):
        estimator.transform(np.zeros((2, 3)))
