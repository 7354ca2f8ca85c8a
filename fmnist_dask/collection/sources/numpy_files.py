"""NPY and NPZ files of pixels, with labels in arrays beside them."""

from __future__ import annotations

import collections
import contextlib
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, take_options
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.files import FileInfo, Files, writable
from fmnist_dask.collection.sources.labels import count, plain_text, table_of_counts
from fmnist_dask.collection.sources.listing import Listing
from fmnist_dask.collection.sources.npy import StoredArray, read_npy_header, taken, texts
from fmnist_dask.collection.sources.pixels import check_range, check_size, image_shape
from fmnist_dask.collection.sources.plain import PlainSource
from fmnist_dask.collection.sources.splits import in_order, split_of
from fmnist_dask.errors import FmnistDaskError, SourceError
from fmnist_dask.typing import AnyArray

SUFFIXES = (".npy", ".npz")
#: What parts of names call arrays of labels, and arrays that are neither images nor labels.
LABEL_WORDS = frozenset({"label", "labels", "y", "target", "targets", "class", "classes"})
IMAGE_WORDS = frozenset({"image", "images", "x", "data", "pixels", "arr"})
#: Values of float arrays looked at to find out their range.
LOOKED_AT = 1 << 16


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
        counts: collections.Counter[str] = collections.Counter()
        for label in self.labels:
            if label is not None:
                self._count(label, counts)
        self.table = table_of_counts(counts, self.given) if counts else None
        self.class_names = self.table.class_names if self.table is not None else ()
        self.may_miss = any(np.dtype(array.dtype).kind == "f" for array in self.images)

    def _arrays(self, info: FileInfo) -> list[StoredArray]:
        """The arrays of a file, by their headers."""
        try:
            if not (info.path or self.location).lower().endswith(".npz"):
                with self.files_at.open(info.path) as file:
                    return [read_npy_header(file, info.path, "", info.size)]
            with self._archive(info.path) as archive:
                found = []
                for member in dict.fromkeys(archive.namelist()):  # of two of one name, NumPy too reads the last
                    if member.endswith(".npy"):
                        entry = archive.getinfo(member)
                        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                            raise UnreadableError(f"{member} is compressed as NumPy never does")
                        with archive.open(entry) as file:
                            found.append(read_npy_header(file, info.path, member, entry.file_size))
                return found
        except (OSError, UnreadableError) as error:
            self.unreadable[writable(info.path or self.name)] = writable(str(error)[:200])
            return []

    @contextlib.contextmanager
    def _archive(self, path: str) -> Iterator[zipfile.ZipFile]:
        with self.files_at.open(path) as raw:
            try:
                with zipfile.ZipFile(raw) as archive:
                    yield archive
            except FmnistDaskError:
                raise  # some of ours are values' errors, too
            except (zipfile.BadZipFile, ValueError, RuntimeError, zlib.error, EOFError, struct.error) as error:
                raise UnreadableError(f"no whole archive: {error}") from error

    def _pair(self, arrays: list[StoredArray]) -> None:
        """Find images and the labels that belong to them."""
        labels = [array for array in arrays if _is_labels(array)]
        images = [array for array in arrays if _is_images(array) and array not in labels]
        if not images:
            shown = "; ".join(f"{name}: {reason}" for name, reason in self.unreadable.items()) or ", ".join(
                f"{array.name} {array.shape} {array.dtype}{' in Fortran order' * array.fortran}" for array in arrays[:6]
            )
            raise SourceError(
                f"{self.location} holds no array of images: {shown or 'no array at all'}",
                "give arrays of numbers of shape (n, y, x), (n, y, x, channel) or (n, values), in C order "
                "(numpy.ascontiguousarray)",
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
                with contextlib.suppress(UnreadableError), self._stream(array) as file:
                    size = min(math.prod(array.shape), LOOKED_AT) * np.dtype(array.dtype).itemsize
                    check_range(np.frombuffer(taken(file, size), dtype=array.dtype), self.pixels, array.name)

    def _labels_of(self, image: StoredArray, split: str, labels: list[StoredArray]) -> StoredArray | None:
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
    def _stream(self, array: StoredArray) -> Iterator[IO[bytes]]:
        """An array's bytes, from behind its header."""
        if not array.member:
            with self.files_at.open(array.path) as file:
                file.seek(array.offset)
                yield file
            return
        with self._archive(array.path) as archive, archive.open(array.member) as member:
            member.read(array.offset)
            yield member

    def _read(self, array: StoredArray, start: int, stop: int, batch_rows: int) -> Iterator[AnyArray]:
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
                    left -= len(taken(file, min(left, 1 << 20)))
            else:
                file.seek(array.offset + start * array.row_bytes)
            for at in range(start, stop, batch_rows):
                size = min(batch_rows, stop - at)
                data = taken(file, size * array.row_bytes)
                yield np.frombuffer(data, dtype=array.dtype).reshape(size, values)

    def _count(self, array: StoredArray, counts: collections.Counter[str]) -> None:
        """Count labels, some at a time: a small archive may hold very many."""
        try:
            for values in self._read(array, 0, array.shape[0], LOOKED_AT):
                distinct, times = np.unique(values, return_counts=True)
                for raw, number in zip(texts(distinct), times.tolist(), strict=True):
                    count(counts, plain_text(raw), number)
        except (OSError, UnreadableError) as error:
            raise SourceError(
                f"cannot read the labels {array.name} of {self.location}: {error}", "mend the file, or move it away"
            ) from error

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Read rows of one array and its labels; see :meth:`Source.read`. Rows that a file lacks have that reason."""
        nonempty = [at for at, array in enumerate(self.images) if array.shape[0]]
        image, label = self.images[nonempty[partition]], self.labels[nonempty[partition]]
        labels = None if label is None else self._read(label, start, stop, batch_rows)
        at, before = start, self.first_in_split(partition)
        try:
            for values in self._read(image, start, stop, batch_rows):
                raw = [] if labels is None else texts(next(labels))
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


def _words(array: StoredArray) -> set[str]:
    return {word for word in re.split(r"[^a-z]+", array.name.lower()) if word}


def _is_labels(array: StoredArray) -> bool:
    one = len(array.shape) == 1 or (len(array.shape) == 2 and array.shape[1] == 1)
    return one and np.dtype(array.dtype).kind in "biufUS" and not (_words(array) & IMAGE_WORDS and len(array.shape) > 1)


def _is_images(array: StoredArray) -> bool:
    if array.fortran or np.dtype(array.dtype).kind not in "biuf":
        return False
    return 2 <= len(array.shape) <= 4 and min(array.shape[1:]) > 0 and not _words(array) & LABEL_WORDS


def _shape_of(array: StoredArray, size: tuple[int, int] | None) -> tuple[int, ...]:
    """Shape of one image."""
    check_size(array.shape[1:], array.name)
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
