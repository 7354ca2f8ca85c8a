"""What results of all ways to cluster have in common: what is in each cluster, and how well it fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.kernels.seeding import DIRECTIONS, plane_bytes, search_bytes
from fmnist_dask.models.cluster_scores import Means, Scores, cluster_scores
from fmnist_dask.models.clusters import Clusters, agreement
from fmnist_dask.models.kmeans_starts import KMeansOptions, lanes_of, subset_size
from fmnist_dask.models.silhouette import LEAST_CALLS, Silhouette, pair_bytes, silhouette
from fmnist_dask.passes.hashes import values_at
from fmnist_dask.passes.parameters import SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.members import Labelling, NearestCentre
from fmnist_dask.passes.standin import typical_rows
from fmnist_dask.passes.together import together
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput
from fmnist_dask.workflow.steps._names import IMAGE_DIMS, class_table, unit_of
from fmnist_dask.workflow.steps._seconds import pairs_seconds, plane_seconds, starts_seconds

#: Whether silhouettes are measured: of all images, or of so many at random against all.
SilhouetteChoice = Literal["none", "exact"] | Annotated[int, pydantic.Field(ge=10)]

#: Iterations of k-means until it has converged, with ordinary images: those of all starts, and of the best in all.
FIRST_ITERATIONS, ITERATIONS = 2, 20


def foreseen_kmeans(data: StepInput, options: KMeansOptions, iterations: int = ITERATIONS) -> Iterator[Foreseen]:
    """The search for starts of a k-means, and its iterations: the first of all starts, then of the best alone."""
    source, d = data.source, data.source.n_features
    k, rows = options.n_clusters, subset_size(source, data.n, options)
    features = rows * d * np.dtype(source.feature_dtype).itemsize
    seconds = plane_seconds(rows, d)
    yield Foreseen("starts plane", calls=1, task_bytes=plane_bytes(rows, d), shared_bytes=features, seconds=seconds)
    width = min(DIRECTIONS, d)
    cost = search_bytes(rows, width, k)
    seconds = starts_seconds(rows, width, k)
    shared = 4 * rows * width
    yield Foreseen("starts", calls=options.n_init, task_bytes=cost, shared_bytes=shared, seconds=seconds)
    centres = typical_rows(source, k)
    for name, lanes, times in (
        ("first iterations", lanes_of(options, d), min(FIRST_ITERATIONS, options.max_iter)),
        ("each iteration", 1, min(iterations, options.max_iter) - FIRST_ITERATIONS),
    ):
        if times > 0:
            scan = Scan({"sums": ClusterSums(SetsParameter.of([centres] * lanes))}, split=data.split)
            yield Foreseen(name, scan, times=times, most=options.max_iter)


def foreseen_measures(data: StepInput, k: int, choice: str | int) -> Iterator[Foreseen]:
    """Scores by the means of clusters, and silhouettes if they are asked for."""
    source = data.source
    centres = typical_rows(source, k)
    shift = None if source.feature_dtype == "uint8" else np.zeros(source.n_features)
    reach = float(np.square(centres).sum(axis=1).max()) * 4 + 1.0
    means = Means(np.full(k, max(1, data.n // k)), centres, shift, max(1, data.n) * reach)
    labelling = NearestCentre(SetsParameter.of([centres]))
    yield Foreseen("scores of clusters", Scan({"distances": means.distances(labelling)}, split=data.split))
    if choice == "none":
        return
    rows, n = min(source.chunk_rows, data.n), data.n
    others = n if choice == "exact" else min(int(choice), n)
    chunks = -(-n // rows)
    calls = max(chunks * (chunks + 1) // 2, LEAST_CALLS) if choice == "exact" else chunks
    yield Foreseen(
        "silhouettes",
        calls=calls,
        task_bytes=pair_bytes(source, k),
        shared_bytes=4 * source.n if choice == "exact" else 0,
        seconds=pairs_seconds(n * others / (2 if choice == "exact" else 1) / calls, source.n_features),
    )


def measure_silhouette(data: StepInput, clusters: Clusters, choice: str | int) -> Algorithm[Silhouette | None]:
    """Silhouettes in the space that was clustered, if they are asked for."""
    if choice == "none":
        return None
    labels = clusters.columns["labels"]
    sample = choice if isinstance(choice, int) else None
    return (yield from silhouette(data.source, labels, len(clusters.size), data.split, sample, data.seed))


def measure_clusters(
    data: StepInput, clusters: Clusters, labelling: Labelling, means: Means, choice: str | int
) -> Algorithm[tuple[Silhouette | None, Scores]]:
    """Silhouettes, if they are asked for, and scores by the means of clusters, which share what they read."""
    measured = {
        "silhouette": measure_silhouette(data, clusters, choice),
        "scores": cluster_scores(labelling, means, data.split),
    }
    found = yield from together(measured, data.source)
    return found["silhouette"], found["scores"]


def cluster_metrics(clusters: Clusters, fit: Silhouette | None, scores: Scores) -> dict[str, Any]:
    """Numbers by which ways to cluster are compared."""
    return {
        "silhouette": None if fit is None else fit.mean,
        "davies_bouldin": scores.davies_bouldin,
        "calinski_harabasz": scores.calinski_harabasz,
        **agreement(clusters.composition[:, 1:]),
        "n_empty": int((clusters.size == 0).sum()),
    }


def exactness(fit: Silhouette | None, objective: str) -> bool | dict[str, bool]:
    """Whether results are exact: all but the silhouette, where that is of a random part."""
    return True if fit is None or not fit.interval else {objective: True, "silhouette": False}


def centre_variable(name: str, centres: FloatArray, source: Readable) -> dict[str, Any]:
    """Centres as images where features are pixels; brightness from 0 to 1."""
    if source.feature_dtype != "uint8":
        return {name: (("cluster", "feature"), centres)}
    image = IMAGE_DIMS[: len(source.image_shape)]
    units = {"units": "brightness, 0 to 1"}
    return {name: (("cluster", *image), (centres / unit_of(source)).reshape(-1, *source.image_shape), units)}


def cluster_dataset(clusters: Clusters, data: StepInput, more: dict[str, Any], attrs: dict[str, Any]) -> Any:
    """What each cluster holds, as a dataset; ``more`` variables and attributes beside it."""
    import xarray as xr

    source, unit = data.source, unit_of(data.source)
    image = IMAGE_DIMS[: len(source.image_shape)]
    table = class_table(source.class_names, clusters.composition)
    variables: dict[str, Any] = {
        **more,
        "mean_image": (("cluster", *image), clusters.mean_image / 255, {"units": "brightness, 0 to 1"}),
        "size": ("cluster", clusters.size),
        "inertia_of_cluster": ("cluster", clusters.inertia_of_cluster / unit**2),
    }
    coords: dict[str, Any] = {}
    if source.class_names:
        variables["composition"] = (("cluster", "class"), clusters.composition[:, table.columns])
        coords["class"] = table.names
    for kind in ("nearest", "farthest"):
        variables |= _examples(kind, clusters, data, image, len(clusters.size))
    # Images that another step keeps are clustered by their pixels all the same.
    space = "pixels" if source.feature_dtype == "uint8" else data.on
    known = {"split": data.split, "on": data.on, "space": space}
    return xr.Dataset(variables, coords=coords, attrs={**known, **attrs})


def silhouette_variables(fit: Silhouette | None) -> dict[str, Any]:
    """Of all clusters and of each image that was measured; nothing where none was."""
    if fit is None:
        return {}
    words = f"± {fit.interval:.4f} (95 %), of {len(fit.rows):,} images" if fit.interval else "of all images"
    return {
        "silhouette_of_cluster": ("cluster", fit.of_cluster),
        "silhouette": ("measured", fit.values, {"long_name": f"silhouette {words}"}),
        "silhouette_row": ("measured", fit.rows),
        "silhouette_label": ("measured", fit.labels.astype(np.int32)),
        "silhouette_interval": ((), fit.interval),
    }


def _examples(kind: str, clusters: Clusters, data: StepInput, image: tuple[str, ...], k: int) -> dict[str, Any]:
    """Rows, distances, labels and thumbnails of the nearest or farthest images, padded with row −1."""
    ranked = clusters.examples[kind]
    most = max((len(found["row"]) for found in ranked.values()), default=0)
    if not most:
        return {}
    thumbnails = next(iter(ranked.values()))["image"].shape[1:]
    rows = np.full((k, most), -1, dtype=np.int64)
    distances = np.full((k, most), np.nan)
    labels = np.full((k, most), -1, dtype=np.int16)
    images = np.zeros((k, most, *thumbnails), dtype=np.uint8)
    for cluster, found in ranked.items():
        count = len(found["row"])
        rows[cluster, :count] = found["row"]
        distances[cluster, :count] = np.sqrt(np.abs(found["key"])) / unit_of(data.source)
        images[cluster, :count] = found["image"]
    held = rows >= 0
    labels[held] = values_at(data.source, "label", rows[held])
    dims = ("cluster", "rank")
    return {
        f"{kind}_row": (dims, rows),
        f"{kind}_distance": (dims, distances),
        f"{kind}_label": (dims, labels),
        f"{kind}_image": ((*dims, *(f"thumbnail_{dim}" for dim in image)), images),
    }
