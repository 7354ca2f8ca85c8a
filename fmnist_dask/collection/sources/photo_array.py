"""A photograph in an array: an NPY file, mapped into memory, or a Zarr array. Any lines of it can be had alone."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fmnist_dask.collection.place import reaching, zarr_store
from fmnist_dask.collection.sources.base import file_identity
from fmnist_dask.collection.sources.canvas import Header, with_mode
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.image_options import take_image_options
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.store import configure_zarr
from fmnist_dask.errors import SourceError, UsageError
from fmnist_dask.typing import AnyArray, UInt8Array

#: Pillow's modes by the number of channels.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
#: Pixels that are converted at a time.
STRIP_PIXELS = 1 << 20
#: Memory of the conversion of a pixel, with Pillow's images of it (measured: 20 to 40).
PIXEL_BYTES = 48
#: Names of the array of a Zarr group that may be meant.
GROUP_ARRAYS = ("image",)
WANTED = "give uint8 or uint16 of shape (y, x), (y, x, 1), (y, x, 3) or (y, x, 4)"


class ArrayPhoto(PhotoSource):
    """Lines of an array, as pixels.

    Samples of 16 bits are divided by 257 and rounded, transparent pixels laid over the background, as those of image
    files are. Options: ``mode`` (``auto``, ``gray``, ``rgb``, ``keep``), ``background``.
    """

    in_bands = True

    def __init__(self, files: Files, options: Mapping[str, Any] | None = None) -> None:
        rest = dict(options or {})
        for name in ("size", "fit"):
            if name in rest:
                raise UsageError(
                    f"source option {name}={rest[name]!r}: an array is stored in the size that it has",
                    "give an image file, or an array of the size that you want",
                )
        self.image = take_image_options(self.kind, rest)
        if rest:
            raise UsageError(f'an array as a photograph has no option "{next(iter(rest))}"', "it has: mode, background")
        self.files = files
        self.location = files.root
        self.name = PurePosixPath(files.name).stem
        self.description = "One photograph, from an array"
        array = self._opened()
        self._check(array)
        self.array_shape = tuple(int(side) for side in array.shape)
        self.array_dtype = str(array.dtype)
        channels = self.array_shape[2] if len(self.array_shape) == 3 else 1
        height, width = self.original_size = self.array_shape[0], self.array_shape[1]
        self.header = Header(height, width, MODES[channels])
        self.canvas = self.image.canvas([self.header])
        self.image_shape = self.canvas.shape
        self._chunk_bytes = self._bytes_of_chunks(array)
        self.fingerprint  # noqa: B018 - of what it is now

    @abstractmethod
    def _opened(self) -> Any:
        """The array, of which nothing is read yet."""

    @abstractmethod
    def _stamps(self) -> list[Any]:
        """What changes with the files."""

    def _bytes_of_chunks(self, array: Any) -> int:
        """Memory of what is decoded at once to give some lines."""
        return 0

    def _check(self, array: Any) -> None:
        shape, dtype = tuple(array.shape), np.dtype(array.dtype)
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or channels not in MODES or not math.prod(shape):
            raise SourceError(f"the array {self.location} of shape {shape} is no photograph", WANTED)
        if dtype.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
            raise SourceError(
                f"the array {self.location} is {dtype}, and pixels are whole numbers from 0 to 255 or 65,535", WANTED
            )

    def identity(self) -> dict[str, Any]:
        """Files, type, and what the pixels become."""
        return {"files": self._stamps(), "dtype": self.array_dtype, "canvas": repr(self.canvas)}

    def lines(self, start: int, stop: int) -> UInt8Array:
        """Lines ``start`` to ``stop`` on the canvas."""
        height, width = stop - start, self.image_shape[1]
        found = self._values(start, stop)
        if found.dtype == np.uint8 and self.header.mode == self.canvas.mode:
            return np.ascontiguousarray(found).reshape(height, *self.image_shape[1:])
        pixels = np.empty((height, *self.image_shape[1:]), dtype=np.uint8)
        # Strip by strip: 16 bits and Pillow's images would take a multiple of the band's memory.
        step = max(1, STRIP_PIXELS // width)
        for top in range(0, height, step):
            for left in range(0, width, STRIP_PIXELS):
                part = slice(top, min(top + step, height)), slice(left, min(left + STRIP_PIXELS, width))
                pixels[part] = self._converted(found[part])
        return pixels

    def _values(self, start: int, stop: int) -> AnyArray:
        try:
            with reaching(self.location):
                array = self._opened()
                if tuple(array.shape) != self.array_shape or str(array.dtype) != self.array_dtype:
                    raise SourceError(f"the array {self.location} has changed", "run the same command again")
                return np.asarray(array[start:stop])
        except (OSError, ValueError, RuntimeError) as error:
            raise SourceError(
                f"lines {start:,} to {stop:,} of {self.location} cannot be read: {error}",
                "check that the file is whole",
            ) from error

    def _converted(self, values: AnyArray) -> AnyArray:
        """Values of the array as pixels of the canvas, by what does so with image files."""
        from PIL import Image

        if values.dtype != np.uint8:
            values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if self.header.mode == "L":
            values = values.reshape(values.shape[:2])
        if self.header.mode == self.canvas.mode:
            return values
        return np.asarray(with_mode(Image.fromarray(np.ascontiguousarray(values)), self.header, self.canvas))

    def read_bytes(self, lines: int) -> int:
        """The array's own values, its chunks, and a strip that is converted."""
        own = lines * math.prod(self.array_shape[1:]) * np.dtype(self.array_dtype).itemsize
        return own + self._chunk_bytes + PIXEL_BYTES * STRIP_PIXELS


