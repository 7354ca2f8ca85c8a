"""``kmeans``: clusters of images, what they hold, and how they match the classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.models.clusters import Clusters, describe_clusters, members_scan
from fmnist_dask.models.kmeans import KMeansModel, KMeansOptions, kmeans
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.passes.reductions.members import NearestCentre
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.registry import Foreseen, StepInput, StepResult, step
from fmnist_dask.workflow.steps._clusters import (
    SilhouetteChoice,
    centre_variable,
    cluster_dataset,
    cluster_metrics,
    exactness,
    foreseen_kmeans,
    measure_clusters,
    silhouette_variables,
)
from fmnist_dask.workflow.steps._names import unit_of

Whole = Annotated[int, pydantic.Field(ge=1)]


def _foresees(
    data: StepInput, *, n_clusters: int, n_init: int, init: Any, examples: int, engine: str, **others: Any
) -> Iterator[Foreseen]:
    """The search for starts, the widest iteration, and what clusters hold."""
    source, d = data.source, data.source.n_features
    options = KMeansOptions(max(1, min(n_clusters, data.n)), init, n_init)
    k = options.n_clusters
    if engine == "fmnist-dask":
        yield from foreseen_kmeans(data, options)
    model = KMeansModel(np.zeros((k, d)), 0, np.zeros(d), None, 1.0, data.n)
    yield Foreseen("members of clusters", members_scan(source, model, data.split, examples, 1.0))


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
    silhouette
        exact: of all images, in the space that was clustered. A number: of so many random images against all.
    """
    options = KMeansOptions(max(1, min(n_clusters, data.n)), init, n_init, max_iter, tol, data.seed)
    if engine == "dask-ml":
        from fmnist_dask.workflow.steps._dask_ml import dask_ml_kmeans

        model = yield from dask_ml_kmeans(data, options)
    else:
        model = yield from kmeans(data.source, data.n, options, data.split)
    unit = unit_of(data.source)
    clusters = yield from describe_clusters(data.source, model, data.split, examples, unit)
    assert clusters.means is not None
    labelling = NearestCentre(model.parameter)
    fit, scores = yield from measure_clusters(data, clusters, labelling, clusters.means, silhouette)
    dataset = _dataset(model, clusters, data, options, engine).assign(silhouette_variables(fit))
    return StepResult(
        dataset=dataset,
        metrics={
            "inertia": clusters.inertia / unit**2,
            "n_iter": model.n_iter,
            **cluster_metrics(clusters, fit, scores),
        },
        exact=exactness(fit, "inertia"),
        n_used=model.n,
        n_total=data.source.n,
        columns=clusters.columns,
        image_tables={"clusters": {"": clusters.columns["labels"], "_distance": clusters.columns["distance"]}},
    )


def _dataset(model: KMeansModel, clusters: Clusters, data: StepInput, options: KMeansOptions, engine: str) -> Any:
    unit = unit_of(data.source)
    return cluster_dataset(
        clusters,
        data,
        {
            **centre_variable("cluster_centers", model.centres, data.source),
            "history": (("start", "iteration"), _padded(model.history) / unit**2),
            "start_inertia": ("candidate", model.start_inertia / unit**2),
        },
        {
            "n_clusters": len(clusters.size),
            "n_init": options.n_init,
            "n_iter": model.n_iter,
            "subset_rows": model.subset,
            "engine": engine,
        },
    )


def _padded(history: list[list[float]]) -> AnyArray:
    """Rows of different lengths as an array, NaN where they have ended."""
    ran = [inertia for inertia in history if inertia]
    table = np.full((len(ran), max((len(inertia) for inertia in ran), default=0)), np.nan)
    for row, inertia in enumerate(ran):
        table[row, : len(inertia)] = inertia
    return table
