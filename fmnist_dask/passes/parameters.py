"""Arrays as parameters of reductions: equal and hashable by their values."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.nearest import CentreSets
from fmnist_dask.typing import AnyArray, FloatArray

#: Of a scale: larger ones overflow, and no sum needs them.
MOST_EXPONENT = 1000


@dataclass(frozen=True, eq=False)
class ArrayParameter:
    """An array that a frozen reduction holds. Two are equal if type, shape and bytes are.

    Attributes
    ----------
    values
        The array; it must not be changed.
    """

    values: AnyArray

    @functools.cached_property
    def digest(self) -> bytes:
        """Digest of type, shape and bytes."""
        array = np.ascontiguousarray(self.values)
        found = hashlib.blake2b(repr((array.dtype.str, array.shape)).encode(), digest_size=16)
        # Its bytes as they lie there: centres of photographs are too large for a copy of each.
        found.update(array.reshape(-1).view(np.uint8).data)
        return found.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrayParameter) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayParameter, (self.values,)


@dataclass(frozen=True)
class SetsParameter:
    """Sets of centres as a parameter; see :class:`~fmnist_dask.kernels.nearest.CentreSets`."""

    centres: ArrayParameter
    starts: tuple[int, ...]
    shift: ArrayParameter

    @classmethod
    def of(cls, sets: list[FloatArray], shift: FloatArray | None = None, about_shift: bool = False) -> SetsParameter:
        """From centres in the units of the features; with ``about_shift``, the shift has been subtracted already."""
        made = CentreSets.of(sets, shift, about_shift)
        return cls(ArrayParameter(made.centres), tuple(made.starts.tolist()), ArrayParameter(made.shift))

    @functools.cached_property
    def sets(self) -> CentreSets:
        """As the kernels take them; made once, with what kernels find out about them."""
        return CentreSets(self.centres.values, np.asarray(self.starts, dtype=np.int64), self.shift.values)

    @property
    def size(self) -> int:
        """Centres of all sets."""
        return self.starts[-1]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        return SetsParameter, (self.centres, self.starts, self.shift)


@dataclass(frozen=True)
class Grid:
    """How floats are turned into integers that add up to the same in any order.

    A value v of a feature counts as ``round(v * scale)``. Scales are powers of two so large that no sum over all rows
    overflows 63 bits: for 60,000 rows a value is off by less than 2⁻⁴⁶ of the feature's largest, for a hundred million
    by 2⁻³⁵.

    Attributes
    ----------
    shift
        Subtracted from the features first, shape (d,).
    scale, square_scale
        Of values and of their squares, shape (d,).
    weight_scale
        Of weights.
    weight_unit
        Weights are divided by this power of two first, so that the largest is about 1.
    weighted
        Whether rows have weights, in the array ``sample_weight``.
    """

    shift: ArrayParameter
    scale: ArrayParameter
    square_scale: ArrayParameter
    weight_scale: float
    weight_unit: float = 1.0
    weighted: bool = False

    @classmethod
    def for_range(cls, low: FloatArray, high: FloatArray, n: int, largest_weight: float | None = None) -> Grid:
        """For ``n`` rows of features within ``low`` and ``high``.

        Parameters
        ----------
        largest_weight
            ``None`` where rows have no weights.
        """
        shift = low + (high - low) / 2
        reach = np.maximum(np.maximum(high - shift, shift - low), 0.0)
        unit = 1.0 if largest_weight is None else float(np.ldexp(1.0, int(np.frexp(largest_weight)[1])))
        return cls(
            ArrayParameter(shift),
            ArrayParameter(grid_scales(reach * n)),
            ArrayParameter(grid_scales(reach * reach * n)),
            float(grid_scales(np.array(float(n)))),
            unit,
            largest_weight is not None,
        )


def grid_scales(bounds: FloatArray) -> FloatArray:
    """For each bound, the largest power of two with which a sum of at most that stays below 2⁶²; 1 for sums of zero."""
    with np.errstate(divide="ignore"):
        exponents = 61 - np.ceil(np.log2(bounds))
    exponents = np.where(bounds > 0, np.minimum(exponents, MOST_EXPONENT), 0)
    scales: FloatArray = np.ldexp(1.0, exponents.astype(np.int64))
    return scales


def grid_scale(bound: float) -> float:
    """:func:`grid_scales` of one bound."""
    return float(grid_scales(np.array(float(bound))))


def root_scales(bounds: FloatArray) -> FloatArray:
    """Powers of two, one a feature, whose products are scales of sums of products of two features.

    Parameters
    ----------
    bounds : float64 array, shape (d,)
        Of each feature's sum of squares. Sums of products are at most the root of two bounds' product.
    """
    with np.errstate(divide="ignore"):
        exponents = np.floor((61 - np.log2(bounds)) / 2)
    exponents = np.where(bounds > 0, np.minimum(exponents, MOST_EXPONENT // 2), 0)
    scales: FloatArray = np.ldexp(1.0, exponents.astype(np.int64))
    return scales
