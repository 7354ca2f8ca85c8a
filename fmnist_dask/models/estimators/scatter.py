"""The scatter of samples that come in batches: exact for pixels, merged in float64 for floats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.gram import scatter_of
from fmnist_dask.models.grids import grid_of
from fmnist_dask.passes.parameters import ArrayParameter, grid_scale
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
    trace = float(moments["square"].sum() - ((mean - grid.shift.values) ** 2).sum() * n)
    # Deviations of one sample are at most the root of their sum of squares, and products half of that.
    about = ScatterAbout(ArrayParameter(mean), grid_scale(trace * n / max(n - 1, 1)))
    return FloatScatter(n, mean, (yield Scan({"scatter": about}))["scatter"])
