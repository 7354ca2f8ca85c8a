"""Spectral clustering with scikit-learn's interface, for any number of samples."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from fmnist_dask.models.estimators import checks
from fmnist_dask.models.estimators.inputs import read, seed_of
from fmnist_dask.models.spectral import SpectralModel, SpectralOptions, spectral
from fmnist_dask.passes.landmark_rows import LandmarkClusters, LandmarkEmbedding


class SpectralClustering(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Clusters among the leading eigenvectors of a graph that joins samples by the landmarks they are near to.

    Landmarks, placed by k-means, stand for the samples around them (Chen and Cai 2011), so that time and memory grow
    with the number of samples, not with its square, and new samples can be assigned. Results are the same for any
    chunking.

    Parameters
    ----------
    n_clusters : int
        Clusters, and eigenvectors.
    n_landmarks : int
        Landmarks, at most: there are five samples for each, or more.
    n_neighbors : int
        Landmarks that a sample is joined to.
    gamma : float or None
        Of the kernel ``exp(-gamma · d²)``; by default from the distances to the landmarks.
    n_init, max_iter : int
        Of the k-means among the eigenvectors.
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_ : int32 array of shape (n_samples,)
        A lazy Dask array for Dask arrays and collections, a DataArray for DataArrays.
    eigenvalues_ : float64 array of shape (n_clusters,)
        Of the normalized affinities, from 1 down; as many ones as the graph has parts.
    landmarks_ : float64 array of shape (n_landmarks_, n_features_in_)
    n_landmarks_ : int
    gamma_ : float
        As used.
    n_iter_ : int
        Iterations of the k-means among the eigenvectors.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features_in_,)
        Only of frames with names.

    Examples
    --------
    >>> import numpy as np
    >>> from fmnist_dask import SpectralClustering
    >>> angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    >>> ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> labels = SpectralClustering(2, random_state=0).fit_predict(np.concatenate([ring, 4 * ring]))
    >>> len(set(labels[:200])), len(set(labels[200:])), len(set(labels))
    (1, 1, 2)
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        n_landmarks: int = 1000,
        n_neighbors: int = 5,
        gamma: float | None = None,
        n_init: int = 10,
        max_iter: int = 300,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_landmarks = n_landmarks
        self.n_neighbors = n_neighbors
        self.gamma = gamma
        self.n_init = n_init
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Find the clusters.

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
        options = SpectralOptions(
            n_clusters=checks.whole(self, "n_clusters", 1),
            n_landmarks=checks.whole(self, "n_landmarks", 2),
            n_neighbors=checks.whole(self, "n_neighbors", 1),
            width=self._width(),
            n_init=checks.whole(self, "n_init", 1),
            max_iter=checks.whole(self, "max_iter", 1),
            seed=seed_of(self.random_state),
        )
        model: SpectralModel = samples.run(lambda source, n: spectral(source, n, options))
        self._model = model
        self.eigenvalues_ = model.eigenvalues
        self.landmarks_ = model.coordinates.landmarks.centres.values
        self.n_landmarks_ = model.n_landmarks
        self.gamma_ = 1 / model.width
        self.n_iter_ = model.clusters.n_iter
        self.labels_ = samples.apply(self._clusters)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        """:meth:`fit`, then the labels of the same samples."""
        return self.fit(X).labels_

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Cluster of each sample, int32, also of new ones; lazy for Dask arrays."""
        check_is_fitted(self)
        return read(self, X, reset=False).apply(self._clusters)

    def embedding(self, X: Any) -> Any:  # noqa: N803
        """Coordinates of each sample along the eigenvectors, float64, shape (n_samples, n_clusters)."""
        check_is_fitted(self)
        return read(self, X, reset=False).apply(LandmarkEmbedding(self._model.coordinates), "eigenvector")

    @property
    def _clusters(self) -> LandmarkClusters:
        clusters = self._model.clusters
        return LandmarkClusters(self._model.coordinates, clusters.centres, np.asarray(clusters.shift))

    def _width(self) -> float | None:
        if self.gamma is None:
            return None
        gamma = checks.number(self, "gamma")
        if gamma == 0:
            raise checks.wrong(self, "gamma", "a float in the range (0.0, inf) or None")
        return 1 / gamma
