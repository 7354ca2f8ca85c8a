"""What fitted models make of rows, block by block: labels, distances, coordinates. Runs here and on workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gaussians import Gaussians, responsibilities
from fmnist_dask.kernels.nearest import CentreSets, nearest, squared_distances
from fmnist_dask.kernels.projection import project
from fmnist_dask.typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class RowFunction(ABC):
    """A function from an array of shape (m, d) to one of shape (m,) or (m, width).

    Attributes
    ----------
    aligned
        Whether blocks must begin at multiples of 256 rows for the result to be the same to the last bit.
    takes_missing
        Whether values may be NaN, which stands for missing ones.
    """

    aligned: ClassVar[bool] = False
    takes_missing: ClassVar[bool] = False

    @property
    def width(self) -> int | None:
        """Columns of the result; ``None`` for one number a row."""
        return None

    @property
    @abstractmethod
    def dtype(self) -> str:
        """Type of the result."""

    @abstractmethod
    def __call__(self, features: AnyArray) -> AnyArray:
        """The result for some rows."""


@dataclass(frozen=True, eq=False)
class _OfCentres(RowFunction):
    """Attributes: ``centres`` of shape (k, d), in the units of the features."""

    centres: FloatArray

    def sets(self, features: AnyArray) -> CentreSets:
        """The centres about their own mean: products of what is left lose less. Pixels are not moved."""
        shift = None if features.dtype == np.uint8 else self.centres.mean(axis=0)
        return CentreSets.of([self.centres], shift)


@dataclass(frozen=True, eq=False)
class NearestCentre(_OfCentres):
    """Position of the nearest centre."""

    @property
    def dtype(self) -> str:
        """As in scikit-learn."""
        return "int32"

    def __call__(self, features: AnyArray) -> AnyArray:
        """Assign."""
        return nearest(features, self.sets(features))[:, 0]


@dataclass(frozen=True, eq=False)
class GroupOfNearest(NearestCentre):
    """Group that the nearest centre belongs to.

    Attributes
    ----------
    groups : int32 array, shape (k,)
    """

    groups: IntArray

    def __call__(self, features: AnyArray) -> AnyArray:
        """Assign."""
        found: AnyArray = self.groups[super().__call__(features)]
        return found


@dataclass(frozen=True, eq=False)
class CentreDistances(_OfCentres):
    """Distance to each centre, from float64 differences."""

    dtype: str = "float64"

    @property
    def width(self) -> int:
        """A column for each centre."""
        return len(self.centres)

    def __call__(self, features: AnyArray) -> AnyArray:
        """Measure."""
        sets = self.sets(features)
        found = np.empty((len(features), len(self.centres)), dtype=self.dtype)
        for centre in range(len(self.centres)):
            found[:, centre] = np.sqrt(squared_distances(features, sets, np.full(len(features), centre)))
        return found


@dataclass(frozen=True, eq=False)
class Coordinates(RowFunction):
    """``(x − mean) · directions``; with ``mean`` zero and ``offset`` it goes back.

    Attributes
    ----------
    mean : float64 array, shape (d,)
    directions : float64 array, shape (d, k)
    offset : float64 array, shape (k,), or ``None``
        Added to the result.
    """

    aligned: ClassVar[bool] = True
    mean: FloatArray
    directions: FloatArray
    offset: FloatArray | None = None
    dtype: str = "float64"

    @property
    def width(self) -> int:
        """A column for each direction."""
        return int(self.directions.shape[1])

    def __call__(self, features: AnyArray) -> AnyArray:
        """Project."""
        codes = project(features, np.arange(len(features)), self.mean, self.directions)
        if self.offset is not None:
            codes += self.offset
        return codes.astype(self.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class LogLikelihood(RowFunction):
    """Logarithm of a normal density.

    Attributes
    ----------
    mean : float64 array, shape (d,)
    precision : float64 array, shape (d, d)
        Inverse covariance.
    constant
        Logarithm of the density at the mean.
    """

    aligned: ClassVar[bool] = True
    mean: FloatArray
    precision: FloatArray
    constant: float

    @property
    def dtype(self) -> str:
        """Always."""
        return "float64"

    def __call__(self, features: AnyArray) -> AnyArray:
        """Evaluate."""
        products = project(features, np.arange(len(features)), self.mean, self.precision)
        result: AnyArray = self.constant - 0.5 * np.einsum("ij,ij->i", features - self.mean, products)
        return result


@dataclass(frozen=True, eq=False)
class _OfComponents(RowFunction):
    """Attributes: ``mixture``, in the units of the features."""

    aligned: ClassVar[bool] = True
    mixture: Gaussians

    @property
    def dtype(self) -> str:
        """Unless another is named."""
        return "float64"

    def shares(self, features: AnyArray) -> tuple[FloatArray, FloatArray]:
        """Of each component in each row, and logarithms of densities."""
        return responsibilities(self.mixture.log_joint(features, np.arange(len(features))))


@dataclass(frozen=True, eq=False)
class Shares(_OfComponents):
    """Probability of each component."""

    @property
    def width(self) -> int:
        """A column for each component."""
        return len(self.mixture.weight)

    def __call__(self, features: AnyArray) -> AnyArray:
        """Evaluate."""
        return self.shares(features)[0]


@dataclass(frozen=True, eq=False)
class LikeliestComponent(_OfComponents):
    """Position of the likeliest component."""

    @property
    def dtype(self) -> str:
        """As in scikit-learn."""
        return "int64"

    def __call__(self, features: AnyArray) -> AnyArray:
        """Evaluate."""
        likeliest: AnyArray = self.mixture.log_joint(features, np.arange(len(features))).argmax(axis=1)
        return likeliest


@dataclass(frozen=True, eq=False)
class LogDensity(_OfComponents):
    """Logarithm of the density."""

    def __call__(self, features: AnyArray) -> AnyArray:
        """Evaluate."""
        return self.shares(features)[1]


def check_finite(features: AnyArray, missing: bool = False) -> None:
    """Refuse values that are no numbers.

    Parameters
    ----------
    missing
        Whether NaN stands for missing values, and is none of them.

    Raises
    ------
    UsageError
        There are some.
    """
    # The sum is finite almost always, and much cheaper to look at.
    if features.dtype.kind == "f" and not np.isfinite(features.sum(dtype=np.float64)):
        bad = np.isinf(features).any() if missing else not np.isfinite(features).all()
        if bad:
            kind = "NaN" if np.isnan(features).any() else f"infinity or a value too large for {features.dtype!r}"
            raise UsageError(f"Input X contains {kind}.", "impute these values first, or drop their rows")
