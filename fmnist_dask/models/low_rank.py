"""Low-rank models of images of which pixels may be missing: exact where none are, by streaming EM where some are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gram import OFFSET
from fmnist_dask.kernels.low_rank import rounder
from fmnist_dask.models.pca import MOST_EXACT_FEATURES, oriented
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.protocol import Algorithm, Readable, Reduction, Scan
from fmnist_dask.passes.reductions.low_rank import FilledMoments, ModelParameter, PairMoments
from fmnist_dask.typing import FloatArray

Transform = Literal["none", "demean", "standardize", "normalize"]
Regularization = Literal["noise", "none"]
#: Least variance of the noise, as a share of the features' mean variance.
LEAST_NOISE = 1e-5
#: Pixels are at most so large; what is filled in may lie beyond them, but not farther than their range.
MOST = 255.0


@dataclass(frozen=True)
class LowRankOptions:
    """What is asked of a low-rank model.

    Attributes
    ----------
    rank
        Codes of an image.
    transform
        What is done to features first: ``none``; ``demean``; ``standardize``, to unit variance; ``normalize``,
        ``(x − mean) / (max − min)``. Constant features are not divided.
    regularization
        ``noise``: what the factors do not explain is noise of one variance, and codes are the mean of what they may be
        (probabilistic PCA); ``none``: least squares.
    max_iter
        Most passes of EM, where pixels are missing; 0 for what the pairs of features say.
    tol
        Relative change at which EM has converged: of the variances, or without noise of the objective.
    """

    rank: int = 64
    transform: Transform = "none"
    regularization: Regularization = "noise"
    max_iter: int = 5
    tol: float = 1e-3


@dataclass
class LowRankModel:
    """A low-rank model ``x ≈ centre + scale · z W``, in units of the pixels.

    Attributes
    ----------
    centre, scale : float64 arrays, shape (d,)
    factors : float64 array, shape (k, d)
        W, in transformed units: orthogonal rows, longest first, of each the largest entry positive; those of a lower
        rank are the first of them, up to the noise that is taken off their lengths.
    variances : float64 array, shape (d,)
        Of all directions, largest first: what any rank is made from.
    noise
        Variance of the noise in transformed units; 0 without.
    error_scale : float64 array, shape (d,)
        Standard deviation, in units of pixels, of a pixel about what the others say of it.
    objective : list of float
        After each pass, in transformed units: the squared residuals of observed pixels, of codes that were regularized.
    n
        Images.
    observed
        Pixels that are there, of all.
    complete
        Whether none was missing, and the solution is exact.
    converged
        Whether the objective has.
    moments
        Of the first pass: see :class:`~fmnist_dask.passes.reductions.low_rank.PairMoments`.
    extra
        What other reductions that shared the first pass returned.
    """

    centre: FloatArray
    scale: FloatArray
    factors: FloatArray
    variances: FloatArray
    noise: float
    error_scale: FloatArray
    objective: list[float]
    n: int
    observed: int
    complete: bool
    converged: bool
    moments: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Codes of an image."""
        return len(self.factors)

    @property
    def parameter(self) -> ModelParameter:
        """For passes that use the model."""
        return ModelParameter.of(self.centre, self.scale, self.factors, self.noise)

    def at_rank(self, rank: int) -> ModelParameter:
        """The model of a lower rank: the first directions, and as noise what the others explain."""
        noise = max(float(self.variances[rank:].mean()), self.noise) if self.noise and rank < self.rank else self.noise
        lengths = np.sqrt(np.maximum(self.variances[:rank] - noise, 0.0))
        before = np.linalg.norm(self.factors[:rank], axis=1)
        factors = self.factors[:rank] * (lengths / np.where(before > 0, before, 1.0))[:, None]
        return ModelParameter.of(self.centre, self.scale, factors, noise)


