"""Low-rank models by turns of codes and factors: for constraints, and for more features than pairs of them fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.low_rank import rounder
from fmnist_dask.kernels.nonnegative import nonnegative_factors
from fmnist_dask.models.low_rank_model import LEAST_NOISE, Transform
from fmnist_dask.models.pca import oriented
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.typing import AnyArray, FloatArray

Regularizer = Literal["none", "quadratic", "non-negative", "noise"]
Init = Literal["svd", "random"]


@dataclass(frozen=True)
class CodeOptions:
    """What is asked of a model.

    Attributes
    ----------
    rank
        Codes of a sample.
    regularization_x, regularization_y
        Of codes and of factors: ``none``, ``quadratic`` or ``non-negative``; of codes also ``noise``, as in
        :class:`~fmnist_dask.models.low_rank_model.LowRankOptions`.
    gamma_x, gamma_y
        What squares of codes and of factors count for.
    transform, max_iter, tol
        As in :class:`~fmnist_dask.models.low_rank_model.LowRankOptions`.
    init
        Factors to begin with: ``svd`` of a sample, ``random``, or an array of shape (rank, d) in transformed units.
    seed
        Of what is random.
    """

    rank: int
    regularization_x: Regularizer = "none"
    regularization_y: Regularizer = "none"
    gamma_x: float = 0.0
    gamma_y: float = 0.0
    transform: Transform = "none"
    max_iter: int = 100
    tol: float = 1e-4
    init: Init | AnyArray = "svd"
    seed: int = 0

    @property
    def nonnegative_x(self) -> bool:
        """Whether codes must not be negative."""
        return self.regularization_x == "non-negative"

    @property
    def nonnegative_y(self) -> bool:
        """Whether factors must not be negative."""
        return self.regularization_y == "non-negative"


class CodeFit:
    """Factors as they improve.

    Parameters
    ----------
    centre, scale : float64 arrays, shape (d,)
        Of the features.
    variance
        Mean square of the features in transformed units.
    factors : float64 array, shape (k, d)
        To begin with.
    """

    def __init__(
        self, centre: FloatArray, scale: FloatArray, variance: float, factors: FloatArray, options: CodeOptions
    ) -> None:
        self.centre, self.scale, self.variance, self.options = centre, scale, variance, options
        self.factors = factors
        self.noise = 0.0
        if options.regularization_x == "noise":
            left = variance - float(np.square(factors).sum()) / factors.shape[1]
            self.noise = max(left, LEAST_NOISE * variance)

    @property
    def ridge(self) -> float:
        """What squares of codes count for."""
        return self.noise or self.options.gamma_x

    @property
    def orthogonal(self) -> bool:
        """Whether the rows of the factors are: wherever they may be turned."""
        return not (self.options.nonnegative_x or self.options.nonnegative_y)

    @property
    def parameter(self) -> ModelParameter:
        """For passes that use the model."""
        options = self.options
        return ModelParameter.of(
            self.centre, self.scale, self.factors, self.ridge, options.nonnegative_x, self.orthogonal
        )

    def objective(self, found: dict[str, Any]) -> float:
        """Of the codes that were found: squared residuals and what regularization counts for."""
        options = self.options
        penalty = options.gamma_x * np.trace(found["code_product"]) + options.gamma_y * np.square(self.factors).sum()
        return float(found["error"]) + float(penalty)

    def maximize(self, found: dict[str, Any], observed_only: bool = False) -> FloatArray:
        """The best factors for the codes that were found.

        Parameters
        ----------
        found
            Sums of :class:`~fmnist_dask.passes.reductions.low_rank.CodeMoments`, or weighted means of such.
        observed_only
            Whether products of codes and features count what is observed alone; they stand for all rows then.

        Returns
        -------
        float64 array, shape (k, k)
            What codes are multiplied by to be those of the new factors.
        """
        options, n = self.options, float(found["n"])
        products, cross = found["code_product"].copy(), found["cross"].copy()
        count = np.asarray(found["count"], dtype=np.float64)
        if observed_only:
            cross *= np.where(count > 0, n / np.maximum(count, 1e-300), 0.0)
        with one_blas_thread():
            if self.noise:
                uncertain = self._uncertain(count, n)
                products += n * uncertain
                if not observed_only:
                    cross += np.maximum(n - count, 0.0) * (uncertain @ self.factors)
            if options.nonnegative_y:
                self.factors = nonnegative_factors(products, cross, self.factors, options.gamma_y)
            else:
                self._solve(products, cross, found)
            if self.noise:
                spread = np.einsum("kd,kl,ld->d", self.factors, uncertain, self.factors, optimize=True)
                total = found["error"] + float((count * spread).sum())
                self.noise = max(total / max(float(count.sum()), 1.0), LEAST_NOISE * self.variance)
            return self._turn(products / n)

    def _solve(self, products: FloatArray, cross: FloatArray, found: dict[str, Any]) -> None:
        """Factors without constraints; with noise also the centre, which may not be the mean of what is observed."""
        k = len(products)
        system, right = products, cross
        moves = bool(self.noise) and "filled_sum" in found
        if moves:
            total = found["code_sum"]
            system = np.block([[products, total[:, None]], [total[None, :], np.array([[float(found["n"])]])]])
            right = np.vstack([cross, found["filled_sum"]])
        ridge = np.zeros(len(system))
        ridge[:k] = self.options.gamma_y + 1e-12 * max(float(np.trace(products)) / k, 1e-300)
        solved = np.linalg.solve(system + np.diag(ridge), right)
        # Codes that no row has leave factors as they were.
        self.factors = np.where((np.diag(products) > 0)[:, None], solved[:k], self.factors)
        if moves:
            self.centre = self.centre + solved[k] * self.scale

    def _uncertain(self, count: FloatArray, n: float) -> FloatArray:
        """Covariance of the codes of a row, given the average choice of its features."""
        known = (self.factors * (count / n)) @ self.factors.T
        return np.asarray(self.noise * np.linalg.inv(known + self.noise * np.eye(len(known))), dtype=np.float64)

    def _turn(self, products: FloatArray) -> FloatArray:
        """Turn codes and factors so that the latter are orthogonal, the longest first; else scale and order them.

        Parameters
        ----------
        products
            Mean of ``z zᵀ``.

        Returns
        -------
        float64 array, shape (k, k)
            What old codes are multiplied by.
        """
        options = self.options
        free = not (self.noise or options.gamma_x or options.gamma_y)
        if self.orthogonal:
            factors, turn = self.factors, np.eye(len(products))
            if free:
                # Codes of a mean square of 1, not correlated.
                squares, vectors = np.linalg.eigh(products)
                sizes = np.sqrt(np.maximum(squares, 0.0))
                factors = (sizes[:, None] * vectors.T) @ factors
                turn = np.where(sizes > 0, 1 / np.where(sizes > 0, sizes, 1.0), 0.0)[:, None] * vectors.T
            left, lengths, directions = np.linalg.svd(factors, full_matrices=False)
            self.factors = oriented(directions) * lengths[:, None]
            signs = np.sign(np.einsum("kd,kd->k", self.factors, directions))
            return np.where(signs == 0, 1.0, signs)[:, None] * (left.T @ turn)
        size = np.sqrt(np.maximum(np.diag(products), 0.0))
        by = np.where(size > 0, size, 1.0) if free else np.ones(len(size))
        scaled = self.factors * by[:, None]
        order = np.argsort(-(size / by) * np.linalg.norm(scaled, axis=1), kind="stable")
        self.factors = scaled[order]
        return np.diag(1 / by)[order]


def starting_factors(
    features: AnyArray, observed: AnyArray, centre: FloatArray, scale: FloatArray, options: CodeOptions
) -> FloatArray:
    """Factors to begin with, from a sample of rows.

    Parameters
    ----------
    features, observed
        Of the sample, shape (m, d).

    Raises
    ------
    UsageError
        An array of another shape, or negative where that may not be.
    """
    k, d = options.rank, len(centre)
    if not isinstance(options.init, str):
        given = np.asarray(options.init, dtype=np.float64)
        if given.shape != (k, d):
            raise UsageError(f"init has shape {given.shape}, but there are {k} factors of {d} features")
        if options.nonnegative_y and (given < 0).any():
            raise UsageError("init has negative values, which factors must not have", "give others, or init='svd'")
        return given.copy()
    values = np.where(observed, features, 0.0) - np.where(observed, centre, 0.0)
    values = values / scale
    m = max(len(values), 1)
    share = max(float(observed.mean()) if observed.size else 1.0, 1e-9)
    spread = math.sqrt(float(np.square(values).sum()) / (share * m * d) / k) if m * d else 1.0
    rng = np.random.default_rng([options.seed % 2**64, 77])
    noise = rng.standard_normal((k, d)) * spread
    if options.init == "random" or min(values.shape) == 0:
        return np.abs(noise) if options.nonnegative_y else noise
    if options.nonnegative_x and not options.nonnegative_y:
        # Rows themselves: what others are sums of.
        rows = values[np.linspace(0, m - 1, k).astype(int)] if m >= k else values[rng.integers(0, m, k)]
        return np.asarray(rows + 0.01 * noise)
    import scipy.linalg

    with one_blas_thread():
        small = min(m, d)
        top = min(k, small)
        gram = values @ values.T if m < d else values.T @ values
        lengths, vectors = scipy.linalg.eigh(gram, subset_by_index=(small - top, small - 1))
    lengths = np.sqrt(np.maximum(lengths[::-1], 0.0))
    directions = vectors.T[::-1]
    if m < d:
        directions = directions @ values / np.maximum(lengths, 1e-300)[:, None]
    found = noise * 0.01
    # Values that are missing count as the centre: lengths are less by the share that is there.
    found[:top] = oriented(directions) * (lengths / math.sqrt(m * share))[:, None]
    if options.nonnegative_y:
        up, down = np.maximum(found, 0.0), np.maximum(-found, 0.0)
        larger = np.linalg.norm(up, axis=1) >= np.linalg.norm(down, axis=1)
        found = np.where(larger[:, None], up, down)
        # Of zeros nothing grows.
        found = np.maximum(found, 0.01 * np.abs(noise))
    return found


def sums_rounder(n: int, reach: float) -> float:
    """Of sums over ``n`` rows of products of at most ``reach²``; see :func:`~fmnist_dask.kernels.low_rank.rounder`."""
    return rounder(16 * n * max(reach * reach, 1e-200))
