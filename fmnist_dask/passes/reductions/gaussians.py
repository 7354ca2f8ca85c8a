"""What a pass gathers about a mixture of Gaussians: the sums of EM, and whose each sample is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.gaussians import (
    LIKELIHOOD_BITS,
    Gaussians,
    MixtureScales,
    MixtureSums,
    add_sums,
    mixture_bytes,
    responsibilities,
)
from fmnist_dask.kernels.projection import panels
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.typing import AnyArray

State = dict[str, Any]


@dataclass(frozen=True)
class GaussiansParameter:
    """A mixture as a parameter; see :class:`~fmnist_dask.kernels.gaussians.Gaussians`."""

    weight: ArrayParameter
    mean: ArrayParameter
    root: ArrayParameter

    @classmethod
    def of(cls, mixture: Gaussians) -> GaussiansParameter:
        """From what the kernels take."""
        return cls(ArrayParameter(mixture.weight), ArrayParameter(mixture.mean), ArrayParameter(mixture.root))

    @functools.cached_property
    def mixture(self) -> Gaussians:
        """As the kernels take it."""
        return Gaussians(self.weight.values, self.mean.values, self.root.values)

    def __reduce__(self) -> tuple[Any, ...]:
        return GaussiansParameter, (self.weight, self.mean, self.root)

    def shares(self, block: Block) -> tuple[AnyArray, AnyArray]:
        """Probabilities of the components and logarithm of the density, found once for all that ask."""
        return block.memo(
            ("shares", self), lambda: responsibilities(self.mixture.log_joint(block.features, block.rows))
        )

    def labels(self, block: Block) -> AnyArray:
        """Likeliest component of each sample of a block, int32."""
        likeliest: AnyArray = self.shares(block)[0].argmax(axis=1)
        return likeliest.astype(np.int32)

    def work_bytes(self, rows: int) -> int:
        """Memory of what is worked out for some rows."""
        k, d = self.mean.values.shape
        return mixture_bytes(d, k, self.mixture.kind, rows)


@dataclass(frozen=True)
class EMSums(Reduction):
    """Sums of one iteration of EM, about the means of the mixture.

    The result has ``weight`` (k,), ``first`` (k, d), ``second`` (k, d, d) or (k, d), all int64 in the units of the
    scales, and ``log_likelihood``, a float.
    """

    mixture: GaussiansParameter
    weight_scale: float
    first_scale: ArrayParameter
    second_scale: ArrayParameter

    @classmethod
    def of(cls, mixture: Gaussians, scales: MixtureScales) -> EMSums:
        """From what the kernels take."""
        arrays = ArrayParameter(scales.first), ArrayParameter(scales.second)
        return cls(GaussiansParameter.of(mixture), scales.weight, *arrays)

    def initial(self, source: Readable) -> State:
        """Zeros."""
        mixture = self.mixture.mixture
        k, d = mixture.mean.shape
        return vars(MixtureSums.zero(k, d, mixture.kind))

    def chunk(self, state: State, block: Block) -> State:
        """One block's."""
        scales = MixtureScales(self.weight_scale, self.first_scale.values, self.second_scale.values)
        return vars(add_sums(MixtureSums(**state), self.mixture.mixture, scales, block.features, block.rows))

    def combine(self, left: State, right: State) -> State:
        """Add."""
        for name, values in right.items():
            left[name] += values
        return left

    def aggregate(self, state: State, source: Readable) -> State:
        """With the log-likelihood as a number."""
        return {**state, "log_likelihood": state["log_likelihood"] / 2**LIKELIHOOD_BITS}

    def state_bytes(self, source: Readable) -> int:
        """An integer for each number of the mixture."""
        mixture = self.mixture.mixture
        return 8 * (mixture.weight.size + mixture.mean.size + mixture.root.size) + 64

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Responsibilities, and what rows are beside each mean."""
        return self.mixture.work_bytes(rows)


@dataclass(frozen=True)
class LikelihoodSum(Reduction):
    """Sum of the logarithms of the samples' densities, a float."""

    mixture: GaussiansParameter

    def initial(self, source: Readable) -> State:
        """Zero."""
        return {"sum": 0}

    def chunk(self, state: State, block: Block) -> State:
        """Evaluate and add."""
        _, log_density = self.mixture.shares(block)
        for part in panels(block.rows):
            state["sum"] += round(float(log_density[part].sum()) * 2.0**LIKELIHOOD_BITS)
        return state

    def combine(self, left: State, right: State) -> State:
        """Add."""
        return {"sum": left["sum"] + right["sum"]}

    def aggregate(self, state: State, source: Readable) -> float:
        """As a number."""
        return float(state["sum"] / 2**LIKELIHOOD_BITS)

    def state_bytes(self, source: Readable) -> int:
        """One integer."""
        return 64

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Responsibilities, and what rows are beside each mean."""
        return self.mixture.work_bytes(rows)


@dataclass(frozen=True)
class Membership(Column):
    """How likely each sample's likeliest component is (``probability``), and the logarithm of its density."""

    mixture: GaussiansParameter

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Both."""
        nan = float("nan")
        return {
            "probability": Variable("float32", attrs=(("long_name", "probability of the component"),), fill_value=nan),
            "log_density": Variable("float32", attrs=(("long_name", "logarithm of the density"),), fill_value=nan),
        }

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Evaluate."""
        shares, log_density = self.mixture.shares(block)
        return {
            "probability": shares.max(axis=1).astype(np.float32),
            "log_density": log_density.astype(np.float32),
        }

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Responsibilities, and what rows are beside each mean."""
        return self.mixture.work_bytes(rows)