def low_rank(
    source: Readable,
    n: int,
    options: LowRankOptions,
    split: str = "all",
    extra: dict[str, Reduction] | None = None,
) -> Algorithm[LowRankModel]:
    """Fit a low-rank model to the images of a split; the array ``missing`` says which pixels are not there.

    The first pass gathers the moments of all pairs of features over the rows where both are observed, which is unbiased
    if pixels are missing completely at random. Of complete images the eigenvectors of that matrix are the solution
    (Eckart and Young 1936; with noise Tipping and Bishop 1999). Otherwise they are the start of EM, each iteration of
    which is one pass: missing values are filled in by what is expected of them, and what is uncertain about that is
    added to the matrix of products. It is computed for each pair of features from the share of rows that lack both, and
    one posterior covariance of codes for all rows, that of the average choice of pixels.

    Raises
    ------
    UsageError
        More codes than features or images; more features than pairs fit in memory.
    """
    check(source, n, options)
    found = yield Scan({**(extra or {}), "moments": PairMoments()}, split=split)
    moments = found.pop("moments")
    fit = _Fit(source.n_features, n, options, moments)
    complete = bool((moments["both"] == n).all())
    objective = [fit.residual] if complete else []
    converged, previous = complete, math.inf
    alone = np.zeros(0)
    if not complete:
        for _ in range(options.max_iter):
            expected = FilledMoments(fit.parameter, fit.rounder)
            filled = (yield Scan({"filled": expected}, split=split))["filled"]
            objective.append(filled["error"])
            alone = filled["alone"] / np.maximum(filled["alone_count"], 1)
            if options.regularization == "none":
                converged = abs(previous - objective[-1]) <= options.tol * abs(objective[-1])
                previous = objective[-1]
                if converged:
                    break
            before = fit.variances
            fit.maximize(filled)
            # With noise, residuals may grow while the likelihood does: the variances tell.
            moved = float(np.abs(fit.variances - before).sum())
            if options.regularization == "noise" and moved <= options.tol * float(before.sum()):
                converged = True
                break
    return LowRankModel(
        centre=fit.centre,
        scale=fit.scale,
        factors=fit.factors,
        variances=fit.variances,
        noise=fit.noise,
        error_scale=fit.error_scale(alone),
        objective=objective,
        n=n,
        observed=int(np.trace(moments["both"])),
        complete=complete,
        converged=converged,
        moments=moments,
        extra=found,
    )


def check(source: Readable, n: int, options: LowRankOptions) -> None:
    """Refuse what cannot be fitted."""
    d = source.n_features
    if n == 0:
        raise UsageError("there are no images to fit a low-rank model on", "choose another split")
    if d > MOST_EXACT_FEATURES:
        raise UsageError(
            f"images of {d:,} values: a low-rank model takes up to {MOST_EXACT_FEATURES:,}",
            "ingest them smaller, with the source options size=64x64 and mode=gray",
        )
    most = min(n, d)
    if not 1 <= options.rank <= most:
        raise UsageError(f"rank={options.rank} must be between 1 and min(images, values of one)={most}", "take less")


