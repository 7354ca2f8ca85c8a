"""What an ingest would make, for plans."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.typing import AnyArray

#: Images of a source that plans look at.
MOST_LOOKED_AT = 256


@functools.lru_cache(maxsize=8)
def _first_images(source: Source, fingerprint: str, count: int) -> AnyArray:
    rows = min(count, source.partitions[0].rows)
    return next(iter(source.read(0, 0, rows, rows))).image


def first_images(source: Source, count: int) -> AnyArray:
    """The first images of a source, read once."""
    return _first_images(source, source.fingerprint, count)


@dataclass(frozen=True)
class PlannedCollection:
    """A collection, or a photograph's lines, that an ingest would make: everything but the images.

    Attributes
    ----------
    row_dim
        ``y`` for the lines of a photograph.
    seen_by
        The step, and the split, whose choice or features of the images it is; collections that differ in it are not
        read together.
    raw
        What would be ingested, or is there.
    """

    n: int
    image_shape: tuple[int, ...]
    chunk_rows: int
    class_names: tuple[str, ...]
    splits: dict[str, int] = field(hash=False)
    embedding_width: int = 0
    on_embedding: bool = False
    row_dim: str = "sample"
    seen_by: str = ""
    raw: Any = field(default=None, compare=False, repr=False)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.image_shape)

    @property
    def n_features(self) -> int:
        """Pixel values of one image, or values of its vector."""
        return self.embedding_width if self.on_embedding else self.image_bytes

    @property
    def feature_dtype(self) -> str:
        """Of pixels, or of vectors."""
        return "float32" if self.on_embedding else "uint8"

    @property
    def fingerprint(self) -> str:
        """Of nothing that is there."""
        return f"planned-{self.n}-{self.seen_by}"

    @property
    def missing_pixels(self) -> int:
        """Nobody knows of any yet."""
        return 0

    def first_rows(self, count: int) -> AnyArray:
        """Some images of the source, shape (m, …), as many as can be had at once; none where they are not pixels."""
        if self.on_embedding or not isinstance(self.raw, Source):
            return np.zeros((0, self.n_features))
        return first_images(self.raw, min(count, MOST_LOOKED_AT))

    def block(self, start: int, stop: int) -> Block:
        """There are no images yet."""
        raise FmnistDaskError("a plan reads no images")

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """Zeros: algorithms look at dtypes and lengths only before their first scan."""
        return np.zeros((stop - start, 2) if name == "content_hash" else stop - start, dtype=np.int64)


@dataclass(frozen=True)
class PlannedIngest:
    """The tasks of an ingest, and what it would make.

    Attributes
    ----------
    tasks, chunks
        How many.
    task_bytes
        Memory of one task.
    how
        What workers need to know to ingest some of it.
    """

    tasks: int
    chunks: int
    task_bytes: int
    target: PlannedCollection
    how: Any = None
