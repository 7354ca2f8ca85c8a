"""Low-rank Gaussian models of rows of which some values are missing: codes, fillings, what is to be expected of both.

A row is ``x = centre + scale · (z W + e)`` with codes z ~ N(0, I) and e ~ N(0, noise): probabilistic PCA (Tipping and
Bishop 1999). Given the observed values, the mean of the codes solves ``(W_O W_Oᵀ + noise · I) z = W_O x_O`` in the
observed columns O. That is done for many rows at once by conjugate gradients, whose steps are matrix products: their
number hardly depends on the rank, since the rows of W are orthogonal and a random part of the columns nearly keeps them
so, whereas solving each row's system by itself takes rank² times as many operations as there are values.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from fmnist_dask.kernels.nonnegative import nonnegative_codes
from fmnist_dask.kernels.projection import rounded_product
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray

#: Most steps of the conjugate gradients; the size of what is left of the right side at which a row is done.
MOST_STEPS = 200
TOLERANCE = 1e-5
#: Steps that conjugate gradients are taken to need where ranks are high.
STEPS_FORESEEN = 30


@dataclass(frozen=True)
class LowRankGaussian:
    """A model, as float32: what is multiplied, and what is looked up.

    Attributes
    ----------
    centre : float64 array, shape (d,)
    inverse_scale : float32 array, shape (d,)
    factors : float32 array, shape (k, d)
        W; its rows are orthogonal.
    noise
        Variance, in units of the scale, or what else squares of codes count for; 0 for least squares.
    nonnegative
        Whether codes must not be negative.
    orthogonal
        Whether the rows of W are.
    """

    centre: AnyArray
    inverse_scale: AnyArray
    factors: AnyArray
    noise: float
    nonnegative: bool = False
    orthogonal: bool = True

    @property
    def lengths(self) -> AnyArray:
        """Squared lengths of the rows of W, shape (k,)."""
        found: AnyArray = np.einsum("kd,kd->k", self.factors, self.factors)
        return found

    def centred(self, features: AnyArray, observed: BoolArray | None) -> AnyArray:
        """Features in the model's units, zero where they are missing; float32, shape (m, d)."""
        if features.dtype == np.float64:
            # Far from zero, float32 would lose what values differ by.
            values = (features - self.centre).astype(np.float32)
        else:
            values = features.astype(np.float32)
            values -= self.centre.astype(np.float32)
        values *= self.inverse_scale
        if observed is not None:
            values[~observed] = 0
        return values

    def codes(self, values: AnyArray, observed: AnyArray | None) -> AnyArray:
        """Codes of centred rows.

        Parameters
        ----------
        values : float32 array, shape (m, d)
            Of :meth:`centred`.
        observed : float32 array, shape (m, d)
            1 where a value is there; ``None`` where all are.

        Returns
        -------
        float32 array, shape (m, k)
        """
        if self.nonnegative:
            return nonnegative_codes(values, observed, self.factors, self.noise)
        if not self.orthogonal:
            return self._general(values, observed)
        if observed is not None and not self._is_pixelwise(observed):
            return self._solved(values @ self.factors.T, observed, self.lengths)
        if observed is not None:
            # What is expected of complete rows is expected of those that are filled in with what is expected.
            values = self._completed(values, observed)
        found = rounded_product(values, self.factors.T)
        found /= np.maximum(self.lengths + np.float32(self.noise), np.float32(1e-30))
        return found

    def _general(self, values: AnyArray, observed: AnyArray | None) -> AnyArray:
        """Codes where the rows of W are not orthogonal: along directions that are."""
        vectors, lengths, back = self._turned
        found = vectors.codes(values, observed)
        # Where no row of W leads, nothing is known of a code.
        found *= np.where(lengths > 0, 1.0, 0.0).astype(np.float32)
        return rounded_product(found, back)

    @functools.cached_property
    def _turned(self) -> tuple[LowRankGaussian, AnyArray, AnyArray]:
        """The same model in orthogonal directions ``Uᵀ W``, their lengths, and Uᵀ, which turns codes back."""
        vectors, lengths, rest = np.linalg.svd(self.factors.astype(np.float64), full_matrices=False)
        directions = (lengths[:, None] * rest).astype(np.float32)
        kept = np.where(lengths > 1e-6 * lengths[0], lengths, 0.0) if len(lengths) else lengths
        turned = LowRankGaussian(self.centre, self.inverse_scale, directions, self.noise)
        return turned, kept, np.ascontiguousarray(vectors.T, np.float32)

    def _is_pixelwise(self, observed: AnyArray) -> bool:
        """Whether to solve for missing values rather than for codes: many codes, few of the values missing."""
        k, d = self.factors.shape
        missing = d - float(observed.sum()) / max(len(observed), 1)
        return self.noise > 0 and missing**3 / 3 + 100 * missing**2 < STEPS_FORESEEN * 0.4 * d * k

    @functools.cached_property
    def precision(self) -> FloatArray:
        """Inverse of the covariance of rows, float64, shape (d, d)."""
        factors = self.factors.astype(np.float64)
        weights = 1 / (np.einsum("kd,kd->k", factors, factors) + self.noise)
        found: FloatArray = (np.eye(factors.shape[1]) - (factors.T * weights) @ factors) / self.noise
        return found

    def _completed(self, values: AnyArray, observed: AnyArray) -> AnyArray:
        """Centred rows with missing values as expected given the others, by a system for each row."""
        from scipy.linalg.lapack import dposv

        precision = self.precision
        right = -(values @ precision)
        completed = values.copy()
        for row, there in enumerate(observed):
            missing = np.flatnonzero(there == 0)
            if len(missing):
                among = precision[np.ix_(missing, missing)]
                _, found, failed = dposv(among, right[row, missing], lower=1, overwrite_a=True)
                if failed:
                    found = np.linalg.lstsq(precision[np.ix_(missing, missing)], right[row, missing], None)[0]
                completed[row, missing] = found
        return completed

    def _solved(self, right: AnyArray, observed: AnyArray, lengths: AnyArray) -> AnyArray:
        """Conjugate gradients, preconditioned by what a random choice of columns leaves of ``W Wᵀ`` on average."""
        noise, tiny = np.float32(self.noise), np.float32(1e-30)
        share = observed.mean(axis=1, dtype=np.float32)[:, None]
        weights = 1 / np.maximum(share * lengths + noise, tiny)
        codes = np.zeros_like(right)
        left = right.copy()
        step = left * weights
        product = np.einsum("mk,mk->m", left, step)
        enough = product * np.float32(TOLERANCE) ** 2
        for _ in range(MOST_STEPS):
            if (product <= enough).all():
                break
            image = step @ self.factors
            image *= observed
            turned = image @ self.factors.T
            turned += noise * step
            with np.errstate(divide="ignore", invalid="ignore"):
                length = np.where(product > enough, product / np.einsum("mk,mk->m", step, turned), 0)
            codes += length[:, None] * step
            left -= length[:, None] * turned
            better = left * weights
            before, product = product, np.einsum("mk,mk->m", left, better)
            step *= (product / np.maximum(before, tiny))[:, None]
            step += better
        return codes

    def leverages(self, shares: AnyArray) -> AnyArray:
        """How much of each observed value its own reconstruction takes from it; float32, shape (m, d).

        Parameters
        ----------
        shares : float32 array, shape (m,)
            Of its values that a row has. Which of them it has is averaged over.
        """
        if not self.orthogonal:
            return self._turned[0].leverages(shares)
        weights = 1 / np.maximum(shares[:, None] * self.lengths + np.float32(self.noise), np.float32(1e-30))
        found: AnyArray = np.minimum(weights @ (self.factors**2), np.float32(0.999))
        return found


