"""Vectors that users have for their images: rows of an NPY file, or a column of lists in Parquet files."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.npy import StoredArray, read_npy_header, taken
from fmnist_dask.errors import SourceError, UsageError, nearest
from fmnist_dask.typing import AnyArray

#: Widest vector.
MOST_FEATURES = 1 << 16
#: Rows of Parquet read at a time.
READ_ROWS = 1024


class Embedding(ABC):
    """A vector for each row of a source, in the order of its rows. Small and picklable.

    Attributes
    ----------
    width
        Features of a vector.
    """

    width: int

    @abstractmethod
    def read(self, start: int, stop: int) -> tuple[AnyArray, dict[int, str]]:
        """Vectors of rows ``start`` to ``stop``, float32; position → what is wrong with some of them."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the values."""

    def _checked(self, values: AnyArray, reasons: dict[int, str]) -> tuple[AnyArray, dict[int, str]]:
        with np.errstate(all="ignore"):
            found = values.astype(np.float32)
        for at in np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist():
            reasons.setdefault(at, "its embedding holds values that are no finite float32")
            found[at] = 0
        return found, reasons


def open_embedding(source: Source, name: str) -> Embedding:
    """What the source option ``embedding`` names: an NPY file, or a column of Parquet files.

    Raises
    ------
    SourceError, UsageError
        Nothing of the kind, or not one vector for each image.
    """
    from fmnist_dask.collection.sources.parquet import Parquet

    if name.endswith(".npy"):
        return NpyEmbedding(source, name)
    if isinstance(source, Parquet):
        return ParquetEmbedding(source, name)
    raise UsageError(
        f"source option embedding={name!r} is no NPY file",
        "give an .npy file of shape (images, features) in the order of the source's images; of Parquet files also the "
        "name of a column of lists",
    )


def _check_width(width: int, where: str) -> int:
    if not 1 <= width <= MOST_FEATURES:
        raise SourceError(f"the vectors of {where} have {width:,} values; the limit is {MOST_FEATURES:,}")
    return width


class NpyEmbedding(Embedding):
    """Rows of a two-dimensional array in an NPY file."""

    def __init__(self, source: Source, place: str) -> None:
        self.files = Files.at(place)
        try:
            size = self.files.walk()[0].size if self.files.exists() else -1
            if size < 0:
                raise SourceError(f"no embedding at {place}: nothing is there", "check the path")
            with self.files.open() as file:
                self.array: StoredArray = read_npy_header(file, "", "", size)
        except (OSError, UnreadableError) as error:
            raise SourceError(f"cannot read the embedding {place}: {error}", "give an .npy file of numbers") from error
        shape, kind = self.array.shape, np.dtype(self.array.dtype)
        if len(shape) != 2 or shape[0] != source.n or kind.kind not in "fiu" or self.array.fortran:
            raise SourceError(
                f"the embedding {place} is {kind} of shape {shape}{' in Fortran order' * self.array.fortran}",
                f"give numbers of shape ({source.n}, features) in C order: a row for each image of {source.name}, in "
                "their order",
            )
        self.width = _check_width(shape[1], place)
        self.stamp = self._stamp()

    def _stamp(self) -> list[str]:
        info = self.files.walk()[0]
        return [self.files.root, str(info.size), info.stamp]

    def read(self, start: int, stop: int) -> tuple[AnyArray, dict[int, str]]:
        """See :meth:`Embedding.read`."""
        row = self.array.row_bytes
        with self.files.open() as file:
            file.seek(self.array.offset + start * row)
            data = taken(file, (stop - start) * row)
        return self._checked(np.frombuffer(data, self.array.dtype).reshape(stop - start, self.width), {})

    def identity(self) -> dict[str, Any]:
        """Name, size and time of the file, now."""
        return {"npy": self._stamp()}


class ParquetEmbedding(Embedding):
    """A column of lists of numbers, beside the images."""

    def __init__(self, source: Any, column: str) -> None:
        import pyarrow as pa

        self.source, self.column = source, column
        with source._opened(source.groups[0].path) as file:
            schema = file.schema_arrow
            lists = [
                field.name
                for field in schema
                if (pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
                    or pa.types.is_fixed_size_list(field.type))
                and (pa.types.is_floating(field.type.value_type) or pa.types.is_integer(field.type.value_type))
            ]  # fmt: skip
            if column not in lists:
                raise UsageError(
                    f"there is no column {column!r} of lists of numbers in {source.location} (embedding)",
                    nearest(column, lists) if lists else f"it has the columns {', '.join(schema.names[:20])}",
                )
        first = next((length for length in self._lengths() if length), 0)
        self.width = _check_width(first, f"the column {column} of {source.location}")

    def _lengths(self) -> Any:
        with self.source._opened(self.source.groups[0].path) as file:
            for batch in file.iter_batches(READ_ROWS, columns=[self.column]):
                yield from (len(value) if value is not None else 0 for value in batch.column(0).to_pylist())

    def read(self, start: int, stop: int) -> tuple[AnyArray, dict[int, str]]:
        """See :meth:`Embedding.read`."""
        values = np.zeros((stop - start, self.width))
        reasons: dict[int, str] = {}
        first = 0
        for partition, group in zip(self.source.partitions, self.source.groups, strict=True):
            low, high = max(start - first, 0), min(stop - first, partition.rows)
            if low < high:
                at = first + low - start
                for vector in itertools.islice(self._vectors(group), low, high):
                    self._take(vector, values, at, reasons)
                    at += 1
            first += partition.rows
        return self._checked(values, reasons)

    def _take(self, vector: Any, values: AnyArray, at: int, reasons: dict[int, str]) -> None:
        if isinstance(vector, str):
            reasons[at] = vector
        elif vector is None or len(vector) != self.width or any(value is None for value in vector):
            found = "nothing" if vector is None else f"{len(vector):,} values"
            reasons[at] = f"its embedding is {found}, not {self.width:,} values"
        else:
            values[at] = vector

    def _vectors(self, group: Any) -> Any:
        """Vectors of a row group; from where it cannot be read, the reason in their place."""
        row = 0
        try:
            with self.source._opened(group.path) as file:
                for batch in file.iter_batches(READ_ROWS, [group.number], [self.column]):
                    for vector in batch.column(0).to_pylist():
                        yield vector
                        row += 1
        except (UnreadableError, OSError) as error:
            for _ in range(row, group.rows):
                yield f"its embedding cannot be read: {error}"[:200]

    def identity(self) -> dict[str, Any]:
        """The column; its files are the source's."""
        return {"column": self.column}
