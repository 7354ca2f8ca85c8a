"""A uniform random subset of the samples, with their features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import AnyArray, IntArray

#: Stream of random numbers that rows draw their priorities from.
SUBSET_STREAM = 9101
#: Samples and bytes that algorithms which start on a subset ask for by default.
SUBSET_ROWS = 8192
SUBSET_BYTES = 24 * 2**20

State = dict[str, AnyArray]


def subset_rows(source: Readable, population: int, least: int = 0) -> int:
    """How many samples a subset has: the same for all algorithms that do not need more, so that they share one.

    Parameters
    ----------
    population
        Samples that there are to choose from.
    least
        Samples that the algorithm needs whatever they weigh.
    """
    affordable = min(SUBSET_ROWS, SUBSET_BYTES // row_bytes(source))
    return max(1, min(population, max(affordable, least)))


@dataclass(frozen=True)
class RandomSubset(Reduction):
    """The samples of smallest random priority: the same for any chunking.

    The result has ``row``, ``features`` and ``label``, by row. There are ``count`` of them, unless the population is
    smaller or rows drew very unevenly (less likely than 10⁻⁸).

    Attributes
    ----------
    count
        Samples wanted.
    population
        Samples there are, from which follows what priority is too large to matter.
    seed
        Of the priorities.
    weighted
        Bring the samples' weights along, as ``weight``.
    """

    count: int
    population: int
    seed: int
    weighted: bool = False

    def initial(self, source: Readable) -> State:
        """Nothing."""
        return {}

    def chunk(self, state: State, block: Block) -> State:
        """Rows below the threshold."""
        key = random_bits(self.seed, block.rows, SUBSET_STREAM)
        index = np.flatnonzero(key <= np.uint64(self._threshold))
        found = {
            "key": key[index],
            "row": block.rows[index],
            "features": block.features[index],
            "label": block.label[index],
            **self.beside(block, index),
        }
        return self.combine(state, found)

    def beside(self, block: Block, index: IntArray) -> State:
        """What else is brought along of some rows of a block."""
        return {"weight": block.array("sample_weight")[index].astype(np.float64)} if self.weighted else {}

    def combine(self, left: State, right: State) -> State:
        """Append later rows."""
        if not left or not right:
            return left or right
        return {name: np.concatenate([left[name], right[name]]) for name in left}

    def aggregate(self, state: State, source: Readable) -> State:
        """The ``count`` smallest, by row."""
        if not state:
            return {
                "row": np.zeros(0, np.int64),
                "features": np.zeros((0, source.n_features), source.feature_dtype),
                "label": np.zeros(0, np.int16),
            }
        # A state kept since there were fewer samples has more of them than a new one would.
        low = np.flatnonzero(state["key"] <= np.uint64(self._threshold))
        chosen = np.sort(low[np.argsort(state["key"][low], kind="stable")[: self.count]])
        return {name: values[chosen] for name, values in state.items() if name != "key"}

    def state_bytes(self, source: Readable) -> int:
        """All samples that may be below the threshold."""
        return self._most(self.population) * (row_bytes(source) + 24)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """Their share of these rows."""
        return min(self._most(rows), rows) * (row_bytes(source) + 24)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Priorities, and the state once more while it grows."""
        return 32 * rows + self.part_bytes(source, rows)

    def _most(self, rows: int) -> int:
        expected = self.count * rows / max(self.population, 1)
        return math.ceil(expected + 6 * math.sqrt(expected) + 16)

    @property
    def _threshold(self) -> int:
        if self.count >= self.population:
            return 2**64 - 1
        share = self._most(self.population) / self.population
        return min(2**64 - 1, int(share * 2.0**64))

    def kept_as(self) -> Any:
        """Of more samples fewer of the first ones are taken, never others."""
        return None if self.weighted else ("subset", self.count, self.seed)
