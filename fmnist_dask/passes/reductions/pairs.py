"""Moments of all pairs of features over the rows where both are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.layout import MISSING
from fmnist_dask.kernels.gram import OFFSET
from fmnist_dask.kernels.gram import PANEL_ROWS as EXACT_ROWS
from fmnist_dask.kernels.low_rank import rounded, rounder
from fmnist_dask.kernels.projection import PANEL_ROWS, panels
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.typing import AnyArray, BoolArray

State = dict[str, Any]
#: Of a block whose pixels are partly missing, what it has beside its image: as it was, which pixels are hidden,
#: missing, and there; in the size of the image.
MASK_ROOMS = 4


def observed_features(block: Block) -> BoolArray:
    """Which features of a block are there, shape (m, d): of images by their mask, of vectors those that are numbers."""

    def make() -> BoolArray:
        if block.feature_array != "image":
            features = block.features
            whole: BoolArray = np.ones(features.shape, np.bool_)
            return ~np.isnan(features) if features.dtype.kind == "f" else whole
        there = ~block.array(MISSING)
        channels = block.features.shape[1] // there[0].size if len(there) else 1
        flat = there.reshape(len(there), -1)
        return np.repeat(flat, channels, axis=1) if channels > 1 else flat

    return block.memo("observed features", make)


@dataclass(frozen=True)
class FeatureRange(Reduction):
    """``low`` and ``high`` of each feature where it is there, and ``count``, how often it is."""

    def initial(self, source: Readable) -> State:
        """Nothing seen."""
        d = source.n_features
        return {"low": np.full(d, np.inf), "high": np.full(d, -np.inf), "count": np.zeros(d, np.int64)}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features, there = block.features, observed_features(block)
        if len(block):
            low, high = np.where(there, features, np.inf).min(axis=0), np.where(there, features, -np.inf).max(axis=0)
            found = {"low": low, "high": high, "count": there.sum(axis=0)}
            return self.combine(state, found)
        return state

    def combine(self, left: State, right: State) -> State:
        """Keep extremes."""
        return {
            "low": np.minimum(left["low"], right["low"]),
            "high": np.maximum(left["high"], right["high"]),
            "count": left["count"] + right["count"],
        }

    def state_bytes(self, source: Readable) -> int:
        """Three numbers a feature."""
        return 24 * source.n_features

    def task_bytes(self, source: Readable, rows: int) -> int:
        """All rows as float64, and which values are there."""
        return (16 + MASK_ROOMS) * rows * source.n_features


@dataclass(frozen=True)
class ValueGrid:
    """Where the sums of floats lie, so that they are exact: values are ``shift + unit · v`` with v between −1 and 1.

    Attributes
    ----------
    shift, unit : float64 arrays, shape (d,)
        Units are powers of two.
    rounder
        Of sums of products; see :func:`~fmnist_dask.kernels.low_rank.rounder`.
    """

    shift: ArrayParameter
    unit: ArrayParameter
    rounder: float

    @classmethod
    def of(cls, low: AnyArray, high: AnyArray, n: int) -> ValueGrid:
        """From the range of each feature; of one that is never there it is empty."""
        seen = low <= high
        low, high = np.where(seen, low, 0.0), np.where(seen, high, 0.0)
        half = np.maximum((high - low) / 2, np.finfo(float).tiny * 2**60)
        unit = 2.0 ** np.ceil(np.log2(half))
        return cls(ArrayParameter(low + (high - low) / 2), ArrayParameter(unit), rounder(2.0 * n))


@dataclass(frozen=True)
class ObservedSums(Reduction):
    """``sum`` and ``square`` of each feature where it is there, about the grid's ``shift``, and ``count``."""

    grid: ValueGrid

    def initial(self, source: Readable) -> State:
        """Zeros."""
        d = source.n_features
        return {"sum": np.zeros(d), "square": np.zeros(d), "count": np.zeros(d, np.int64)}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features, there = block.features, observed_features(block)
        for part in panels(block.rows):
            x = np.where(there[part], features[part], self.grid.shift.values)
            x = (x - self.grid.shift.values) / self.grid.unit.values
            state["sum"] += rounded(x.sum(axis=0), self.grid.rounder)
            state["square"] += rounded(np.square(x).sum(axis=0), self.grid.rounder)
            state["count"] += there[part].sum(axis=0)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add."""
        return {name: left[name] + right[name] for name in left}

    def aggregate(self, state: State, source: Readable) -> Any:
        """``mean`` and ``variance`` of each feature; of one that is never there, of all."""
        unit, count = self.grid.unit.values, np.maximum(state["count"], 1)
        mean, square = state["sum"] / count, state["square"] / count
        variance = np.maximum(square - np.square(mean), 0.0) * np.square(unit)
        mean = self.grid.shift.values + mean * unit
        seen = state["count"] > 0
        if not seen.all() and seen.any():
            mean[~seen] = np.average(mean, weights=state["count"])
        return {"mean": mean, "variance": variance, "count": state["count"]}

    def state_bytes(self, source: Readable) -> int:
        """Three numbers a feature."""
        return 24 * source.n_features

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A panel as float64, and which values of all rows are there."""
        return (32 * PANEL_ROWS + MASK_ROOMS * rows) * source.n_features


