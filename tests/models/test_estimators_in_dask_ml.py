"""The estimators inside of dask-ml: searches over their parameters, and prediction after the fact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV as PlainSearch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from fmnist_dask import PCA, IncrementalPCA, KMeans, MiniBatchKMeans


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    with dask.config.set(scheduler="threads"):
        yield


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data.astype(np.uint8)[:600], data.target[:600]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (PCA(random_state=0), {"pca__n_components": [2, 20]}),
        (IncrementalPCA(), {"incrementalpca__n_components": [2, 20]}),
        (KMeans(random_state=0, n_init=1), {"kmeans__n_clusters": [2, 40]}),
    ],
)
def test_a_search_over_a_pipeline(digits: Any, estimator: Any, grid: dict[str, list[int]]) -> None:
    from dask_ml.model_selection import GridSearchCV

    features, labels = digits
    pipeline = make_pipeline(estimator, KNeighborsClassifier())
    search = GridSearchCV(pipeline, grid, cv=3).fit(features, labels)
    plain = PlainSearch(pipeline, grid, cv=3).fit(features, labels)
    assert search.best_params_ == {name: values[1] for name, values in grid.items()}
    assert search.best_score_ > 0.85
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], atol=0.01)


def test_parallel_post_fit(digits: Any) -> None:
    from dask_ml.wrappers import ParallelPostFit

    features = digits[0]
    lazy = da.from_array(features, chunks=(130, -1))
    kmeans = ParallelPostFit(KMeans(7, random_state=0, n_init=1)).fit(features)
    labels = kmeans.predict(lazy)
    assert isinstance(labels, da.Array)
    np.testing.assert_array_equal(labels, kmeans.estimator.predict(features))
    np.testing.assert_array_equal(kmeans.transform(lazy), kmeans.estimator.transform(features))
    for estimator in (PCA(4), IncrementalPCA(4)):
        wrapped = ParallelPostFit(estimator).fit(features)
        codes = wrapped.transform(lazy)
        assert isinstance(codes, da.Array)
        np.testing.assert_allclose(codes, wrapped.estimator.transform(features), rtol=1e-9, atol=1e-9)


def test_incremental(digits: Any) -> None:
    from dask_ml.wrappers import Incremental

    lazy = da.from_array(digits[0], chunks=(150, -1))
    begun = MiniBatchKMeans(7, random_state=0, init=digits[0][:7].astype(float))
    wrapped = Incremental(begun, shuffle_blocks=False).fit(lazy)
    plain = MiniBatchKMeans(7, random_state=0, init=digits[0][:7].astype(float))
    for start in range(0, 600, 150):
        plain.partial_fit(digits[0][start : start + 150])
    assert wrapped.estimator_.n_steps_ == plain.n_steps_ == 4
    np.testing.assert_array_equal(wrapped.estimator_.cluster_centers_, plain.cluster_centers_)


def test_the_same_code_as_with_dask_ml(digits: Any) -> None:
    """Names and calls that dask-ml's own estimators have, too, and results that agree where theirs are right."""
    from dask_ml import cluster, decomposition

    features = da.from_array(digits[0].astype(np.float64), chunks=(200, -1)).persist()
    theirs = decomposition.PCA(3, svd_solver="tsqr").fit(features)
    ours = PCA(3, svd_solver="tsqr").fit(features)
    np.testing.assert_allclose(np.abs(ours.components_), np.abs(theirs.components_), atol=1e-8)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-8)
    init = digits[0][:5].astype(np.float64)
    other = cluster.KMeans(5, init=init, max_iter=50, random_state=0).fit(features)
    found = KMeans(5, init=init, max_iter=50, random_state=0).fit(features)
    assert type(found.labels_) is type(other.labels_)
    assert (np.asarray(found.labels_) == np.asarray(other.labels_)).mean() > 0.99
