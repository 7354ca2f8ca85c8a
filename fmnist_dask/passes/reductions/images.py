"""Reductions that bring images back: a random sample of each class, given rows, the most extreme by a property."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.thumbnails import THUMBNAIL_SIDE, shrink
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.properties import measured
from fmnist_dask.typing import AnyArray, UInt8Array

#: ``{"key": sort key, "row": rows, "image": thumbnails}``, sorted by key, then row.
Ranked = dict[str, AnyArray]
#: Stream of random numbers that the sample draws its priorities from.
SAMPLE_STREAM = 9001


def thumbnail_bytes(source: Readable) -> int:
    """Bytes of one thumbnail, as :func:`shrink` makes it."""
    height, width = source.image_shape[:2]
    channels = int(np.prod(source.image_shape[2:]))
    factor = max(1, -(-max(height, width) // THUMBNAIL_SIDE))
    return (height // factor) * (width // factor) * channels


def smallest(key: AnyArray, count: int) -> AnyArray:
    """Indices of the ``count`` smallest keys, by key, ties by index."""
    if len(key) > count:
        limit = np.partition(key, count - 1)[count - 1]
        below = np.flatnonzero(key < limit)
        at_limit = np.flatnonzero(key == limit)[: count - len(below)]
        index = np.sort(np.concatenate([below, at_limit]))
    else:
        index = np.arange(len(key))
    return index[np.argsort(key[index], kind="stable")]


def rank_rows(key: AnyArray, block: Block, index: AnyArray, count: int) -> Ranked:
    """Of the rows at ``index``, those of smallest key, with thumbnails."""
    chosen = index[smallest(key[index], count)]
    return {"key": key[chosen], "row": block.rows[chosen], "image": shrink(block.image[chosen])}


def _merge_ranked(left: Ranked, right: Ranked, count: int) -> Ranked:
    joined = {name: np.concatenate([left[name], right[name]]) for name in left}
    order = np.lexsort((joined["row"], joined["key"]))[:count]
    return {name: values[order] for name, values in joined.items()}


def merge_ranked_by(left: dict[Any, Ranked], right: dict[Any, Ranked], count: int) -> dict[Any, Ranked]:
    """For each name, the smallest of both; ``left`` is changed."""
    for name, ranked in right.items():
        left[name] = _merge_ranked(left[name], ranked, count) if name in left else ranked
    return left


@dataclass(frozen=True)
class ImageSample(Reduction):
    """A uniform random sample of each class, the same for any chunking: rows of smallest random priority.

    The result maps each label (−1: unknown) to ``{"row", "image"}``; images longer than 64 pixels are reduced.
    """

    per_class: int
    seed: int

    def initial(self, source: Readable) -> dict[int, Ranked]:
        """Nothing."""
        return {}

    def chunk(self, state: dict[int, Ranked], block: Block) -> dict[int, Ranked]:
        """Rank the rows of each class."""
        priority = random_bits(self.seed, block.rows, SAMPLE_STREAM)
        found = {
            int(label): rank_rows(priority, block, np.flatnonzero(block.label == label), self.per_class)
            for label in np.unique(block.label)
        }
        return merge_ranked_by(state, found, self.per_class)

    def combine(self, left: dict[int, Ranked], right: dict[int, Ranked]) -> dict[int, Ranked]:
        """Keep the smallest of both."""
        return merge_ranked_by(left, right, self.per_class)

    def aggregate(self, state: dict[int, Ranked], source: Readable) -> dict[int, Ranked]:
        """By label."""
        return {label: {name: state[label][name] for name in ("row", "image")} for label in sorted(state)}

    def state_bytes(self, source: Readable) -> int:
        """Thumbnails of each class."""
        return (1 + len(source.class_names)) * self.per_class * (thumbnail_bytes(source) + 16)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Random numbers, and the chosen images before they are reduced."""
        return 48 * rows + 2 * self.per_class * source.image_bytes

    def kept_as(self) -> Any:
        """The smallest of all are among the smallest of some, and of the others."""
        return self


@dataclass(frozen=True)
class Extremes(Reduction):
    """The images with the lowest and the highest value of each property; ties go to the earlier row.

    The result maps (property, "lowest" or "highest") to ``{"key", "row", "image"}``; keys of the highest are negated.
    """

    count: int
    names: tuple[str, ...]

    def initial(self, source: Readable) -> dict[tuple[str, str], Ranked]:
        """Nothing."""
        return {}

    def chunk(self, state: dict[Any, Ranked], block: Block) -> dict[Any, Ranked]:
        """Rank the block's images by each property."""
        properties, everything = measured(block), np.arange(len(block))
        found = {}
        for name in self.names:
            found[name, "lowest"] = rank_rows(properties[name], block, everything, self.count)
            found[name, "highest"] = rank_rows(-properties[name], block, everything, self.count)
        return merge_ranked_by(state, found, self.count)

    def combine(self, left: dict[Any, Ranked], right: dict[Any, Ranked]) -> dict[Any, Ranked]:
        """Keep the most extreme of both."""
        return merge_ranked_by(left, right, self.count)

    def state_bytes(self, source: Readable) -> int:
        """Thumbnails of each list."""
        return 2 * len(self.names) * self.count * (thumbnail_bytes(source) + 12)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Properties, copies of one of them, the chosen images before they are reduced."""
        return 64 * rows + 2 * self.count * source.image_bytes

    def kept_as(self) -> Any:
        """The most extreme of all are among those of some, and of the others."""
        return self


@dataclass(frozen=True)
class ImagesAt(Reduction):
    """The images of given rows.

    The result is ``{"row": rows, "image": images}`` in row order, whole images or thumbnails.
    """

    rows: tuple[int, ...]
    thumbnails: bool = True

    def initial(self, source: Readable) -> dict[str, AnyArray]:
        """Nothing."""
        return {}

    def chunk(self, state: dict[str, AnyArray], block: Block) -> dict[str, AnyArray]:
        """Take the rows that stand in this block."""
        wanted = np.asarray(self.rows, dtype=np.int64)
        index = np.flatnonzero(np.isin(block.rows, wanted))
        if not len(index):
            return state
        image: UInt8Array = block.image[index]
        found: dict[str, AnyArray] = {"row": block.rows[index], "image": shrink(image) if self.thumbnails else image}
        return self.combine(state, found)

    def combine(self, left: dict[str, AnyArray], right: dict[str, AnyArray]) -> dict[str, AnyArray]:
        """Append later rows."""
        if not left or not right:
            return left or right
        return {name: np.concatenate([left[name], right[name]]) for name in left}

    def aggregate(self, state: dict[str, AnyArray], source: Readable) -> dict[str, AnyArray]:
        """Arrays, also for no rows."""
        return state or {"row": np.zeros(0, np.int64), "image": np.zeros((0, *source.image_shape), np.uint8)}

    def state_bytes(self, source: Readable) -> int:
        """All images."""
        return len(self.rows) * ((thumbnail_bytes(source) if self.thumbnails else source.image_bytes) + 8)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """The images of one block, twice."""
        return rows + 2 * min(len(self.rows), rows) * source.image_bytes

    def wants(self, start: int, stop: int) -> bool:
        """Whether a wanted row lies there."""
        return any(start <= row < stop for row in self.rows)