def rounder(bound: float) -> float:
    """What rounds numbers that are added to it and taken away again, so that their sums are exact in float64.

    Parameters
    ----------
    bound
        Of the size of any sum.
    """
    return float(1.5 * 2.0 ** max(np.ceil(np.log2(max(bound, 1e-300))), -900))


def rounded(values: AnyArray, by: float) -> FloatArray:
    """Values as multiples of a step that depends on the bound alone; see :func:`rounder`."""
    found: FloatArray = np.add(values, by, dtype=np.float64)
    found -= by
    return found


def neighbour_mean(image: AnyArray, observed: BoolArray, otherwise: AnyArray) -> AnyArray:
    """Mean of the observed ones of each pixel's four neighbours.

    Parameters
    ----------
    image : float32 array, shape (m, y, x, channels)
        Zero where a pixel is missing.
    observed : bool array, shape (m, y, x)
    otherwise : float32 array, shape (y, x, channels)
        What stands in where no neighbour is observed.
    """
    total, count = np.zeros_like(image), np.zeros(observed.shape, np.float32)
    for axis in (1, 2):
        near: list[slice] = [slice(None)] * 3
        far: list[slice] = [slice(None)] * 3
        near[axis], far[axis] = slice(None, -1), slice(1, None)
        for to, come in ((tuple(near), tuple(far)), (tuple(far), tuple(near))):
            total[to] += image[come]
            count[to] += observed[come]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: AnyArray = np.where(count[..., None] > 0, total / count[..., None], otherwise)
    return found


