"""Mixtures of Gaussians of rows that are complete: densities, responsibilities, and the sums that EM is made of."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fmnist_dask.kernels.projection import PANEL_ROWS, panels
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray, IntArray

Kind = Literal["full", "diag"]
#: Columns of one product with upper triangular roots, about, and products at most.
RUN_COLUMNS = 12
MOST_RUNS = 4
#: Shares up to this are left out: sums over all rows are of 62 bits.
LEAST_SHARE = 2.0**-60
#: Bits after the point of sums of log-likelihoods.
LIKELIHOOD_BITS = 40


class SingularCovarianceError(ValueError):
    """A covariance has no inverse."""


@dataclass(frozen=True)
class Gaussians:
    """Components with their weights.

    Attributes
    ----------
    weight : float64 array, shape (k,)
        Shares of rows; they add up to 1.
    mean : float64 array, shape (k, d)
    root : float64 array, shape (k, d, d) or (k, d)
        Upper triangular R with ``R Rᵀ`` the inverse covariance, or the inverse standard deviations.
    """

    weight: FloatArray
    mean: FloatArray
    root: FloatArray

    @property
    def kind(self) -> Kind:
        """Of the covariances."""
        return "full" if self.root.ndim == 3 else "diag"

    @classmethod
    def of(cls, weight: FloatArray, mean: FloatArray, covariance: FloatArray) -> Gaussians:
        """From covariances, shape (k, d, d) or (k, d).

        Raises
        ------
        SingularCovarianceError
            One has no inverse.
        """
        return cls(weight, mean, inverse_roots(covariance))

    def constants(self) -> FloatArray:
        """Logarithm of weight and of the density at the mean, shape (k,)."""
        d = self.mean.shape[1]
        diagonal = np.einsum("kdd->kd", self.root) if self.kind == "full" else self.root
        with np.errstate(divide="ignore"):
            found: FloatArray = np.log(self.weight) + np.log(diagonal).sum(axis=1) - d / 2 * math.log(2 * math.pi)
        return found

    def log_joint(self, features: AnyArray, rows: IntArray, size: int = PANEL_ROWS) -> FloatArray:
        """Logarithm of weight times density, of each row and component.

        Parameters
        ----------
        features : float array, shape (m, d)
        rows : int64 array, shape (m,)
            Absolute rows, ascending: results are the same however rows are cut into blocks that begin at multiples of
            a panel.
        size
            Rows of a panel.

        Returns
        -------
        float64 array, shape (m, k)
        """
        # About the mean of the components, what is subtracted later is smaller.
        shift = self.mean.mean(axis=0)
        offsets = self.mean - shift
        found = np.zeros((len(features), len(offsets)))
        if self.kind == "full":
            whitening = _Whitening(self.root, offsets, min(size, len(features)))
            for part in panels(rows, size):
                whitening.add_squares(features[part] - shift, found[part])
        else:
            for part in panels(rows, size):
                whitened = (features[part, None] - shift - offsets) * self.root
                found[part] = np.einsum("mkd,mkd->mk", whitened, whitened)
        found *= -0.5
        found += self.constants()
        return found


class _Whitening:
    """Squared lengths of rows in the units of each component, in memory that is used again for each panel.

    Of all components side by side: a product for each run of columns. Roots are upper triangular, so that the first
    columns need the first features only.
    """

    def __init__(self, roots: FloatArray, offsets: FloatArray, rows: int) -> None:
        k, d = offsets.shape
        count = min(max(d // RUN_COLUMNS, 1), MOST_RUNS)
        edges = np.linspace(0, d, count + 1).astype(int).tolist()
        moved = np.einsum("kd,kde->ke", offsets, roots)
        self.runs = []
        for low, high in itertools.pairwise(edges):
            columns = np.ascontiguousarray(roots[:, :high, low:high].transpose(1, 0, 2).reshape(high, -1))
            self.runs.append((columns, moved[:, low:high]))
        self.space = np.empty(rows * k * max(high - low for low, high in itertools.pairwise(edges)))

    def add_squares(self, values: FloatArray, found: FloatArray) -> None:
        """Add them to an array of shape (m, k)."""
        for columns, moved in self.runs:
            size = len(values) * columns.shape[1]
            whitened = self.space[:size].reshape(len(values), -1)
            np.matmul(values[:, : len(columns)], columns, out=whitened)
            apart = whitened.reshape(len(values), *moved.shape)
            apart -= moved
            found += np.einsum("mkd,mkd->mk", apart, apart)


def inverse_roots(covariance: FloatArray) -> FloatArray:
    """R with ``R Rᵀ`` the inverse of each covariance: upper triangular, or of variances their inverse roots.

    Raises
    ------
    SingularCovarianceError
        One has no inverse.
    """
    if covariance.ndim == 2:
        if not (covariance > 0).all():
            raise SingularCovarianceError
        deviations: FloatArray = 1 / np.sqrt(covariance)
        return deviations
    from scipy.linalg import solve_triangular

    identity = np.eye(covariance.shape[1])
    roots = np.empty_like(covariance)
    for number, matrix in enumerate(covariance):
        try:
            roots[number] = solve_triangular(np.linalg.cholesky(matrix), identity, lower=True).T
        except np.linalg.LinAlgError:
            raise SingularCovarianceError from None
    return roots


def responsibilities(log_joint: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(share of each component in each row, logarithm of each row's density), shapes (m, k) and (m,)."""
    most = log_joint.max(axis=1, keepdims=True)
    shares = np.exp(log_joint - most)
    total = shares.sum(axis=1, keepdims=True)
    shares /= total
    return shares, (np.log(total) + most)[:, 0]


