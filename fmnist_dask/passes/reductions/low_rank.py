"""What low-rank models of partly missing pixels are made of, and how good what they fill in is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.layout import MISSING
from fmnist_dask.kernels.gram import OFFSET
from fmnist_dask.kernels.gram import PANEL_ROWS as EXACT_ROWS
from fmnist_dask.kernels.low_rank import LowRankGaussian, rounded
from fmnist_dask.kernels.projection import PANEL_ROWS, panels
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import AnyArray, BoolArray

State = dict[str, Any]
#: Of a block whose pixels are partly missing, what it has beside its image: as it was, which pixels are hidden,
#: missing, and there; in the size of the image.
MASK_ROOMS = 4


def observed_features(block: Block) -> BoolArray:
    """Which features of a block are there, shape (m, d)."""

    def make() -> BoolArray:
        there = ~block.array(MISSING)
        channels = block.features.shape[1] // there[0].size if len(there) else 1
        flat = there.reshape(len(there), -1)
        return np.repeat(flat, channels, axis=1) if channels > 1 else flat

    return block.memo("observed features", make)


@dataclass(frozen=True)
class PairMoments(Reduction):
    """Of all pairs of features: how often both are observed, and sums over the rows where they are. Exact.

    ``both`` is ``Σ o oᵀ``, ``sum`` is ``Σ (x − 128) oᵀ`` (of the first where both are there), ``product`` is
    ``Σ (x − 128)(x − 128)ᵀ``; ``low`` and ``high`` are the extremes of each feature. ``beside`` counts, for each
    feature, the missing values of the rows where it is observed. By class: ``class_sum`` and ``class_count``, the last
    of them for images without a label.
    """

    def initial(self, source: Readable) -> State:
        """Zeros."""
        d, classes = source.n_features, len(source.class_names) + 1
        return {
            "n": 0,
            "both": np.zeros((d, d)),
            "sum": np.zeros((d, d)),
            "product": np.zeros((d, d)),
            "beside": np.zeros(d, np.int64),
            "low": np.full(d, 255, np.uint8),
            "high": np.zeros(d, np.uint8),
            "class_sum": np.zeros((classes, d), np.int64),
            "class_count": np.zeros((classes, d), np.int64),
        }

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features, there = block.features, observed_features(block)
        labels = np.where(block.label < 0, len(state["class_sum"]) - 1, block.label)
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
            of_class = (labels[part, None] == np.arange(len(state["class_sum"]))).astype(np.float32)
            state["class_sum"] += (of_class.T @ x).astype(np.int64)
            state["class_count"] += (of_class.T @ o).astype(np.int64)
        if len(block):
            state["low"] = np.minimum(state["low"], np.where(there, features, 255).min(axis=0))
            state["high"] = np.maximum(state["high"], np.where(there, features, 0).max(axis=0))
        state["n"] += len(block)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add; keep extremes."""
        for name in ("both", "sum", "product", "beside", "class_sum", "class_count"):
            left[name] += right[name]
        left["n"] += right["n"]
        left["low"] = np.minimum(left["low"], right["low"])
        left["high"] = np.maximum(left["high"], right["high"])
        return left

    def state_bytes(self, source: Readable) -> int:
        """Three numbers a pair of features."""
        return 8 * source.n_features * (3 * source.n_features + 2 * len(source.class_names) + 8)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Products of one panel, the panel, and which features of all rows are there."""
        d = source.n_features
        return 12 * d * d + 24 * EXACT_ROWS * d + MASK_ROOMS * rows * d


@dataclass(frozen=True)
class ModelParameter:
    """A low-rank Gaussian as a parameter of a reduction."""

    centre: ArrayParameter
    inverse_scale: ArrayParameter
    factors: ArrayParameter
    noise: float

    @classmethod
    def of(cls, centre: AnyArray, scale: AnyArray, factors: AnyArray, noise: float) -> ModelParameter:
        """From arrays of float64."""
        made = [ArrayParameter(np.ascontiguousarray(array, np.float32)) for array in (centre, 1 / scale, factors)]
        return cls(made[0], made[1], made[2], noise)

    @functools.cached_property
    def model(self) -> LowRankGaussian:
        """As the kernels take it; kept, since what it has worked out serves all blocks."""
        return LowRankGaussian(self.centre.values, self.inverse_scale.values, self.factors.values, self.noise)

    def __reduce__(self) -> tuple[Any, ...]:
        return ModelParameter, (self.centre, self.inverse_scale, self.factors, self.noise)

    def work_bytes(self) -> int:
        """Memory of the codes of one panel, and of what they are found with."""
        k, d = self.factors.values.shape
        by_pixels = 24 * d * d if 4 * k > d else 0
        return int(4 * PANEL_ROWS * (8 * d + 10 * k) + 4 * k * d + by_pixels)


@dataclass(frozen=True)
class FilledMoments(Reduction):
    """Sums over rows whose missing values are filled in by a model: the expectation step of EM.

    In the model's units, about its centre: ``product`` and ``sum`` of the filled rows; ``error``, the squared residuals
    of observed values, and ``penalty``, the squared codes; ``alone``, the squared error of each feature when its own
    value is left out, in expectation, and ``alone_count``.

    Attributes
    ----------
    model
        See :class:`ModelParameter`.
    rounder
        Of sums of products; see :func:`~fmnist_dask.kernels.low_rank.rounder`.
    """

    model: ModelParameter
    rounder: float

    def initial(self, source: Readable) -> State:
        """Zeros."""
        d = source.n_features
        return {
            "n": 0,
            "product": np.zeros((d, d)),
            "sum": np.zeros(d),
            "error": 0.0,
            "penalty": 0.0,
            "alone": np.zeros(d),
            "alone_count": np.zeros(d, np.int64),
        }

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        model, features, there = self.model.model, block.features, observed_features(block)
        over_features = self.rounder * 2.0 ** (features.shape[1].bit_length() + 4)
        for part in panels(block.rows):
            o = there[part].astype(np.float32)
            x = model.centred(features[part], there[part])
            codes = model.codes(x, o)
            filled = codes @ model.factors
            residual = (x - filled) * o
            alone = residual / (1 - model.leverages(o.mean(axis=1, dtype=np.float32)))
            filled += residual
            state["product"] += rounded(filled.T @ filled, self.rounder)
            state["sum"] += rounded(filled.sum(axis=0), self.rounder)
            state["error"] += float(rounded(np.square(residual).sum(dtype=np.float64), over_features))
            state["penalty"] += float(rounded(np.square(codes).sum(dtype=np.float64), over_features))
            state["alone"] += rounded(np.square(alone).sum(axis=0), self.rounder)
            state["alone_count"] += there[part].sum(axis=0)
        state["n"] += len(block)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add; rounded sums are exact."""
        for name in left:
            left[name] += right[name]
        return left

    def state_bytes(self, source: Readable) -> int:
        """A number a pair of features."""
        return 8 * source.n_features * (source.n_features + 4)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The product of one panel, rounded, its codes, and which features of all rows are there."""
        d = source.n_features
        return 12 * d * d + self.model.work_bytes() + MASK_ROOMS * rows * d
