"""scikit-learn's own checks of what an estimator must do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from fmnist_dask import (
    PCA,
    AgglomerativeClustering,
    GaussianMixture,
    IncrementalPCA,
    KMeans,
    LowRankModel,
    MiniBatchKMeans,
    SpectralClustering,
)

#: Checks that fail, and why that is right.
EXPECTED = {
    "KMeans": {
        "check_sample_weight_equivalence_on_dense_data": (
            "random numbers come from rows, of which repeated samples have others: starts differ"
        ),
    },
    "MiniBatchKMeans": {
        "check_sample_weight_equivalence_on_dense_data": (
            "batches are drawn from rows, of which repeated samples have others, whatever their weights"
        ),
    },
}


def expected_failures(estimator: Any) -> dict[str, str]:
    return EXPECTED.get(type(estimator).__name__, {})


@parametrize_with_checks(
    [
        KMeans(),
        MiniBatchKMeans(),
        GaussianMixture(),
        AgglomerativeClustering(),
        SpectralClustering(),
        PCA(),
        IncrementalPCA(),
        LowRankModel(1),
    ],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_scikit_learn_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    with warnings.catch_warnings():
        # Some checks fit eight clusters to fewer distinct points.
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


def test_estimators_are_exported_and_imported_when_used() -> None:
    import fmnist_dask

    assert {"KMeans", "PCA", "IncrementalPCA", "LowRankModel"} <= set(dir(fmnist_dask))
    assert fmnist_dask.KMeans is KMeans
    with pytest.raises(AttributeError, match="no attribute 'KMedoids'"):
        fmnist_dask.KMedoids  # noqa: B018
