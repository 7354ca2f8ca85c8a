"""Low-rank models by turns of codes and factors, each turn one pass; codes are never stored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.models.code_fit import CodeFit, CodeOptions, starting_factors, sums_rounder
from fmnist_dask.models.low_rank_model import FittedLowRank, known_objective, scale_of
from fmnist_dask.passes.protocol import Algorithm, Readable, Reduction, Scan
from fmnist_dask.passes.reductions.low_rank import CodeMoments
from fmnist_dask.passes.reductions.pairs import FeatureRange, ObservedSubset, ObservedSums, ValueGrid
from fmnist_dask.passes.reductions.subset import subset_rows
from fmnist_dask.typing import AnyArray

#: Rows that factors begin with, at least, for each of them.
ROWS_A_FACTOR = 4


def low_rank_by_codes(
    source: Readable,
    n: int,
    options: CodeOptions,
    split: str = "all",
    extra: dict[str, Reduction] | None = None,
) -> Algorithm[FittedLowRank]:
    """Fit a low-rank model with constraints, or of more features than pairs of them fit in memory.

    Alternating least squares: each pass finds the codes of all rows for the factors there are, and sums their products;
    from these follow the best factors for these codes. Where values are missing, codes rest on what is observed, and
    the other values count as what the model expects of them (the objective never rises: Lee and Seung 1999 and Hunter
    and Lange 2004 for majorization); with ``noise``, what is uncertain about codes and values is added (EM: Tipping and
    Bishop 1999).

    Raises
    ------
    UsageError
        No rows; more codes than features or rows; a start that does not fit.
    """
    check_rank(options.rank, n, source.n_features)
    first: dict[str, Reduction] = {
        **(extra or {}),
        "range": FeatureRange(),
        "subset": ObservedSubset(subset_rows(source, n, ROWS_A_FACTOR * options.rank), n, options.seed),
    }
    found = yield Scan(first, split=split)
    seen, subset = found.pop("range"), found.pop("subset")
    if not seen["count"].any():
        raise UsageError("all values are missing", "give samples of which some values are there")
    sums = yield Scan({"sums": ObservedSums(ValueGrid.of(seen["low"], seen["high"], n))}, split=split)
    fit = begin(options, seen, sums["sums"], subset)
    rounding = sums_rounder(n, _reach(seen, fit) * math.sqrt(source.n_features))
    objective: list[float] = []
    converged, result = False, None
    for _ in range(max(options.max_iter, 1)):
        codes = CodeMoments(fit.parameter, rounding)
        result = (yield Scan({"codes": codes}, split=split, known=known_objective(objective)))["codes"]
        objective.append(fit.objective(result))
        before, noise = fit.factors, fit.noise
        fit.maximize(result)
        if has_converged(objective, noise, fit.noise, options.tol):
            converged = True
            break
        if options.max_iter == 0:
            fit.factors, fit.noise = before, noise
    assert result is not None
    return fitted(fit, objective, result, seen, n, converged, found)


def polished(source: Readable, n: int, fit: CodeFit, model: FittedLowRank) -> Algorithm[FittedLowRank]:
    """One turn over all rows, for factors that have seen each of them in a batch.

    Parameters
    ----------
    fit, model
        What batches have come to.
    """
    seen = {"low": model.low, "high": model.high}
    rounding = sums_rounder(n, _reach(seen, fit) * math.sqrt(source.n_features))
    result = (yield Scan({"codes": CodeMoments(fit.parameter, rounding)}))["codes"]
    objective = [*model.objective, fit.objective(result) / n]
    fit.maximize(result)
    return fitted(fit, objective, result, seen, n, False, {})


def check_rank(rank: int, n: int, d: int) -> None:
    """Refuse what cannot be fitted."""
    if n == 0:
        raise UsageError("there are no images to fit a low-rank model on", "choose another split")
    if not 1 <= rank <= min(n, d):
        raise UsageError(f"rank={rank} must be between 1 and min(images, values of one)={min(n, d)}", "take less")


def begin(options: CodeOptions, seen: dict[str, Any], sums: dict[str, Any], subset: dict[str, AnyArray]) -> CodeFit:
    """The fit before its first turn.

    Parameters
    ----------
    seen, sums
        Results of :class:`FeatureRange` and :class:`ObservedSums`.
    subset
        Rows to begin with: ``features`` and ``observed``.
    """
    centred = options.transform != "none" or options.regularization_x == "noise"
    centre = sums["mean"] if centred else np.zeros(len(sums["mean"]))
    scale = scale_of(options.transform, sums["variance"], seen["low"], seen["high"])
    square = sums["variance"] + np.square(sums["mean"] - centre)
    variance = float((square / np.square(scale)).mean())
    factors = starting_factors(subset["features"], subset["observed"], centre, scale, options)
    return CodeFit(centre, scale, variance, factors, options)


def has_converged(objective: list[float], noise_before: float, noise: float, tol: float) -> bool:
    """Whether the objective, or the variance of the noise where there is some, has stopped to change."""
    if noise:
        return abs(noise - noise_before) <= tol * noise_before
    return len(objective) > 1 and abs(objective[-2] - objective[-1]) <= tol * max(abs(objective[-1]), 1e-300)


def fitted(
    fit: CodeFit,
    objective: list[float],
    result: dict[str, Any],
    seen: dict[str, Any],
    n: int,
    converged: bool,
    extra: dict[str, Any],
) -> FittedLowRank:
    """What the fit has come to."""
    alone = result["alone"] / np.maximum(result["count"], 1)
    return FittedLowRank(
        centre=fit.centre,
        scale=fit.scale,
        factors=fit.factors,
        variances=np.square(fit.factors).sum(axis=1) + fit.noise,
        total=fit.variance * len(fit.centre),
        noise=fit.noise,
        ridge=fit.ridge,
        error_scale=np.sqrt(np.maximum(alone, 0.0)) * fit.scale,
        objective=objective,
        n=n,
        observed=int(result["count"].sum()),
        complete=bool((result["count"] == n).all()),
        converged=converged,
        low=seen["low"],
        high=seen["high"],
        moments={},
        extra=extra,
        nonnegative=fit.options.nonnegative_x,
        orthogonal=fit.orthogonal,
    )


def _reach(seen: dict[str, Any], fit: CodeFit) -> float:
    """How far values lie from the centre, in transformed units."""
    known = seen["low"] <= seen["high"]
    far = np.maximum(np.abs(seen["low"] - fit.centre), np.abs(seen["high"] - fit.centre)) / fit.scale
    return float(np.max(far, where=known, initial=0.0))
