"""Products of all pairs of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.gram import PANEL_ROWS, add_gram
from fmnist_dask.kernels.projection import scatter_about
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import IntArray

State = dict[str, Any]


@dataclass(frozen=True)
class Scatter(Reduction):
    """``Σ (x − 128)(x − 128)ᵀ`` and ``Σ (x − 128)`` of pixels, exact; see :mod:`fmnist_dask.kernels.gram`."""

    def initial(self, source: Readable) -> State:
        """Zeros."""
        d = source.n_features
        return {"n": 0, "gram": np.zeros((d, d)), "sum": np.zeros(d, dtype=np.int64)}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        add_gram(block.features, state["gram"], state["sum"])
        state["n"] += len(block)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add; sums of integers below 2⁵³ are exact."""
        left["gram"] += right["gram"]
        return {"n": left["n"] + right["n"], "gram": left["gram"], "sum": left["sum"] + right["sum"]}

    def state_bytes(self, source: Readable) -> int:
        """A float64 a pair of features."""
        return 8 * source.n_features * (source.n_features + 1)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A panel of rows, and the product of one."""
        return 4 * source.n_features * (source.n_features + PANEL_ROWS)

    def kept_as(self) -> Any:
        """Counts of some rows are part of those of all."""
        return self


@dataclass(frozen=True)
class ScatterAbout(Reduction):
    """``Σ (x − mean)(x − mean)ᵀ`` of float features, on a grid.

    Attributes
    ----------
    mean
        Shape (d,).
    scale
        Shape (d,), powers of two. Sums of panels count as ``round(v * scale[i] * scale[j])``, so that they add up to
        the same in any order.
    """

    mean: ArrayParameter
    scale: ArrayParameter

    def initial(self, source: Readable) -> IntArray:
        """Zeros."""
        return np.zeros((source.n_features, source.n_features), dtype=np.int64)

    def chunk(self, state: IntArray, block: Block) -> IntArray:
        """Add one block."""
        scatter_about(block.features, block.rows, self.mean.values, self.scale.values, state)
        return state

    def combine(self, left: IntArray, right: IntArray) -> IntArray:
        """Add."""
        left += right
        return left

    def aggregate(self, state: IntArray, source: Readable) -> Any:
        """As floats."""
        return state / self.scale.values[:, None] / self.scale.values

    def state_bytes(self, source: Readable) -> int:
        """An integer a pair of features."""
        return 8 * source.n_features**2

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The product of one panel, scaled and rounded."""
        return 24 * source.n_features**2 + 16 * PANEL_ROWS * source.n_features