@dataclass(frozen=True)
class ObservedSubset(RandomSubset):
    """A random subset of rows, and which of their features are there: ``observed``."""

    def beside(self, block: Block, index: AnyArray) -> State:
        """Which features are there."""
        return {"observed": observed_features(block)[index]}

    def state_bytes(self, source: Readable) -> int:
        """Twice the features, at most."""
        return 2 * super().state_bytes(source)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """Twice the features, at most."""
        return 2 * super().part_bytes(source, rows)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Which features of all rows are there."""
        return super().task_bytes(source, rows) + MASK_ROOMS * rows * source.n_features

    def kept_as(self) -> Any:
        """Nothing is kept of rows that are seen through a mask."""
        return None


@dataclass(frozen=True)
class PairMoments(Reduction):
    """Of all pairs of features: how often both are observed, and sums over the rows where they are. Exact for pixels.

    ``both`` is ``Σ o oᵀ``, ``sum`` is ``Σ (x − s) oᵀ`` (of the first where both are there), ``product`` is
    ``Σ (x − s)(x − s)ᵀ``, of the result's ``shift`` s; ``low`` and ``high`` are the extremes of each feature.
    ``beside`` counts, for each feature, the missing values of the rows where it is observed.

    Attributes
    ----------
    grid
        Of floats, whose sums are rounded to it, so that they are the same in any order.
    """

    grid: ValueGrid | None = None

    def initial(self, source: Readable) -> State:
        """Zeros."""
        d = source.n_features
        low = np.full(d, np.inf) if self.grid else np.full(d, 255, np.uint8)
        return {
            "n": 0,
            "both": np.zeros((d, d)),
            "sum": np.zeros((d, d)),
            "product": np.zeros((d, d)),
            "beside": np.zeros(d, np.int64),
            "low": low,
            "high": -low if self.grid else np.zeros(d, np.uint8),
        }

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        there = observed_features(block)
        if self.grid is None:
            self._add_pixels(state, block, there)
        else:
            self._add_floats(state, block, there, self.grid)
        if len(block):
            low, high = (np.inf, -np.inf) if self.grid else (255, 0)
            state["low"] = np.minimum(state["low"], np.where(there, block.features, low).min(axis=0))
            state["high"] = np.maximum(state["high"], np.where(there, block.features, high).max(axis=0))
        state["n"] += len(block)
        return state

    def _add_pixels(self, state: State, block: Block, there: BoolArray) -> None:
        features = block.features
        for start in range(0, len(block), EXACT_ROWS):
            part = slice(start, start + EXACT_ROWS)
            o = there[part].astype(np.float32)
            x = features[part].astype(np.float32)
            x -= OFFSET
            x *= o
            # Integers of at most 2²⁴ in float32, and of at most 2⁵³ in float64: nothing is rounded.
            if there[part].all():
                state["both"] += len(x)
                state["sum"] += x.sum(axis=0)[:, None]
            else:
                state["both"] += o.T @ o
                state["sum"] += x.T @ o
            state["product"] += x.T @ x
            missing = o.shape[1] - o.sum(axis=1, dtype=np.int64)
            state["beside"] += (missing[:, None] * there[part]).sum(axis=0)

    def _add_floats(self, state: State, block: Block, there: BoolArray, grid: ValueGrid) -> None:
        features = block.features
        for part in panels(block.rows):
            o = there[part].astype(np.float64)
            x = features[part].astype(np.float64)
            x[~there[part]] = 0.0  # not a product: they may be NaN
            x -= grid.shift.values * o
            x /= grid.unit.values
            state["both"] += o.T @ o
            state["sum"] += rounded(x.T @ o, grid.rounder)
            state["product"] += rounded(x.T @ x, grid.rounder)
            missing = o.shape[1] - there[part].sum(axis=1)
            state["beside"] += (missing[:, None] * there[part]).sum(axis=0)

    def combine(self, left: State, right: State) -> State:
        """Add; keep extremes."""
        for name in ("both", "sum", "product", "beside"):
            left[name] += right[name]
        left["n"] += right["n"]
        left["low"] = np.minimum(left["low"], right["low"])
        left["high"] = np.maximum(left["high"], right["high"])
        return left

    def aggregate(self, state: State, source: Readable) -> Any:
        """In units of the features."""
        d = source.n_features
        if self.grid is None:
            return state | {"shift": np.full(d, float(OFFSET))}
        unit = self.grid.unit.values
        moved = {"sum": state["sum"] * unit[:, None], "product": state["product"] * unit[:, None] * unit}
        return state | moved | {"shift": self.grid.shift.values}

    def state_bytes(self, source: Readable) -> int:
        """Three numbers a pair of features."""
        return 8 * source.n_features * (3 * source.n_features + 8)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Products of one panel, the panel, and which features of all rows are there."""
        d = source.n_features
        panel = 24 * EXACT_ROWS * d if self.grid is None else 32 * PANEL_ROWS * d
        return (12 if self.grid is None else 24) * d * d + panel + (MASK_ROOMS + 8 * bool(self.grid)) * rows * d


def merged_pairs(left: State, right: State) -> State:
    """Results of :class:`PairMoments` of different rows as one, about the shift of the first."""
    by = right["shift"] - left["shift"]
    both, total = right["both"], right["sum"]
    product = right["product"] + by * total + (by * total).T + np.outer(by, by) * both
    moved = {"sum": total + by[:, None] * both, "product": product}
    found = {name: left[name] + {**right, **moved}[name] for name in ("n", "both", "sum", "product", "beside")}
    found["low"], found["high"] = np.minimum(left["low"], right["low"]), np.maximum(left["high"], right["high"])
    return found | {"shift": left["shift"]}
