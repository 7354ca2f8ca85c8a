"""``kmeans``: clusters of images, what they hold, and how they match the classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.errors import UsageError
from fmnist_dask.models.cluster_scores import Means
from fmnist_dask.models.clusters import Clusters, clusters_of, describe_clusters, means_of, members_scan
from fmnist_dask.models.kmeans import KMeansModel, kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.models.polish import pixel_inertia, pixel_squares
from fmnist_dask.models.polish import polish as polish_clusters
from fmnist_dask.passes.parameters import SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.members import Labelling, MappedCentres, NearestCentre
from fmnist_dask.passes.standin import typical_rows
from fmnist_dask.passes.through import Pixels, scan_through, seen, through
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._clusters import (
    ITERATIONS,
    SilhouetteChoice,
    centre_variable,
    cluster_dataset,
    cluster_metrics,
    exactness,
    foreseen_kmeans,
    foreseen_measures,
    measure_clusters,
    silhouette_variables,
)
from fmnist_dask.workflow.steps._names import unit_of

#: Seconds and passes over all features that dask-ml's k-means takes, about.
DASK_ML_SECONDS, DASK_ML_PASSES = 8.0, 60
Whole = Annotated[int, pydantic.Field(ge=1)]


def _foresees(
    data: StepInput,
    *,
    n_clusters: int,
    n_init: int,
    init: Any,
    max_iter: int,
    examples: int,
    engine: str,
    polish: bool,
    silhouette: SilhouetteChoice,
    **others: Any,
) -> Iterator[Foreseen]:
    """The search for starts, the widest iteration, and what clusters hold."""
    source, d = data.source, data.source.n_features
    options = KMeansOptions(max(1, min(n_clusters, data.n)), init, n_init, max_iter)
    k = options.n_clusters
    centres = typical_rows(source, k)
    if engine == "fmnist-dask":
        yield from foreseen_kmeans(data, options)
    else:
        # It holds all features in the memory of the workers, as float32, and what it makes of them.
        held = 8 * data.n * d
        seconds = DASK_ML_SECONDS + DASK_ML_PASSES * 4e-9 * data.n * (d + k)
        yield Foreseen("dask-ml's k-means", calls=1, task_bytes=held, seconds=seconds)
    squares = float(np.square(centres).sum(axis=1).max()) * max(1, data.n)
    model = KMeansModel(centres, 0, np.zeros(d), None, squares, data.n)
    scan = members_scan(source, model, data.split, examples, unit_of(source))
    yield Foreseen("members of clusters", scan)
    if polish and source.feature_dtype != "uint8":
        sums = ClusterSums(SetsParameter.of([np.zeros((k, source.image_bytes))]))
        scan = scan_through(Scan({"sums": sums}, split=data.split), Pixels())
        yield Foreseen("each iteration among pixels", scan, times=min(ITERATIONS, max_iter), most=max_iter)
    yield from foreseen_measures(data, k, silhouette)


@step(
    "kmeans",
    version=2,
    figures="fmnist_dask.workflow.figures.kmeans:figures",
    libraries={
        "fmnist-dask": ("numpy", "scipy", "numba"),
        "dask-ml": ("numpy", "scipy", "numba", "dask-ml", "dask", "scikit-learn"),
    },
    accepts=("on", "images"),
    foresees=_foresees,
)
def kmeans_step(
    data: StepInput,
    *,
    n_clusters: Annotated[int, pydantic.Field(ge=1, le=4096)] = 10,
    n_init: Annotated[int, pydantic.Field(ge=1, le=1000)] = 10,
    init: Literal["k-means++", "k-means||", "random"] = "k-means++",
    max_iter: Whole = 300,
    tol: Annotated[float, pydantic.Field(ge=0)] = 1e-4,
    examples: Annotated[int, pydantic.Field(ge=0, le=50)] = 12,
    engine: Literal["fmnist-dask", "dask-ml"] = "fmnist-dask",
    polish: bool = False,
    silhouette: SilhouetteChoice = "none",
) -> Algorithm[StepResult]:
    """Cluster images: many starts on a subset, then exact passes over all images to convergence.

    Parameters
    ----------
    n_clusters
        Clusters; fewer where there are not so many images.
    n_init
        Starts; the best is taken.
    init
        How a start is seeded.
    max_iter
        Passes over all images, at most.
    tol
        Relative to the mean variance of the features: a smaller squared shift of the centres ends the iterations.
    examples
        Nearest and farthest images of each cluster to keep.
    engine
        fmnist-dask, or dask-ml for its KMeans (started by k-means||, once), with its inertia corrected.
    polish
        Of codes: go on among pixels, from the mean images of the clusters found, until those have converged.
    silhouette
        exact: of all images, in the space that was clustered. A number: of so many random images against all.
    """
    if polish and data.source.feature_dtype == "uint8":
        raise UsageError("polish goes on among pixels, and the step works on pixels already", 'name codes as "on"')
    options = KMeansOptions(max(1, min(n_clusters, data.n)), init, n_init, max_iter, tol, data.seed)
    if engine == "dask-ml":
        from fmnist_dask.workflow.steps._dask_ml import dask_ml_kmeans

        model = yield from dask_ml_kmeans(data, options)
    else:
        model = yield from kmeans(data.source, data.n, options, data.split)
    described = yield from _described(data, model, options, examples, polish)
    clusters, unit = described.clusters, unit_of(data.source)
    fit, scores = yield from measure_clusters(data, clusters, described.labelling, described.means, silhouette)
    dataset = _dataset(model, described, data, options, engine).assign(silhouette_variables(fit))
    return StepResult(
        dataset=dataset,
        metrics={
            "inertia": described.inertia / unit**2,
            **({} if described.inertia_pixels is None else {"inertia_pixels": described.inertia_pixels / 255**2}),
            "n_iter": model.n_iter,
            **({} if described.polished is None else {"n_iter_pixels": described.polished.n_iter}),
            **cluster_metrics(clusters, fit, scores),
        },
        exact=exactness(fit, "inertia"),
        n_used=model.n,
        n_total=data.source.n,
        columns=clusters.columns,
        image_tables={"clusters": {"": clusters.columns["labels"], "_distance": clusters.columns["distance"]}},
    )


@dataclass
class _Described:
    """Clusters, and what they cost.

    Attributes
    ----------
    inertia, inertia_pixels
        In the space of the features and, where those are codes, among pixels.
    labelling, means
        Whose images are, and means of clusters in the space of the features.
    polished
        k-means of pixels that went on from these clusters.
    """

    clusters: Clusters
    labelling: Labelling
    means: Means
    inertia: float
    inertia_pixels: float | None = None
    polished: KMeansModel | None = None


def _described(
    data: StepInput, model: KMeansModel, options: KMeansOptions, examples: int, polished: bool
) -> Algorithm[_Described]:
    """What clusters hold, after they were polished among pixels if that is wanted."""
    source, split = data.source, data.split
    scan = members_scan(source, model, split, examples, unit_of(source))
    labelling: Labelling = NearestCentre(model.parameter)
    if source.feature_dtype == "uint8":
        found = yield scan
        clusters = clusters_of(source, found, model.inertia_of(found["sums"]))
        return _Described(clusters, labelling, means_of(model, found["sums"]), clusters.inertia)
    found = yield replace(scan, reductions={**scan.reductions, **pixel_squares(split).reductions})
    clusters = clusters_of(source, found, model.inertia_of(found["sums"]))
    if not polished:
        among = pixel_inertia(found["pixels"], clusters.mean_image, clusters.size)
        return _Described(clusters, labelling, means_of(model, found["sums"]), clusters.inertia, among)
    better = yield from polish_clusters(source, model, clusters, options, split)
    pixels = Pixels()
    description = describe_clusters(seen(source, pixels), better.model, split, examples, 255.0)
    clusters = yield from through(description, pixels)
    labelling = MappedCentres(pixels, better.model.parameter)
    return _Described(clusters, labelling, better.means, better.inertia_codes, clusters.inertia, better.model)


def _dataset(model: KMeansModel, described: _Described, data: StepInput, options: KMeansOptions, engine: str) -> Any:
    clusters, polished = described.clusters, described.polished
    unit = unit_of(data.source)
    # Polished clusters are measured among pixels.
    space = data if polished is None else replace(data, source=seen(data.source, Pixels()))
    centres = (model if polished is None else polished).centres
    return cluster_dataset(
        clusters,
        space,
        {
            **centre_variable("cluster_centers", centres, space.source),
            "history": (("start", "iteration"), _padded(model.history) / unit**2),
            "start_inertia": ("candidate", model.start_inertia / unit**2),
            **({} if polished is None else {"history_pixels": ("pass", np.array(polished.history[0]) / 255**2)}),
        },
        {
            "n_clusters": len(clusters.size),
            "n_init": options.n_init,
            "n_iter": model.n_iter,
            "subset_rows": model.subset,
            "engine": engine,
            "polished": int(polished is not None),
        },
    )


def _padded(history: list[list[float]]) -> AnyArray:
    """Rows of different lengths as an array, NaN where they have ended."""
    ran = [inertia for inertia in history if inertia]
    table = np.full((len(ran), max((len(inertia) for inertia in ran), default=0)), np.nan)
    for row, inertia in enumerate(ran):
        table[row, : len(inertia)] = inertia
    return table
