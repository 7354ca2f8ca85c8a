"""How far samples are from their centres, in all, and how many each centre has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.nearest import nearest, squared_distances
from fmnist_dask.passes.parameters import SetsParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import AnyArray

State = dict[str, Any]


@dataclass(frozen=True)
class Inertia(Reduction):
    """Sum of the squared distances of all samples to the nearest centre of one set, and samples of each centre.

    Distances come from float64 differences, and their sum is rounded once, however small it is beside the samples'
    lengths: the result does not depend on how rows are cut.

    The result has ``inertia`` and ``count`` (int64 array, shape (k,)).
    """

    centres: SetsParameter
    weighted: bool = False

    def initial(self, source: Readable) -> State:
        """Nothing seen."""
        return {"parts": [], "count": np.zeros(self.centres.size, dtype=np.int64)}

    def chunk(self, state: State, block: Block) -> State:
        """Assign, measure and add."""
        sets = self.centres.sets
        labels = nearest(block.features, sets)[:, 0]
        squares = squared_distances(block.features, sets, labels)
        if self.weighted:
            squares = squares * block.array("sample_weight")
        found = {
            "parts": exact_parts(squares.tolist()),
            "count": np.bincount(labels, minlength=self.centres.size),
        }
        return self.combine(state, found)

    def combine(self, left: State, right: State) -> State:
        """Add."""
        return {
            "parts": exact_parts(left["parts"] + right["parts"]),
            "count": left["count"] + right["count"],
        }

    def aggregate(self, state: State, source: Readable) -> dict[str, float | AnyArray]:
        """Round the sum."""
        return {"inertia": math.fsum(state["parts"]), "count": state["count"]}

    def state_bytes(self, source: Readable) -> int:
        """A few numbers."""
        return 8 * self.centres.size + 1024

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels and distances, also as Python's numbers."""
        return 96 * rows + 16 * self.centres.size * source.n_features


def exact_parts(values: list[float]) -> list[float]:
    """Few numbers whose sum is that of ``values``, exactly: the rounded sum, what it leaves, and so on.

    After Shewchuk, "Adaptive precision floating-point arithmetic", 1997, whose expansions ``math.fsum`` rounds.
    """
    if not all(map(math.isfinite, values)):
        return [math.nan]
    parts: list[float] = []
    left = list(values)
    while (total := math.fsum(left)) != 0.0:
        parts.append(total)
        left.append(-total)
    return parts
