"""What a pass gathers about landmarks: how near samples are, and how much landmarks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.landmarks import UNIT_BITS, Landmarks, add_products, landmark_bytes
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True)
class LandmarksParameter:
    """Landmarks as a parameter; see :class:`~fmnist_dask.kernels.landmarks.Landmarks`."""

    centres: ArrayParameter
    neighbours: int
    width: float

    @property
    def landmarks(self) -> Landmarks:
        """As the kernels take them."""
        return Landmarks(self.centres.values, self.neighbours, self.width)

    def work_bytes(self, rows: int) -> int:
        """Memory of the affinities of some rows."""
        p, d = self.centres.values.shape
        return landmark_bytes(d, p, self.neighbours, rows)


@dataclass(frozen=True)
class AffinityProducts(Reduction):
    """``ZᵀZ`` of the affinities Z of samples to landmarks, float64, shape (p, p); exact up to the last division."""

    landmarks: LandmarksParameter

    def initial(self, source: Readable) -> Any:
        """Zeros."""
        p = len(self.landmarks.centres.values)
        return np.zeros((p, p), dtype=np.int64)

    def chunk(self, state: Any, block: Block) -> Any:
        """Add one block."""
        index, weight = self.landmarks.landmarks.affinities(block.features, block.rows)
        add_products(state, index, weight)
        return state

    def combine(self, left: Any, right: Any) -> Any:
        """Add."""
        left += right
        return left

    def aggregate(self, state: Any, source: Readable) -> Any:
        """With affinities that add up to 1."""
        return state / 4.0**UNIT_BITS

    def state_bytes(self, source: Readable) -> int:
        """An integer for each pair."""
        return 8 * len(self.landmarks.centres.values) ** 2

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Affinities, and products of a block."""
        p, r = len(self.landmarks.centres.values), self.landmarks.neighbours
        return self.landmarks.work_bytes(rows) + 32 * min(p * p, rows * r * r)


@dataclass(frozen=True)
class LandmarkCoordinates:
    """A map of features: what landmarks stand for, by affinity.

    Attributes
    ----------
    table
        Coordinates of each landmark, float64, shape (p, k).
    """

    landmarks: LandmarksParameter
    table: ArrayParameter

    @property
    def n_features(self) -> int:
        """Coordinates."""
        return int(self.table.values.shape[1])

    @property
    def limits(self) -> tuple[FloatArray, FloatArray]:
        """Between which all coordinates lie: means of the landmarks' ones, whose shares add up to nearly 1."""
        table = self.table.values
        margin = np.abs(table).max(axis=0) * 2.0**-10
        return table.min(axis=0) - margin, table.max(axis=0) + margin

    def __call__(self, features: AnyArray, rows: IntArray) -> AnyArray:
        """Mean coordinates of the landmarks of each row, by affinity; float64, shape (m, k)."""
        index, weight = self.landmarks.landmarks.affinities(features, rows)
        found = np.zeros((len(features), self.n_features))
        for near, share in zip(index.T, weight.T, strict=True):
            found += self.table.values[near] * share[:, None]
        found /= 2**UNIT_BITS
        return found

    def work_bytes(self, rows: int) -> int:
        """Affinities, and coordinates twice."""
        return self.landmarks.work_bytes(rows) + 24 * rows * self.n_features
