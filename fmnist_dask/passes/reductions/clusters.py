"""What a pass gathers about sets of centres: sums of each cluster, its members, the farthest samples, candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.counter_random import uniform
from fmnist_dask.kernels.nearest import nearest, nearest_bytes, pixel_sums, squared_distances
from fmnist_dask.passes.parameters import Grid, SetsParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.images import smallest
from fmnist_dask.passes.reductions.moments import weights_of
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import AnyArray

State = dict[str, Any]
#: Streams of random numbers of k-means||: one for each round of each start.
RACE_STREAM = 9201


def nearest_labels(block: Block, parameter: SetsParameter) -> AnyArray:
    """Nearest centre in each set, found once for all that ask."""
    return block.memo(("nearest", parameter), lambda: nearest(block.features, parameter.sets))


def nearest_distances(block: Block, parameter: SetsParameter, position: int = 0) -> AnyArray:
    """Squared distance to the nearest centre of one set, found once for all that ask."""

    def measure() -> AnyArray:
        sets = parameter.sets
        labels = nearest_labels(block, parameter)[:, position] + sets.starts[position]
        return squared_distances(block.features, sets, labels)

    return block.memo(("distance", parameter, position), measure)


def label_bytes(rows: int, parameter: SetsParameter, source: Readable) -> int:
    """Labels, panels and products while a block looks for its nearest centres."""
    return nearest_bytes(rows, source.n_features, parameter.size, len(parameter))


@dataclass(frozen=True)
class ClusterSums(Reduction):
    """Number and sum of the samples nearest to each centre. Exact for pixels, on a grid for floats.

    The result has ``count``, ``weight`` (float64; the counts where rows have no weights) and ``sum`` (float64, about
    the shift of the centres), each with a first axis over the centres of all sets. Weights count in the grid's unit.
    """

    centres: SetsParameter
    grid: Grid | None = None

    def initial(self, source: Readable) -> State:
        """Zeros."""
        k = self.centres.size
        return {
            "count": np.zeros(k, dtype=np.int64),
            "weight": np.zeros(k, dtype=np.int64),
            "sum": np.zeros((k, source.n_features), dtype=np.int64),
        }

    def chunk(self, state: State, block: Block) -> State:
        """Assign and add."""
        k = self.centres.size
        groups = nearest_labels(block, self.centres) + np.asarray(self.centres.starts[:-1], dtype=np.int64)
        state["count"] += np.bincount(groups.ravel(), minlength=k)
        if self.grid is None:
            state["sum"] += pixel_sums(block.features, groups, k)
            return state
        from fmnist_dask.kernels.compiled import add_scaled

        weights = weights_of(block, self.grid)
        add_scaled(block.features, self.grid.shift.values, weights, self.grid.scale.values, groups, state["sum"])
        scaled = np.rint(weights * self.grid.weight_scale).astype(np.int64)
        for column in groups.T:
            np.add.at(state["weight"], column, scaled)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add."""
        for name, values in right.items():
            left[name] += values
        return left

    def aggregate(self, state: State, source: Readable) -> State:
        """In the units of the features."""
        if self.grid is None:
            return {"count": state["count"], "weight": state["count"].astype(float), "sum": state["sum"].astype(float)}
        return {
            "count": state["count"],
            "weight": state["weight"] / self.grid.weight_scale,
            "sum": state["sum"] / self.grid.scale.values,
        }

    def state_bytes(self, source: Readable) -> int:
        """An integer a feature of each centre."""
        return 8 * self.centres.size * (source.n_features + 2)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels, groups, weights, and sums of one block."""
        groups = rows * (8 * len(self.centres) + 24)
        return label_bytes(rows, self.centres, source) + groups + 12 * self.centres.size * source.n_features


@dataclass(frozen=True)
class FarthestSamples(Reduction):
    """For each set, the samples farthest from their centre, with their features; ties go to the earlier row.

    The result is a list over sets of ``{"distance" (squared), "row", "features", "label", "weight"}``, farthest first.
    """

    centres: SetsParameter
    counts: tuple[int, ...]
    weighted: bool = False

    def initial(self, source: Readable) -> list[State]:
        """Nothing."""
        return [{} for _ in self.counts]

    def chunk(self, state: list[State], block: Block) -> list[State]:
        """The farthest of one block."""
        found = []
        for position, count in enumerate(self.counts):
            distances = nearest_distances(block, self.centres, position) if count else np.zeros(0)
            index = smallest(-distances, count) if count else np.zeros(0, dtype=np.int64)
            found.append(
                {
                    "distance": distances[index],
                    "row": block.rows[index],
                    "features": block.features[index],
                    "label": nearest_labels(block, self.centres)[index, position],
                    "weight": block.array("sample_weight")[index].astype(float)
                    if self.weighted
                    else np.ones(len(index)),
                }
            )
        return self.combine(state, found)

    def combine(self, left: list[State], right: list[State]) -> list[State]:
        """Keep the farthest of both."""
        merged = []
        for count, one, other in zip(self.counts, left, right, strict=True):
            if not one or not other:
                merged.append(one or other)
                continue
            joined = {name: np.concatenate([one[name], other[name]]) for name in one}
            order = np.lexsort((joined["row"], -joined["distance"]))[:count]
            merged.append({name: values[order] for name, values in joined.items()})
        return merged

    def state_bytes(self, source: Readable) -> int:
        """The samples."""
        return sum(self.counts) * (row_bytes(source) + 40)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels and distances."""
        return label_bytes(rows, self.centres, source) + 16 * rows * len(self.counts)


@dataclass(frozen=True)
class Race(Reduction):
    """For each set of candidates, samples drawn with probability proportional to their squared distance from it.

    ``count`` samples win a race of exponential clocks, −log(u) / (w d²), which draws without replacement by these
    weights (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006) and needs no sum in advance:
    one round of k-means|| takes one pass.

    The result is a list over sets of ``{"key", "row", "features"}``, by row.
    """

    centres: SetsParameter
    count: int
    seed: int
    round: int
    weighted: bool = False

    def initial(self, source: Readable) -> list[State]:
        """Nobody has run yet."""
        return [{} for _ in range(len(self.centres))]

    def chunk(self, state: list[State], block: Block) -> list[State]:
        """The fastest of one block."""
        found = []
        for position in range(len(self.centres)):
            speed = nearest_distances(block, self.centres, position)
            if self.weighted:
                speed = speed * block.array("sample_weight")
            stream = RACE_STREAM + self.round * len(self.centres) + position
            drawn = uniform(self.seed, block.rows, stream)
            with np.errstate(divide="ignore"):
                key = np.where(speed > 0, -np.log1p(-drawn) / speed, np.inf)
            index = smallest(key, self.count)
            index = np.sort(index[np.isfinite(key[index])])
            found.append({"key": key[index], "row": block.rows[index], "features": block.features[index]})
        return self.combine(state, found)

    def combine(self, left: list[State], right: list[State]) -> list[State]:
        """Keep the fastest of both."""
        merged = []
        for one, other in zip(left, right, strict=True):
            if not one or not other:
                merged.append(one or other)
                continue
            joined = {name: np.concatenate([one[name], other[name]]) for name in one}
            order = np.sort(np.lexsort((joined["row"], joined["key"]))[: self.count])
            merged.append({name: values[order] for name, values in joined.items()})
        return merged

    def state_bytes(self, source: Readable) -> int:
        """The samples."""
        return len(self.centres) * self.count * (row_bytes(source) + 24)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels, distances and clocks."""
        return label_bytes(rows, self.centres, source) + 48 * rows
