"""IDX files, plain or gzip-compressed: the format of MNIST and its relatives.

An IDX file begins with a big-endian magic number (0x0000 08 dd: unsigned bytes, dd dimensions) and one 32-bit size
for each dimension; the values follow in C order (http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, Source, file_identity, take_options
from fmnist_dask.collection.sources.canvas import MAX_PIXELS
from fmnist_dask.errors import SourceError
from fmnist_dask.typing import AnyArray, UInt8Array

#: How the files of a set are called, the split each belongs to, in row order.
SPLIT_PREFIXES = {"train": "train", "t10k": "test", "test": "test", "val": "validation", "validation": "validation"}
MAX_DIMENSION = 1 << 20


class IdxFile:
    """One IDX file of unsigned bytes: its shape, and its rows as a stream.

    Raises
    ------
    SourceError
        Not an IDX file of bytes, or shorter or longer than its header says.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        self.path = path
        self.compressed = path.suffix == ".gz"
        with self._open() as file:
            header = self._take(file, 4 + 4 * dimensions, "its header")
        magic = struct.unpack(">I", header[:4])[0]
        wanted = 0x0800 + dimensions
        if magic != wanted:
            raise SourceError(
                f"{path} has magic number 0x{magic:08x}; "
                f"IDX with {dimensions} dimension(s) of bytes has 0x{wanted:08x}",
                "check that the file is what its name says, or get it again",
            )
        self.shape = struct.unpack(f">{dimensions}I", header[4:])
        self.offset = len(header)
        if any(size > MAX_DIMENSION * (1 << 12) or size == 0 for size in self.shape) or any(
            size > MAX_DIMENSION for size in self.shape[1:]
        ):
            raise SourceError(f"{path} declares the shape {self.shape}, which is empty or too large to be images")
        self.row_bytes = int(np.prod(self.shape[1:], dtype=np.int64))
        if self.row_bytes > MAX_PIXELS:
            raise SourceError(
                f"{path} declares images of {self.row_bytes:,} pixels; the limit is {MAX_PIXELS:,}",
                "check that the file is what its name says, or get it again",
            )
        self._check_size()

    def _check_size(self) -> None:
        expected = self.offset + self.shape[0] * self.row_bytes
        if not self.compressed and self.path.stat().st_size != expected:
            raise SourceError(
                f"{self.path} has {self.path.stat().st_size:,} bytes; its header promises {expected:,}",
                "the file is cut off or damaged; get it again",
            )

    def _open(self) -> IO[bytes]:
        try:
            return gzip.open(self.path, "rb") if self.compressed else open(self.path, "rb")  # type: ignore[return-value]
        except OSError as error:
            raise SourceError(f"cannot open {self.path}: {error.strerror}") from error

    def _take(self, file: IO[bytes], size: int, what: str) -> bytes:
        try:
            data = file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(
                f"{self.path} is no whole gzip file: {error}", "the file is cut off or damaged; get it again"
            ) from error
        if len(data) != size:
            raise SourceError(
                f"{self.path} ends inside {what}: {len(data):,} of {size:,} bytes",
                "the file is cut off or damaged; get it again",
            )
        return data

    def rows(self, start: int, stop: int, batch_rows: int) -> Iterator[UInt8Array]:
        """Yield rows ``start`` to ``stop`` in order, as arrays of shape (m, ...)."""
        with self._open() as file:
            self._skip(file, start)
            for at in range(start, stop, batch_rows):
                size = min(stop, at + batch_rows) - at
                data = self._take(file, size * self.row_bytes, f"rows {at:,} to {at + size:,} of {self.shape[0]:,}")
                yield np.frombuffer(data, dtype=np.uint8).reshape(size, *self.shape[1:])
            if stop == self.shape[0] and self._trailing(file):
                raise SourceError(
                    f"{self.path} goes on after its {self.shape[0]:,} rows", "its header does not fit its data"
                )

    def _skip(self, file: IO[bytes], start: int) -> None:
        if not self.compressed:
            file.seek(self.offset + start * self.row_bytes)
            return
        left = self.offset + start * self.row_bytes
        while left:
            left -= len(self._take(file, min(left, 1 << 20), "the rows before those asked for"))

    def _trailing(self, file: IO[bytes]) -> bool:
        # Reading on also lets gzip check its checksum.
        try:
            return bool(file.read(1))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(f"{self.path} is damaged: {error}", "get the file again") from error


