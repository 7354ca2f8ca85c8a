"""k-means with scikit-learn's interface."""

from __future__ import annotations

import warnings
from typing import Any, Self

from sklearn.exceptions import ConvergenceWarning

from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.centres import AUTO_RANDOM_STARTS, CentreEstimator, measure
from fmnist_dask.models.estimators.inputs import Samples, read, seed_of, weights_of
from fmnist_dask.models.kmeans import KMeansModel, kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.rows import NearestCentre
from fmnist_dask.typing import FloatArray

#: Names of what is one and the same algorithm here (scikit-learn's and dask-ml's).
ALGORITHMS = ("lloyd", "elkan", "full", "auto")


class KMeans(CentreEstimator):
    """k-means of arrays in memory or larger than it, the same to the last bit for any chunking.

    Starts are looked for on a random subset (8,192 samples, or more for many clusters) and the best of them carried to
    convergence over all samples. From the same centres the iterations are scikit-learn's. Integers of 8 bits are worked
    on as they are; floats add up on a grid of 62 bits. Each iteration reads Dask arrays once: ``persist`` them if they
    fit into memory.

    Parameters
    ----------
    n_clusters : int
    init : {"k-means++", "k-means||", "random"} or array of shape (n_clusters, n_features)
        ``k-means||`` draws candidates from all samples, in five passes. An array is the one start.
    n_init : int or "auto"
        Starts; "auto" are 10 for ``random`` and 1 for others.
    max_iter : int
        Iterations over all samples, at most.
    tol : float
        Iterations end when the squared shift of all centres is below this share of the features' mean variance.
    verbose, copy_x, n_jobs, precompute_distances, algorithm, oversampling_factor, init_max_iter
        Accepted from code written for scikit-learn or dask-ml, without effect: samples are never changed, all of the
        scheduler is used, and ``k-means||`` draws 2 candidates for each cluster in each of 5 rounds.
    random_state : int, RandomState or None

    Attributes
    ----------
    cluster_centers_ : float64 array of shape (n_clusters, n_features)
    labels_ : int32 array of shape (n_samples,)
        A lazy Dask array for Dask arrays and collections, a DataArray for DataArrays.
    inertia_ : float
        Sum of (weighted) squared distances to the centres.
    n_iter_ : int
        Iterations of the start that won.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Only of frames with names.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import KMeans
    >>> pixels = np.array([[0, 0], [1, 1], [200, 201], [203, 200]], dtype=np.uint8)
    >>> KMeans(2, random_state=0).fit(pixels).inertia_
    6.0
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | FloatArray = "k-means++",
        n_init: int | str = 10,
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
        oversampling_factor: float = 2,
        init_max_iter: int | None = None,
        n_jobs: int | None = 1,
        precompute_distances: bool | str = "auto",
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm
        self.oversampling_factor = oversampling_factor
        self.init_max_iter = init_max_iter
        self.n_jobs = n_jobs
        self.precompute_distances = precompute_distances

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Find the clusters.

        Parameters
        ----------
        X : array of shape (n_samples, …), or a collection
            NumPy, Dask or xarray array (further axes are features, too), frame, or anything array-like. Of a collection
            all images are used; select rows of ``collection.to_xarray().image`` for those of a split.
        y
            Not used.
        sample_weight : array of shape (n_samples,), or ``None``

        Raises
        ------
        ValueError
            Samples, weights or parameters that cannot be worked with; :class:`fmnist_dask.errors.UsageError` among
            them.
        """
        samples = read(self, X, reset=True, counted=True)
        weights = weights_of(sample_weight, samples)
        options = self._options(samples, weights is not None)
        model: KMeansModel = samples.run(lambda source, n: kmeans(source, n, options), weights)
        self.cluster_centers_ = model.centres
        self.n_iter_ = model.n_iter
        found = samples.run(lambda source, _: measure(source, model.centres, options.weighted), weights)
        self.inertia_ = float(found["inertia"])
        self.labels_ = samples.apply(NearestCentre(model.centres))
        distinct = int((found["count"] > 0).sum())
        if distinct < options.n_clusters:
            warnings.warn(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters ({options.n_clusters}). "
                "Possibly due to duplicate points in X.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _options(self, samples: Samples, weighted: bool) -> KMeansOptions:
        n_clusters = checks.whole(self, "n_clusters", 1)
        checks.one_of(self, "algorithm", ALGORITHMS)
        init = self._init(samples, n_clusters)
        return KMeansOptions(
            n_clusters=n_clusters,
            init=init,
            n_init=self._n_init(AUTO_RANDOM_STARTS),
            max_iter=checks.whole(self, "max_iter", 1),
            tol=checks.number(self, "tol"),
            seed=seed_of(self.random_state),
            weighted=weighted,
        )
