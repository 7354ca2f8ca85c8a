"""A collection of any size that stands in for one that is to be read: plans work through a few of its blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.typing import AnyArray

#: Groups of drawn features, how far they lie apart beside their width, and how fast directions get narrower.
GROUPS, APART, FALL = 10, 2.0, 0.97


class Few(Protocol):
    """Samples that are at hand."""

    n: int

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""


@dataclass(frozen=True)
class StandIn:
    """Samples of a given number and shape, whose values are those of a few, over and over.

    Attributes
    ----------
    few
        Those few: the first rows of the collection, or of what is to become one.
    width
        Features of a sample where these are no pixels: codes of another step, drawn here in groups.
    rows
        Samples in one chunk, where it is to be another number.
    """

    of: Any
    few: Few
    width: int = 0
    rows: int = 0

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.of.n)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(y, x) or (y, x, channel)."""
        return tuple(self.of.image_shape)

    @property
    def chunk_rows(self) -> int:
        """Samples in one chunk."""
        return self.rows or int(self.of.chunk_rows)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.of.class_names)

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split."""
        return dict(self.of.splits)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.image_shape)

    @property
    def n_features(self) -> int:
        """Pixel values of one image, or values of its vector."""
        return self.width or self.image_bytes

    @property
    def feature_dtype(self) -> str:
        """Of pixels, or of vectors."""
        return "float32" if self.width else "uint8"

    @property
    def row_dim(self) -> str:
        """``y`` for the lines of a photograph."""
        return str(getattr(self.of, "row_dim", "sample"))

    def with_rows(self, rows: int) -> StandIn:
        """The same in chunks of so many samples."""
        return replace(self, rows=rows)

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        rows = np.arange(start, min(stop, self.n), dtype=np.int64)
        return Block(rows, lambda name: self.read(name, start, stop), "features" if self.width else "image")

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``: those of the few, again and again."""
        stop = min(stop, self.n)
        if name == "features" and self.width:
            return drawn_features(stop - start, self.width, start)
        first, count = start % self.few.n, stop - start
        parts = []
        while count > 0:
            part = self.few.read(name, first, min(first + count, self.few.n))
            parts.append(part)
            count, first = count - len(part), 0
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def drawn_features(rows: int, width: int, seed: int = 0) -> AnyArray:
    """Samples in groups, float32, shape (rows, width): where nobody knows yet what codes will look like."""
    centres = np.random.default_rng(0).standard_normal((GROUPS, width)) * APART
    rng = np.random.default_rng((1, seed))
    points = centres[rng.integers(0, GROUPS, rows)] + rng.standard_normal((rows, width))
    return (points * FALL ** np.arange(width)).astype(np.float32)


def _first_rows(source: Any, count: int) -> AnyArray:
    """The first samples of a source, shape (m, n_features), as many as there are; none where they are not at hand."""
    pixels, d = source.feature_dtype == "uint8", source.n_features
    while pixels and hasattr(source, "base"):
        source = source.base  # whose images they are
    if hasattr(source, "first_rows"):
        found = source.first_rows(count)
    elif hasattr(source, "path"):
        found = source.read("image" if pixels else "features", 0, min(count, source.n))
    else:
        return np.zeros((0, d))
    same = len(found) and found.size == len(found) * d
    return found.reshape(len(found), d).astype(np.float64) if same else np.zeros((0, d))


def typical_rows(source: Readable, count: int) -> AnyArray:
    """So many samples, as centres may look like, float64, shape (count, n_features); the same for the same source.

    The first of those that are at hand, then the same again with noise; drawn ones where none are.
    """
    d = source.n_features
    found = _first_rows(source, count)
    if not len(found):
        found = drawn_features(count, d, 7).astype(np.float64)
        if source.feature_dtype == "uint8":
            found = np.clip(128 + 32 * found, 0, 255)
    if len(found) < count:
        again = np.resize(found, (count, d))
        found = again + np.random.default_rng(3).normal(0, again.std() / 4 + 1e-3, (count, d))
    return found
