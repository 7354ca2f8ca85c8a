"""A uniform random subset of the samples that have a place: finite features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.images import smallest
from fmnist_dask.passes.reductions.subset import SUBSET_STREAM
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import AnyArray

State = dict[str, AnyArray]


@dataclass(frozen=True)
class PlacedSubset(Reduction):
    """Of the samples whose features are all finite, those of smallest random priority: the same for any chunking.

    The result has ``row``, ``features`` and ``label``, by row, and how many there were to choose from, ``n``.

    Attributes
    ----------
    count
        Samples wanted, at most.
    seed
        Of the priorities.
    labels
        Take samples of these labels only; ``None`` for any.
    """

    count: int
    seed: int
    labels: tuple[int, ...] | None = None

    def initial(self, source: Readable) -> State:
        """Nothing."""
        return {"n": np.zeros(1, np.int64)}

    def chunk(self, state: State, block: Block) -> State:
        """The rows of smallest priority of this block."""
        features = block.features
        fits = np.isfinite(features).all(axis=1)
        if self.labels is not None:
            fits &= np.isin(block.label, self.labels)
        index = np.flatnonzero(fits)
        found: State = {"n": np.array([len(index)], np.int64)}
        if len(index):
            key = random_bits(self.seed, block.rows[index], SUBSET_STREAM)
            kept = smallest(key, self.count)
            index = index[kept]
            found |= {
                "key": key[kept],
                "row": block.rows[index],
                "features": features[index],
                "label": block.label[index],
            }
        return self.combine(state, found)

    def combine(self, left: State, right: State) -> State:
        """The smallest of both."""
        n = left["n"] + right["n"]
        if "key" not in left or "key" not in right:
            return {**left, **right, "n": n}
        both = {name: np.concatenate([left[name], right[name]]) for name in left if name != "n"}
        order = np.lexsort((both["row"], both["key"]))[: self.count]
        return {**{name: values[order] for name, values in both.items()}, "n": n}

    def aggregate(self, state: State, source: Readable) -> State:
        """By row."""
        n = state["n"][0]
        if "key" not in state:
            empty = np.zeros((0, source.n_features), source.feature_dtype)
            return {"row": np.zeros(0, np.int64), "features": empty, "label": np.zeros(0, np.int16), "n": n}
        order = np.argsort(state["row"])
        return {**{name: state[name][order] for name in ("row", "features", "label")}, "n": n}

    def state_bytes(self, source: Readable) -> int:
        """The samples."""
        return self.count * (row_bytes(source) + 24)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """No more than there are."""
        return min(self.count, rows) * (row_bytes(source) + 24)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Priorities, what is finite, and the state once more while it grows."""
        return rows * (32 + 9 * source.n_features) + 2 * self.part_bytes(source, rows)