class _Fit:
    """Centre, scale and factors as they improve."""

    def __init__(self, d: int, n: int, options: LowRankOptions, moments: dict[str, Any]) -> None:
        self.n, self.options = n, options
        self.count = np.diag(moments["both"]).copy()
        self.never = self.count == 0
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(self.never, 0.0, np.diag(moments["sum"]) / self.count)
            #: Mean of the first feature of each pair over the rows where both are observed.
            pair_mean = np.where(moments["both"] > 0, moments["sum"] / moments["both"], 0.0)
            product = np.where(moments["both"] > 0, moments["product"] / moments["both"], 0.0)
        grand = float(np.diag(moments["sum"]).sum() / max(self.count.sum(), 1))
        # Of a feature that is never there nothing is known but what all of them are like.
        mean[self.never] = grand
        covariance = product - pair_mean * pair_mean.T
        # About zero instead, for a model that has no centre.
        about_zero = product + OFFSET * (pair_mean + pair_mean.T) + OFFSET**2
        about_zero[moments["both"] == 0] = 0.0
        mean += OFFSET
        spread = np.maximum(np.diag(covariance), 0.0)
        self.scale = _scale(options.transform, spread, moments["low"], moments["high"])
        self.about_zero = options.transform == "none" and options.regularization == "none"
        self.centre = np.zeros(d) if self.about_zero else mean
        chosen = about_zero if self.about_zero else covariance
        #: Share of rows that lack both features of a pair.
        both = moments["both"]
        self.lacking = np.maximum(n - self.count[:, None] - self.count + both, 0.0) / n
        beside = moments["beside"].astype(float)
        missing = float(n * d - self.count.sum())
        #: Share of rows where a feature is there, each weighted by what else it lacks.
        self.there = beside / missing if missing else np.ones(d)
        self.products = chosen / self.scale[:, None] / self.scale
        self.total = float(np.trace(self.products))
        self._factorize(self.products)
        # Filled values may be as large as the range of pixels on either side of it.
        reach = (3 * MOST / self.scale).max()
        self.rounder = rounder(16 * n * max(reach * reach, 1.0))

    @property
    def parameter(self) -> ModelParameter:
        return ModelParameter.of(self.centre, self.scale, self.factors, self.noise)

    @property
    def residual(self) -> float:
        """Squared residuals of complete rows about the best plane: what is left of the sum of squares."""
        return max(self.total - float(self.variances[: self.options.rank].sum()), 0.0) * self.n

    def _factorize(self, covariance: FloatArray) -> None:
        """Factors and noise from a matrix of products; negative directions, which pairs can have, count as none."""
        import scipy.linalg

        k = self.options.rank
        with one_blas_thread():
            lengths, vectors = scipy.linalg.eigh(covariance)
        self.variances = np.maximum(lengths[::-1], 0.0)
        if self.options.regularization == "none":
            self.noise, kept = 0.0, self.variances[:k]
        else:
            # What only pairs of features have, variances below zero, shows how far off the others are.
            least = max(LEAST_NOISE * max(float(self.variances.mean()), 1e-12), -float(lengths[0]))
            left = float(lengths[::-1][k:].mean()) if k < len(lengths) else 0.0
            self.noise = max(left, least)
            kept = np.maximum(self.variances[:k] - self.noise, 0.0)
        self.factors = oriented(vectors.T[::-1][:k]) * np.sqrt(kept)[:, None]
        self.factors[:, self.never] = 0.0  # but for rounding

    def maximize(self, filled: dict[str, Any]) -> None:
        """The best model of rows whose missing values were filled in, and of what is uncertain about these."""
        k = self.options.rank
        moved = filled["sum"] / self.n
        product = filled["product"] / self.n
        if not self.about_zero:
            product -= np.outer(moved, moved)
            self.centre = self.centre + np.where(self.never, 0.0, moved * self.scale)
        if self.noise:
            known = (self.factors * self.there) @ self.factors.T
            codes = self.noise * np.linalg.inv(known + self.noise * np.eye(k))
            product += self.lacking * (self.factors.T @ codes @ self.factors)
            product[np.diag_indices_from(product)] += self.noise * np.diag(self.lacking)
        self._factorize((product + product.T) / 2)

    def error_scale(self, alone: FloatArray) -> FloatArray:
        """Standard deviation of each pixel about what the others say of it, in units of pixels."""
        if not len(alone):
            # Of complete rows: what the products say of their residuals.
            weights = 1 / np.maximum(np.square(self.factors).sum(axis=1) + self.noise, 1e-30)
            left = np.eye(len(self.scale)) - (self.factors.T * weights) @ self.factors
            alone = np.einsum("ij,jk,ik->i", left, self.products, left, optimize=True)
            alone /= np.square(np.maximum(np.diag(left), 1e-3))
        found = np.sqrt(np.maximum(alone, 0.0)) * self.scale
        if self.never.any():
            # As uncertain as any pixel of any image.
            seen = ~self.never
            spread = float(self.variances.sum()) / len(self.variances)
            found[self.never] = math.sqrt(spread) * float(self.scale[seen].mean() if seen.any() else 1.0)
        result: FloatArray = found
        return result


def _scale(transform: Transform, variance: FloatArray, low: Any, high: Any) -> FloatArray:
    """What features are divided by; 1 for those that are constant, or never there."""
    if transform == "standardize":
        wanted = np.sqrt(variance)
    elif transform == "normalize":
        wanted = high.astype(float) - low.astype(float)
    else:
        return np.ones(len(variance))
    return np.where(wanted > 0, wanted, 1.0)
