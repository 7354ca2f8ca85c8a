"""What a pass gathers about sets of centres: sums of each cluster, its members, the farthest samples, candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.counter_random import uniform
from fmnist_dask.kernels.nearest import nearest, nearest_bytes, pixel_sums, squared_distances
from fmnist_dask.passes.parameters import Grid, SetsParameter
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.passes.reductions.images import Ranked, merge_ranked_by, rank_rows, smallest, thumbnail_bytes
from fmnist_dask.passes.reductions.moments import weights_of
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import AnyArray

State = dict[str, Any]
#: Streams of random numbers of k-means||: one for each round of each start.
RACE_STREAM = 9201


def _labels(block: Block, parameter: SetsParameter) -> AnyArray:
    """Nearest centre in each set, found once for all that ask."""
    return block.memo(("nearest", parameter), lambda: nearest(block.features, parameter.sets))


def _distances(block: Block, parameter: SetsParameter, position: int = 0) -> AnyArray:
    """Squared distance to the nearest centre of one set, found once for all that ask."""

    def measure() -> AnyArray:
        sets = parameter.sets
        labels = _labels(block, parameter)[:, position] + sets.starts[position]
        return squared_distances(block.features, sets, labels)

    return block.memo(("distance", parameter, position), measure)


def _label_bytes(rows: int, parameter: SetsParameter, source: Readable) -> int:
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
        groups = _labels(block, self.centres) + np.asarray(self.centres.starts[:-1], dtype=np.int64)
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
        return _label_bytes(rows, self.centres, source) + groups + 12 * self.centres.size * source.n_features


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
            distances = _distances(block, self.centres, position) if count else np.zeros(0)
            index = smallest(-distances, count) if count else np.zeros(0, dtype=np.int64)
            found.append(
                {
                    "distance": distances[index],
                    "row": block.rows[index],
                    "features": block.features[index],
                    "label": _labels(block, self.centres)[index, position],
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
        return _label_bytes(rows, self.centres, source) + 16 * rows * len(self.counts)


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
            speed = _distances(block, self.centres, position)
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
        return _label_bytes(rows, self.centres, source) + 48 * rows


@dataclass(frozen=True)
class ClusterMembers(Reduction):
    """What the clusters of one set of centres hold: classes, mean image, the nearest and the farthest images.

    The result has ``composition`` (cluster, 1 + classes: first those that are not labelled), ``pixel_sum`` (cluster,
    pixels; int64), ``squares`` (cluster; sum of squared distances), and ``nearest``,
    ``farthest``: ``{cluster: {"key", "row", "image"}}`` with keys that are squared distances, negated for
    the farthest.

    Attributes
    ----------
    classes
        Classes of the collection.
    examples
        Images of each list.
    scale
        Squared distances count as ``round(d² * scale)``, so that they add up to the same in any order.
    """

    centres: SetsParameter
    classes: int
    examples: int
    scale: float

    def initial(self, source: Readable) -> State:
        """Zeros."""
        k = self.centres.size
        return {
            "squares": np.zeros(k, dtype=np.int64),
            "composition": np.zeros((k, 1 + self.classes), dtype=np.int64),
            "pixel_sum": np.zeros((k, source.image_bytes), dtype=np.int64),
            "nearest": {},
            "farthest": {},
        }

    def chunk(self, state: State, block: Block) -> State:
        """Assign, count, rank."""
        k = self.centres.size
        labels = _labels(block, self.centres)[:, 0]
        distances = _distances(block, self.centres)
        known = np.clip(block.label.astype(np.int64) + 1, 0, self.classes)
        flat = labels * (1 + self.classes) + known
        counts = np.bincount(flat, minlength=k * (1 + self.classes))
        near: dict[Any, Ranked] = {}
        far: dict[Any, Ranked] = {}
        for cluster in np.unique(labels).tolist() if self.examples else []:
            members = np.flatnonzero(labels == cluster)
            near[cluster] = rank_rows(distances, block, members, self.examples)
            far[cluster] = rank_rows(-distances, block, members, self.examples)
        squares = np.zeros(k, dtype=np.int64)
        np.add.at(squares, labels, np.rint(distances * self.scale).astype(np.int64))
        found = {
            "squares": squares,
            "composition": counts.reshape(k, 1 + self.classes),
            "pixel_sum": pixel_sums(block.image.reshape(len(block), -1), labels[:, None].astype(np.int64), k),
            "nearest": near,
            "farthest": far,
        }
        return self.combine(state, found)

    def combine(self, left: State, right: State) -> State:
        """Add, and keep the best of both."""
        for name in ("squares", "composition", "pixel_sum"):
            left[name] += right[name]
        return {
            **left,
            "nearest": merge_ranked_by(left["nearest"], right["nearest"], self.examples),
            "farthest": merge_ranked_by(left["farthest"], right["farthest"], self.examples),
        }

    def aggregate(self, state: State, source: Readable) -> State:
        """Squared distances as floats."""
        return {**state, "squares": state["squares"] / self.scale}

    def state_bytes(self, source: Readable) -> int:
        """Sums and thumbnails."""
        examples = 2 * self.examples * (thumbnail_bytes(source) + 24)
        return self.centres.size * (8 * (source.image_bytes + 1 + self.classes) + examples)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels, distances, sums of one block, and chosen images before they are reduced."""
        sums = 12 * self.centres.size * source.image_bytes
        images = 0 if source.feature_dtype == "uint8" else rows * source.image_bytes
        return _label_bytes(rows, self.centres, source) + 40 * rows + sums + images


@dataclass(frozen=True)
class Assignment(Column):
    """Cluster of each sample (``labels``, −1 outside of the split) and distance to its centre (``distance``).

    Attributes
    ----------
    unit
        Length that counts as 1: 255 for pixels, so that distances are those of images scaled to [0, 1].
    """

    centres: SetsParameter
    unit: float = 1.0

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Both."""
        return {
            "labels": Variable("int32", attrs=(("long_name", "cluster"),), fill_value=-1),
            "distance": Variable("float32", attrs=(("long_name", "distance to the centre"),), fill_value=float("nan")),
        }

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Assign and measure."""
        return {
            "labels": _labels(block, self.centres)[:, 0],
            "distance": (np.sqrt(_distances(block, self.centres)) / self.unit).astype(np.float32),
        }

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels and distances."""
        return _label_bytes(rows, self.centres, source) + 40 * rows
