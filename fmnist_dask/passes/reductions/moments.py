"""Range and moments of each feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.nearest import column_moments
from fmnist_dask.passes.parameters import Grid
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import AnyArray

State = dict[str, Any]


@dataclass(frozen=True)
class Moments(Reduction):
    """Rows, and sum and sum of squares of each feature. Exact for pixels, on a grid for floats.

    The result has ``n``, ``weight`` (``n`` where rows have no weights), ``sum`` and ``square`` (float64 arrays of shape
    (d,), about the grid's shift). Weights count in the grid's unit.
    """

    grid: Grid | None = None

    def initial(self, source: Readable) -> State:
        """Zeros."""
        return {"n": 0, "weight": 0, "sum": _zeros(source), "square": _zeros(source)}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features = block.features
        state["n"] += len(block)
        if self.grid is None:
            total, square = block.memo("moments", lambda: column_moments(features))
            state["weight"] += len(block)
            state["sum"] += total
            state["square"] += square
            return state
        from fmnist_dask.kernels.compiled import add_scaled, add_scaled_squares

        weights = weights_of(block, self.grid)
        groups = np.zeros((len(block), 1), dtype=np.int64)
        add_scaled(features, self.grid.shift.values, weights, self.grid.scale.values, groups, state["sum"][None])
        add_scaled_squares(features, self.grid.shift.values, weights, self.grid.square_scale.values, state["square"])
        state["weight"] += int(np.rint(weights * self.grid.weight_scale).astype(np.int64).sum())
        return state

    def combine(self, left: State, right: State) -> State:
        """Add."""
        return {name: left[name] + right[name] for name in left}

    def aggregate(self, state: State, source: Readable) -> State:
        """In the units of the features."""
        scales: tuple[Any, Any, Any] = (1.0, 1.0, 1.0)
        if self.grid is not None:
            scales = (self.grid.weight_scale, self.grid.scale.values, self.grid.square_scale.values)
        return {
            "n": state["n"],
            "weight": state["weight"] / scales[0],
            "sum": state["sum"] / scales[1],
            "square": state["square"] / scales[2],
        }

    def state_bytes(self, source: Readable) -> int:
        """Two integers a feature."""
        return 16 * source.n_features + 64

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Group and weight of each row."""
        return 0 if self.grid is None else 40 * rows


@dataclass(frozen=True)
class FeatureRange(Reduction):
    """Lowest and highest value of each float feature, values that are not finite, and the range of the weights."""

    weighted: bool = False

    def initial(self, source: Readable) -> State:
        """Nothing seen."""
        d = source.n_features
        return {
            "n": 0,
            "low": np.full(d, np.inf),
            "high": np.full(d, -np.inf),
            "not_finite": 0,
            "first_not_finite": -1,
            "weights": [np.inf, -np.inf],
            "weights_not_finite": 0,
            "least_weight": np.inf,
        }

    def chunk(self, state: State, block: Block) -> State:
        """Look at one block."""
        features = block.features
        finite = np.isfinite(features)
        if not finite.all():
            state["not_finite"] += int(finite.size - finite.sum())
            if state["first_not_finite"] < 0:
                state["first_not_finite"] = int(block.rows[int(np.flatnonzero(~finite.all(axis=1))[0])])
            features = np.where(finite, features, 0)
        found: State = {
            "n": len(block),
            "low": features.min(axis=0).astype(np.float64),
            "high": features.max(axis=0).astype(np.float64),
            "not_finite": 0,
            "first_not_finite": -1,
            "weights": [np.inf, -np.inf],
            "weights_not_finite": 0,
            "least_weight": np.inf,
        }
        if self.weighted:
            given = block.array("sample_weight")
            weights = given[np.isfinite(given)]
            found["weights_not_finite"] = len(given) - len(weights)
            found["weights"] = [float(weights.min(initial=np.inf)), float(weights.max(initial=-np.inf))]
            found["least_weight"] = float(weights[weights > 0].min(initial=np.inf))
        return self.combine(state, found)

    def combine(self, left: State, right: State) -> State:
        """Widen."""
        first = left["first_not_finite"] if left["first_not_finite"] >= 0 else right["first_not_finite"]
        low, high = min(left["weights"][0], right["weights"][0]), max(left["weights"][1], right["weights"][1])
        return {
            "n": left["n"] + right["n"],
            "low": np.minimum(left["low"], right["low"]),
            "high": np.maximum(left["high"], right["high"]),
            "not_finite": left["not_finite"] + right["not_finite"],
            "first_not_finite": first,
            "weights": [low, high],
            "weights_not_finite": left["weights_not_finite"] + right["weights_not_finite"],
            "least_weight": min(left["least_weight"], right["least_weight"]),
        }

    def state_bytes(self, source: Readable) -> int:
        """Two floats a feature."""
        return 16 * source.n_features + 256

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Which values are finite, and the values without the others."""
        return rows * source.n_features * (1 + np.dtype(source.feature_dtype).itemsize)


def weights_of(block: Block, grid: Grid) -> AnyArray:
    """Weight of each row in the grid's unit, float64; ones where rows have none."""
    if grid.weighted:
        return block.array("sample_weight").astype(np.float64) / grid.weight_unit
    return np.ones(len(block))


def _zeros(source: Readable) -> AnyArray:
    return np.zeros(source.n_features, dtype=np.int64)