def find_idx_files(directory: Path) -> dict[str, tuple[Path, Path | None]]:
    """IDX sets in a directory: split → (images file, labels file or None)."""
    found: dict[str, tuple[Path, Path | None]] = {}
    for prefix, split in SPLIT_PREFIXES.items():
        images = _one(directory, f"{prefix}-images*idx3-ubyte*")
        if images is not None and split not in found:
            found[split] = (images, _one(directory, f"{prefix}-labels*idx1-ubyte*"))
    return found


def _one(directory: Path, pattern: str) -> Path | None:
    # MNIST is also seen as "train-images.idx3-ubyte", and with both the plain and the gz file: the plain one is faster.
    matches = sorted(path for path in directory.glob(pattern) if path.suffix == ".gz" or "ubyte" in path.name[-9:])
    plain = [path for path in matches if path.suffix != ".gz"]
    return next(iter(plain or matches), None)


class Idx(Source):
    """A directory of IDX files, ``{train,t10k,…}-images-idx3-ubyte[.gz]`` and the labels beside them.

    Parameters
    ----------
    directory
        Where the files are.
    name
        Name of the data set; by default the directory's.
    class_names
        Names of the classes; by default their numbers.
    """

    kind = "IDX files"

    def __init__(
        self,
        directory: Path,
        options: dict[str, Any] | None = None,
        name: str | None = None,
        class_names: tuple[str, ...] = (),
        description: str = "",
    ) -> None:
        take_options("IDX", options or {})
        self.location = str(directory)
        self.name = name or directory.resolve().name
        self.description = description or f"IDX files of {directory}."
        self.images: list[IdxFile] = []
        self.labels: list[IdxFile | None] = []
        partitions = []
        # Workers may have another working directory.
        for split, (images, labels) in find_idx_files(directory.resolve()).items():
            pixels = IdxFile(images, 3)
            classes = None if labels is None else IdxFile(labels, 1)
            if classes is not None and classes.shape[0] != pixels.shape[0]:
                raise SourceError(
                    f"{images.name} has {pixels.shape[0]:,} images, "
                    f"{classes.path.name} has {classes.shape[0]:,} labels",
                    "the two files must belong together and be whole",
                )
            self.images.append(pixels)
            self.labels.append(classes)
            partitions.append(Partition(split, pixels.shape[0], seekable=not pixels.compressed))
        shapes = {str(file.path.name): file.shape[1:] for file in self.images}
        if len(set(shapes.values())) > 1:
            raise SourceError(f"image sizes differ between files: {shapes}", "ingest them as collections of their own")
        self.image_shape = tuple(int(size) for size in self.images[0].shape[1:])
        self.partitions = tuple(partitions)
        self.class_names = class_names or self._numbered_classes()

    def _numbered_classes(self) -> tuple[str, ...]:
        files = [file for file in self.labels if file is not None]
        highest = -1
        for file in files:
            for batch in file.rows(0, file.shape[0], 1 << 20):
                highest = max(highest, int(batch.max()))
        return tuple(str(number) for number in range(highest + 1))

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of the files, and the class names."""
        paths = [file.path for file in [*self.images, *self.labels] if file is not None]
        return {"files": file_identity(paths), "class_names": self.class_names}

    def read_bytes(self) -> int:
        """One batch as read, before it is copied into its chunk."""
        return 1 << 20

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Read rows of one file and its labels; see :meth:`Source.read`."""
        labels = self.labels[partition]
        classes = None if labels is None else labels.rows(start, stop, batch_rows)
        at = start
        for image in self.images[partition].rows(start, stop, batch_rows):
            rows = np.arange(at, at + len(image), dtype=np.int64)
            yield Rows(image, None if classes is None else self._checked(next(classes), partition), rows)
            at += len(image)
        if classes is not None:
            next(classes, None)  # lets the labels' checksum be checked, too

    def _checked(self, label: UInt8Array, partition: int) -> AnyArray:
        if len(label) and int(label.max()) >= len(self.class_names):
            file = self.labels[partition]
            raise SourceError(
                f"{file.path if file else ''} holds the label {int(label.max())}; "
                f"there are {len(self.class_names)} classes",
                "check that images and labels belong to this data set",
            )
        return label.astype(np.int16)
