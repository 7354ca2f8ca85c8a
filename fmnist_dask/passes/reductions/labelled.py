"""Means of clusters of any rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.nearest import pixel_sums
from fmnist_dask.passes.parameters import Grid
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.members import Labelling, labels_by
from fmnist_dask.typing import FloatArray

State = dict[str, Any]


@dataclass(frozen=True)
class LabelledSums(Reduction):
    """Number and mean of the samples of each cluster: ``count`` (k,) and ``mean`` (k, d), zero for empty ones.

    Attributes
    ----------
    labelling
        Whose samples are.
    k
        Clusters.
    grid
        Of float features; pixels are added as they are.
    """

    labelling: Labelling
    k: int
    grid: Grid

    @classmethod
    def of(cls, labelling: Labelling, k: int, low: FloatArray, high: FloatArray, n: int) -> LabelledSums:
        """For ``n`` samples of features within ``low`` and ``high``."""
        return cls(labelling, k, Grid.for_range(low, high, n))

    def initial(self, source: Readable) -> State:
        """Zeros."""
        return {"count": np.zeros(self.k, np.int64), "sum": np.zeros((self.k, source.n_features), np.int64)}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        labels = labels_by(block, self.labelling).astype(np.int64)[:, None]
        state["count"] += np.bincount(labels.ravel(), minlength=self.k)
        if block.features.dtype == np.uint8:
            state["sum"] += pixel_sums(block.features, labels, self.k)
            return state
        from fmnist_dask.kernels.compiled import add_scaled

        shift, scale = self.grid.shift.values, self.grid.scale.values
        add_scaled(block.features, shift, np.ones(len(block)), scale, labels, state["sum"])
        return state

    def combine(self, left: State, right: State) -> State:
        """Add."""
        return {name: left[name] + right[name] for name in left}

    def aggregate(self, state: State, source: Readable) -> State:
        """Means, in the units of the features."""
        total = state["sum"].astype(np.float64)
        held = np.maximum(state["count"], 1)[:, None]
        if source.feature_dtype == "uint8":
            return {"count": state["count"], "mean": total / held}
        means = total / self.grid.scale.values / held + self.grid.shift.values
        return {"count": state["count"], "mean": np.where(state["count"][:, None] > 0, means, 0.0)}

    def state_bytes(self, source: Readable) -> int:
        """An integer a feature of each cluster."""
        return 8 * self.k * (source.n_features + 1)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels, and sums of one block."""
        return self.labelling.work_bytes(rows) + 40 * rows + 12 * self.k * source.n_features
