"""Principal components, against scikit-learn on the images themselves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from support import assert_same, collection_of, with_features

from fmnist_dask.errors import UsageError
from fmnist_dask.models.pca import PCAOptions, pca
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive


def floats(n: int = 900, d: int = 15, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 50).astype(np.float32)


def fitted(source, n_components=None, solver="auto", split="all", n=None, tasks=3):
    rows = source.n if n is None else n
    return drive(pca(source, rows, PCAOptions(n_components, solver), split), source, LocalEngine(tasks))


def assert_like_sklearn(model, data, k, tolerance=1e-9):
    expected = PCA(k, svd_solver="full").fit(data.astype(np.float64))
    signs = np.sign((model.components * expected.components_).sum(axis=1))
    np.testing.assert_allclose(model.components * signs[:, None], expected.components_, atol=tolerance)
    np.testing.assert_allclose(model.explained_variance, expected.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(model.explained_variance_ratio, expected.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(model.singular_values, expected.singular_values_, rtol=1e-10)
    np.testing.assert_allclose(model.mean, expected.mean_, rtol=1e-12)
    assert model.noise_variance == pytest.approx(expected.noise_variance_, rel=1e-9)


@pytest.mark.parametrize("k", [1, 7, 20])
def test_equal_to_scikit_learn_on_pixels(k):
    source = collection_of(700, (5, 4), chunk_rows=256)
    model = fitted(source, k)
    assert model.exact
    assert_like_sklearn(model, source.image.reshape(700, -1), k)
    largest = np.abs(model.components).argmax(axis=1)
    assert (model.components[np.arange(k), largest] > 0).all()


def test_equal_to_scikit_learn_on_floats():
    features = floats()
    model = fitted(with_features(features), 6)
    assert model.exact
    assert_like_sklearn(model, features, 6)


def test_one_split_only():
    source = collection_of(800, (4, 4), chunk_rows=256)
    inside = source.split == 1
    model = fitted(source, 3, split="test", n=int(inside.sum()))
    assert model.n == inside.sum()
    assert_like_sklearn(model, source.image[inside].reshape(inside.sum(), -1), 3)


@pytest.mark.parametrize("solver", ["exact", "randomized"])
@pytest.mark.parametrize("kind", ["pixels", "floats"])
def test_the_same_bits_for_any_chunking(kind, solver):
    if kind == "pixels":
        sources = [collection_of(2000, (5, 4), chunk_rows=rows) for rows in (256, 768, 2048)]
    else:
        sources = [with_features(floats(2000), rows) for rows in (256, 768, 2048)]
    models = [fitted(source, 5, solver, tasks=tasks) for source, tasks in zip(sources, (1, 2, 5), strict=True)]
    for other in models[1:]:
        assert_same(vars(models[0]), vars(other))


def test_fewer_images_than_pixels():
    source = collection_of(9, (5, 4), chunk_rows=256)
    model = fitted(source)
    assert model.components.shape == (9, 20)
    assert model.explained_variance[-1] == pytest.approx(0, abs=1e-9)
    assert_like_sklearn(fitted(source, 8), source.image.reshape(9, -1), 8)


def test_a_share_of_the_variance():
    source = collection_of(500, (5, 4), chunk_rows=256)
    model = fitted(source, 0.6)
    expected = PCA(0.6, svd_solver="full").fit(source.image.reshape(500, -1).astype(float))
    assert len(model.components) == expected.n_components_
    assert model.explained_variance_ratio.sum() > 0.6
    assert model.explained_variance_ratio[:-1].sum() <= 0.6


def test_randomized_components_span_what_matters():
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((1200, 8)) * np.arange(8, 0, -1)) @ rng.standard_normal((8, 60))
    features += 0.01 * rng.standard_normal(features.shape)
    source = with_features(features)
    model = fitted(source, 8, "randomized")
    assert not model.exact
    assert_like_sklearn(model, features, 8, tolerance=1e-6)


def test_constant_pixels_and_a_single_image():
    constant = ArrayCollection(np.full((300, 3, 3), 9, np.uint8))
    model = fitted(constant, 2)
    assert (model.explained_variance == 0).all()
    assert (model.explained_variance_ratio == 0).all()
    assert np.isfinite(model.components).all()
    single = fitted(ArrayCollection(np.arange(9, dtype=np.uint8).reshape(1, 3, 3)))
    assert single.components.shape == (1, 9)
    np.testing.assert_array_equal(single.mean, np.arange(9))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PCAOptions(21), "between 1 and min(n_samples, n_features)=20"),
        (PCAOptions(0), "between 1 and"),
        (PCAOptions(1.5), "whole number"),
        (PCAOptions(0.5, "randomized"), "whole number"),
    ],
)
def test_impossible_numbers_of_components_are_refused(options, words):
    source = collection_of(100, (5, 4), chunk_rows=256)
    with pytest.raises(UsageError) as caught:
        drive(pca(source, 100, options), source)
    assert words in str(caught.value) + str(caught.value.remedy)


def test_nan_is_named_with_its_row():
    features = floats(600)
    features[417, 3] = np.nan
    with pytest.raises(UsageError, match="NaN or infinity, the first in row 417"):
        fitted(with_features(features), 2)