@dataclass
class MixtureSums:
    """Sums over rows, as integers: the same in any order.

    Attributes
    ----------
    weight : int64 array, shape (k,)
    first : int64 array, shape (k, d)
        Of responsibility times what a row is beside the mean.
    second : int64 array, shape (k, d, d) or (k, d)
        Of products of that.
    log_likelihood
        Sum over rows, in units of 2⁻⁴⁰.
    """

    weight: IntArray
    first: IntArray
    second: IntArray
    log_likelihood: int = 0

    @classmethod
    def zero(cls, k: int, d: int, kind: Kind) -> MixtureSums:
        """Of no rows."""
        shape = (k, d, d) if kind == "full" else (k, d)
        return cls(np.zeros(k, np.int64), np.zeros((k, d), np.int64), np.zeros(shape, np.int64))


@dataclass(frozen=True)
class MixtureScales:
    """Powers of two by which values are multiplied before they become integers.

    Attributes
    ----------
    weight
        Of responsibilities.
    first : float64 array, shape (d,)
        Of each feature.
    second : float64 array, shape (d,)
        A product of two features counts by both of theirs.
    """

    weight: float
    first: FloatArray
    second: FloatArray


def add_sums(
    sums: MixtureSums,
    mixture: Gaussians,
    scales: MixtureScales,
    features: AnyArray,
    rows: IntArray,
    size: int = PANEL_ROWS,
) -> MixtureSums:
    """Add what some rows contribute to an iteration of EM, about the means of the mixture.

    Parameters
    ----------
    features : float array, shape (m, d)
    rows : int64 array, shape (m,)
        Absolute rows, ascending; blocks begin at multiples of a panel.
    size
        Rows of a panel.
    """
    shares, log_density = responsibilities(mixture.log_joint(features, rows, size))
    for part in panels(rows, size):
        sums.log_likelihood += round(float(log_density[part].sum()) * 2.0**LIKELIHOOD_BITS)
        add_shares(sums, mixture.mean, scales, features[part], shares[part])
    return sums


def add_shares(
    sums: MixtureSums, mean: FloatArray, scales: MixtureScales, features: AnyArray, shares: FloatArray
) -> None:
    """The same of one panel, whose responsibilities are known."""
    sums.weight += np.rint(shares.sum(axis=0) * scales.weight).astype(np.int64)
    full = sums.second.ndim == 3
    for number, centre in enumerate(mean):
        share = shares[:, number]
        # Most rows belong to one component or two: what the others would add is less than a unit of the sums.
        held = np.flatnonzero(share > LEAST_SHARE)
        share = share[held]
        moved = features[held] - centre
        sums.first[number] += np.rint((share @ moved) * scales.first).astype(np.int64)
        moved *= scales.second
        if full:
            moved *= np.sqrt(share)[:, None]
            sums.second[number] += np.rint(moved.T @ moved).astype(np.int64)
        else:
            sums.second[number] += np.rint(share @ (moved * moved)).astype(np.int64)


def maximized(
    sums: MixtureSums, mean: FloatArray, covariance: FloatArray, scales: MixtureScales, ridge: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """What the sums make of the components: (weights, means, covariances, rows of each), the M step of EM.

    A component that no row belongs to stays where it is, without weight.

    Parameters
    ----------
    mean, covariance
        Before.
    ridge
        Added to all variances.
    """
    count = sums.weight / scales.weight
    held: BoolArray = count > 1e-9
    safe = np.where(held, count, 1.0)
    moved = sums.first / scales.first / safe[:, None]
    if sums.second.ndim == 3:
        spread = sums.second / (scales.second[:, None] * scales.second) / safe[:, None, None]
        spread -= moved[:, :, None] * moved[:, None, :]
        spread = (spread + spread.transpose(0, 2, 1)) / 2
        spread[:, np.arange(spread.shape[1]), np.arange(spread.shape[1])] += ridge
    else:
        spread = sums.second / scales.second**2 / safe[:, None] - moved * moved
        # Of a constant feature, rounding may leave less than nothing.
        spread = np.maximum(spread, 0) + ridge
    means = np.where(held[:, None], mean + moved, mean)
    spreads = np.where(held.reshape(-1, *[1] * (spread.ndim - 1)), spread, covariance)
    return count / max(float(count.sum()), 1e-300), means, spreads, count


def mixture_bytes(d: int, k: int, kind: Kind, rows: int, size: int = PANEL_ROWS) -> int:
    """Memory of :func:`add_sums` beyond rows and sums."""
    wide = 16 * size * k * d + 24 * size * d
    return wide + 24 * rows * k + (24 * k * d * d if kind == "full" else 24 * k * d)
