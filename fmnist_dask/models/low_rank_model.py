"""What low-rank models are asked for, and what they are once fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.typing import AnyArray, FloatArray

Transform = Literal["none", "demean", "standardize", "normalize"]
Regularization = Literal["noise", "none", "quadratic"]
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
        (probabilistic PCA); ``none``: least squares; ``quadratic``: squares of codes and factors count, too, in the
        objective, ``gamma_x`` and ``gamma_y`` times.
    max_iter
        Most passes of EM, where pixels are missing; 0 for what the pairs of features say.
    tol
        Relative change at which EM has converged: of the variances, or without noise of the objective.
    """

    rank: int = 64
    transform: Transform = "none"
    regularization: Regularization = "noise"
    gamma_x: float = 0.0
    gamma_y: float = 0.0
    max_iter: int = 5
    tol: float = 1e-3


@dataclass
class FittedLowRank:
    """A low-rank model ``x ≈ centre + scale · z W``, in units of the pixels.

    Attributes
    ----------
    centre, scale : float64 arrays, shape (d,)
    factors : float64 array, shape (k, d)
        W, in transformed units: orthogonal rows, longest first, of each the largest entry positive; those of a lower
        rank are the first of them, up to the noise that is taken off their lengths.
    variances : float64 array, shape (d,)
        Of all directions, largest first: what any rank is made from. Found in turns: of the factors alone, shape (k,).
    total
        Sum of the variances of all directions.
    noise
        Variance of the noise in transformed units; 0 without.
    ridge
        What squares of codes count for when codes are looked for: the noise, or ``gamma_x``.
    error_scale : float64 array, shape (d,)
        Standard deviation, in units of pixels, of a pixel about what the others say of it.
    objective : list of float
        After each pass, in transformed units: the squared residuals of observed pixels, of codes that were regularized;
        with quadratic regularization, what that counts for as well.
    n
        Images.
    observed
        Pixels that are there, of all.
    complete
        Whether none was missing.
    converged
        Whether the objective has.
    low, high : arrays, shape (d,)
        Extremes of each feature where it was there.
    moments
        Of the first pass: see :class:`~fmnist_dask.passes.reductions.pairs.PairMoments`.
    extra
        What other reductions that shared the first pass returned.
    exact
        Whether this is the best model there is: of complete rows, without constraints.
    nonnegative, orthogonal
        Whether codes must not be negative; whether the rows of the factors are orthogonal.
    """

    centre: FloatArray
    scale: FloatArray
    factors: FloatArray
    variances: FloatArray
    total: float
    noise: float
    ridge: float
    error_scale: FloatArray
    objective: list[float]
    n: int
    observed: int
    complete: bool
    converged: bool
    low: AnyArray
    high: AnyArray
    moments: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    exact: bool = False
    nonnegative: bool = False
    orthogonal: bool = True

    @property
    def rank(self) -> int:
        """Codes of an image."""
        return len(self.factors)

    @property
    def n_iter(self) -> int:
        """Passes that the objective was found in."""
        return len(self.objective)

    @property
    def parameter(self) -> ModelParameter:
        """For passes that use the model."""
        return self._with(self.factors, self.ridge)

    def _with(self, factors: FloatArray, ridge: float) -> ModelParameter:
        return ModelParameter.of(self.centre, self.scale, factors, ridge, self.nonnegative, self.orthogonal)

    def at_rank(self, rank: int) -> ModelParameter:
        """The model of a lower rank: the first directions, and as noise what the others explain."""
        if not self.noise:
            return self._with(self.factors[:rank], self.ridge)
        d = self.factors.shape[1]
        beyond = float(self.variances[rank:].sum()) + (d - len(self.variances)) * self.noise
        noise = max(beyond / max(d - rank, 1), self.noise) if rank < self.rank else self.noise
        lengths = np.sqrt(np.maximum(self.variances[:rank] - noise, 0.0))
        before = np.linalg.norm(self.factors[:rank], axis=1)
        factors = self.factors[:rank] * (lengths / np.where(before > 0, before, 1.0))[:, None]
        return self._with(factors, noise)


def known_objective(objective: list[float]) -> dict[str, float]:
    """What is known of the objective so far, for people who watch."""
    return {"objective": objective[-1]} if objective else {}


def scale_of(transform: Transform, variance: FloatArray, low: AnyArray, high: AnyArray) -> FloatArray:
    """What features are divided by; 1 for those that are constant, or never there."""
    if transform == "standardize":
        wanted = np.sqrt(variance)
    elif transform == "normalize":
        wanted = np.where(low <= high, high.astype(float) - np.where(low <= high, low, 0.0), 0.0)
    else:
        return np.ones(len(variance))
    return np.where((wanted > 0) & np.isfinite(wanted), wanted, 1.0)
