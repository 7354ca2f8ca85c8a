"""Counts of images by split and class, and of their original sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import IntArray


@dataclass(frozen=True)
class Census(Reduction):
    """Images of each split and class: int64 array of shape (splits, 1 + classes); the first column is "unknown"."""

    def initial(self, source: Readable) -> IntArray:
        """Zeros."""
        return np.zeros((len(source.splits), 1 + len(source.class_names)), dtype=np.int64)

    def chunk(self, state: IntArray, block: Block) -> IntArray:
        """Count labels."""
        np.add.at(state, (block.split.astype(np.int64), block.label.astype(np.int64) + 1), 1)
        return state

    def combine(self, left: IntArray, right: IntArray) -> IntArray:
        """Add."""
        return left + right

    def state_bytes(self, source: Readable) -> int:
        """A small table."""
        return 8 * len(source.splits) * (1 + len(source.class_names))

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Two int64 indices a row."""
        return 16 * rows

    def kept_as(self) -> Any:
        """Counts of some rows are part of those of all."""
        return self


@dataclass(frozen=True)
class SizeCensus(Reduction):
    """Images of each original size: ``{(height, width): count}``."""

    def initial(self, source: Readable) -> dict[tuple[int, int], int]:
        """Nothing."""
        return {}

    def chunk(self, state: dict[tuple[int, int], int], block: Block) -> dict[tuple[int, int], int]:
        """Count sizes."""
        code = block.array("height").astype(np.int64) << 32 | block.array("width").astype(np.int64)
        for value, count in zip(*np.unique(code, return_counts=True), strict=True):
            key = (int(value) >> 32, int(value) & 0xFFFFFFFF)
            state[key] = state.get(key, 0) + int(count)
        return state

    def combine(self, left: dict[Any, int], right: dict[Any, int]) -> dict[Any, int]:
        """Add."""
        return {key: left.get(key, 0) + right.get(key, 0) for key in {**left, **right}}

    def aggregate(self, state: dict[Any, int], source: Readable) -> dict[Any, int]:
        """Most frequent first, then by size."""
        return dict(sorted(state.items(), key=lambda item: (-item[1], item[0])))

    def state_bytes(self, source: Readable) -> int:
        """An estimate: a hundred thousand different sizes at the most are expected."""
        return min(source.n, 100_000) * 100 if len(source.image_shape) == 0 else 4096

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The codes, sorted."""
        return 32 * rows

    def kept_as(self) -> Any:
        """Counts of some rows are part of those of all."""
        return self
