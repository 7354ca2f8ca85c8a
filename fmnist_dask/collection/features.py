"""A collection seen through other features than its pixels: codes of a PCA, embeddings."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.store import Collection, configure_zarr
from fmnist_dask.typing import AnyArray


@dataclass(frozen=True)
class FeatureCollection:
    """The images of a collection, with float features for each from a Zarr array of their own.

    Read like the collection itself, so that labels, splits and pixels are at hand beside the features.

    Attributes
    ----------
    base
        The collection.
    path
        Zarr array of shape (sample, feature).
    n_features, feature_dtype
        Its width and type.
    version
        Changes with the values: fingerprint of the step that wrote them.
    """

    base: Collection
    path: str
    n_features: int
    feature_dtype: str = "float32"
    version: str = ""

    @property
    def n(self) -> int:
        """Number of samples."""
        return self.base.n

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(y, x) or (y, x, channel) of the images."""
        return self.base.image_shape

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return self.base.image_bytes

    @property
    def chunk_rows(self) -> int:
        """Samples in one chunk."""
        return self.base.chunk_rows

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.base.class_names

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split, in the order of their codes."""
        return self.base.splits

    @property
    def name(self) -> str:
        """Short name of the source."""
        return self.base.name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the images; that of the features is their step's."""
        return self.base.fingerprint

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``; arrays are read when asked for."""
        rows = np.arange(start, stop, dtype=np.int64)
        return Block(rows, lambda name: self.read(name, start, stop), "features")

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``; ``features`` are the vectors."""
        if name != "features":
            return self.base.read(name, start, stop)
        values: AnyArray = np.asarray(_open(self.path, self.version)[start:stop])
        return values


@functools.lru_cache(maxsize=8)
def _open(path: str, version: str) -> Any:
    # The version is part of the key, so that features made anew at the same place are opened anew.
    import zarr

    configure_zarr()
    return zarr.open_array(path, mode="r")
