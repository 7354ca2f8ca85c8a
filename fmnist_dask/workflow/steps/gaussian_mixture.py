"""``gaussian_mixture``: soft clusters of images, each of a size and shape of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.kernels.gaussians import Gaussians
from fmnist_dask.kernels.seeding import DIRECTIONS, plane_bytes
from fmnist_dask.models.cluster_scores import Means, labelled_means
from fmnist_dask.models.clusters import clusters_of, labelled_scan
from fmnist_dask.models.gaussian_mixture import GaussianMixtureModel, gaussian_mixture
from fmnist_dask.models.mixture_starts import (
    FIRST_ITERATIONS,
    GaussianMixtureOptions,
    rounds_of,
    scales_of,
    subset_bytes,
    subset_size,
)
from fmnist_dask.passes.parameters import SetsParameter, grid_scale
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.gaussians import EMSums, GaussiansParameter, LikelihoodSum, Membership
from fmnist_dask.passes.standin import typical_rows
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._clusters import (
    SilhouetteChoice,
    centre_variable,
    cluster_dataset,
    cluster_metrics,
    exactness,
    foreseen_measures,
    measure_clusters,
    silhouette_variables,
)
from fmnist_dask.workflow.steps._names import unit_of
from fmnist_dask.workflow.steps._seconds import ITERATIONS_ON_SUBSET, em_seconds, plane_seconds, starts_seconds

Whole = Annotated[int, pydantic.Field(ge=1)]
Positive = Annotated[float, pydantic.Field(ge=0)]


#: Iterations of EM over all images until they have converged, with ordinary ones.
ITERATIONS = 12


def _foresees(
    data: StepInput,
    *,
    n_components: int,
    covariance_type: Any,
    n_init: int,
    max_iter: int,
    examples: int,
    silhouette: SilhouetteChoice,
    **others: Any,
) -> Iterator[Foreseen]:
    """Starts on the subset, an iteration of EM, and what components hold."""
    source, d = data.source, data.source.n_features
    options = GaussianMixtureOptions(max(1, min(n_components, data.n)), covariance_type, n_init=n_init)
    k, rows = options.n_components, subset_size(source, data.n)
    features = rows * d * np.dtype(source.feature_dtype).itemsize
    seconds = plane_seconds(rows, d)
    yield Foreseen("starts plane", calls=1, task_bytes=plane_bytes(rows, d), shared_bytes=features, seconds=seconds)
    full = covariance_type == "full"
    cost = subset_bytes(rows, d, options)
    shared = features + 4 * rows * min(d, DIRECTIONS)
    seconds = starts_seconds(rows, min(d, DIRECTIONS), k) + em_seconds(rows, d, k, FIRST_ITERATIONS, full)
    yield Foreseen("starts", calls=n_init, task_bytes=cost, shared_bytes=shared, seconds=seconds)
    for name, count, iterations in rounds_of(n_init):
        seconds = em_seconds(rows, d, k, min(iterations, ITERATIONS_ON_SUBSET), full)
        yield Foreseen(name, calls=count, task_bytes=cost, shared_bytes=shared, seconds=seconds)
    centres = typical_rows(source, k)
    width = np.maximum(centres.std(axis=0), 1e-3)
    root = np.tile(1 / width, (k, 1)) if covariance_type == "diag" else np.tile(np.diag(1 / width), (k, 1, 1))
    mixture = Gaussians(np.full(k, 1 / k), centres, root)
    low, high = centres.min(axis=0) - 4 * width, centres.max(axis=0) + 4 * width
    sums = EMSums.of(mixture, scales_of(low, high, data.n))
    times = min(ITERATIONS, max_iter)
    yield Foreseen("each iteration", Scan({"sums": sums}, split=data.split), times=times, most=max_iter)
    model = GaussianMixtureModel(mixture.weight, mixture.mean, np.asarray(root), 0.0, True, data.n, diameter=1.0)
    yield Foreseen("members of components", _members_scan(model, data, examples))
    yield from foreseen_measures(data, k, silhouette)


@step(
    "gaussian_mixture",
    version=3,
    figures="fmnist_dask.workflow.figures.gaussian_mixture:figures",
    libraries=("numpy", "scipy"),
    accepts=("on", "images"),
    foresees=_foresees,
)
def gaussian_mixture_step(
    data: StepInput,
    *,
    n_components: Annotated[int, pydantic.Field(ge=1, le=1024)] = 10,
    covariance_type: Literal["full", "diag"] = "full",
    tol: Positive = 1e-3,
    reg_covar: Positive = 1e-6,
    max_iter: Whole = 100,
    n_init: Annotated[int, pydantic.Field(ge=1, le=1000)] = 10,
    examples: Annotated[int, pydantic.Field(ge=0, le=50)] = 12,
    silhouette: SilhouetteChoice = "none",
) -> Algorithm[StepResult]:
    """Fit a mixture of Gaussians: starts and EM on a subset, then exact passes over all images to convergence.

    Best of few features: on the codes of a PCA, rather than on pixels.

    Parameters
    ----------
    n_components
        Gaussians; fewer where there are not so many images.
    covariance_type
        full, or diag for no correlation of features within a component.
    tol
        A smaller gain of the mean log-likelihood ends the iterations; on the subset, a tenth of it.
    reg_covar
        Added to all variances; of pixels, whose brightness goes from 0 to 1.
    max_iter
        Passes over all images, at most.
    n_init
        Starts, compared on a random subset; the best is taken.
    examples
        Images of each component to keep, nearest to its mean and farthest.
    silhouette
        exact: of all images, in the space that was clustered. A number: of so many random images against all.
    """
    unit = unit_of(data.source)
    options = GaussianMixtureOptions(
        max(1, min(n_components, data.n)), covariance_type, tol, reg_covar * unit**2, max_iter, n_init, seed=data.seed
    )
    model = yield from gaussian_mixture(data.source, data.n, options, data.split)
    found = yield _members_scan(model, data, examples)
    clusters = clusters_of(data.source, found)
    clusters.columns = {**clusters.columns, **found["membership"]}
    means = Means(**found["means"], shift=_shift(model, data), squares=model.n * model.diameter**2)
    labelling = GaussiansParameter.of(model.gaussians)
    fit, scores = yield from measure_clusters(data, clusters, labelling, means, silhouette)
    # Densities of brightness, not of bytes.
    shift = data.source.n_features * math.log(unit)
    total = found["log_likelihood"] + model.n * shift
    return StepResult(
        dataset=_dataset(model, clusters, data, shift, fit),
        metrics={
            "log_likelihood": total / model.n,
            "bic": model.bic(total),
            "aic": model.aic(total),
            "n_iter": len(model.history),
            "converged": model.converged,
            "n_degenerate": int(model.degenerate.sum()),
            **cluster_metrics(clusters, fit, scores),
        },
        exact=exactness(fit, "log_likelihood"),
        n_used=model.n,
        n_total=data.source.n,
        columns=clusters.columns,
        image_tables={"clusters": {"": clusters.columns["labels"]}},
    )


def _members_scan(model: GaussianMixtureModel, data: StepInput, examples: int) -> Scan:
    """What components hold, and how likely images are."""
    mixture = GaussiansParameter.of(model.gaussians)
    centres = SetsParameter.of([model.means], _shift(model, data))
    means = labelled_means(mixture, len(model.means), model.means.mean(axis=0), model.diameter, model.n)
    scale = grid_scale(model.n * model.diameter**2)
    unit = unit_of(data.source)
    scan = labelled_scan(data.source, centres, mixture, scale, data.split, examples, unit)
    return Scan(
        {**scan.reductions, "means": means, "log_likelihood": LikelihoodSum(mixture)},
        {**scan.columns, "membership": Membership(mixture)},
        split=data.split,
    )


def _shift(model: GaussianMixtureModel, data: StepInput) -> FloatArray | None:
    """What features that are no pixels are moved by before products are made."""
    middle: FloatArray = model.means.mean(axis=0)
    return middle if unit_of(data.source) == 1 else None


def _dataset(model: GaussianMixtureModel, clusters: Any, data: StepInput, shift: float, fit: Any) -> Any:
    unit = unit_of(data.source)
    dims = ("cluster", "feature", "feature_too")[: model.covariances.ndim]
    dataset = cluster_dataset(
        clusters,
        data,
        {
            **centre_variable("means", model.means, data.source),
            "weights": ("cluster", model.weights),
            "covariances": (dims, model.covariances / unit**2),
            "degenerate": ("cluster", model.degenerate),
            "history": ("iteration", np.array(model.history) + shift),
            "start_bounds": ("candidate", np.array(model.start_bounds) + shift),
        },
        {
            "n_clusters": len(clusters.size),
            "n_iter": len(model.history),
            "converged": int(model.converged),
            "covariance_type": "full" if model.covariances.ndim == 3 else "diag",
            "subset_rows": model.subset,
        },
    )
    return dataset.assign(silhouette_variables(fit))
