"""What low-rank models make of rows, block by block: codes, reconstructions, missing values filled in."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fmnist_dask.kernels.low_rank import fill
from fmnist_dask.kernels.projection import panels
from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.passes.rows import RowFunction
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class _OfModel(RowFunction):
    """Attributes: ``model``, and the ``dtype`` of the result."""

    aligned: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    model: ModelParameter
    dtype: str = "float64"

    def __call__(self, features: AnyArray) -> AnyArray:
        """Panel by panel, so that every row is worked on in the same company."""
        found = np.empty((len(features), self.width or 0), self.dtype)
        for part in panels(np.arange(len(features))):
            rows = features[part]
            there = ~np.isnan(rows) if rows.dtype.kind == "f" else np.ones(rows.shape, np.bool_)
            found[part] = self.of_rows(rows, there)
        return found

    @abstractmethod
    def of_rows(self, rows: AnyArray, there: BoolArray) -> AnyArray:
        """The result of one panel."""


@dataclass(frozen=True, eq=False)
class LowRankCodes(_OfModel):
    """Codes of each row."""

    @property
    def width(self) -> int:
        """One for each factor."""
        return len(self.model.factors.values)

    def of_rows(self, rows: AnyArray, there: BoolArray) -> AnyArray:
        """Given what is observed."""
        model = self.model.model
        observed = None if there.all() else there.astype(np.float32)
        return model.codes(model.centred(rows, there), observed)


@dataclass(frozen=True, eq=False)
class LowRankValues(_OfModel):
    """Rows as the model sees them.

    Attributes
    ----------
    error_scale : float64 array, shape (d,)
        Standard deviation of a feature about what the others say of it.
    low, high
        What values are kept within.
    what
        ``reconstruct`` for all values, ``impute`` for those that are missing, the others as they are; ``deviation`` for
        the standard deviation of what is filled in, and 0 for what is there.
    """

    error_scale: FloatArray | None = None
    low: float = -np.inf
    high: float = np.inf
    what: Literal["reconstruct", "impute", "deviation"] = "reconstruct"

    @property
    def width(self) -> int:
        """All features."""
        return int(self.model.factors.values.shape[1])

    def of_rows(self, rows: AnyArray, there: BoolArray) -> AnyArray:
        """Given what is observed."""
        if self.what != "reconstruct" and there.all():
            return rows if self.what == "impute" else np.zeros(rows.shape)
        assert self.error_scale is not None
        filled = fill(self.model.model, rows, there, self.error_scale, self.low, self.high)
        if self.what == "reconstruct":
            return filled.values
        if self.what == "impute":
            return np.where(there, rows, filled.values)
        return np.where(there, 0.0, filled.contrast[:, None] * self.error_scale)
