"""NPY and NPZ files of pixels, with labels in arrays beside them."""

from __future__ import annotations

import contextlib
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, take_options
from fmnist_dask.collection.sources.decoding import UnreadableError
from fmnist_dask.collection.sources.files import FileInfo, Files, Listing
from fmnist_dask.collection.sources.labels import label_table
from fmnist_dask.collection.sources.pixels import check_range, image_shape
from fmnist_dask.collection.sources.plain import PlainSource
from fmnist_dask.collection.sources.splits import in_order, split_of
from fmnist_dask.errors import SourceError
from fmnist_dask.typing import AnyArray

SUFFIXES = (".npy", ".npz")
#: What parts of names call arrays of labels, and arrays that are neither images nor labels.
LABEL_WORDS = frozenset({"label", "labels", "y", "target", "targets", "class", "classes"})
IMAGE_WORDS = frozenset({"image", "images", "x", "data", "pixels", "arr"})
#: Values of float arrays looked at to find out their range.
LOOKED_AT = 1 << 16


@dataclass(frozen=True)
class _Array:
    """One array of a file: its header, read without the rest.

    Attributes
    ----------
    path, member
        The file, and the entry of an NPZ archive.
    """

    path: str
    member: str
    shape: tuple[int, ...]
    dtype: str
    fortran: bool
    offset: int

    @property
    def name(self) -> str:
        """What the array is called."""
        return self.member.removesuffix(".npy") or PurePosixPath(self.path).stem

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(math.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize


class NumpyFiles(PlainSource):
    """Arrays of shape (n, y, x[, channel]) or (n, d), with arrays of n labels: ``x_train``/``y_train`` in one NPZ file,
    ``train_images.npy``/``train_labels.npy``, or just one array.

    Nothing is unpickled. Values are whole numbers from 0 to 255, or become so by the option ``scale``; NaN is missing.
    """

    kind = "NumPy files"
    may_miss = False

    def __init__(self, files: Files, options: dict[str, Any] | None = None) -> None:
        rest = dict(options or {})
        self._take(rest)
        take_options("NumPy files", rest)
        self.files_at = files
        self.location = files.root
        self.name = PurePosixPath(files.name).stem
        self.listing = Listing(files, _is_ours)
        self.unreadable: dict[str, str] = {}
        arrays = [array for info in self.listing.read() for array in self._arrays(info)]
        self.description = f"Arrays of pixels in NumPy files of {files.root}."
        self._pair(arrays)
        raw: list[Any] = []
        for label in self.labels:
            raw += [] if label is None else self._whole(label).ravel().tolist()
        self.table = label_table(raw, self.given) if raw else None
        self.class_names = self.table.class_names if self.table is not None else ()
        self.may_miss = any(np.dtype(array.dtype).kind == "f" for array in self.images)

    def _arrays(self, info: FileInfo) -> list[_Array]:
        """The arrays of a file, by their headers."""
        try:
            if not (info.path or self.location).lower().endswith(".npz"):
                with self.files_at.open(info.path) as file:
                    return [_header(file, info.path, "", info.size)]
            with self._archive(info.path) as archive:
                found = []
                for member in archive.namelist():
                    if member.endswith(".npy"):
                        with archive.open(member) as file:
                            found.append(_header(file, info.path, member, archive.getinfo(member).file_size))
                return found
        except (OSError, UnreadableError) as error:
            self.unreadable[info.path or self.name] = str(error)[:200]
            return []

    @contextlib.contextmanager
    def _archive(self, path: str) -> Iterator[zipfile.ZipFile]:
        with self.files_at.open(path) as raw:
            try:
                with zipfile.ZipFile(raw) as archive:
                    yield archive
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
                raise UnreadableError(f"no whole archive: {error}") from error

    def _pair(self, arrays: list[_Array]) -> None:
        """Find images and the labels that belong to them."""
        labels = [array for array in arrays if _is_labels(array)]
        images = [array for array in arrays if _is_images(array) and array not in labels]
        if not images:
            shown = "; ".join(f"{name}: {reason}" for name, reason in self.unreadable.items()) or ", ".join(
                f"{array.name} {array.shape} {array.dtype}" for array in arrays[:6]
            )
            raise SourceError(
                f"{self.location} holds no array of images: {shown or 'no array at all'}",
                "give arrays of numbers of shape (n, y, x), (n, y, x, channel) or (n, values)",
            )
        splits = [split_of(array.name) or split_of(array.path) for array in images]
        rest = "other" if any(splits) else "all"
        named = [split or rest for split in splits]
        order = in_order(named)
        ranked = sorted(zip(named, images, strict=True), key=lambda pair: (order.index(pair[0]), pair[1].name))
        self.images = [array for _, array in ranked]
        self.labels = [self._labels_of(array, split, labels) for split, array in ranked]
        shapes = {array.name: _shape_of(array, self.size) for array in self.images}
        if len(set(shapes.values())) > 1:
            raise SourceError(f"image sizes differ between arrays: {shapes}", "ingest them as collections of their own")
        self.image_shape = next(iter(shapes.values()))
        self.partitions = tuple(
            Partition(split, array.shape[0], seekable=not array.member) for split, array in ranked if array.shape[0]
        )
        if not self.partitions:
            raise SourceError(f"the arrays of {self.location} have no rows")
        for array in self.images:
            if np.dtype(array.dtype).kind == "f":
                rows = max(1, min(array.shape[0], LOOKED_AT // max(array.row_bytes, 1)))
                with contextlib.suppress(UnreadableError):
                    check_range(next(self._read(array, 0, rows, rows)), self.pixels, array.name)

    def _labels_of(self, image: _Array, split: str, labels: list[_Array]) -> _Array | None:
        """The labels of an array of images: those of its split, or the only ones there are."""
        fitting = [array for array in labels if (split_of(array.name) or split_of(array.path) or split) == split]
        if not fitting:
            return None
        chosen = next((array for array in fitting if array.shape[0] == image.shape[0]), fitting[0])
        if chosen.shape[0] != image.shape[0]:
            raise SourceError(
                f"{image.name} has {image.shape[0]:,} images, {chosen.name} has {chosen.shape[0]:,} labels",
                "the two arrays must belong together",
            )
        return chosen

    @contextlib.contextmanager
    def _stream(self, array: _Array) -> Iterator[IO[bytes]]:
        """An array's bytes, from behind its header."""
        if not array.member:
            with self.files_at.open(array.path) as file:
                file.seek(array.offset)
                yield file
            return
        with self._archive(array.path) as archive, archive.open(array.member) as member:
            member.read(array.offset)
            yield member

    def _read(self, array: _Array, start: int, stop: int, batch_rows: int) -> Iterator[AnyArray]:
        """Rows of an array, at most ``batch_rows`` at a time, shape (m, values).

        Raises
        ------
        UnreadableError
            It ends before that.
        """
        values = int(math.prod(array.shape[1:]))
        with self._stream(array) as file:
            if array.member:
                left = start * array.row_bytes
                while left:
                    left -= len(_taken(file, min(left, 1 << 20)))
            else:
                file.seek(array.offset + start * array.row_bytes)
            for at in range(start, stop, batch_rows):
                size = min(batch_rows, stop - at)
                data = _taken(file, size * array.row_bytes)
                yield np.frombuffer(data, dtype=array.dtype).reshape(size, values)

    def _whole(self, array: _Array) -> AnyArray:
        try:
            parts = list(self._read(array, 0, array.shape[0], 1 << 16))
        except (OSError, UnreadableError) as error:
            raise SourceError(f"cannot read the labels {array.name} of {self.location}: {error}") from error
        return np.concatenate(parts) if parts else np.zeros((0, 1))

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Read rows of one array and its labels; see :meth:`Source.read`. Rows that a file lacks have that reason."""
        nonempty = [at for at, array in enumerate(self.images) if array.shape[0]]
        image, label = self.images[nonempty[partition]], self.labels[nonempty[partition]]
        labels = None if label is None else self._read(label, start, stop, batch_rows)
        at, before = start, self.first_in_split(partition)
        try:
            for values in self._read(image, start, stop, batch_rows):
                raw = [] if labels is None else next(labels).ravel().tolist()
                yield self.rows(values, raw, {}, before + at, image.name)
                at += len(values)
        except (OSError, UnreadableError) as error:
            reason = str(error)
            while at < stop:
                size = min(batch_rows, stop - at)
                self.fail_on(image.name, at, reason)
                names = np.arange(before + at, before + at + size, dtype=np.int64)
                blank = np.zeros((size, *self.image_shape), np.uint8)
                yield Rows(blank, None, names, rejected=dict.fromkeys(range(size), reason))
                at += size

    def read_bytes(self) -> int:
        """One batch as read, as float64 and scaled."""
        widest = max(np.dtype(array.dtype).itemsize for array in self.images)
        return self.batch_values() * (widest if widest == 1 else widest + 4 * 8) + (2 << 20)


def _header(file: IO[bytes], path: str, member: str, size: int) -> _Array:
    """Shape and type of an array, from the first bytes of its file.

    Raises
    ------
    UnreadableError
        No array of numbers, or shorter than it says.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise UnreadableError(f"NPY version {version} is not read")
        shape, fortran, dtype = read(file)
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise UnreadableError(f"no NPY array: {(str(error).splitlines() or [''])[0][:120]}") from error
    if dtype.hasobject:
        raise UnreadableError("it holds pickled Python objects, which are not read")
    offset = file.tell()
    expected = offset + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected > size:
        raise UnreadableError(f"it has {size:,} bytes; its header promises {expected:,}")
    return _Array(path, member, tuple(int(side) for side in shape), dtype.str, bool(fortran) and len(shape) > 1, offset)


def _taken(file: IO[bytes], size: int) -> bytes:
    parts, left = [], size
    while left:
        try:
            data = file.read(left)
        except (zlib.error, zipfile.BadZipFile, EOFError) as error:
            raise UnreadableError(f"damaged: {error}") from error
        if not data:
            raise UnreadableError("the file ends before its rows do")
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _words(array: _Array) -> set[str]:
    return {word for word in re.split(r"[^a-z]+", array.name.lower()) if word}


def _is_labels(array: _Array) -> bool:
    one = len(array.shape) == 1 or (len(array.shape) == 2 and array.shape[1] == 1)
    return one and np.dtype(array.dtype).kind in "biufUS" and not (_words(array) & IMAGE_WORDS and len(array.shape) > 1)


def _is_images(array: _Array) -> bool:
    if array.fortran or np.dtype(array.dtype).kind not in "biuf":
        return False
    return 2 <= len(array.shape) <= 4 and min(array.shape[1:]) > 0 and not _words(array) & LABEL_WORDS


def _shape_of(array: _Array, size: tuple[int, int] | None) -> tuple[int, ...]:
    """Shape of one image."""
    if len(array.shape) == 2:
        return image_shape(array.shape[1], size, array.name)
    shape = array.shape[1:]
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    if len(shape) == 3 and shape[2] > 4:
        raise SourceError(
            f"the images of {array.name} have the shape {shape}: (y, x, channel) with up to 4 channels is read",
            "bring the channels to the last axis",
        )
    return shape


def _is_ours(info: FileInfo) -> bool:
    return not info.path or info.path.lower().endswith(SUFFIXES)
