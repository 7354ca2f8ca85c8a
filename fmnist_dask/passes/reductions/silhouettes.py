"""Distances of some samples to the members of the clusters of several sets of centres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.silhouette import LEFT_ROWS, RIGHT_ROWS, sums_by_labellings
from fmnist_dask.passes.parameters import ArrayParameter, SetsParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.clusters import label_bytes, nearest_labels
from fmnist_dask.typing import FloatArray


@dataclass(frozen=True)
class DistancesToClusters(Reduction):
    """Sums of the distances of a sample to all samples, by the nearest centre of these in each set.

    Each distance is worked out once, however many sets there are. The result is a float64 array of shape (m, centres of
    all sets).

    Attributes
    ----------
    centres
        The sets.
    sample
        Features, shape (m, d).
    scale
        Of distances as whole numbers, see :func:`~fmnist_dask.kernels.silhouette.distance_scale`.
    shift
        Subtracted from features that are no pixels.
    """

    centres: SetsParameter
    sample: ArrayParameter
    scale: float
    shift: ArrayParameter | None = None

    def initial(self, source: Readable) -> FloatArray:
        """Zeros."""
        return np.zeros((len(self.sample.values), self.centres.size))

    def chunk(self, state: FloatArray, block: Block) -> FloatArray:
        """Assign, measure and add."""
        starts = np.asarray(self.centres.starts[:-1], dtype=np.int64)
        clusters = nearest_labels(block, self.centres).T + starts[:, None]
        shift = None if self.shift is None else self.shift.values
        state += sums_by_labellings(self.sample.values, block.features, clusters, self.centres.size, self.scale, shift)
        return state

    def combine(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Add: whole numbers, whose sums are not rounded."""
        return left + right

    def aggregate(self, state: FloatArray, source: Readable) -> FloatArray:
        """In the units of the features."""
        return state / self.scale

    def state_bytes(self, source: Readable) -> int:
        """The sums."""
        return 8 * len(self.sample.values) * self.centres.size

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels, two panels, their products, and the sums of one block."""
        panels = (LEFT_ROWS + RIGHT_ROWS) * (16 * source.n_features + 16) + 8 * LEFT_ROWS * RIGHT_ROWS
        labels = label_bytes(rows, self.centres, source) + 16 * rows * len(self.centres)
        return labels + panels + self.state_bytes(source)
