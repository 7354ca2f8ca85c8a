"""The scatter of samples that come in batches: exact for pixels, merged in float64 for floats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gram import mean_of, scatter_of
from fmnist_dask.models.grids import grid_of
from fmnist_dask.models.pca import squares_about
from fmnist_dask.passes.parameters import ArrayParameter, root_scales
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.moments import FeatureRange, Moments
from fmnist_dask.passes.reductions.scatter import Scatter, ScatterAbout
from fmnist_dask.typing import FloatArray


@dataclass(frozen=True, eq=False)
class PixelScatter:
    """Products and sums of pixels as :class:`~fmnist_dask.passes.reductions.scatter.Scatter` gathers them."""

    n: int
    gram: FloatArray
    sums: Any

    @property
    def mean(self) -> FloatArray:
        """Mean, without the scatter that would take longer."""
        return mean_of(self.sums, self.n)

    def about_mean(self) -> FloatScatter:
        """Mean and scatter."""
        mean, scatter = scatter_of(self.gram, self.sums, self.n)
        return FloatScatter(self.n, mean, scatter)

    def plus(self, other: AnyScatter) -> AnyScatter:
        """With more samples: integers add up exactly as long as all are pixels."""
        if isinstance(other, PixelScatter):
            return PixelScatter(self.n + other.n, self.gram + other.gram, self.sums + other.sums)
        return self.about_mean().plus(other)


@dataclass(frozen=True, eq=False)
class FloatScatter:
    """Number, mean (d,), and scatter matrix (d, d) about it."""

    n: int
    mean: FloatArray
    scatter: FloatArray = field(repr=False)

    def about_mean(self) -> FloatScatter:
        """Itself."""
        return self

    def plus(self, other: AnyScatter) -> AnyScatter:
        """With more samples (Chan, Golub and LeVeque, "Updating formulae …", 1979)."""
        added = other.about_mean()
        n = self.n + added.n
        step = added.mean - self.mean
        scatter = self.scatter + added.scatter
        scatter += np.multiply.outer(step * (self.n / n * added.n), step)
        return FloatScatter(n, self.mean + step * (added.n / n), scatter)


AnyScatter = PixelScatter | FloatScatter


def gather_scatter(source: Readable, n: int) -> Algorithm[AnyScatter]:
    """Scatter of all samples: one pass over pixels, three over floats.

    Raises
    ------
    UsageError
        No samples, or features that are not finite.
    """
    if n == 0:
        raise UsageError("there are no samples to fit a PCA on")
    if source.feature_dtype == "uint8":
        gathered = (yield Scan({"scatter": Scatter()}))["scatter"]
        return PixelScatter(gathered["n"], gathered["gram"], gathered["sum"])
    grid = grid_of((yield Scan({"range": FeatureRange()}))["range"])
    moments = (yield Scan({"moments": Moments(grid)}))["moments"]
    mean = moments["sum"] / n + grid.shift.values
    squares = squares_about(mean - grid.shift.values, moments["square"], n)
    about = ScatterAbout(ArrayParameter(mean), ArrayParameter(root_scales(2 * squares)))
    return FloatScatter(n, mean, (yield Scan({"scatter": about}))["scatter"])
