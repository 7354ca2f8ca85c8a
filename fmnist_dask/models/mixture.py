"""Mixtures of low-rank Gaussians of images of which pixels are missing, found without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.low_rank import rounder
from fmnist_dask.kernels.seeding import find_starts, group_means
from fmnist_dask.models.low_rank_model import MOST, FittedLowRank
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.passes.reductions.mixture import GroupMoments, MixtureParameter
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray

#: Codes that rows are filled in with roughly.
GUIDE_RANK = 64
#: Rows of the covariance within all groups that each group's own is mixed with, as a share of the features.
PRIOR_ROWS = 0.25
#: Added to the variance of every feature, as a share of their mean.
RIDGE = 3.5e-3
#: Starts of the groups, of which the best is taken.
STARTS = 4


@dataclass(frozen=True)
class MixtureOptions:
    """What is asked of a mixture.

    Attributes
    ----------
    groups
        Components.
    rank
        Directions of each; what is beyond is noise of one variance.
    passes
        Of EM.
    seed
        Of the starts.
    """

    groups: int
    rank: int
    passes: int = 1
    seed: int = 0


@dataclass
class FittedMixture:
    """A mixture of Gaussians.

    Attributes
    ----------
    centre : float64 array, shape (g, d)
    covariance : float64 array, shape (g, d, d)
    count : float64 array, shape (g,)
        Weight of the rows of each.
    guide
        Low-rank model that fills rows in roughly.
    """

    centre: FloatArray
    covariance: FloatArray
    count: FloatArray
    guide: ModelParameter

    @property
    def parameter(self) -> MixtureParameter:
        """For passes that use the mixture."""
        precision = np.stack([np.linalg.inv(matrix) for matrix in self.covariance])
        return _parameter(self.centre, precision, self.count, self.guide)


def mixture_of_gaussians(
    source: Readable,
    n: int,
    model: FittedLowRank,
    sample: dict[str, AnyArray],
    options: MixtureOptions,
    split: str = "all",
) -> Algorithm[FittedMixture]:
    """Groups of rows with a Gaussian each, by EM that begins with a single low-rank model.

    Mixtures of probabilistic PCA (Tipping and Bishop 1999b). Codes of a sample are grouped by k-means. A pass sums what
    the single model expects of the rows of each group; those that follow, what the components expect of the rows that
    may be theirs. Covariances are mixed with that within all groups, as many rows of it as a quarter of the features,
    so that groups of few rows do not know them by heart.

    Parameters
    ----------
    model
        With noise, of pixels that are not scaled.
    sample
        Rows to begin with: ``features`` and ``observed``.

    Raises
    ------
    UsageError
        A model that this does not work with; more groups than there are rows for.
    """
    if not model.noise or np.ptp(model.scale):
        raise UsageError("groups are of models with noise, of pixels that are not scaled", "take the defaults of both")
    if options.groups > max(n // 20, 1):
        raise UsageError(f"{options.groups} groups of {n} images", "take fewer: twenty images for each at least")
    guide = model.at_rank(min(GUIDE_RANK, model.rank))
    with one_blas_thread():
        start = _groups(guide, sample["features"], sample["observed"], options)
        precision = model.parameter.model.precision[None]
    # Rows that vary less than others count up to so many times.
    rounding = rounder(64 * n * (3 * MOST) ** 2)
    single = _parameter(model.centre[None], precision, np.ones(1), guide)
    sums = (yield Scan({"groups": GroupMoments(single, rounding, start)}, split=split))["groups"]
    fitted = _maximize(sums, start[1].values.astype(np.float64), options, guide)
    for _ in range(options.passes):
        sums = (yield Scan({"groups": GroupMoments(fitted.parameter, rounding)}, split=split))["groups"]
        fitted = _maximize(sums, fitted.centre.astype(np.float32).astype(np.float64), options, guide)
    return fitted


def _parameter(centre: FloatArray, precision: FloatArray, count: FloatArray, guide: ModelParameter) -> MixtureParameter:
    log_weight = np.log((count + 1) / (count + 1).sum())
    first, second = (ArrayParameter(np.ascontiguousarray(array, np.float32)) for array in (centre, precision))
    return MixtureParameter(first, second, ArrayParameter(log_weight), guide)


def _groups(
    guide: ModelParameter, features: AnyArray, observed: BoolArray, options: MixtureOptions
) -> tuple[ArrayParameter, ArrayParameter, ArrayParameter]:
    """Centres of the groups in weighted codes and in features, and the weights of the codes."""
    model = guide.model
    codes = model.codes(model.centred(features, observed), observed.astype(np.float32))
    # Along a direction codes vary with the square root of its deviation: between whitened, and as they are in features.
    weights = np.sqrt(np.sqrt(model.lengths)).astype(np.float32)
    points = np.ascontiguousarray(codes * weights)
    starts = find_starts(points, None, options.groups, options.seed, list(range(STARTS)), "k-means++", True)
    labels = min(starts, key=lambda start: start["inertia"])["labels"]
    centres = group_means(points, None, labels, options.groups)
    in_codes = centres / np.where(weights > 0, weights, 1)
    in_features = in_codes @ model.factors / model.inverse_scale + model.centre
    made = (centres, in_features, weights)
    return tuple(ArrayParameter(np.ascontiguousarray(array, np.float32)) for array in made)  # type: ignore[return-value]


def _maximize(sums: dict[str, Any], about: FloatArray, options: MixtureOptions, guide: ModelParameter) -> FittedMixture:
    """The best components for what was expected of rows.

    Parameters
    ----------
    about
        Centres that the sums are about.
    """
    import scipy.linalg

    g, d = about.shape
    count, weight = sums["count"], np.maximum(sums["weight"], 1e-9)
    moved = sums["sum"] / weight[:, None]
    scatter = sums["product"] - weight[:, None, None] * moved[:, :, None] * moved[:, None, :]
    within = scatter.sum(axis=0) / max(float(count.sum()), 1.0)
    ridge = RIDGE * float(np.trace(within)) / d
    prior = PRIOR_ROWS * d
    found = np.empty((g, d, d))
    with one_blas_thread():
        for group in range(g):
            covariance = (scatter[group] + prior * within) / (count[group] + prior)
            covariance = (covariance + covariance.T) / 2
            if options.rank < d:
                lengths, vectors = scipy.linalg.eigh(covariance)
                noise = float(np.maximum(lengths[: d - options.rank], 0).mean())
                lengths[: d - options.rank] = noise
                covariance = (vectors * lengths) @ vectors.T
            found[group] = covariance
            found[group].flat[:: d + 1] += ridge
    return FittedMixture(about + moved, found, count, guide)
