"""``k_sweep``: k-means for several numbers of clusters in the same passes, and what speaks for each of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.kernels.gaussians import Gaussians
from fmnist_dask.kernels.seeding import DIRECTIONS, plane_bytes
from fmnist_dask.kernels.start_chains import chain_bytes
from fmnist_dask.models.k_sweep import MOST_LANES, KSweep, KSweepOptions, Swept, called, elbow, k_sweep
from fmnist_dask.models.kmeans_starts import subset_size
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions, scales_of, subset_bytes
from fmnist_dask.passes.parameters import ArrayParameter, SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.gaussians import EMSums
from fmnist_dask.passes.reductions.silhouettes import DistancesToClusters
from fmnist_dask.passes.standin import typical_rows
from fmnist_dask.passes.together import grouped, merged
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._clusters import FIRST_ITERATIONS, ITERATIONS, SilhouetteChoice
from fmnist_dask.workflow.steps._names import unit_of
from fmnist_dask.workflow.steps._seconds import chains_seconds, em_seconds, plane_seconds

Number = Annotated[int, pydantic.Field(ge=1, le=4096)]
Mixture = Literal["auto", "none", "full", "diag"]
KS = (2, 4, 6, 8, 10, 12, 15, 20, 25, 30)
#: Metrics by number of clusters.
SCORES = ("inertia", "silhouette", "davies_bouldin", "calinski_harabasz", "log_likelihood", "bic", "aic")
#: Codes up to which mixtures are fitted unasked: a full covariance has their square.
FEW_CODES = 64


#: Passes of all mixtures over all images until they have converged, with ordinary ones.
MIXTURE_ITERATIONS = 12
#: Iterations of each mixture on the subset before that.
SUBSET_ITERATIONS = 200


def _foresees(
    data: StepInput, *, k: tuple[int, ...], n_init: int, silhouette: Any, mixture: Mixture, **others: Any
) -> Iterator[Foreseen]:
    """The search for starts, the widest iteration, silhouettes, and EM of the largest mixture."""
    source, d = data.source, data.source.n_features
    options = KSweepOptions(_numbers(k, data.n), n_init)
    largest = max(options.ks)
    rows, width = subset_size(source, data.n, options.kmeans(largest)), min(DIRECTIONS, d)
    features = rows * d * np.dtype(source.feature_dtype).itemsize
    seconds = plane_seconds(rows, d)
    yield Foreseen("starts plane", calls=1, task_bytes=plane_bytes(rows, d), shared_bytes=features, seconds=seconds)
    cost = chain_bytes(rows, width, options.ks, 1)
    seconds = chains_seconds(rows, width, sum(options.ks))
    yield Foreseen("starts", None, n_init, cost, 4 * rows * width, seconds=seconds)
    lanes = {
        called(number): Scan(
            {"sums": ClusterSums(_sets((number,) * min(n_init, MOST_LANES), source))}, split=data.split
        )
        for number in options.ks
    }
    for group in grouped(lanes, source):
        scan = merged(group)
        yield Foreseen("first iterations", scan, times=FIRST_ITERATIONS, most=options.max_iter)
    one = Scan({"sums": ClusterSums(_sets(options.ks, source))}, split=data.split)
    yield Foreseen("each iteration", one, times=ITERATIONS, most=options.max_iter)
    yield Foreseen("clusters of all", Scan({"sums": ClusterSums(_sets(options.ks, source))}, split=data.split))
    if isinstance(silhouette, int):
        sample = ArrayParameter(np.zeros((min(silhouette, data.n), d), dtype=source.feature_dtype))
        distances = DistancesToClusters(_sets(options.ks, source), sample, 1.0)
        yield Foreseen("silhouettes", Scan({"silhouettes": distances}, split=data.split))
    kind = _kind(source, mixture)
    if kind != "none":
        cost = subset_bytes(rows, d, GaussianMixtureOptions(largest, kind)) + plane_bytes(rows, d)
        seconds = em_seconds(rows, d, sum(options.ks), SUBSET_ITERATIONS, kind == "full") / len(options.ks)
        yield Foreseen("mixtures begin", None, len(options.ks), cost, features, seconds=seconds)
        centres = typical_rows(source, largest)
        wide = np.maximum(centres.std(axis=0), 1e-3)
        root = np.tile(1 / wide, (largest, 1)) if kind == "diag" else np.tile(np.diag(1 / wide), (largest, 1, 1))
        gaussians = Gaussians(np.full(largest, 1 / largest), centres, root)
        scales = scales_of(centres.min(axis=0) - 4 * wide, centres.max(axis=0) + 4 * wide, data.n)
        # The pass of all mixtures takes as long as that many of the largest.
        times = round(MIXTURE_ITERATIONS * sum(options.ks) / largest)
        scan = Scan({"sums": EMSums.of(gaussians, scales)}, split=data.split)
        yield Foreseen("largest mixture", scan, times=max(1, times), most=options.max_iter * len(options.ks))


def _sets(ks: tuple[int, ...], source: Readable) -> SetsParameter:
    """Sets of centres of these sizes."""
    return SetsParameter.of([typical_rows(source, number) for number in ks])


@step(
    "k_sweep",
    figures="fmnist_dask.workflow.figures.k_sweep:figures",
    libraries=("numpy", "scipy", "numba"),
    accepts=("on", "images"),
    foresees=_foresees,
)
def k_sweep_step(
    data: StepInput,
    *,
    k: Annotated[tuple[Number, ...], pydantic.Field(min_length=1, max_length=64)] = KS,
    n_init: Annotated[int, pydantic.Field(ge=1, le=1000)] = 4,
    max_iter: Annotated[int, pydantic.Field(ge=1)] = 300,
    tol: Annotated[float, pydantic.Field(ge=0)] = 1e-4,
    silhouette: SilhouetteChoice = 2000,
    mixture: Mixture = "auto",
    reg_covar: Annotated[float, pydantic.Field(ge=0)] = 1e-6,
) -> Algorithm[StepResult]:
    """Cluster images by k-means for several numbers of clusters in the same passes, and score each number.

    Parameters
    ----------
    k
        Numbers of clusters; those above the number of images are left out.
    n_init
        Searches for starts, each through all numbers of clusters in ascending order; and starts of each mixture, beside
        one from the clusters.
    max_iter
        Passes over all images, at most.
    tol
        Relative to the mean variance of the features: a smaller squared shift of the centres ends the iterations.
    silhouette
        A number: of so many random images against all. exact: of all images. none.
    mixture
        Gaussian mixtures beside, for BIC and AIC: none; full, or diag for no correlation of features within a
        component; auto for full covariances of up to 64 codes and none of pixels, of which they need too many numbers.
    reg_covar
        Added to all variances of mixtures; of pixels, whose brightness goes from 0 to 1.
    """
    unit = unit_of(data.source)
    options = KSweepOptions(
        _numbers(k, data.n),
        n_init,
        max_iter,
        tol,
        data.seed,
        silhouette,
        _kind(data.source, mixture),
        reg_covar * unit**2,
    )
    sweep = yield from k_sweep(data.source, data.n, options, data.split)
    rows = {number: _row(found, data) for number, found in sweep.found.items()}
    sampled = isinstance(silhouette, int) and silhouette < data.n
    return StepResult(
        dataset=_dataset(rows, sweep, data, options),
        metrics=_metrics(rows),
        exact={"inertia": True, "silhouette": False} if sampled else True,
        n_used=data.n,
        n_total=data.source.n,
    )


def _numbers(k: tuple[int, ...], n: int) -> tuple[int, ...]:
    """Ascending, without repetition, none above the number of images."""
    return tuple(sorted({number for number in k if number <= n} or {max(1, n)}))


def _kind(source: Readable, mixture: Mixture) -> Literal["none", "full", "diag"]:
    if mixture != "auto":
        return mixture
    return "full" if source.feature_dtype != "uint8" and source.n_features <= FEW_CODES else "none"


def _row(found: Swept, data: StepInput) -> dict[str, float | None]:
    """What was found for one number of clusters; ``None`` for what does not apply."""
    unit, fit, mixture = unit_of(data.source), found.silhouette, found.mixture
    row: dict[str, float | None] = {
        "inertia": found.inertia / unit**2,
        "n_iter": found.model.n_iter,
        "n_empty": int((found.sizes == 0).sum()),
        "silhouette": None if fit is None else fit.mean,
        "silhouette_interval": None if fit is None else fit.interval,
        "davies_bouldin": found.scores.davies_bouldin,
        "calinski_harabasz": found.scores.calinski_harabasz,
    }
    total = None
    if mixture is not None:
        # Densities of brightness, not of bytes.
        total = mixture.log_likelihood + data.n * data.source.n_features * math.log(unit)
    row["log_likelihood"] = None if total is None else total / data.n
    row["bic"] = None if total is None or mixture is None else mixture.model.bic(total)
    row["aic"] = None if total is None or mixture is None else mixture.model.aic(total)
    row["mixture_n_iter"] = None if mixture is None else len(mixture.model.history)
    return row


def _metrics(rows: dict[int, dict[str, float | None]]) -> dict[str, Any]:
    """Each score by number of clusters, ``None`` where it applies to none of them; and what each suggests."""
    found: dict[str, Any] = {}
    for name in SCORES:
        known = {str(number): row[name] for number, row in rows.items()}
        found[name] = known if any(value is not None for value in known.values()) else None
    found["best"] = _best(rows)
    return found


def _best(rows: dict[int, dict[str, float | None]]) -> dict[str, int | None]:
    """The number of clusters that each score suggests."""

    def chosen(name: str, better: Callable[..., Any]) -> int | None:
        known = {number: row[name] for number, row in rows.items() if row[name] is not None}
        return better(known, key=known.__getitem__) if len(known) > 1 else None

    return {
        "elbow": elbow(list(rows), [row["inertia"] or 0.0 for row in rows.values()]),
        "silhouette": chosen("silhouette", max),
        "davies_bouldin": chosen("davies_bouldin", min),
        "calinski_harabasz": chosen("calinski_harabasz", max),
        "bic": chosen("bic", min),
        "aic": chosen("aic", min),
    }


#: What the variables of a sweep are called.
LONG_NAMES = {
    "inertia": "sum of squared distances to the centres",
    "n_iter": "passes of Lloyd's iterations that led to the centres",
    "n_empty": "clusters without images",
    "silhouette": "mean silhouette",
    "silhouette_interval": "half the width of its 95 % confidence interval; 0 if of all images",
    "davies_bouldin": "Davies-Bouldin index, lower is better",
    "calinski_harabasz": "Calinski-Harabasz index, higher is better",
    "log_likelihood": "mean log-likelihood of an image under a Gaussian mixture",
    "bic": "Bayesian information criterion of the mixture, lower is better",
    "aic": "Akaike's information criterion of the mixture, lower is better",
    "mixture_n_iter": "passes of EM",
}


def _dataset(rows: dict[int, dict[str, float | None]], sweep: KSweep, data: StepInput, options: KSweepOptions) -> Any:
    import xarray as xr

    variables: dict[str, Any] = {}
    for name, words in LONG_NAMES.items():
        shown = [math.nan if row[name] is None else row[name] for row in rows.values()]
        variables[name] = ("k", np.array(shown, dtype=np.float64), {"long_name": words})
    for name in ("n_iter", "n_empty"):
        dims, shown, attrs = variables[name]
        variables[name] = (dims, shown.astype(np.int64), attrs)
    measured = [len(found.silhouette.rows) for found in sweep.found.values() if found.silhouette is not None]
    attrs = {
        "split": data.split,
        "on": data.on,
        "n_init": options.n_init,
        "passes": sweep.passes,
        "regrown": [int(number) for number in sweep.regrown],
        "silhouette_rows": max(measured, default=0),
        "mixture": options.mixture,
        **{f"best_{name}": number for name, number in _best(rows).items() if number is not None},
    }
    coords = {"k": ("k", np.array(list(rows)), {"long_name": "clusters"})}
    return xr.Dataset(variables, coords=coords, attrs=attrs)
