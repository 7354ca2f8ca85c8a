"""A collection that is complete: opened, described and read."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.files import read_manifest
from fmnist_dask.collection.layout import FORMAT_VERSION, INGEST, MANIFEST, STATES
from fmnist_dask.collection.place import bytes_below, open_group, patiently, place_of, reaching, zarr_store
from fmnist_dask.errors import CollectionError, UsageError, nearest
from fmnist_dask.typing import AnyArray

if TYPE_CHECKING:
    import xarray
    import zarr


#: The split of images that a view of a collection leaves out; whoever works on its other one works on the rest.
LEFT_OUT = "(left out)"


@dataclass(frozen=True)
class Collection:
    """Images stored as a chunked Zarr group, as its manifest commits them.

    Small and picklable: it is sent to the workers, where :meth:`block` reads rows.

    Attributes
    ----------
    path
        Directory of the Zarr group.
    n
        Committed samples; arrays may be longer while an append is under way.
    image_shape
        (y, x) or (y, x, channel).
    chunk_rows
        Samples in one chunk.
    class_names
        Names of the classes 0, 1, …; empty where nothing is labelled.
    splits
        Samples of each split, in the order of the split codes.
    fingerprint
        Changes with any pixel, label or split; does not depend on chunking.
    n_quarantined
        Items of the source that could not be read, and are not in here.
    missing_pixels
        Pixels whose value is not known; where there are any, the array ``missing`` says which.
    dropped_duplicates
        Copies that were left out of each split; ``None`` where that was not asked for.
    origin
        Fingerprint of the first generation: rows of a store never change, so that it tells what they are.
    appended
        What sources were appended since, with the number of their rows.
    embedding_width
        Values of the vector that users gave for each image, the array ``embedding``; 0 where they gave none.
    """

    path: str
    n: int
    image_shape: tuple[int, ...]
    chunk_rows: int
    class_names: tuple[str, ...]
    splits: dict[str, int]
    fingerprint: str
    generation: int = 1
    n_quarantined: int = 0
    source: dict[str, Any] = field(default_factory=dict)
    extra_arrays: tuple[str, ...] = ()
    missing_pixels: int = 0
    dropped_duplicates: dict[str, int] | None = None
    origin: str = ""
    appended: tuple[dict[str, Any], ...] = ()
    embedding_width: int = 0
    #: What the first dimension of arrays with a value for each sample is called.
    row_dim: ClassVar[str] = "sample"

    @classmethod
    def open(cls, path: str | Path) -> Collection:
        """Open a committed collection.

        Raises
        ------
        CollectionError
            Nothing there, no collection, an incomplete one, or one of a newer format.
        """
        place = place_of(path)
        manifest = read_manifest(place / MANIFEST)
        if manifest is not None and manifest.get("kind") == "raster":
            raise CollectionError(
                f"{place} holds one photograph, not a collection of images", "give a collection of images"
            )
        if manifest is None or not {"image_shape", "format_version"} <= set(manifest):
            raise _not_a_collection(place)
        if manifest["format_version"] > FORMAT_VERSION:
            raise CollectionError(
                f"{place} has format version {manifest['format_version']}; this release reads up to {FORMAT_VERSION}",
                "upgrade fmnist-dask",
            )
        return cls(
            path=str(place),
            n=manifest["n"],
            image_shape=tuple(manifest["image_shape"]),
            chunk_rows=manifest["chunk_rows"],
            class_names=tuple(manifest["class_names"]),
            splits=manifest["splits"],
            fingerprint=manifest["fingerprint"],
            generation=manifest["generation"],
            n_quarantined=manifest["n_quarantined"],
            source=manifest["source"],
            extra_arrays=tuple(manifest["extra_arrays"]),
            missing_pixels=manifest.get("missing_pixels", 0),
            dropped_duplicates=manifest.get("dropped_duplicates"),
            origin=manifest.get("origin", manifest["fingerprint"]),
            appended=tuple(manifest.get("appended", ())),
            embedding_width=manifest.get("embedding_width", 0),
        )

    @property
    def n_images(self) -> int:
        """Committed samples, each of which is an image."""
        return self.n

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.image_shape

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.image_shape)

    @property
    def n_features(self) -> int:
        """Pixel values of one image."""
        return self.image_bytes

    @property
    def feature_dtype(self) -> str:
        """Features are pixels."""
        return "uint8"

    @property
    def n_chunks(self) -> int:
        """Chunks that hold the committed samples."""
        return -(-self.n // self.chunk_rows)

    @property
    def name(self) -> str:
        """Short name of the source."""
        return str(self.source.get("name", Path(self.path).stem))

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``; arrays are read when asked for."""
        return Block(np.arange(start, stop, dtype=np.int64), lambda name: self.read(name, start, stop))

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``.

        Raises
        ------
        CollectionError
            A chunk is missing or damaged.
        """
        return patiently(lambda: self._read(name, start, min(stop, self.n)), self.path)

    def _read(self, name: str, start: int, stop: int) -> AnyArray:
        with reaching(self.path):
            array: Any = _open_group(self.path, self.fingerprint)[name]
        files = [
            place_of(self.path, name, "c", *map(str, (chunk, *(0 for _ in array.shape[1:]))))
            for chunk in range(start // self.chunk_rows, -(-stop // self.chunk_rows))
        ]
        try:
            with reaching(self.path):
                if name == "image" and len(files) == 1 and start % self.chunk_rows == 0 and _is_plain_zstd(array):
                    return self._decode(files[0], array)[: stop - start]
                for file in files:
                    # Zarr takes a missing chunk for one of zeros; here each one was written.
                    if not file.exists():
                        raise FileNotFoundError(f"the chunk {file} is missing")
                values: AnyArray = np.asarray(array[start:stop])
        except FileNotFoundError as error:
            raise self._damaged(name, start, stop, f"a chunk is missing: {error}") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise self._damaged(name, start, stop, str(error)) from error
        return values

    def _decode(self, file: Path, array: Any) -> AnyArray:
        """One chunk of pixels, decompressed to where it stays.

        Zarr would decompress it elsewhere and copy it: a third more time, and a second chunk of memory, for the one
        read that everything here waits for.
        """
        from numcodecs.zstd import Zstd

        chunk = np.empty(array.chunks, dtype=array.dtype)
        Zstd().decode(file.read_bytes(), out=chunk)
        return chunk

    def _damaged(self, name: str, start: int, stop: int, reason: str) -> CollectionError:
        return CollectionError(
            f"{self.path}: rows {start:,} to {stop:,} of {name} cannot be read: {reason}",
            "restore the files, or delete the store and ingest again",
        )

    def split_code(self, split: str) -> int | None:
        """Code of a split, see :func:`split_code`."""
        return split_code(self, split)

    def rows_in(self, split: str) -> int:
        """Samples in a split."""
        return self.n if self.split_code(split) is None else self.splits[split]

    def stored_bytes(self) -> int:
        """Bytes on disk of all files of the store, without the states that passes have kept there."""
        return bytes_below(place_of(self.path), without=STATES)

    def to_xarray(self) -> xarray.Dataset:
        """The collection as a lazy :class:`xarray.Dataset`, backed by Dask arrays of the chunks on disk."""
        import xarray

        dataset: xarray.Dataset = xarray.open_zarr(zarr_store(self.path))
        return dataset.isel(sample=slice(0, self.n))

    def _repr_html_(self) -> str:
        from fmnist_dask.collection.html import collection_html

        return collection_html(self)


class HasSplits(Protocol):
    """Anything whose rows belong to splits."""

    @property
    def splits(self) -> dict[str, int]:
        """Rows of each split, in the order of their codes."""


def split_code(source: HasSplits, split: str) -> int | None:
    """Code of a split; ``None`` for all rows.

    A collection with a single split has nothing to tell apart, so that ``train`` means all of it.

    Raises
    ------
    UsageError
        There is no such split.
    """
    if LEFT_OUT in source.splits and split in source.splits:
        return list(source.splits).index(split)
    if split == "all" or (len(source.splits) == 1 and split == "train"):
        return None
    if split not in source.splits:
        raise UsageError(f'there is no split "{split}"', nearest(split, [*source.splits, "all"]))
    return list(source.splits).index(split)


def _is_plain_zstd(array: Any) -> bool:
    """Whether a chunk's file is its bytes through zstd and nothing else, which is how ingest writes them."""
    from zarr.codecs import BytesCodec, ZstdCodec

    codecs = array.metadata.codecs
    kinds = [type(codec) for codec in codecs]
    return kinds == [BytesCodec, ZstdCodec] and array.dtype.itemsize == 1


@functools.lru_cache(maxsize=8)
def _open_group(path: str, fingerprint: str) -> zarr.Group:
    # The fingerprint is part of the key, so that a store made anew at the same place is opened anew.
    configure_zarr()
    group: zarr.Group = open_group(path, "r")
    return group


def configure_zarr() -> None:
    """Keep zarr to one decoding thread a process: the workers are the parallelism."""
    import zarr

    zarr.config.set({"async.concurrency": 2, "threading.max_workers": 1, "array.write_empty_chunks": True})


def _not_a_collection(place: Path) -> CollectionError:
    if not place.exists():
        return CollectionError(
            f"no collection at {place}: nothing is there", "make one with: fmnist-dask ingest SOURCE STORE"
        )
    if (place / INGEST).exists():
        return CollectionError(
            f"the collection {place} is incomplete: its ingest has not ended ({MANIFEST} is missing)",
            "run the same ingest or run command again; it goes on where it stopped",
        )
    return CollectionError(
        f"{place} is no collection of fmnist-dask: it has no {MANIFEST} with an image shape",
        f"turn it into one with: fmnist-dask ingest {place} STORE",
    )
