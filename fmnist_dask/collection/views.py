"""A collection seen otherwise: through other features than its pixels, or without some of its images."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.layout import EMBEDDING
from fmnist_dask.collection.place import place_of, reaching, zarr_store
from fmnist_dask.collection.same_images import SameImages
from fmnist_dask.collection.store import LEFT_OUT, Collection, configure_zarr
from fmnist_dask.errors import UsageError
from fmnist_dask.typing import AnyArray


@dataclass(frozen=True)
class View(SameImages):
    """Read like the collection itself: labels, splits and pixels are at hand.

    Attributes
    ----------
    base
        The collection.
    path
        Zarr array with a value for each image.
    version
        Changes with the values: fingerprint of what has written them.
    """

    base: Collection
    path: str
    version: str

    @property
    def name(self) -> str:
        """Short name of the source."""
        return self.base.name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the images; that of the values is their step's."""
        return self.base.fingerprint

    def values(self, start: int, stop: int) -> AnyArray:
        """The view's own array for rows ``start`` to ``stop``."""
        with reaching(self.path):
            found: AnyArray = np.asarray(_open(self.path, self.version)[start:stop])
        return found


@dataclass(frozen=True)
class FeatureCollection(View):
    """The images of a collection, with float features for each: codes of a PCA, embeddings.

    Attributes
    ----------
    base
        The collection, or a view of its images.
    n_features, feature_dtype
        Width and type of the array.
    """

    base: Collection | KeptImages | FilledImages  # type: ignore[assignment]
    n_features: int
    feature_dtype: str = "float32"

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``; arrays are read when asked for."""
        rows = np.arange(start, stop, dtype=np.int64)
        return Block(rows, lambda name: self.read(name, start, stop), "features")

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``; ``features`` are the vectors."""
        return self.values(start, stop) if name == "features" else self.base.read(name, start, stop)


def no_embedding(what: str) -> UsageError:
    """The error where a step is to work on vectors that nobody gave."""
    return UsageError(
        f"{what} has no embedding, which a step is to work on",
        "ingest with the source option embedding=FILE.npy (a row for each image), or take pixels",
    )


def vectors_of(collection: Collection) -> FeatureCollection:
    """A collection seen through the vectors that users gave for its images.

    Raises
    ------
    UsageError
        They gave none.
    """
    if not collection.embedding_width:
        raise no_embedding(f"the collection {collection.path}")
    path = str(place_of(collection.path, EMBEDDING))
    return FeatureCollection(collection, path, collection.fingerprint, collection.embedding_width)


@dataclass(frozen=True)
class PixelView(View):
    """A view whose features are pixels."""

    @property
    def n_features(self) -> int:
        """Pixel values of one image."""
        return self.base.n_features

    @property
    def feature_dtype(self) -> str:
        """Features are pixels."""
        return self.base.feature_dtype


@dataclass(frozen=True)
class KeptImages(PixelView):
    """Those images of one split of a collection that an array of truth values keeps; the others belong to no split.

    Rows keep their numbers, and there is one split: the one that is worked on.

    Attributes
    ----------
    code
        Code of the split in the collection; ``None`` for all images.
    counts
        Its kept images, and all others.
    """

    code: int | None
    counts: dict[str, int] = field(hash=False)

    @classmethod
    def of(cls, base: Collection, path: str, version: str, split: str) -> KeptImages:
        """Of the images of one split; they are counted."""
        code = base.split_code(split)
        whole = cls(base, path, version, code, {})
        kept = sum(
            int((whole.read("split", start, min(start + base.chunk_rows, base.n)) == 0).sum())
            for start in range(0, base.n, base.chunk_rows)
        )
        return cls(base, path, version, code, {split: kept, LEFT_OUT: base.n - kept})

    @property
    def splits(self) -> dict[str, int]:
        """The kept images, and all others."""
        return self.counts

    @property
    def missing_pixels(self) -> int:
        """Of the collection."""
        return self.base.missing_pixels

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``; arrays are read when asked for."""
        return Block(np.arange(start, stop, dtype=np.int64), lambda name: self.read(name, start, stop))

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``; ``split`` is 0 for those that are kept and 1 for others."""
        found = self.base.read(name, start, stop)
        if name != "split":
            return found
        inside = self.values(start, stop)
        if self.code is not None:
            inside = inside & (found == self.code)
        return np.where(inside, 0, 1).astype(np.int8)


@dataclass(frozen=True)
class FilledImages(PixelView):
    """A collection with other pixels: its missing ones as a step has filled them in."""

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split, in the order of their codes."""
        return self.base.splits

    @property
    def missing_pixels(self) -> int:
        """None."""
        return 0

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``; arrays are read when asked for."""
        return Block(np.arange(start, stop, dtype=np.int64), lambda name: self.read(name, start, stop))

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""
        return self.values(start, min(stop, self.n)) if name == "image" else self.base.read(name, start, stop)


@functools.lru_cache(maxsize=8)
def _open(path: str, version: str) -> Any:
    # The version is part of the key, so that an array written anew at the same place is opened anew.
    import zarr

    configure_zarr()
    return zarr.open_array(zarr_store(path), mode="r")
