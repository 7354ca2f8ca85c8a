"""Low-rank models of images of which pixels may be missing: exact where none are, by streaming EM where some are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.models.low_rank_model import FittedLowRank, LowRankOptions, known_objective
from fmnist_dask.models.pair_fit import PairFit
from fmnist_dask.models.pca import MOST_EXACT_FEATURES
from fmnist_dask.passes.protocol import Algorithm, Readable, Reduction, Scan
from fmnist_dask.passes.reductions.low_rank import FilledMoments
from fmnist_dask.passes.reductions.pairs import FeatureRange, PairMoments, ValueGrid
from fmnist_dask.typing import FloatArray


def low_rank(
    source: Readable,
    n: int,
    options: LowRankOptions,
    split: str = "all",
    extra: dict[str, Reduction] | None = None,
    moments: dict[str, Any] | None = None,
) -> Algorithm[FittedLowRank]:
    """Fit a low-rank model to the images of a split; the array ``missing`` says which pixels are not there.

    The first pass (of floats the second, after one that looks at their range) gathers the moments of all pairs of
    features over the rows where both are observed, which is unbiased if pixels are missing completely at random. Of
    complete images the eigenvectors of that matrix are the solution (Eckart and Young 1936; with noise Tipping and
    Bishop 1999; with quadratic regularization Mazumder, Hastie and Tibshirani 2010). Otherwise they are the start of
    EM, each iteration of which is one pass: missing values are filled in by what is expected of them, and what is
    uncertain about that is added to the matrix of products. It is computed for each pair of features from the share of
    rows that lack both, and one posterior covariance of codes for all rows, that of the average choice of pixels.

    Parameters
    ----------
    extra
        Other reductions that share the first pass over all values.
    moments
        Of :func:`gather_pairs`, where they are known.

    Raises
    ------
    UsageError
        More codes than features or images; more features than pairs fit in memory.
    """
    check(source, n, options)
    found: dict[str, Any] = {}
    if moments is None:
        moments = yield from gather_pairs(source, n, split, extra, found)
    fit = PairFit(source.n_features, n, options, moments)
    complete = bool((moments["both"] == n).all())
    objective = [fit.residual] if complete else []
    converged, previous = complete, math.inf
    alone = np.zeros(0)
    if not complete:
        for _ in range(options.max_iter):
            expected = FilledMoments(fit.parameter, fit.rounder)
            filled = (yield Scan({"filled": expected}, split=split, known=known_objective(objective)))["filled"]
            objective.append(fit.objective(filled))
            alone = filled["alone"] / np.maximum(filled["alone_count"], 1)
            if options.regularization != "noise":
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
    return fitted_pairs(fit, moments, objective, alone, converged, found)


def gather_pairs(
    source: Readable,
    n: int,
    split: str = "all",
    extra: dict[str, Reduction] | None = None,
    others: dict[str, Any] | None = None,
) -> Algorithm[dict[str, Any]]:
    """Moments of all pairs of features; see :class:`~fmnist_dask.passes.reductions.pairs.PairMoments`.

    Parameters
    ----------
    extra, others
        Other reductions, and where their results go.
    """
    grid = None
    if source.feature_dtype != "uint8":
        seen = (yield Scan({"range": FeatureRange()}, split=split))["range"]
        if not seen["count"].any():
            raise UsageError("all values are missing", "give samples of which some values are there")
        grid = ValueGrid.of(seen["low"], seen["high"], n)
    found = yield Scan({**(extra or {}), "moments": PairMoments(grid)}, split=split)
    moments: dict[str, Any] = found.pop("moments")
    if others is not None:
        others |= found
    return moments


def fitted_pairs(
    fit: PairFit,
    moments: dict[str, Any],
    objective: list[float],
    alone: FloatArray,
    converged: bool,
    extra: dict[str, Any],
) -> FittedLowRank:
    """What the fit has come to.

    Parameters
    ----------
    alone
        See :class:`~fmnist_dask.passes.reductions.low_rank.FilledMoments`, per row; empty where no pass was made.
    """
    complete = bool((moments["both"] == fit.n).all())
    return FittedLowRank(
        centre=fit.centre,
        scale=fit.scale,
        factors=fit.factors,
        variances=fit.variances,
        total=float(fit.variances.sum()),
        noise=fit.noise,
        ridge=fit.ridge,
        error_scale=fit.error_scale(alone),
        objective=objective,
        n=fit.n,
        observed=int(np.trace(moments["both"])),
        complete=complete,
        exact=complete,
        converged=converged,
        low=moments["low"],
        high=moments["high"],
        moments=moments,
        extra=extra,
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
