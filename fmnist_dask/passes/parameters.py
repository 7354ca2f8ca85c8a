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
        return hashlib.blake2b(repr((array.dtype.str, array.shape)).encode() + array.tobytes(), digest_size=16).digest()

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

    @property
    def sets(self) -> CentreSets:
        """As the kernels take them."""
        return CentreSets(self.centres.values, np.asarray(self.starts, dtype=np.int64), self.shift.values)

    @property
    def size(self) -> int:
        """Centres of all sets."""
        return self.starts[-1]

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True)
class Grid:
    """How floats are turned into integers that add up to the same in any order.

    A value v counts as ``round(v * scale)``. The scale is a power of two so large that no sum over all rows overflows
    63 bits: for 60,000 rows a value is off by less than 2⁻⁴⁶ of the largest, for a hundred million by 2⁻³⁵.

    Attributes
    ----------
    shift
        Subtracted from the features first.
    scale, square_scale, weight_scale
        Of values, of their squares, and of weights.
    weighted
        Whether rows have weights, in the array ``sample_weight``.
    """

    shift: ArrayParameter
    scale: float
    square_scale: float
    weight_scale: float
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
        reach = float(max(np.max(high - shift), np.max(shift - low), 0.0))
        weight = 1.0 if largest_weight is None else largest_weight
        return cls(
            ArrayParameter(shift),
            grid_scale(reach * weight * n),
            grid_scale(reach * reach * weight * n),
            grid_scale(weight * n),
            largest_weight is not None,
        )


def grid_scale(bound: float) -> float:
    """The largest power of two with which a sum of at most ``bound`` stays below 2⁶²."""
    return 2.0 ** min(61 - int(np.ceil(np.log2(bound))), MOST_EXPONENT) if bound > 0 else 1.0
