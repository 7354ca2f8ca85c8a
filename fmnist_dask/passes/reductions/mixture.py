"""Sums that mixtures of Gaussians are made of, over rows that lack values, and images filled in by mixtures."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.low_rank import Filled, rounded
from fmnist_dask.kernels.mixture import (
    CANDIDATES,
    LEAST_WEIGHT,
    GaussianMixture,
    both_triangles,
    solve_missing,
)
from fmnist_dask.kernels.projection import PANEL_ROWS, panels
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.passes.reductions.pairs import MASK_ROOMS, observed_features
from fmnist_dask.typing import AnyArray, BoolArray

State = dict[str, Any]
#: Covariances of what is missing are added up for one row in so many, which counts as often.
EVERY = 3
#: Memory of numba in a process that has not used it before.
COMPILER_BYTES = 64 * 2**20


@dataclass(frozen=True)
class MixtureParameter:
    """A mixture as a parameter of a reduction; see :class:`~fmnist_dask.kernels.mixture.GaussianMixture`."""

    centre: ArrayParameter
    precision: ArrayParameter
    log_weight: ArrayParameter
    guide: ModelParameter

    @functools.cached_property
    def mixture(self) -> GaussianMixture:
        """As the kernels take it; kept, since what it has worked out serves all blocks."""
        arrays = (self.centre.values, self.precision.values, self.log_weight.values)
        return GaussianMixture(*arrays, self.guide.model)

    def __reduce__(self) -> tuple[Any, ...]:
        return MixtureParameter, (self.centre, self.precision, self.log_weight, self.guide)

    def work_bytes(self) -> int:
        """Memory of what is expected of one panel."""
        d = self.centre.values.shape[1]
        return int(COMPILER_BYTES + self.guide.work_bytes() + 4 * PANEL_ROWS * d * (3 * CANDIDATES + 12) + 16 * d * d)


@dataclass(frozen=True)
class GroupMoments(Reduction):
    """Sums over the rows of each group: about its centre, filled in, with what is uncertain about that.

    ``count`` is the weight of rows; ``weight`` and ``sum``, ``product`` are sums of weights, of rows and of their
    products, in which rows that vary more than others count less.

    Attributes
    ----------
    mixture
        Components. With ``groups`` there is one, and groups are those of the guide's codes.
    rounder
        Of sums of products; see :func:`~fmnist_dask.kernels.low_rank.rounder`.
    groups : float32 arrays, shapes (g, q) and (g, d), and (q,)
        Centres in weighted codes, and in features; weights of the codes.
    """

    mixture: MixtureParameter
    rounder: float
    groups: tuple[ArrayParameter, ArrayParameter, ArrayParameter] | None = None

    @property
    def count(self) -> int:
        """Groups."""
        return len(self.groups[0].values if self.groups else self.mixture.centre.values)

    def initial(self, source: Readable) -> State:
        """Zeros."""
        g, d = self.count, source.n_features
        found = {name: np.zeros(g) for name in ("count", "weight")}
        return found | {"sum": np.zeros((g, d)), "product": np.zeros((g, d, d))}

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features, there = block.features, observed_features(block)
        for part in panels(block.rows):
            x, o = features[part].astype(np.float32), there[part]
            turn = np.where(block.rows[part] % EVERY == 0, EVERY, 0).astype(np.float32)
            if self.groups:
                self._add_groups(state, x, o, turn, *self.groups)
            else:
                self._add_components(state, x, o, turn)
        return state

    def _add_groups(
        self,
        state: State,
        x: AnyArray,
        o: BoolArray,
        turn: AnyArray,
        centres: ArrayParameter,
        about: ArrayParameter,
        weights: ArrayParameter,
    ) -> None:
        """Rows of the nearest group each, filled in by the single component."""
        mixture = self.mixture.mixture
        codes = mixture.guess(x, o)[0] * weights.values
        off = np.square(codes).sum(axis=1)[:, None] - 2 * codes @ centres.values.T
        nearest = (off + np.square(centres.values).sum(axis=1)).argmin(axis=1)
        for group in np.unique(nearest):
            rows = nearest == group
            filled, covariance = self._filled(0, x[rows], o[rows], turn[rows])
            self._add(state, group, filled - about.values[group], np.ones(len(filled), np.float32), covariance)
            state["count"][group] += len(filled)

    def _add_components(self, state: State, x: AnyArray, o: BoolArray, turn: AnyArray) -> None:
        """Rows of all components that they may be of."""
        found = self.mixture.mixture.expected(x, o)
        weight = np.where(found.weight < LEAST_WEIGHT, 0, found.weight)
        weight /= weight.sum(axis=1, keepdims=True)
        for group in np.unique(found.chosen[weight > 0]):
            rows, places = np.nonzero((found.chosen == group) & (weight > 0))
            share = weight[rows, places]
            covariance = self._filled(int(group), x[rows], o[rows], turn[rows] * share)[1]
            filled = found.filled[places, rows] - self.mixture.centre.values[group]
            self._add(state, group, filled, (share / found.scale[rows, places]).astype(np.float32), covariance)
            state["count"][group] += float(rounded(share.sum(dtype=np.float64), self.rounder))

    def _filled(self, component: int, x: AnyArray, o: BoolArray, weight: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Rows filled in by a component, and the weighted sum of the covariances of what they lack."""
        mixture, d = self.mixture.mixture, x.shape[1]
        covariance = np.zeros((d, d), np.float32)
        centre = mixture.centre[component]
        off = np.where(o, x - centre, 0).astype(np.float32)
        none = np.zeros((len(x), 0), np.int64)
        solved = solve_missing(mixture.precision[component], off, ~o, none, covariance=covariance, weight=weight)
        return centre + off + solved.found, covariance

    def _add(self, state: State, group: int, filled: AnyArray, weight: AnyArray, covariance: AnyArray) -> None:
        state["weight"][group] += float(rounded(weight.sum(dtype=np.float64), self.rounder))
        state["sum"][group] += rounded(weight @ filled, self.rounder)
        product = (filled * weight[:, None]).T @ filled
        state["product"][group] += rounded(product + both_triangles(covariance), self.rounder)

    def combine(self, left: State, right: State) -> State:
        """Add; rounded sums are exact."""
        for name in left:
            left[name] += right[name]
        return left

    def state_bytes(self, source: Readable) -> int:
        """A number a group and pair of features."""
        return 8 * self.count * (source.n_features + 1) * (source.n_features + 2)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """What is expected of a panel, products of one group, and which features of all rows are there."""
        d = source.n_features
        return 32 * d * d + self.mixture.work_bytes() + MASK_ROOMS * rows * d


