"""``agglomerative``: Ward's hierarchy of images, cut where there are so many clusters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.kernels.ward import ward_bytes
from fmnist_dask.models.agglomerative import AgglomerativeModel, AgglomerativeOptions, agglomerative
from fmnist_dask.models.cluster_scores import Means, labelled_means
from fmnist_dask.models.clusters import Clusters, clusters_of, labelled_scan
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.parameters import SetsParameter, grid_scale
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.standin import typical_rows
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._clusters import (
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
from fmnist_dask.workflow.steps._seconds import ward_seconds


def _foresees(
    data: StepInput,
    *,
    n_clusters: int,
    micro_clusters: int,
    examples: int,
    silhouette: SilhouetteChoice,
    **others: Any,
) -> Iterator[Foreseen]:
    """The k-means that makes small clusters, the hierarchy, and what clusters hold."""
    d = data.source.n_features
    m = max(1, min(micro_clusters, data.n))
    if data.n > micro_clusters:
        yield from foreseen_kmeans(data, KMeansOptions(m, n_init=1))
    shared = 8 * m * (d + 1)
    yield Foreseen("hierarchy", None, 1, ward_bytes(m), shared, seconds=ward_seconds(m))
    linkage = np.column_stack([np.zeros(m - 1), np.arange(1, m), np.zeros(m - 1), np.ones(m - 1)]).astype(np.float64)
    model = AgglomerativeModel(
        typical_rows(data.source, m),
        np.ones(m, dtype=np.int64),
        linkage,
        np.zeros(d),
        data.n,
        1.0,
        data.n <= micro_clusters,
    )
    yield Foreseen("members of clusters", _members_scan(model, data, m, examples))
    yield from foreseen_measures(data, min(n_clusters, m), silhouette)


@step(
    "agglomerative",
    version=2,
    figures="fmnist_dask.workflow.figures.agglomerative:figures",
    libraries=("numpy", "scipy", "numba"),
    accepts=("on", "images"),
    foresees=_foresees,
)
def agglomerative_step(
    data: StepInput,
    *,
    n_clusters: Annotated[int, pydantic.Field(ge=1, le=4096)] = 10,
    micro_clusters: Annotated[int, pydantic.Field(ge=2, le=4096)] = 1024,
    examples: Annotated[int, pydantic.Field(ge=0, le=50)] = 12,
    silhouette: SilhouetteChoice = "none",
) -> Algorithm[StepResult]:
    """Build Ward's hierarchy on many small clusters made by k-means, each of which counts by its images.

    Parameters
    ----------
    n_clusters
        Where the hierarchy is cut; the result keeps all of it.
    micro_clusters
        Small clusters at its bottom. Up to so many images stand for themselves.
    examples
        Images of each cluster to keep, nearest to its mean and farthest.
    silhouette
        exact: of all images, in the space that was clustered. A number: of so many random images against all.
    """
    options = AgglomerativeOptions(micro_clusters, data.seed)
    model = yield from agglomerative(data.source, data.n, options, data.split)
    n_clusters = min(n_clusters, len(model.sizes))
    found = yield _members_scan(model, data, n_clusters, examples)
    clusters = clusters_of(data.source, found)
    shift = None if data.source.feature_dtype == "uint8" else model.shift
    means = Means(**found["means"], shift=shift, squares=model.n * model.diameter**2)
    labelling = model.labelling(n_clusters)
    fit, scores = yield from measure_clusters(data, clusters, labelling, means, silhouette)
    unit = unit_of(data.source)
    return StepResult(
        dataset=_dataset(model, clusters, data, n_clusters).assign(silhouette_variables(fit)),
        metrics={
            "inertia": clusters.inertia / unit**2,
            "n_micro_clusters": len(model.sizes),
            **cluster_metrics(clusters, fit, scores),
        },
        exact=exactness(fit, "inertia") if model.exact else False,
        n_used=model.n,
        n_total=data.source.n,
        columns=clusters.columns,
        image_tables={"clusters": {"": clusters.columns["labels"], "_distance": clusters.columns["distance"]}},
    )


def _members_scan(model: AgglomerativeModel, data: StepInput, n_clusters: int, examples: int) -> Scan:
    centres = SetsParameter.of([model.means(n_clusters)], model.shift)
    scale = grid_scale(model.n * model.diameter**2)
    labelling = model.labelling(n_clusters)
    scan = labelled_scan(data.source, centres, labelling, scale, data.split, examples, unit_of(data.source))
    means = labelled_means(labelling, n_clusters, model.shift, model.diameter, model.n)
    return replace(scan, reductions={**scan.reductions, "means": means})


def _dataset(model: AgglomerativeModel, clusters: Clusters, data: StepInput, n_clusters: int) -> Any:
    unit = unit_of(data.source)
    linkage = model.linkage.copy()
    linkage[:, 2] /= unit
    return cluster_dataset(
        clusters,
        data,
        {
            **centre_variable("cluster_centers", model.means(n_clusters), data.source),
            "linkage": (("merger", "of"), linkage, {"long_name": "two clusters, their distance, images in both"}),
            "micro_size": ("micro_cluster", model.sizes),
            "micro_cluster_of": ("micro_cluster", model.groups(n_clusters)),
        },
        {"n_clusters": len(clusters.size), "micro_clusters": len(model.sizes), "exact": int(model.exact)},
    )
