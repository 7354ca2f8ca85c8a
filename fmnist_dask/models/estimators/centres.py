"""What estimators whose model is a set of centres have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from fmnist_dask.errors import UsageError
from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.inputs import Samples, read, weights_of
from fmnist_dask.models.kmeans_starts import Init
from fmnist_dask.passes.parameters import SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.inertia import Inertia
from fmnist_dask.passes.rows import CentreDistances, NearestCentre
from fmnist_dask.typing import FloatArray

#: Ways to start.
INITS: tuple[Init, ...] = ("k-means++", "k-means||", "random")
#: Starts of ``n_init="auto"`` where they are drawn at random, as in scikit-learn.
AUTO_RANDOM_STARTS = 10


class CentreEstimator(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Assigns samples to the nearest of the centres that a subclass has fitted."""

    cluster_centers_: Any
    labels_: Any
    init: Any
    n_init: Any

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:  # noqa: N803
        """:meth:`fit`, then the labels of the same samples."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:  # noqa: N803
        """:meth:`fit`, then :meth:`transform` of the same samples."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Cluster of each sample, int32; lazy for Dask arrays. Ties go to the first."""
        check_is_fitted(self)
        return read(self, X, reset=False).apply(NearestCentre(self._centres))

    def transform(self, X: Any) -> Any:  # noqa: N803
        """Distance of each sample to each centre, shape (n_samples, n_clusters); lazy for Dask arrays."""
        check_is_fitted(self)
        samples = read(self, X, reset=False)
        return samples.apply(CentreDistances(self._centres, samples.result_dtype), "cluster")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """Negative inertia of these samples."""
        check_is_fitted(self)
        samples = read(self, X, reset=False, counted=True)
        weights = weights_of(sample_weight, samples)
        centres, weighted = self._centres, weights is not None
        return -float(samples.run(lambda source, _: measure(source, centres, weighted), weights)["inertia"])

    def _init(self, samples: Samples, n_clusters: int, known: tuple[Init, ...] = INITS) -> Any:
        """How starts are seeded, or the centres to start with."""
        if isinstance(self.init, str):
            return checks.one_of(self, "init", known)
        if callable(self.init):
            raise UsageError("init is a function", "call it, and give the centres as an array")
        init = check_array(self.init, dtype=np.float64, copy=True, input_name="init")
        _check_centres(init, n_clusters, samples.n_features)
        return init

    def _n_init(self, at_random: int) -> int:
        """Starts; with ``auto`` one, or so many where they are drawn at random."""
        if isinstance(self.n_init, str) and self.n_init == "auto":
            return at_random if isinstance(self.init, str) and self.init == "random" else 1
        return checks.whole(self, "n_init", 1)

    @property
    def _centres(self) -> FloatArray:
        return np.asarray(self.cluster_centers_, dtype=np.float64)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def measure(source: Readable, centres: FloatArray, weighted: bool) -> Algorithm[dict[str, Any]]:
    """Inertia, and samples of each cluster.

    Raises
    ------
    UsageError
        Samples or weights that are not finite.
    """
    shift = None if source.feature_dtype == "uint8" else centres.mean(axis=0)
    found = yield Scan({"inertia": Inertia(SetsParameter.of([centres], shift), weighted)})
    measured: dict[str, Any] = found["inertia"]
    if not np.isfinite(measured["inertia"]):
        where = "Input X or sample_weight" if weighted else "Input X"
        raise UsageError(f"{where} contains NaN or infinity.", "impute these values first, or drop their rows")
    return measured


def _check_centres(init: FloatArray, n_clusters: int, n_features: int) -> None:
    for found, wanted, what in zip(
        init.shape, (n_clusters, n_features), ("number of clusters", "number of features of the data"), strict=True
    ):
        if found != wanted:
            raise UsageError(f"The shape of the initial centers {init.shape} does not match the {what} {wanted}.")
