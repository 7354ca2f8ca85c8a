"""Low-rank models from moments of all pairs of features, and from those of rows that a model has filled in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fmnist_dask.kernels.low_rank import rounder
from fmnist_dask.models.low_rank_model import LEAST_NOISE, MOST, LowRankOptions, scale_of
from fmnist_dask.models.pca import oriented
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.typing import FloatArray


class PairFit:
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
        covariance = product - pair_mean * pair_mean.T
        # About zero instead, for a model that has no centre.
        shift = moments["shift"]
        about_zero = product + shift * pair_mean + shift[:, None] * pair_mean.T + np.outer(shift, shift)
        about_zero[moments["both"] == 0] = 0.0
        mean += shift
        # Of a feature that is never there nothing is known but what all of them are like.
        mean[self.never] = float((mean * self.count).sum() / max(self.count.sum(), 1))
        spread = np.maximum(np.diag(covariance), 0.0)
        self.scale = scale_of(options.transform, spread, moments["low"], moments["high"])
        self.about_zero = options.transform == "none" and options.regularization != "noise"
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
        # Filled values may be as large as the range of all features on either side of it.
        width = moments["high"].astype(float) - moments["low"].astype(float)
        width = np.full(d, MOST) if moments["high"].dtype == np.uint8 else np.where(self.never, 0.0, width).max()
        reach = (3 * width / self.scale).max()
        self.rounder = rounder(16 * n * max(reach * reach, 1e-200))

    @property
    def parameter(self) -> ModelParameter:
        """For passes that use the model."""
        return ModelParameter.of(self.centre, self.scale, self.factors, self.ridge)

    @property
    def residual(self) -> float:
        """Objective of complete rows: squared residuals, what is left of the sum of squares; and the penalty."""
        best = self.variances[: self.options.rank]
        left = max(self.total - float(best.sum()), 0.0) * self.n
        if not self.threshold:
            return left
        lengths = np.sqrt(best * self.n)
        kept = np.maximum(lengths - self.threshold, 0.0)
        return left + float(np.square(lengths - kept).sum() + 2 * self.threshold * kept.sum())

    @property
    def threshold(self) -> float:
        """What quadratic regularization takes off singular values."""
        options = self.options
        return math.sqrt(options.gamma_x * options.gamma_y) if options.regularization == "quadratic" else 0.0

    def objective(self, filled: dict[str, Any]) -> float:
        """Of rows that were filled in by this model."""
        error = float(filled["error"])
        if self.threshold:
            penalty = self.options.gamma_x * filled["penalty"] + self.options.gamma_y * np.square(self.factors).sum()
            error += float(penalty)
        return error

    def _factorize(self, covariance: FloatArray) -> None:
        """Factors and noise from a matrix of products; negative directions, which pairs can have, count as none."""
        import scipy.linalg

        k = self.options.rank
        with one_blas_thread():
            lengths, vectors = scipy.linalg.eigh(covariance)
        self.variances = np.maximum(lengths[::-1], 0.0)
        self.noise, kept = 0.0, self.variances[:k]
        if self.threshold:
            kept = self._shrunk(kept)
        elif self.options.regularization == "noise":
            # What only pairs of features have, variances below zero, shows how far off the others are.
            least = max(LEAST_NOISE * max(float(self.variances.mean()), 1e-12), -float(lengths[0]))
            left = float(lengths[::-1][k:].mean()) if k < len(lengths) else 0.0
            self.noise = max(left, least)
            kept = np.maximum(self.variances[:k] - self.noise, 0.0)
        self.factors = oriented(vectors.T[::-1][:k]) * np.sqrt(kept)[:, None]
        self.factors[:, self.never] = 0.0  # but for rounding
        self.ridge = self.options.gamma_x if self.threshold else self.noise

    def _shrunk(self, variances: FloatArray) -> FloatArray:
        """Squared lengths of the factors of the least regularized objective (Mazumder, Hastie and Tibshirani 2010).

        Singular values are less by the threshold, and the weights say how codes and factors share them.
        """
        left = np.maximum(np.sqrt(variances * self.n) - self.threshold, 0.0)
        found: FloatArray = left * math.sqrt(self.options.gamma_x / self.options.gamma_y)
        return found

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
            weights = 1 / np.maximum(np.square(self.factors).sum(axis=1) + self.ridge, 1e-30)
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
