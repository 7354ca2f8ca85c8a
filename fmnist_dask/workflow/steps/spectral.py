"""``spectral``: clusters of any shape, by a graph of neighbourhoods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.models.cluster_scores import Means, scores_of
from fmnist_dask.models.clusters import Clusters, clusters_of, labelled_scan
from fmnist_dask.models.kmeans import KMeansModel
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.models.spectral import (
    LANDMARK_ITERATIONS,
    SUBSET_PER_LANDMARK,
    SpectralModel,
    SpectralOptions,
    landmarks_of,
    spectral,
)
from fmnist_dask.passes.parameters import ArrayParameter, SetsParameter, grid_scale
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.labelled import LabelledSums
from fmnist_dask.passes.reductions.landmarks import AffinityProducts, LandmarkCoordinates, LandmarksParameter
from fmnist_dask.passes.standin import typical_rows
from fmnist_dask.passes.through import scan_through
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._clusters import (
    SilhouetteChoice,
    centre_variable,
    cluster_dataset,
    cluster_metrics,
    foreseen_kmeans,
    foreseen_measures,
    measure_silhouette,
    silhouette_variables,
)
from fmnist_dask.workflow.steps._names import unit_of
from fmnist_dask.workflow.steps._seconds import eigen_seconds

#: Iterations of k-means among eigenvectors, with ordinary images.
SPECTRAL_ITERATIONS = 8


def _foresees(
    data: StepInput,
    *,
    n_clusters: int,
    n_landmarks: int,
    n_neighbors: int,
    n_init: int,
    max_iter: int,
    examples: int,
    silhouette: SilhouetteChoice,
    **others: Any,
) -> Iterator[Foreseen]:
    """The k-means that places landmarks, their products, the clusters among eigenvectors, and what these hold."""
    d = data.source.n_features
    p = max(1, landmarks_of(data.n, n_landmarks))
    k = min(n_clusters, p)
    placing = KMeansOptions(p, "random", 1, swaps=False, per_cluster=SUBSET_PER_LANDMARK)
    yield from foreseen_kmeans(data, placing, LANDMARK_ITERATIONS)
    centres = typical_rows(data.source, p)
    width = max(float(centres.std()) * d**0.5, 1e-3)
    landmarks = LandmarksParameter(ArrayParameter(centres), min(n_neighbors, p), width)
    yield Foreseen("affinities", Scan({"products": AffinityProducts(landmarks)}, split=data.split))
    yield Foreseen("eigenvectors", calls=1, task_bytes=48 * p * p, shared_bytes=8 * p * p, seconds=eigen_seconds(p))
    coordinates = LandmarkCoordinates(landmarks, ArrayParameter(np.eye(p, k)))
    among = Scan({"sums": ClusterSums(SetsParameter.of([np.eye(k)] * min(n_init, 8)))}, split=data.split)
    times = min(SPECTRAL_ITERATIONS, max_iter)
    scan = scan_through(among, coordinates)
    yield Foreseen("each iteration among eigenvectors", scan, times=times, most=max_iter)
    clusters = KMeansModel(np.eye(k), 0, np.zeros(k), None, 1.0, data.n)
    reach = 4 * float(np.square(centres).sum(axis=1).max()) + 1.0
    model = SpectralModel(coordinates, np.ones(k), clusters, reach**0.5, data.n, np.zeros(d), np.ones(d))
    some = typical_rows(data.source, k)
    means = Means(np.full(k, max(1, data.n // k)), some, some.mean(axis=0), max(1, data.n) * reach)
    yield Foreseen("members of clusters", _members_scan(model, data, means, examples))
    yield from foreseen_measures(data, k, silhouette)


@step(
    "spectral",
    version=3,
    figures="fmnist_dask.workflow.figures.spectral:figures",
    libraries=("numpy", "scipy", "numba"),
    accepts=("on", "images"),
    foresees=_foresees,
)
def spectral_step(
    data: StepInput,
    *,
    n_clusters: Annotated[int, pydantic.Field(ge=1, le=1024)] = 10,
    n_landmarks: Annotated[int, pydantic.Field(ge=2, le=4096)] = 1000,
    n_neighbors: Annotated[int, pydantic.Field(ge=1, le=100)] = 5,
    width: Annotated[float, pydantic.Field(gt=0)] | None = None,
    n_init: Annotated[int, pydantic.Field(ge=1, le=1000)] = 10,
    max_iter: Annotated[int, pydantic.Field(ge=1)] = 300,
    examples: Annotated[int, pydantic.Field(ge=0, le=50)] = 12,
    silhouette: SilhouetteChoice = "none",
) -> Algorithm[StepResult]:
    """Cluster the leading eigenvectors of a graph that joins images by the landmarks they are near to.

    Parameters
    ----------
    n_clusters
        Clusters, and eigenvectors; fewer where there are not so many images.
    n_landmarks
        Landmarks, placed by k-means; fewer where there are not five images for each.
    n_neighbors
        Landmarks that an image is joined to.
    width
        Twice the variance of the Gaussian kernel; by default from the distances to landmarks.
    n_init, max_iter
        Of the k-means among the eigenvectors.
    examples
        Images of each cluster to keep, nearest to its mean and farthest.
    silhouette
        exact: of all images, in the space that was clustered. A number: of so many random images against all.
    """
    unit = unit_of(data.source)
    n_clusters = max(1, min(n_clusters, landmarks_of(data.n, n_landmarks)))
    scaled = None if width is None else width * unit**2
    options = SpectralOptions(n_clusters, n_landmarks, n_neighbors, scaled, n_init, max_iter, data.seed)
    model = yield from spectral(data.source, data.n, options, data.split)
    sums = LabelledSums.of(model.labelling, n_clusters, model.low, model.high, data.n)
    summed = (yield Scan({"sums": sums}, split=data.split))["sums"]
    means = Means(summed["count"], summed["mean"], _shift(model, data), model.n * model.diameter**2)
    found = yield _members_scan(model, data, means, examples)
    clusters = clusters_of(data.source, found)
    scores = scores_of(means, found["distances"])
    fit = yield from measure_silhouette(data, clusters, silhouette)
    return StepResult(
        dataset=_dataset(model, clusters, data, means.mean).assign(silhouette_variables(fit)),
        metrics={
            "inertia": clusters.inertia / unit**2,
            "n_iter": model.clusters.n_iter,
            "n_landmarks": model.n_landmarks,
            **cluster_metrics(clusters, fit, scores),
        },
        exact=False,
        n_used=model.n,
        n_total=data.source.n,
        columns=clusters.columns,
        image_tables={"clusters": {"": clusters.columns["labels"], "_distance": clusters.columns["distance"]}},
    )


def _shift(model: SpectralModel, data: StepInput) -> FloatArray | None:
    """What features that are no pixels are moved by before products are made."""
    return None if unit_of(data.source) != 1 else (model.low + model.high) / 2


def _members_scan(model: SpectralModel, data: StepInput, means: Means, examples: int) -> Scan:
    unit = unit_of(data.source)
    centres = SetsParameter.of([means.mean], means.shift)
    scale = grid_scale(model.n * model.diameter**2)
    scan = labelled_scan(data.source, centres, model.labelling, scale, data.split, examples, unit)
    return replace(scan, reductions={**scan.reductions, "distances": means.distances(model.labelling)})


def _dataset(model: SpectralModel, clusters: Clusters, data: StepInput, means: FloatArray) -> Any:
    unit = unit_of(data.source)
    return cluster_dataset(
        clusters,
        data,
        {
            **centre_variable("cluster_centers", means, data.source),
            "eigenvalues": ("eigenvector", model.eigenvalues),
        },
        {
            "n_clusters": len(clusters.size),
            "n_landmarks": model.n_landmarks,
            "n_neighbors": model.coordinates.landmarks.neighbours,
            "width": model.width / unit**2,
            "n_iter": model.clusters.n_iter,
            "exact": 0,
        },
    )
