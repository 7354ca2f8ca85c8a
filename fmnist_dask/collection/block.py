"""A block: the rows of one chunk, as algorithms see them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np

from fmnist_dask.typing import AnyArray, IntArray, UInt8Array

T = TypeVar("T")


class Block:
    """Consecutive rows of a collection, or those of them that one split holds.

    Arrays are read when first asked for and kept, so that all reductions of a pass share one read.

    Parameters
    ----------
    rows : int64 array, shape (m,)
        Absolute row of each sample, ascending.
    load
        Returns the named per-row array for these rows.
    feature_array
        The array whose values are the samples' features.
    """

    def __init__(self, rows: IntArray, load: Callable[[str], AnyArray], feature_array: str = "image") -> None:
        self.rows = rows
        self.feature_array = feature_array
        self._load = load
        self._kept: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def array(self, name: str) -> AnyArray:
        """The named array for these rows; read at most once."""
        values: AnyArray = self.memo(name, lambda: self._load(name))
        return values

    @property
    def image(self) -> UInt8Array:
        """Pixels, shape (m, y, x) or (m, y, x, channel)."""
        return self.array("image")

    @property
    def features(self) -> AnyArray:
        """What algorithms on vectors work on, shape (m, n_features): pixels as they are, or floats."""
        values = self.array(self.feature_array)
        return values.reshape(len(values), -1)

    @property
    def label(self) -> AnyArray:
        """Class of each sample, int16, −1 where unknown."""
        return self.array("label")

    @property
    def split(self) -> AnyArray:
        """Split code of each sample, int8."""
        return self.array("split")

    def memo(self, key: Any, make: Callable[[], T]) -> T:
        """``make()``, computed once for this block and shared by everything that asks with the same key."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: T = self._kept[key]
        return kept

    def measure(self, around: Callable[[], AbstractContextManager[None]]) -> None:
        """Have arrays that are read from now on be read inside a context, such as one that takes the time."""
        load = self._load

        def measured(name: str) -> AnyArray:
            with around():
                return load(name)

        self._load = measured

    def forget(self) -> None:
        """Let go of everything read and computed, and of where from, at once: nothing can be read after that.

        Blocks made of this one, and what reads them, refer to each other, so that they would stay until Python looks
        for cycles.
        """
        kept = list(self._kept.values())
        self._kept.clear()
        self._load = _forgotten
        for value in kept:
            if isinstance(value, Block):
                value.forget()

    def select(self, split: int | None) -> Block:
        """The rows that belong to a split (all of them for ``None``), as a block of its own."""
        if split is None:
            return self
        return self.memo(("split", split), lambda: self._select(split))

    def since(self, row: int) -> Block:
        """The rows from an absolute row on, as a block of its own."""
        if not len(self.rows) or row <= self.rows[0]:
            return self
        return self.memo(("since", row), lambda: self._since(row))

    def _since(self, row: int) -> Block:
        first = int(np.searchsorted(self.rows, row))
        return Block(self.rows[first:], lambda name: self.array(name)[first:], self.feature_array)

    def _select(self, split: int) -> Block:
        inside = self.split == split
        if inside.all():
            return self
        index: Any = np.flatnonzero(inside)
        if len(index) and index[-1] - index[0] + 1 == len(index):
            index = slice(int(index[0]), int(index[-1]) + 1)  # a view, no copy
        return Block(self.rows[index], lambda name: self.array(name)[index], self.feature_array)


def _forgotten(name: str) -> AnyArray:
    raise RuntimeError(f"{name} of a block that was let go of")
