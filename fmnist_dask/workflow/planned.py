"""What an ingest would make, for plans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.typing import AnyArray


@dataclass(frozen=True)
class PlannedCollection:
    """A collection, or a photograph's lines, that an ingest would make: everything but the images.

    Attributes
    ----------
    row_dim
        ``y`` for the lines of a photograph.
    """

    n: int
    image_shape: tuple[int, ...]
    chunk_rows: int
    class_names: tuple[str, ...]
    splits: dict[str, int]
    embedding_width: int = 0
    on_embedding: bool = False
    row_dim: str = "sample"

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
    """

    tasks: int
    chunks: int
    task_bytes: int
    target: PlannedCollection
