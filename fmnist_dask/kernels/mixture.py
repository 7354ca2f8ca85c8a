"""Mixtures of Gaussians of rows of which some values are missing: whose a row may be, and what it lacks.

Components have heavy tails (multivariate t, Liu and Rubin 1995), since rows differ in contrast. Features of images
depend on each other beyond what few components say of them, so that likelihoods are much too sure: they are tempered.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from fmnist_dask.kernels.low_rank import LowRankGaussian
from fmnist_dask.typing import AnyArray, BoolArray

#: Degrees of freedom of the tails.
FREEDOM = 30.0
#: Logarithms of likelihoods are divided by this share of the observed values.
TEMPER = 0.1
#: Components that a row is worked out for: those that are likeliest once it is filled in roughly.
CANDIDATES = 4
#: Weight below which a component has no part in a row.
LEAST_WEIGHT = 0.05
#: Observed values of a row that are looked at as if it lacked them.
CHECKS = 16


@dataclass(frozen=True)
class GaussianMixture:
    """Components, and a model that fills rows in roughly.

    Attributes
    ----------
    centre : float32 array, shape (g, d)
    precision : float32 array, shape (g, d, d)
        Inverse covariances.
    log_weight : float64 array, shape (g,)
        Logarithms of the shares of rows.
    guide
        Low-rank model; its units are those of the features.
    """

    centre: AnyArray
    precision: AnyArray
    log_weight: AnyArray
    guide: LowRankGaussian

    @functools.cached_property
    def log_determinant(self) -> AnyArray:
        """Of each precision, shape (g,)."""
        found: AnyArray = np.array([np.linalg.slogdet(matrix.astype(np.float64))[1] for matrix in self.precision])
        return found

    def guess(self, features: AnyArray, observed: BoolArray) -> tuple[AnyArray, AnyArray]:
        """Codes by the guide, and rows filled in by it; float32."""
        centred = self.guide.centred(features, observed)
        codes = self.guide.codes(centred, observed.astype(np.float32))
        rough = codes @ self.guide.factors
        rough /= self.guide.inverse_scale
        rough += self.guide.centre.astype(np.float32)
        return codes, np.where(observed, features, rough).astype(np.float32)

    def candidates(self, rough: AnyArray, observed: BoolArray) -> AnyArray:
        """Components that rows may be of, the likeliest first; int64, shape (m, at most CANDIDATES)."""
        m, d = rough.shape
        share = observed.mean(axis=1)
        likely = np.empty((m, len(self.centre)))
        for at, (centre, precision) in enumerate(zip(self.centre, self.precision, strict=True)):
            off = rough - centre
            square = np.maximum(np.einsum("md,md->m", off @ precision, off), 0)
            likely[:, at] = 0.5 * share * self.log_determinant[at] + self.log_weight[at]
            likely[:, at] -= 0.5 * (FREEDOM + d) * np.log1p(square / FREEDOM)
        found: AnyArray = np.argsort(-likely, axis=1, kind="stable")[:, :CANDIDATES]
        return found

    def expected(self, features: AnyArray, observed: BoolArray, judge: bool = False) -> Expected:
        """What is to be expected of some rows.

        Parameters
        ----------
        features : array, shape (m, d)
        observed : bool array, shape (m, d)
        judge
            Also work out variances, and how far observed values lie from what the others say of them.
        """
        codes, rough = self.guess(features, observed)
        chosen = self.candidates(rough, observed)
        m, d = rough.shape
        count = observed.sum(axis=1).astype(np.float64)
        checked = check_values(observed) if judge else np.zeros((m, 0), np.int64)
        shape = chosen.shape
        found = Expected(
            codes=codes,
            chosen=chosen,
            weight=np.empty(shape, np.float32),
            scale=np.empty(shape),
            filled=np.empty((shape[1], m, d), np.float32),
            variance=np.zeros((shape[1], m, d) if judge else (shape[1], 0, d), np.float32),
            checked=checked,
            ratio=np.empty((shape[1], *checked.shape), np.float32),
        )
        likely = np.empty(shape)
        for component in range(len(self.centre)):
            rows, places = np.nonzero(chosen == component)
            if len(rows):
                self._of_component(component, rows, places, features, observed, count, found, likely)
        cool = np.maximum(TEMPER * count, 1.0)[:, None]
        weight = np.exp((likely - likely.max(axis=1, keepdims=True)) / cool)
        found.weight[:] = weight / weight.sum(axis=1, keepdims=True)
        return found

    def _of_component(
        self,
        component: int,
        rows: AnyArray,
        places: AnyArray,
        features: AnyArray,
        observed: BoolArray,
        count: AnyArray,
        found: Expected,
        likely: AnyArray,
    ) -> None:
        """Fill in rows as of one component, and say how likely they are of it."""
        there = observed[rows]
        off = np.where(there, features[rows] - self.centre[component], 0).astype(np.float32)
        judged = found.variance.shape[1] > 0
        solved = solve_missing(self.precision[component], off, ~there, found.checked[rows], judged)
        square = np.maximum(np.einsum("md,md->m", off, solved.gradient, dtype=np.float64), 0.0)
        number = count[rows]
        scale = (FREEDOM + square) / (FREEDOM + number)
        likely[rows, places] = (
            0.5 * (self.log_determinant[component] - solved.log_determinant)
            - 0.5 * (FREEDOM + number) * np.log1p(square / FREEDOM)
            + self.log_weight[component]
        )
        off += solved.found
        found.filled[places, rows] = self.centre[component] + off
        found.scale[rows, places] = scale
        if judged:
            found.variance[places, rows] = solved.variance * scale[:, None]
            residual = np.take_along_axis(solved.gradient, np.maximum(found.checked[rows], 0), axis=1)
            lone = np.maximum(solved.lone, 1e-12)
            found.ratio[places, rows] = residual / np.sqrt(lone * scale[:, None])


@dataclass(frozen=True)
class Expected:
    """Rows as a mixture sees them; t is the number of candidates.

    Attributes
    ----------
    codes : float32 array, shape (m, k)
        By the guide.
    chosen : int64 array, shape (m, t)
        Components.
    weight : float32 array, shape (m, t)
        Probabilities of these.
    scale : float64 array, shape (m, t)
        How much more a row varies than others of the component.
    filled : float32 array, shape (t, m, d)
        Rows, of each component what is expected where they lack values.
    variance : float32 array, shape (t, m, d) or (t, 0, d)
        Of what was filled in.
    checked : int64 array, shape (m, c)
        Observed values that were looked at, −1 for none.
    ratio : float32 array, shape (t, m, c)
        How far these lie from what the others say of them, in standard deviations.
    """

    codes: AnyArray
    chosen: AnyArray
    weight: AnyArray
    scale: AnyArray
    filled: AnyArray
    variance: AnyArray
    checked: AnyArray
    ratio: AnyArray

    def mean(self) -> AnyArray:
        """Over components, shape (m, d)."""
        found: AnyArray = np.einsum("mt,tmd->md", self.weight, self.filled)
        return found

    def deviation(self, mean: AnyArray) -> AnyArray:
        """Standard deviation of what was filled in, about the mean over components, shape (m, d)."""
        square = np.einsum("mt,tmd->md", self.weight, self.variance + np.square(self.filled - mean))
        found: AnyArray = np.sqrt(np.maximum(square, 0))
        return found


@dataclass(frozen=True)
class Solved:
    """Of rows that lack values, given a precision; see :func:`solve_missing`."""

    found: AnyArray
    gradient: AnyArray
    log_determinant: AnyArray
    variance: AnyArray
    lone: AnyArray


def solve_missing(
    precision: AnyArray,
    off: AnyArray,
    missing: BoolArray,
    checked: AnyArray,
    variances: bool = False,
    covariance: AnyArray | None = None,
    weight: AnyArray | None = None,
) -> Solved:
    """What rows lack, about the centre, given what they have.

    Parameters
    ----------
    precision : float32 array, shape (d, d)
    off : float32 array, shape (m, d)
        Rows about the centre, zero where they lack values.
    missing : bool array, shape (m, d)
    checked : int64 array, shape (m, c)
        Observed values whose precision given all others is wanted; −1 for none.
    variances
        Whether variances of what is missing are wanted.
    covariance : float32 array, shape (d, d)
        Gets the weighted sum of the covariances of what is missing, in its lower triangle.

    Returns
    -------
    Solved
        ``found`` of shape (m, d), zero where nothing is missing; ``gradient``, ``P x`` of the filled rows;
        ``log_determinant`` of what is missing; ``variance`` of shape (m, d) or none; ``lone`` of shape (m, c).
    """
    from fmnist_dask.kernels.compiled_rows import solve_rows

    m, d = off.shape
    right = off @ precision
    found = np.zeros((m, d), np.float32)
    log_determinant = np.zeros(m)
    variance = np.zeros((m if variances else 0, d), np.float32)
    lone = np.ones(checked.shape, np.float32)
    into = np.zeros((0, d), np.float32) if covariance is None else covariance
    weights = np.zeros(m, np.float32) if weight is None else weight.astype(np.float32)
    solve_rows(
        precision, right, np.ascontiguousarray(missing), found, log_determinant, weights, into, variance, checked, lone
    )
    # A system that rounding has made indefinite says nothing: such a row is as likely of any component.
    log_determinant[np.isnan(log_determinant)] = 0.0
    right += found @ precision
    return Solved(found, right, log_determinant, variance, lone)


def check_values(observed: BoolArray) -> AnyArray:
    """Some of the values that each row has, spread evenly, others in every row; −1 where it has none there."""
    m, d = observed.shape
    count = min(CHECKS, d)
    at = (np.arange(m)[:, None] * 7 + np.arange(count) * (d // count)) % d
    found: AnyArray = np.where(np.take_along_axis(observed, at, axis=1), at, -1)
    return found


def both_triangles(lower: AnyArray) -> AnyArray:
    """A symmetric matrix of its lower triangle, float64."""
    found: AnyArray = np.tril(lower).astype(np.float64)
    return found + np.tril(found, -1).T
