"""Low-rank models of rows that come in batches, each of which is seen once."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_dask.kernels.low_rank import rounder
from fmnist_dask.kernels.projection import PANEL_ROWS
from fmnist_dask.models.code_fit import CodeFit, CodeOptions, starting_factors
from fmnist_dask.models.low_rank_codes import check_rank
from fmnist_dask.models.low_rank_model import FittedLowRank, scale_of
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.reductions.low_rank import CodeMoments
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray

#: A batch counts for ``t ** -FORGETTING`` of all sums when it is the t-th (Cappé and Moulines 2009).
FORGETTING = 0.7


class OnlineFit:
    """Factors that every batch improves a little.

    Of each batch codes are found for the factors there are; their products are averaged with those of earlier batches,
    which count less and less, and the best factors for the average follow (Mairal et al. 2010; with noise, online EM:
    Cappé and Moulines 2009). Mean and spread of a feature, and its products with codes, are averages over the rows
    where it is observed, so that features which are rarely there are drawn neither to zero nor to what they were.

    Parameters
    ----------
    options
        See :class:`~fmnist_dask.models.code_fit.CodeOptions`; ``max_iter`` and ``tol`` do not matter.
    """

    def __init__(self, options: CodeOptions) -> None:
        self.options = options
        self.batches = self.n = 0
        self.objective: list[float] = []
        self.fit: CodeFit
        self._sums: dict[str, Any] = {}
        self._seen: dict[str, Any] = {}

    def take(self, features: AnyArray) -> None:
        """Take in one batch.

        Parameters
        ----------
        features : array, shape (m, d)
            NaN where they are missing.
        """
        there = ~np.isnan(features) if features.dtype.kind == "f" else np.ones(features.shape, np.bool_)
        with one_blas_thread():
            self._look(features, there)
            if self.batches == 0:
                check_rank(self.options.rank, *features.shape)
                self._begin(features, there)
            else:
                self._move(*self._frame())
            self._improve(features, there)

    @property
    def model(self) -> FittedLowRank:
        """What the batches so far have come to."""
        seen, sums = self._seen, self._sums
        alone = sums["alone"] / np.maximum(sums["count"], 1e-300)
        fit = self.fit
        return FittedLowRank(
            centre=fit.centre,
            scale=fit.scale,
            factors=fit.factors,
            variances=np.square(fit.factors).sum(axis=1) + fit.noise,
            total=fit.variance * len(fit.centre),
            noise=fit.noise,
            ridge=fit.ridge,
            error_scale=np.sqrt(np.maximum(alone, 0.0)) * fit.scale,
            objective=list(self.objective),
            n=self.n,
            observed=int(seen["count"].sum()),
            complete=bool((seen["count"] == self.n).all()),
            converged=False,
            low=seen["low"],
            high=seen["high"],
            moments={},
            nonnegative=self.options.nonnegative_x,
            orthogonal=fit.orthogonal,
        )

    def _look(self, features: AnyArray, there: BoolArray) -> None:
        """Range, mean and spread of each feature; the latter about the middle of its range in the first batch."""
        low = np.where(there, features, np.inf).min(axis=0)
        high = np.where(there, features, -np.inf).max(axis=0)
        if not self._seen:
            known = low <= high
            about = np.where(known, (np.where(known, low, 0.0) + np.where(known, high, 0.0)) / 2, 0.0)
            zeros = np.zeros(features.shape[1])
            self._seen = {"low": low, "high": high, "about": about, "count": zeros, "sum": zeros, "square": zeros}
        seen = self._seen
        moved = np.where(there, features, seen["about"]) - seen["about"]
        self._seen = seen | {
            "low": np.minimum(low, seen["low"]),
            "high": np.maximum(high, seen["high"]),
            "count": seen["count"] + there.sum(axis=0),
            "sum": seen["sum"] + moved.sum(axis=0),
            "square": seen["square"] + np.square(moved).sum(axis=0),
        }
        self.n += len(features)

    def _frame(self) -> tuple[FloatArray, FloatArray, float]:
        """Centre, scale and mean square, from what has been seen."""
        seen, options = self._seen, self.options
        count = np.maximum(seen["count"], 1)
        mean = seen["sum"] / count
        variance = np.maximum(seen["square"] / count - np.square(mean), 0.0)
        mean = mean + seen["about"]
        known = seen["count"] > 0
        if known.any():
            mean = np.where(known, mean, np.average(mean, weights=seen["count"]))
        centred = options.transform != "none" or options.regularization_x == "noise"
        centre = mean if centred else np.zeros(len(mean))
        scale = scale_of(options.transform, variance, seen["low"], seen["high"])
        square = float(((variance + np.square(mean - centre)) / np.square(scale)).mean())
        return centre, scale, square

    def _begin(self, features: AnyArray, there: BoolArray) -> None:
        centre, scale, square = self._frame()
        factors = starting_factors(features, there, centre, scale, self.options)
        self.fit = CodeFit(centre, scale, square, factors, self.options)

    def _move(self, centre: FloatArray, scale: FloatArray, square: float) -> None:
        """Sums of earlier batches, and factors, about another centre and in another scale."""
        fit, sums = self.fit, self._sums
        by = (centre - fit.centre) / fit.scale
        sums["cross"] = (sums["cross"] - np.outer(sums["code_sum"], by)) * (fit.scale / scale)
        sums["alone"] = sums["alone"] * np.square(fit.scale / scale)
        fit.factors = fit.factors * (fit.scale / scale)
        if fit.orthogonal and self.options.transform in ("standardize", "normalize"):
            # Lengths along features have changed, and with them what is orthogonal; codes are turned alike.
            turn, lengths, directions = np.linalg.svd(fit.factors, full_matrices=False)
            fit.factors = lengths[:, None] * directions
            self._turn_sums(turn.T)
        fit.centre, fit.scale, fit.variance = centre, scale, square

    def _turn_sums(self, turn: FloatArray) -> None:
        sums = self._sums
        sums["code_product"] = turn @ sums["code_product"] @ turn.T
        sums["cross"], sums["code_sum"] = turn @ sums["cross"], turn @ sums["code_sum"]

    def _improve(self, features: AnyArray, there: BoolArray) -> None:
        fit = self.fit
        m, d = features.shape
        k = len(fit.factors)
        # Nothing is merged in another order here: rounding is left to float64.
        moments = CodeMoments(fit.parameter, rounder(1e-200), observed_only=True)
        found: dict[str, Any] = {name: np.zeros(d) for name in ("count", "alone", "filled_sum")}
        found |= {"code_product": np.zeros((k, k)), "cross": np.zeros((k, d)), "code_sum": np.zeros(k)}
        found |= {"n": 0, "error": 0.0}
        for start in range(0, m, PANEL_ROWS):
            part = slice(start, start + PANEL_ROWS)
            moments.add(found, features[part], there[part])
        self.objective.append(fit.objective(found) / m)
        self.batches += 1
        share = self.batches**-FORGETTING
        del found["filled_sum"]  # the mean is that of observed values
        for name, values in found.items():
            before = self._sums.get(name, 0.0)
            self._sums[name] = before + share * (values / m - before)
        # Sums are of codes before factors were turned.
        self._turn_sums(
            fit.maximize({name: self.n * values for name, values in self._sums.items()}, observed_only=True)
        )
