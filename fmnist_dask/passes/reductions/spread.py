"""How far the members of clusters of any rule are from given centres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.nearest import squared_distances
from fmnist_dask.passes.parameters import SetsParameter, grid_scale
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.members import Labelling, labels_by
from fmnist_dask.typing import FloatArray

State = dict[str, Any]


@dataclass(frozen=True)
class MemberDistances(Reduction):
    """Sums, by cluster, of the distances of members to a centre of their cluster's, and of their squares.

    Distances come from float64 differences and are added as integers: the same in any order. The result has ``count``
    (int64), ``distance`` and ``square`` (float64), each of shape (k,).

    Attributes
    ----------
    labelling
        Whose samples are.
    centres
        One for each cluster, for instance the means of the members.
    scale, square_scale
        Distances count as ``round(d * scale)``, their squares as ``round(d² * square_scale)``.
    """

    labelling: Labelling
    centres: SetsParameter
    scale: float
    square_scale: float

    @classmethod
    def of(
        cls, labelling: Labelling, centres: FloatArray, shift: FloatArray | None, n: int, squares: float
    ) -> MemberDistances:
        """For ``n`` samples.

        Parameters
        ----------
        centres : float64 array, shape (k, d)
        shift : float64 array, shape (d,)
            Of features that are no pixels.
        squares
            Not less than the sum of all squared distances; that of the distances follows (Cauchy and Schwarz).
        """
        distances = math.sqrt(n) * math.sqrt(squares)
        return cls(labelling, SetsParameter.of([centres], shift), grid_scale(distances), grid_scale(squares))

    def initial(self, source: Readable) -> State:
        """Zeros."""
        return {name: np.zeros(self.centres.size, dtype=np.int64) for name in ("count", "distance", "square")}

    def chunk(self, state: State, block: Block) -> State:
        """Measure and add."""
        labels = labels_by(block, self.labelling)
        squares = squared_distances(block.features, self.centres.sets, labels)
        state["count"] += np.bincount(labels, minlength=self.centres.size)
        np.add.at(state["distance"], labels, np.rint(np.sqrt(squares) * self.scale).astype(np.int64))
        np.add.at(state["square"], labels, np.rint(squares * self.square_scale).astype(np.int64))
        return state

    def combine(self, left: State, right: State) -> State:
        """Add."""
        return {name: left[name] + right[name] for name in left}

    def aggregate(self, state: State, source: Readable) -> State:
        """Sums in the units of the features."""
        return {
            "count": state["count"],
            "distance": state["distance"] / self.scale,
            "square": state["square"] / self.square_scale,
        }

    def state_bytes(self, source: Readable) -> int:
        """Three numbers a cluster."""
        return 24 * self.centres.size + 64

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels, distances and what they count for."""
        return self.labelling.work_bytes(rows) + 48 * rows
