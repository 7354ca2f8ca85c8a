"""Algorithms that see samples through a map of their features, worked out anew in each pass: nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.same_images import SameImages
from fmnist_dask.passes.protocol import Algorithm, Column, Model, Readable, Reduction, Scan, State, Variable
from fmnist_dask.typing import AnyArray, IntArray


class FeatureMap(Protocol):
    """A frozen dataclass that makes other features of a sample's."""

    @property
    def n_features(self) -> int:
        """How many it makes."""

    def __call__(self, features: AnyArray, rows: IntArray) -> AnyArray:
        """Float64 features of some rows, whose absolute numbers are given; the same in whatever blocks they come."""

    def work_bytes(self, rows: int) -> int:
        """Memory of that for some rows, the result included."""


@dataclass(frozen=True)
class Mapped(SameImages):
    """A collection seen through a map.

    Attributes
    ----------
    base
        The collection.
    map
        Of its features.
    """

    base: Readable
    map: FeatureMap

    @property
    def n_features(self) -> int:
        """Features that the map makes."""
        return self.map.n_features

    @property
    def feature_dtype(self) -> str:
        """Of any map."""
        return "float64"

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        return mapped(self.base.block(start, stop), self.map)

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""
        if name == "features":
            return self.block(start, stop).features
        return self.base.read(name, start, stop)


def mapped(block: Block, by: FeatureMap) -> Block:
    """A block seen through a map, made once for all that ask."""

    def load(name: str) -> AnyArray:
        return by(block.features, block.rows) if name == "features" else block.array(name)

    return block.memo(("mapped", by), lambda: Block(block.rows, load, "features"))


def through(algorithm: Algorithm[Model], by: FeatureMap) -> Algorithm[Model]:
    """An algorithm whose scans see samples through a map; it was made for :class:`Mapped`."""
    answer = None
    while True:
        try:
            request = algorithm.send(answer)
        except StopIteration as end:
            model: Model = end.value
            return model
        if isinstance(request, Scan):
            request = scan_through(request, by)
        answer = yield request


def scan_through(scan: Scan, by: FeatureMap) -> Scan:
    """A scan that sees samples through a map."""
    reductions = {name: _Reduction(reduction, by) for name, reduction in scan.reductions.items()}
    columns = {name: _Column(column, by) for name, column in scan.columns.items()}
    return Scan(reductions, columns, scan.split, scan.known)


@dataclass(frozen=True)
class _Reduction(Reduction):
    """A reduction of mapped samples."""

    reduction: Reduction
    map: FeatureMap

    def initial(self, source: Readable) -> State:
        """Of no rows."""
        return self.reduction.initial(Mapped(source, self.map))

    def chunk(self, state: State, block: Block) -> State:
        """Fold in what the map makes of a block."""
        return self.reduction.chunk(state, mapped(block, self.map))

    def combine(self, left: State, right: State) -> State:
        """As the reduction does."""
        return self.reduction.combine(left, right)

    def aggregate(self, state: State, source: Readable) -> Any:
        """As the reduction does."""
        return self.reduction.aggregate(state, Mapped(source, self.map))

    def state_bytes(self, source: Readable) -> int:
        """As the reduction's."""
        return self.reduction.state_bytes(Mapped(source, self.map))

    def part_bytes(self, source: Readable, rows: int) -> int:
        """As the reduction's."""
        return self.reduction.part_bytes(Mapped(source, self.map), rows)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The map's, and the reduction's."""
        return self.map.work_bytes(rows) + self.reduction.task_bytes(Mapped(source, self.map), rows)

    def wants(self, start: int, stop: int) -> bool:
        """As the reduction does."""
        return self.reduction.wants(start, stop)


@dataclass(frozen=True)
class _Column(Column):
    """A column of mapped samples."""

    column: Column
    map: FeatureMap

    def variables(self, source: Readable) -> dict[str, Variable]:
        """As the column's."""
        return self.column.variables(Mapped(source, self.map))

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Of what the map makes of a block."""
        return self.column.compute(mapped(block, self.map))

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The map's, and the column's."""
        return self.map.work_bytes(rows) + self.column.task_bytes(Mapped(source, self.map), rows)
