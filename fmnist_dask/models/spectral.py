"""Spectral clustering of any number of samples, by affinities to landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.landmarks import Landmarks
from fmnist_dask.models.grids import grid_of
from fmnist_dask.models.kmeans import KMeansModel, kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.landmarks import AffinityProducts, LandmarkCoordinates, LandmarksParameter
from fmnist_dask.passes.reductions.members import MappedCentres
from fmnist_dask.passes.reductions.moments import FeatureRange
from fmnist_dask.passes.reductions.subset import RandomSubset, subset_rows
from fmnist_dask.passes.through import Mapped, through
from fmnist_dask.typing import AnyArray, FloatArray

#: Iterations of the k-means that places landmarks.
LANDMARK_ITERATIONS = 3
#: Samples for each landmark among which it looks for its start.
SUBSET_PER_LANDMARK = 16
#: Samples that a landmark stands for, at least: a graph of single neighbours falls to pieces. Of few samples, more
#: landmarks than that are taken.
SAMPLES_PER_LANDMARK = 5
FEW_LANDMARKS = 64
#: Eigenvalues below this share of the largest carry nothing but rounding.
LEAST_EIGENVALUE = 1e-12


@dataclass(frozen=True)
class SpectralOptions:
    """What is asked of a spectral clustering.

    Attributes
    ----------
    n_clusters
        Clusters, and eigenvectors.
    n_landmarks
        Landmarks, at most: fewer where there are not five samples for each.
    n_neighbors
        Landmarks that a sample has an affinity to.
    width
        Twice the variance of the Gaussian kernel, in squared units of the features; by default that of the distances.
    n_init, max_iter
        Of the k-means among the eigenvectors.
    seed
        Of landmarks and starts.
    """

    n_clusters: int = 8
    n_landmarks: int = 1000
    n_neighbors: int = 5
    width: float | None = None
    n_init: int = 10
    max_iter: int = 300
    seed: int = 0


@dataclass
class SpectralModel:
    """Clusters among the leading eigenvectors of a graph.

    Attributes
    ----------
    coordinates
        Map of features to eigenvectors, one column each.
    eigenvalues : float64 array, shape (n_clusters,)
        Of the normalized affinities, from 1 down; as many ones as the graph has parts.
    clusters
        The k-means among the eigenvectors.
    width
        Of the kernel.
    n
        Samples.
    low, high : float64 arrays, shape (d,)
        Range of the features.
    """

    coordinates: LandmarkCoordinates
    eigenvalues: FloatArray
    clusters: KMeansModel
    width: float
    n: int
    low: FloatArray
    high: FloatArray

    @property
    def labelling(self) -> MappedCentres:
        """Whose each sample is."""
        return MappedCentres(self.coordinates, self.clusters.parameter)

    @property
    def n_landmarks(self) -> int:
        """Landmarks."""
        return len(self.coordinates.landmarks.centres.values)

    @property
    def diameter(self) -> float:
        """No two samples are farther apart."""
        return float(np.sqrt(np.square(self.high - self.low).sum()))


def spectral(source: Readable, n: int, options: SpectralOptions, split: str = "all") -> Algorithm[SpectralModel]:
    """Cluster the samples of a split by a graph of their neighbourhoods (Chen and Cai 2011, landmark-based).

    Samples are joined to the landmarks nearest to them, and so to each other: ``W = Z D⁻¹ Zᵀ``, whose rows add up to 1.
    Its eigenvectors follow from those of a matrix of landmarks by landmarks, which one pass makes; k-means among them
    works them out anew in each pass.

    Raises
    ------
    UsageError
        Fewer samples than clusters, more clusters than landmarks, features that are not finite.
    """
    p = landmarks_of(n, options.n_landmarks)
    if options.n_clusters > p:
        raise UsageError(
            f"n_clusters={options.n_clusters} of {p:,} {'samples' if p == n else 'landmarks'}",
            "ask for fewer clusters, or give more images or landmarks",
        )
    count = n if p == n else subset_rows(source, n)
    wanted: dict[str, Any] = {"subset": RandomSubset(count, n, options.seed)}
    if source.feature_dtype != "uint8":
        wanted["range"] = FeatureRange()
    found = yield Scan(wanted, split=split)
    low, high = np.zeros(source.n_features), np.full(source.n_features, 255.0)
    if "range" in found:
        grid_of(found["range"])  # refuses what is not finite
        low, high = found["range"]["low"], found["range"]["high"]
    features = found["subset"]["features"]
    if p == n:
        centres = np.unique(features.astype(np.float64), axis=0)
    else:
        placed = KMeansOptions(
            p, "random", 1, LANDMARK_ITERATIONS, seed=options.seed, swaps=False, per_cluster=SUBSET_PER_LANDMARK
        )
        centres = (yield from kmeans(source, n, placed, split)).centres
    width = options.width or kernel_width(centres, options.n_neighbors, features)
    landmarks = LandmarksParameter(ArrayParameter(centres), min(options.n_neighbors, len(centres)), width)
    products = (yield Scan({"products": AffinityProducts(landmarks)}, split=split))["products"]
    k = min(options.n_clusters, len(centres))

    def nothing() -> list[Any]:
        return [(np.zeros((len(centres), k)), np.ones(k))]

    calls, cost = (Call(leading_coordinates, (k, n)),), 6 * products.nbytes
    table, eigenvalues = (yield Tasks("eigenvectors", calls, cost, expected=nothing, shared=products))[0]
    coordinates = LandmarkCoordinates(landmarks, ArrayParameter(table))
    limits = coordinates.limits
    among = KMeansOptions(
        options.n_clusters, "k-means++", options.n_init, options.max_iter, seed=options.seed, limits=limits
    )
    clusters = yield from through(kmeans(Mapped(source, coordinates), n, among, split), coordinates)
    return SpectralModel(coordinates, eigenvalues, clusters, width, n, low, high)


def landmarks_of(n: int, most: int) -> int:
    """Landmarks that ``n`` samples get."""
    return min(most, max(n // SAMPLES_PER_LANDMARK, FEW_LANDMARKS), n)


def kernel_width(centres: FloatArray, neighbours: int, features: AnyArray) -> float:
    """Twice the squared mean distance of some samples to the landmarks nearest to them; 1 where all are equal."""
    with one_blas_thread():
        _, distance = Landmarks(centres, neighbours, 1.0).nearest(features, np.arange(len(features)))
    mean = float(np.sqrt(distance).mean())
    return 2 * mean**2 or 1.0


def leading_coordinates(products: FloatArray, k: int, n: int) -> tuple[FloatArray, FloatArray]:
    """Eigenvectors of the graph of samples, as means over landmarks: table of shape (p, k), and the k eigenvalues.

    With ``ZᵀZ`` of eigenvectors V and values Λ after normalization by degrees D, those of ``Z D⁻¹ Zᵀ`` are
    ``Z D^(−1/2) V Λ^(−1/2)``. Landmarks that no sample is near have no degree, and no part. Scaled so that coordinates
    have mean square 1.
    """
    degrees = products.sum(axis=1)
    with np.errstate(divide="ignore"):
        root = np.where(degrees > 0, 1 / np.sqrt(degrees), 0.0)
    from scipy.linalg import eigh

    p = len(products)
    with one_blas_thread():
        values, vectors = eigh(products * root[:, None] * root, subset_by_index=(p - k, p - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(k)]
    vectors = vectors * np.where(largest < 0, -1.0, 1.0)
    known = values > LEAST_EIGENVALUE * max(float(values[0]), 1e-300)
    scale = np.where(known, 1 / np.sqrt(np.where(known, values, 1.0)), 0.0) * np.sqrt(n)
    return root[:, None] * vectors * scale, np.maximum(values, 0)
