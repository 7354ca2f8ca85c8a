"""Ward's hierarchy with scikit-learn's interface, for any number of samples."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from fmnist_dask.errors import UsageError
from fmnist_dask.models.agglomerative import AgglomerativeModel, AgglomerativeOptions, agglomerative
from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.inputs import read, seed_of
from fmnist_dask.passes.rows import GroupOfNearest


class AgglomerativeClustering(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Ward's hierarchical clustering of arrays in memory or larger than it.

    Up to ``micro_clusters`` samples it is that of scikit-learn. More are gathered in so many small clusters by k-means,
    on whose means the hierarchy is built, weighted by their sizes. One fit has the labels of any number of clusters.

    Parameters
    ----------
    n_clusters : int
        Where the hierarchy is cut; see :meth:`labels` for others.
    linkage : {"ward"}
    micro_clusters : int
        Small clusters at the bottom of the hierarchy, at least 2; time and memory grow with their square.
    random_state : int, RandomState or None
        Of the k-means.

    Attributes
    ----------
    labels_ : int32 array of shape (n_samples,)
        A lazy Dask array for Dask arrays and collections, a DataArray for DataArrays.
    n_clusters_ : int
        As asked for, or the number of samples if there are fewer.
    n_leaves_ : int
        Small clusters, or samples.
    children_ : int64 array of shape (n_leaves_ - 1, 2)
    distances_ : float64 array of shape (n_leaves_ - 1,)
        Root of twice what each merger adds to the sum of squares.
    linkage_matrix_ : float64 array of shape (n_leaves_ - 1, 4)
        As SciPy's functions for hierarchies take it.
    micro_centers_ : float64 array of shape (n_leaves_, n_features_in_)
    micro_sizes_ : int64 array of shape (n_leaves_,)
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Only of frames with names.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import AgglomerativeClustering
    >>> points = np.array([[0.0], [0.1], [5.0], [5.2], [9.0]])
    >>> hierarchy = AgglomerativeClustering(2).fit(points)
    >>> hierarchy.labels_.tolist(), hierarchy.labels(points, 3).tolist()
    ([0, 0, 1, 1, 1], [0, 0, 1, 1, 2])
    """

    def __init__(
        self, n_clusters: int = 2, *, linkage: str = "ward", micro_clusters: int = 1024, random_state: Any = None
    ) -> None:
        self.n_clusters = n_clusters
        self.linkage = linkage
        self.micro_clusters = micro_clusters
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Build the hierarchy.

        Parameters
        ----------
        X : array of shape (n_samples, …), or a collection
            NumPy, Dask or xarray array (further axes are features, too), frame, or anything array-like.
        y
            Not used.

        Raises
        ------
        ValueError
            Samples or parameters that cannot be worked with; :class:`fmnist_dask.errors.UsageError` among them.
        """
        samples = read(self, X, reset=True, counted=True)
        n_clusters = checks.whole(self, "n_clusters", 1)
        checks.one_of(self, "linkage", ("ward",))
        n = int(samples.values.shape[0])
        if n < 2:
            raise UsageError(
                f"Found array with {n} sample(s) while a minimum of 2 is required by AgglomerativeClustering.",
                "give 2 or more",
            )
        options = AgglomerativeOptions(checks.whole(self, "micro_clusters", 2), seed_of(self.random_state))
        model: AgglomerativeModel = samples.run(lambda source, n: agglomerative(source, n, options))
        self._model = model
        self.n_leaves_ = len(model.sizes)
        self.n_clusters_ = min(n_clusters, self.n_leaves_)
        self.children_ = model.linkage[:, :2].astype("int64")
        self.distances_ = model.linkage[:, 2]
        self.linkage_matrix_ = model.linkage
        self.micro_centers_, self.micro_sizes_ = model.centres, model.sizes
        self.labels_ = samples.apply(self._function(self.n_clusters_))
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        """:meth:`fit`, then the labels of the same samples."""
        return self.fit(X).labels_

    def labels(self, X: Any, n_clusters: int) -> Any:  # noqa: N803
        """Cluster of each sample where there are ``n_clusters``, by the same fit; int32, lazy for Dask arrays."""
        check_is_fitted(self)
        if not 1 <= n_clusters <= self.n_leaves_:
            raise UsageError(
                f"n_clusters is {n_clusters}", f"ask for 1 to {self.n_leaves_:,}, the leaves of the hierarchy"
            )
        return read(self, X, reset=False).apply(self._function(n_clusters))

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Cluster of each sample: that of the nearest small cluster."""
        check_is_fitted(self)
        return self.labels(X, self.n_clusters_)

    def _function(self, n_clusters: int) -> GroupOfNearest:
        return GroupOfNearest(self._model.centres, self._model.groups(n_clusters).astype("int32"))