#: Squared errors that a row of average contrast is taken to have shown before any of its own are counted.
PRIOR_COUNT = 10.0


@dataclass(frozen=True)
class Filled:
    """Rows as a model sees them, in units of their features.

    Attributes
    ----------
    values : float32 array (of floats float64), shape (m, d)
        What is expected of every value, within the range of the features; also of observed ones.
    codes : float32 array, shape (m, k)
    contrast : float32 array, shape (m,)
        How far a row's values lie from what its others say of them, against all rows: its errors are so many times as
        large.
    ratios : float32 array, shape (m, d)
        How far observed values lie from what the others say of them, in multiples of what is expected; NaN where that
        was not worked out.
    deviation : float32 array, shape (m, d)
        What is expected of the errors; ``None`` for ``contrast`` times the error scale of each feature.
    """

    values: AnyArray
    codes: AnyArray
    contrast: AnyArray
    ratios: AnyArray
    deviation: AnyArray | None = None


def fill(
    model: LowRankGaussian,
    features: AnyArray,
    observed: BoolArray,
    error_scale: AnyArray,
    low: AnyArray | float = 0.0,
    high: AnyArray | float = 255.0,
) -> Filled:
    """Reconstruct rows from what is observed of them.

    Parameters
    ----------
    features : uint8 or float array, shape (m, d)
    observed : bool array, shape (m, d)
    error_scale : float array, shape (d,)
        Standard deviation of a feature about what the others say of it.
    low, high
        What values are kept within.
    """
    there = observed.astype(np.float32)
    centred = model.centred(features, observed)
    codes = model.codes(centred, there)
    values = codes @ model.factors
    residual = (centred - values) * there
    residual /= 1 - model.leverages(there.mean(axis=1, dtype=np.float32))
    least = 1e-3 if features.dtype == np.uint8 else 1e-6 * float(error_scale.max(initial=0.0)) or 1.0
    residual /= (model.inverse_scale * np.maximum(error_scale, least)).astype(np.float32)
    # The worst values of a row count as three deviations: they are outliers of few pixels that hardly ever vary.
    clipped = np.clip(residual, -3, 3)
    squares = np.einsum("md,md->m", clipped, clipped)
    contrast = np.sqrt((squares + PRIOR_COUNT) / (there.sum(axis=1) + PRIOR_COUNT)).astype(np.float32)
    residual /= contrast[:, None]
    if features.dtype != np.uint8:
        values = values.astype(np.float64)
    values /= model.inverse_scale
    values += model.centre
    np.clip(values, low, high, out=values)
    return Filled(values, codes, contrast, residual)
