"""k-means by mini-batches with scikit-learn's interface."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.centres import CentreEstimator, measure
from fmnist_dask.models.estimators.inputs import Samples, read, seed_of, weights_of
from fmnist_dask.models.kmeans_starts import Init
from fmnist_dask.models.mini_batch_kmeans import (
    MiniBatches,
    MiniBatchModel,
    MiniBatchOptions,
    mini_batch_kmeans,
    start_of,
)
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.rows import NearestCentre, check_finite
from fmnist_dask.typing import AnyArray, FloatArray

INITS: tuple[Init, ...] = ("k-means++", "random")
#: Starts of ``n_init="auto"`` where they are drawn at random, as in scikit-learn.
AUTO_RANDOM_STARTS = 3


class MiniBatchKMeans(CentreEstimator):
    """k-means that reads a few random batches instead of all samples again and again.

    Centres are the means of all samples that they have taken in, batch by batch; from the same centres and batches they
    are scikit-learn's. ``fit`` draws its batches at random from all samples, those of many batches in one pass, and is
    the same for any chunking; ``partial_fit`` takes in one batch after the other.

    Parameters
    ----------
    n_clusters : int
    init : {"k-means++", "random"} or array of shape (n_clusters, n_features)
    max_iter : int
        Times that as many samples as there are are drawn, at most.
    batch_size : int
    verbose, copy_x
        Accepted from code written for scikit-learn, without effect.
    compute_labels : bool
        Assign all samples after the fit, and measure the inertia: one pass more.
    random_state : int, RandomState or None
    tol : float
        Iterations end when centres move less than this share of the features' mean variance; 0 for no such end.
    max_no_improvement : int or None
        Batches without a smaller smoothed inertia after which iterations end.
    init_size : int or None
        Samples among which starts are looked for; by default three batches, or three for each cluster.
    n_init : int or "auto"
        Starts.
    reassignment_ratio : float
        Centres with less than this share of the largest one's samples are moved to random samples now and then.

    Attributes
    ----------
    cluster_centers_ : float64 array of shape (n_clusters, n_features)
    labels_ : int32 array of shape (n_samples,)
        A lazy Dask array for Dask arrays and collections, a DataArray for DataArrays; with ``compute_labels``.
    inertia_ : float
        Sum of (weighted) squared distances of the samples given last to the centres; with ``compute_labels``.
    counts_ : float64 array of shape (n_clusters,)
        Weight of the samples that each centre has taken in.
    n_iter_ : int
        Times that as many samples as there are were drawn, rounded up.
    n_steps_ : int
        Batches.
    n_passes_ : int
        Passes over the samples to draw them.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Only of frames with names.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import MiniBatchKMeans
    >>> batch = np.array([[0.0], [2.0], [10.0], [12.0]])
    >>> model = MiniBatchKMeans(2, init=[[0.0], [10.0]]).partial_fit(batch).partial_fit(batch + 1)
    >>> model.cluster_centers_.ravel().tolist()
    [1.5, 11.5]
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | FloatArray = "k-means++",
        max_iter: int = 100,
        batch_size: int = 1024,
        verbose: int = 0,
        compute_labels: bool = True,
        random_state: Any = None,
        tol: float = 0.0,
        max_no_improvement: int | None = 10,
        init_size: int | None = None,
        n_init: int | str = "auto",
        reassignment_ratio: float = 0.01,
        copy_x: bool = True,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.verbose = verbose
        self.compute_labels = compute_labels
        self.random_state = random_state
        self.tol = tol
        self.max_no_improvement = max_no_improvement
        self.init_size = init_size
        self.n_init = n_init
        self.reassignment_ratio = reassignment_ratio
        self.copy_x = copy_x

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Forget what was taken in, and find the clusters of all samples.

        Parameters
        ----------
        X : array of shape (n_samples, …), or a collection
            NumPy, Dask or xarray array (further axes are features, too), frame, or anything array-like.
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
        model: MiniBatchModel = samples.run(lambda source, n: mini_batch_kmeans(source, n, options), weights)
        self._note(model.state)
        self.n_passes_ = model.passes
        self.n_iter_ = math.ceil(model.samples / int(samples.values.shape[0]))
        centres = self.cluster_centers_
        if self.compute_labels:
            found = samples.run(lambda source, _: measure(source, centres, options.weighted), weights)
            self.inertia_ = float(found["inertia"])
            self.labels_ = samples.apply(NearestCentre(centres))
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Take in one more batch, or a Dask array in batches of ``batch_size``.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`.

        Raises
        ------
        ValueError
            As in :meth:`fit`; fewer samples in the first batch than clusters, unless ``init`` has centres.
        """
        first = not hasattr(self, "_state")
        samples = read(self, X, reset=first, counted=True)
        weights = weights_of(sample_weight, samples)
        options = self._options(samples, weights is not None)
        mass = None if weights is None else np.asarray(weights)
        _check_weights(mass)
        n = int(samples.values.shape[0])
        start = 0
        with one_blas_thread():
            for batch in samples.batches(options.batch_size if samples.lazy else n, 1):
                own = None if mass is None else mass[start : start + len(batch)]
                start += len(batch)
                check_finite(batch)
                if not hasattr(self, "_state"):
                    self._state = MiniBatches.at(self._begin(samples, batch, own, options))
                if self._state.centres.shape[0] != options.n_clusters:
                    raise UsageError(
                        f"n_clusters is {options.n_clusters}, but {len(self._state.centres)} have been begun with",
                        "make another estimator",
                    )
                self._state.take(batch, own, options)
        self._note(self._state)
        if self.compute_labels:
            centres, weighted = self.cluster_centers_, weights is not None
            self.inertia_ = float(samples.run(lambda source, _: measure(source, centres, weighted), weights)["inertia"])
            self.labels_ = samples.apply(NearestCentre(centres))
        return self

    def _begin(self, samples: Samples, batch: AnyArray, mass: Any, options: MiniBatchOptions) -> FloatArray:
        """Centres to begin with."""
        return samples.run(lambda source, n: start_of(batch, mass, options))

    def _note(self, state: MiniBatches) -> None:
        self._state = state
        self.cluster_centers_ = state.centres.copy()
        self.counts_ = state.weight.copy()
        self.n_steps_ = state.steps

    def _options(self, samples: Samples, weighted: bool) -> MiniBatchOptions:
        n_clusters = checks.whole(self, "n_clusters", 1)
        return MiniBatchOptions(
            n_clusters=n_clusters,
            init=self._init(samples, n_clusters, INITS),
            n_init=self._n_init(AUTO_RANDOM_STARTS),
            max_iter=checks.whole(self, "max_iter", 1),
            batch_size=checks.whole(self, "batch_size", 1),
            tol=checks.number(self, "tol"),
            max_no_improvement=_or_none(self, "max_no_improvement", 0),
            init_size=_or_none(self, "init_size", 1),
            reassignment_ratio=checks.number(self, "reassignment_ratio"),
            seed=seed_of(self.random_state),
            weighted=weighted,
        )


def _or_none(estimator: Any, name: str, least: int) -> int | None:
    return None if getattr(estimator, name) is None else checks.whole(estimator, name, least)


def _check_weights(mass: Any) -> None:
    if mass is not None and not ((mass >= 0).all() and np.isfinite(mass).all() and mass.any()):
        raise UsageError(
            "sample_weight has negative values, infinity, or nothing but zeros", "give weights of zero or more"
        )