@dataclass(frozen=True)
class MixtureImputer:
    """A mixture that fills in, as :class:`~fmnist_dask.passes.reductions.imputation.Imputer` does.

    Attributes
    ----------
    mixture
        Components; codes are the guide's.
    error_scale : float32 array, shape (d,)
        Of the single model; deviations are those of the components.
    model
        What gives the codes: the single model.
    """

    mixture: MixtureParameter
    error_scale: ArrayParameter
    model: ModelParameter

    def work_bytes(self) -> int:
        """Memory of one panel."""
        return self.mixture.work_bytes() + self.model.work_bytes()

    def __call__(self, features: AnyArray, observed: BoolArray) -> Filled:
        """Fill rows in."""
        found = self.mixture.mixture.expected(features.astype(np.float32), observed, judge=True)
        values = found.mean()
        deviation = found.deviation(values)
        ratios = np.full(values.shape, np.nan, np.float32)
        # Of the likeliest component, about which most of a row's weight lies.
        best = found.weight.argmax(axis=1)
        judged = found.ratio[best, np.arange(len(best))]
        rows, places = np.nonzero(found.checked >= 0)
        ratios[rows, found.checked[rows, places]] = judged[rows, places]
        np.clip(values, 0, 255, out=values)
        scale = np.sqrt(np.take_along_axis(found.scale, best[:, None], axis=1)[:, 0])
        single = self.model.model
        codes = single.codes(single.centred(features, observed), observed.astype(np.float32))
        return Filled(values, codes, scale.astype(np.float32), ratios, deviation)
