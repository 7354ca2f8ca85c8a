"""A photograph as passes read it: its lines are the samples, and a row of tiles is a chunk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.store import split_code
from fmnist_dask.typing import AnyArray


@dataclass(frozen=True)
class Lines:
    """The lines of a stored photograph. Small and picklable: workers read bands of them.

    ``image`` has the shape (line, x) or (line, x, channel); lines have no label, belong to one split and are named by
    their number.

    Attributes
    ----------
    raster
        The photograph.
    row_dim
        What the first dimension of arrays with a value for each line is called.
    """

    raster: Raster
    row_dim: ClassVar[str] = "y"
    class_names: ClassVar[tuple[str, ...]] = ()
    feature_dtype: ClassVar[str] = "uint8"
    n_quarantined: ClassVar[int] = 0
    missing_pixels: ClassVar[int] = 0
    embedding_width: ClassVar[int] = 0
    #: Photographs that these are the lines of.
    n_images: ClassVar[int] = 1

    @classmethod
    def open(cls, path: str | Path) -> Lines:
        """The lines of a committed raster; see :meth:`Raster.open`."""
        return cls(Raster.open(path))

    @property
    def path(self) -> str:
        """Where the photograph is stored."""
        return self.raster.path

    @property
    def name(self) -> str:
        """Short name of the source."""
        return self.raster.name

    @property
    def fingerprint(self) -> str:
        """Changes with any pixel."""
        return self.raster.fingerprint

    @property
    def source(self) -> dict[str, Any]:
        """Where the photograph comes from."""
        return self.raster.source

    @property
    def n(self) -> int:
        """Lines: the photograph's height."""
        return self.raster.image_shape[0]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one line: (x,) or (x, channel)."""
        return self.raster.image_shape[1:]

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Of the photograph: (y, x) or (y, x, channel)."""
        return self.raster.image_shape

    @property
    def chunk_rows(self) -> int:
        """Lines of a row of tiles."""
        return self.raster.tile[0]

    @property
    def n_chunks(self) -> int:
        """Rows of tiles."""
        return -(-self.n // self.chunk_rows)

    @property
    def splits(self) -> dict[str, int]:
        """One: ``all`` and ``train`` both mean the whole photograph."""
        return {"all": self.n}

    @property
    def image_bytes(self) -> int:
        """Bytes of one line."""
        return math.prod(self.image_shape)

    @property
    def n_features(self) -> int:
        """Pixel values of one line."""
        return self.image_bytes

    def block(self, start: int, stop: int) -> Block:
        """Lines ``start`` to ``stop``; arrays are read when asked for."""
        return Block(np.arange(start, stop, dtype=np.int64), lambda name: self.read(name, start, stop))

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for lines ``start`` to ``stop``.

        Raises
        ------
        CollectionError
            A tile is missing or damaged.
        KeyError
            There is no such array.
        """
        stop = min(stop, self.n)
        if name == "image":
            return self.raster.read(start, stop)
        count = max(0, stop - start)
        constants: dict[str, tuple[Any, int]] = {
            "label": (np.int16, -1),
            "split": (np.int8, 0),
            "height": (np.int32, 1),
            "width": (np.int32, self.image_shape[0]),
        }
        if name == "source_name":
            return np.arange(start, start + count, dtype=np.int64)
        dtype, value = constants[name]
        return np.full(count, value, dtype=dtype)

    def split_code(self, split: str) -> int | None:
        """Code of a split, see :func:`~fmnist_dask.collection.store.split_code`."""
        return split_code(self, split)

    def stored_bytes(self) -> int:
        """Bytes of all files."""
        return self.raster.stored_bytes()
