"""Algorithms that see samples through a map of their features, or their pixels instead: nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

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


@dataclass(frozen=True)
class Pixels:
    """In place of a map: the pixels of the images, whatever their features are."""


@dataclass(frozen=True)
class AsPixels(SameImages):
    """A collection whose features are seen as the pixels of its images."""

    base: Readable

    @property
    def n_features(self) -> int:
        """Pixel values of one image."""
        return self.image_bytes

    @property
    def feature_dtype(self) -> str:
        """Of pixels."""
        return "uint8"

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        return mapped(self.base.block(start, stop), Pixels())

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""
        return self.base.read(name, start, stop)


@runtime_checkable
class Overlay(Protocol):
    """A source that is others' images with something laid over them in memory: who reads those may share it."""

    def seen_in(self, block: Block) -> Block:
        """A block of those images seen through it."""


Sight = FeatureMap | Pixels | Overlay


def seen(source: Readable, by: Sight) -> Readable:
    """A collection seen otherwise."""
    if isinstance(by, Overlay):
        return cast(Readable, by)
    return AsPixels(source) if isinstance(by, Pixels) else Mapped(source, by)


def sight_bytes(source: Readable, by: Sight, rows: int) -> int:
    """Memory of seeing some rows otherwise."""
    if isinstance(by, Pixels):
        return 0 if source.feature_dtype == "uint8" else rows * source.image_bytes
    if isinstance(by, Overlay):
        return 0  # who works with what is laid over counts it
    return by.work_bytes(rows)


def mapped(block: Block, by: Sight) -> Block:
    """A block seen otherwise, made once for all that ask."""
    if isinstance(by, Pixels):
        return block.memo(("mapped", by), lambda: Block(block.rows, block.array))
    if isinstance(by, Overlay):
        return block.memo(("mapped", by), lambda: by.seen_in(block))

    def load(name: str) -> AnyArray:
        return by(block.features, block.rows) if name == "features" else block.array(name)

    return block.memo(("mapped", by), lambda: Block(block.rows, load, "features"))


def through(algorithm: Algorithm[Model], by: Sight) -> Algorithm[Model]:
    """An algorithm whose scans see samples otherwise; it was made for the collection that is :func:`seen` so."""
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


def scan_through(scan: Scan, by: Sight) -> Scan:
    """A scan that sees samples otherwise."""
    reductions = {name: _Reduction(reduction, by) for name, reduction in scan.reductions.items()}
    columns = {name: _Column(column, by) for name, column in scan.columns.items()}
    return Scan(reductions, columns, scan.split, scan.known)


@dataclass(frozen=True)
class _Reduction(Reduction):
    """A reduction of mapped samples."""

    reduction: Reduction
    map: Sight

    def initial(self, source: Readable) -> State:
        """Of no rows."""
        return self.reduction.initial(seen(source, self.map))

    def chunk(self, state: State, block: Block) -> State:
        """Fold in what the map makes of a block."""
        return self.reduction.chunk(state, mapped(block, self.map))

    def combine(self, left: State, right: State) -> State:
        """As the reduction does."""
        return self.reduction.combine(left, right)

    def aggregate(self, state: State, source: Readable) -> Any:
        """As the reduction does."""
        return self.reduction.aggregate(state, seen(source, self.map))

    def state_bytes(self, source: Readable) -> int:
        """As the reduction's."""
        return self.reduction.state_bytes(seen(source, self.map))

    def part_bytes(self, source: Readable, rows: int) -> int:
        """As the reduction's."""
        return self.reduction.part_bytes(seen(source, self.map), rows)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The map's, and the reduction's."""
        return sight_bytes(source, self.map, rows) + self.reduction.task_bytes(seen(source, self.map), rows)

    def wants(self, start: int, stop: int) -> bool:
        """As the reduction does."""
        return self.reduction.wants(start, stop)


@dataclass(frozen=True)
class _Column(Column):
    """A column of mapped samples."""

    column: Column
    map: Sight

    def variables(self, source: Readable) -> dict[str, Variable]:
        """As the column's."""
        return self.column.variables(seen(source, self.map))

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Of what the map makes of a block."""
        return self.column.compute(mapped(block, self.map))

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The map's, and the column's."""
        return sight_bytes(source, self.map, rows) + self.column.task_bytes(seen(source, self.map), rows)