class NpyPhoto(ArrayPhoto):
    """An NPY file on a local disk. Nothing is unpickled."""

    def _opened(self) -> Any:
        if self.files.remote:
            raise SourceError(
                f"{self.location} is remote, and only local files can be mapped into memory",
                "copy it to a local disk, or give a Zarr array",
            )
        try:
            return np.load(self.location, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise SourceError(
                f"{self.location} is no NPY array that can be read: {error}", "check that the file is whole"
            ) from error

    def _stamps(self) -> list[Any]:
        return file_identity([Path(self.location)]) if self.files.exists() else []


class ZarrPhoto(ArrayPhoto):
    """A Zarr array of dimensions (y, x) or (y, x, channel), or the array ``image`` of a group; also at an address."""

    def _opened(self) -> Any:
        import zarr
        from zarr.errors import BaseZarrError

        configure_zarr()
        try:
            with reaching(self.location):
                found: Any = zarr.open(zarr_store(self.location), mode="r")
                if isinstance(found, zarr.Group):
                    name = next((name for name in GROUP_ARRAYS if name in found), None)
                    if name is None:
                        raise SourceError(
                            f"{self.location} is a Zarr group without an array {GROUP_ARRAYS[0]}",
                            "give the array itself: its directory",
                        )
                    found = found[name]
        except (OSError, ValueError, KeyError, BaseZarrError) as error:
            raise SourceError(f"no Zarr array at {self.location}: {error}", "check the path") from error
        names = found.metadata.dimension_names if found.metadata.zarr_format == 3 else None
        if names and None not in names and tuple(names) != ("y", "x", "channel")[: len(names)]:
            raise SourceError(
                f"the Zarr array {self.location} has the dimensions ({', '.join(names)})",
                "a photograph has the dimensions (y, x) or (y, x, channel)",
            )
        return found

    def _bytes_of_chunks(self, array: Any) -> int:
        chunk = [min(sides) for sides in zip(array.shards or array.chunks, array.shape, strict=True)]
        return int(4 * math.prod(chunk) * np.dtype(array.dtype).itemsize)

    def _stamps(self) -> list[Any]:
        # Times of hidden files (of format 2) are not listed; what they say of the array is looked at anyhow.
        return [[info.path, info.size, info.stamp] for info in self.files.walk()]
