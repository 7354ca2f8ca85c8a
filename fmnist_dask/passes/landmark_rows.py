"""What spectral clustering makes of rows: coordinates by affinity to landmarks, and the clusters among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmnist_dask.kernels.nearest import CentreSets, nearest
from fmnist_dask.passes.reductions.landmarks import LandmarkCoordinates
from fmnist_dask.passes.rows import RowFunction
from fmnist_dask.typing import AnyArray, FloatArray


@dataclass(frozen=True, eq=False)
class LandmarkEmbedding(RowFunction):
    """Mean coordinates of the landmarks that a row is near to."""

    aligned: ClassVar[bool] = True
    coordinates: LandmarkCoordinates

    @property
    def width(self) -> int | None:
        """A column for each eigenvector."""
        return self.coordinates.n_features

    @property
    def dtype(self) -> str:
        """Always."""
        return "float64"

    def __call__(self, features: AnyArray) -> AnyArray:
        """Evaluate."""
        return self.coordinates(features, np.arange(len(features)))


@dataclass(frozen=True, eq=False)
class LandmarkClusters(LandmarkEmbedding):
    """Position of the centre that is nearest among the coordinates.

    Attributes
    ----------
    centres : float64 array, shape (k, coordinates)
    shift : float64 array, shape (coordinates,)
        That both are moved by.
    """

    centres: FloatArray
    shift: FloatArray

    @property
    def width(self) -> int | None:
        """One number a row."""
        return None

    @property
    def dtype(self) -> str:
        """As in scikit-learn."""
        return "int32"

    def __call__(self, features: AnyArray) -> AnyArray:
        """Assign."""
        return nearest(super().__call__(features), CentreSets.of([self.centres], self.shift))[:, 0]
