"""What low-rank models of partly missing pixels are made of, and how good what they fill in is."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.low_rank import LowRankGaussian, rounded
from fmnist_dask.kernels.projection import PANEL_ROWS, panels
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.pairs import MASK_ROOMS, observed_features
from fmnist_dask.typing import AnyArray

State = dict[str, Any]


@dataclass(frozen=True)
class ModelParameter:
    """A low-rank Gaussian as a parameter of a reduction."""

    centre: ArrayParameter
    inverse_scale: ArrayParameter
    factors: ArrayParameter
    noise: float
    nonnegative: bool = False
    orthogonal: bool = True

    @classmethod
    def of(
        cls,
        centre: AnyArray,
        scale: AnyArray,
        factors: AnyArray,
        noise: float,
        nonnegative: bool = False,
        orthogonal: bool = True,
    ) -> ModelParameter:
        """From arrays of float64."""
        made = [ArrayParameter(np.ascontiguousarray(array, np.float32)) for array in (1 / scale, factors)]
        about = ArrayParameter(np.ascontiguousarray(centre, np.float64))
        return cls(about, made[0], made[1], noise, nonnegative, orthogonal)

    @functools.cached_property
    def model(self) -> LowRankGaussian:
        """As the kernels take it; kept, since what it has worked out serves all blocks."""
        arrays = (self.centre.values, self.inverse_scale.values, self.factors.values)
        return LowRankGaussian(*arrays, self.noise, self.nonnegative, self.orthogonal)

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = (self.centre, self.inverse_scale, self.factors)
        return ModelParameter, (*arrays, self.noise, self.nonnegative, self.orthogonal)

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


@dataclass(frozen=True)
class CodeMoments(Reduction):
    """Sums over rows and their codes, from which the best factors for these codes follow; for any number of features.

    In the model's units, about its centre: ``code_product`` is ``Σ z zᵀ``, ``code_sum`` is ``Σ z``, ``cross`` is
    ``Σ z xᵀ`` with x filled in by the model where it is missing; ``count`` of each feature; ``error``, the squared
    residuals of observed values, ``filled_sum`` is ``Σ x``, and ``alone`` as in :class:`FilledMoments`.

    Attributes
    ----------
    model
        See :class:`ModelParameter`.
    rounder
        Of sums of products; see :func:`~fmnist_dask.kernels.low_rank.rounder`.
    observed_only
        Whether ``cross`` counts what is observed alone.
    """

    model: ModelParameter
    rounder: float
    observed_only: bool = False

    def initial(self, source: Readable) -> State:
        """Zeros."""
        d, k = source.n_features, len(self.model.factors.values)
        return {
            "n": 0,
            "code_product": np.zeros((k, k)),
            "cross": np.zeros((k, d)),
            "code_sum": np.zeros(k),
            "filled_sum": np.zeros(d),
            "count": np.zeros(d, np.int64),
            "error": 0.0,
            "alone": np.zeros(d),
        }

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features, there = block.features, observed_features(block)
        for part in panels(block.rows):
            self.add(state, features[part], there[part])
        return state

    def add(self, state: State, features: AnyArray, there: AnyArray) -> None:
        """Add some rows."""
        model = self.model.model
        over_features = self.rounder * 2.0 ** (features.shape[1].bit_length() + 4)
        o = there.astype(np.float32)
        x = model.centred(features, there)
        codes = model.codes(x, None if there.all() else o)
        filled = codes @ model.factors
        residual = (x - filled) * o
        alone = residual / (1 - model.leverages(o.mean(axis=1, dtype=np.float32)))
        filled += residual
        state["n"] += len(features)
        state["code_product"] += rounded(codes.T @ codes, self.rounder)
        state["cross"] += rounded(codes.T @ (x if self.observed_only else filled), self.rounder)
        state["filled_sum"] += rounded(filled.sum(axis=0), self.rounder)
        state["code_sum"] += rounded(codes.sum(axis=0), self.rounder)
        state["count"] += there.sum(axis=0)
        state["error"] += float(rounded(np.square(residual).sum(dtype=np.float64), over_features))
        state["alone"] += rounded(np.square(alone).sum(axis=0), self.rounder)

    def combine(self, left: State, right: State) -> State:
        """Add; rounded sums are exact."""
        for name in left:
            left[name] += right[name]
        return left

    def state_bytes(self, source: Readable) -> int:
        """Products of codes with each other and with features."""
        k = len(self.model.factors.values)
        return 8 * (k * k + (k + 3) * source.n_features)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The products of one panel, its codes, and which features of all rows are there."""
        k, d = self.model.factors.values.shape
        return int(12 * k * (k + d) + self.model.work_bytes() + MASK_ROOMS * rows * d)
