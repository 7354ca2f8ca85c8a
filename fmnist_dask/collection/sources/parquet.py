"""Parquet files as Hugging Face keeps image data sets: a column of encoded images, a column of labels."""

from __future__ import annotations

import collections
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, take_options
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.decoding import MAX_ENCODED_BYTES
from fmnist_dask.collection.sources.encoded import EncodedSource, Item
from fmnist_dask.collection.sources.files import FileInfo, Files
from fmnist_dask.collection.sources.image_options import take_image_options
from fmnist_dask.collection.sources.labels import (
    MOST_LABEL_CHARACTERS,
    class_names_option,
    count,
    plain_text,
    table_of_counts,
)
from fmnist_dask.collection.sources.listing import Listing, opened
from fmnist_dask.collection.sources.metadata import label_column
from fmnist_dask.errors import FmnistDaskError, SourceError, UsageError, nearest

#: Rows of encoded images held at a time.
READ_ROWS = 256
READ_BYTES = 16 << 20
#: Writers close a page of a column after so many rows at the earliest; it is decompressed as a whole.
PAGE_ROWS = 1024
#: Bytes read ahead in a column.
BUFFER_BYTES = 1 << 20
#: What importing the reader costs a worker, in bytes (measured: 60 MB).
READER_BYTES = 64 << 20
#: A row group up to this size is read from its beginning by every task that needs a part of it.
SEEKABLE_BYTES = 256 << 20
#: Labels read at a time.
LABEL_ROWS = 1 << 16
#: Images beyond so many bytes that compress better than so many to one are a decompression bomb.
BOMB_BYTES = 64 << 20
BOMB_RATIO = 100


@dataclass(frozen=True)
class _Group:
    """One row group of a file: its number, its rows, its bytes when decompressed."""

    path: str
    number: int
    rows: int
    size: int


@dataclass(frozen=True)
class _Footer:
    columns: tuple[str, str | None]
    class_names: tuple[str, ...]
    labels: collections.Counter[str]
    groups: list[_Group]


class Parquet(EncodedSource):
    """Parquet files with a struct column ``{bytes, path}`` or a binary column of encoded images.

    Each file belongs to the split that its name says. Names of classes are taken from the files' metadata where they
    were written by ``datasets``.
    """

    kind = "Parquet files"

    def __init__(self, files: Files, options: dict[str, Any] | None = None) -> None:
        rest = dict(options or {})
        self.image = take_image_options("parquet", rest)
        given = class_names_option(rest.pop("class_names")) if "class_names" in rest else ()
        taken = take_options("parquet", rest, image_column=(str, ""), label_column=(str, ""))
        self.files_at = files
        self.location = files.root
        self.name = files.name.removesuffix(".parquet")
        self.listing = Listing(files, _is_ours)
        found = self.listing.read()
        self.description = f"Encoded images in {len(found):,} Parquet files of {files.root}."
        self._open_all(found, taken["image_column"], taken["label_column"], given)
        self._look()

    def _open_all(self, found: list[FileInfo], image_column: str, label: str, given: tuple[str, ...]) -> None:
        """Read all footers and labels; files that have none to be read are noted."""
        counts: collections.Counter[str] = collections.Counter()
        names: list[tuple[str, ...]] = []
        #: The first readable file says which columns all have.
        self.columns: tuple[str, str | None] | None = None

        def one(path: str) -> list[_Group]:
            footer = self._footer(path, image_column, label)
            self.columns = footer.columns
            names.append(footer.class_names)
            for text, times in footer.labels.items():
                count(counts, text, times)
            return footer.groups

        known, self.unreadable = opened(found, self.name, "Parquet file", one)
        self.groups = [group for _, groups in known for group in groups]
        if not self.groups:
            raise SourceError(f"the Parquet files of {self.location} have no rows", "check that they are whole")
        labelled = self.columns is not None and self.columns[1] is not None
        self.table = table_of_counts(counts, given or names[0]) if labelled else None
        self.class_names = self.table.class_names if self.table is not None else ()
        self.partitions = tuple(
            Partition(split, group.rows, seekable=group.size <= SEEKABLE_BYTES)
            for split, groups in known
            for group in groups
        )

    def _footer(self, path: str, image_column: str, label: str) -> _Footer:
        """What a file says of itself, and its labels."""
        with self._opened(path) as file:
            columns = _columns(file.schema_arrow, image_column, label, self.location)
            if self.columns not in (None, columns):
                raise UnreadableError(f"its columns are {columns}, those of the files before it {self.columns}")
            groups = _groups(file.metadata, path, columns[0])
            counts = collections.Counter[str]() if columns[1] is None else _label_counts(file, columns[1])
            if columns[1] is not None and counts.total() != sum(group.rows for group in groups):
                raise UnreadableError(
                    f"it has {counts.total():,} labels, and says that it has {file.metadata.num_rows:,}"
                )
            return _Footer(columns, _names_in(file.schema_arrow, columns[1]), counts, groups)

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[Any]:
        """A file whose pages are read as they are needed, not a row group at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self.files_at.open(path) as raw:
            try:
                yield pq.ParquetFile(raw, buffer_size=BUFFER_BYTES, pre_buffer=False)
            except FmnistDaskError:
                raise  # some of ours are values' errors, too
            except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
                raise UnreadableError(f"damaged: {(str(error).splitlines() or [''])[0][:160]}") from error

    def items(self, partition: int, start: int, stop: int) -> Iterator[Item]:
        """Rows of a row group; see :meth:`EncodedSource.items`. From where it cannot be read, all have that reason."""
        group = self.groups[partition]
        path, at = group.path, start
        try:
            with self._opened(path) as file:
                for item in self._rows(file, group, start, stop):
                    yield item
                    at += 1
        except (UnreadableError, OSError) as error:
            reason = str(error)[:200]
        else:
            reason = "the row group ends before its rows do"
        yield from (Item(f"{path}#{group.number}:{row}", None, -1, reason) for row in range(at, stop))

    def _rows(self, file: Any, group: _Group, start: int, stop: int) -> Iterator[Item]:
        import pyarrow as pa

        assert self.columns is not None
        image, label = self.columns
        known: dict[Any, int] = {}
        first = 0
        for batch in file.iter_batches(
            _batch_rows(group), [group.number], [image] if label is None else [image, label]
        ):
            low, high = max(start - first, 0), min(stop - first, len(batch))
            if low < high:
                part = batch.slice(low, high - low)
                column = part.column(part.schema.get_field_index(image))
                nested = pa.types.is_struct(column.type)
                data = column.field("bytes") if nested else column
                named = nested and column.type.get_field_index("path") >= 0
                names = _plain(column.field("path")) if named else None
                labels = None if label is None else _plain(part.column(part.schema.get_field_index(label)))
                texts = [] if names is None else names.to_pylist()
                raw = [None] * (high - low) if labels is None else labels.to_pylist()
                for at, content in enumerate(data.to_pylist()):
                    name = _text(texts[at]) if texts else ""
                    yield self._item(name or f"{group.path}#{group.number}:{first + low + at}", content, raw[at], known)
            first += len(batch)
            if first >= stop:
                return

    def _item(self, name: str, data: Any, raw: Any, known: dict[Any, int]) -> Item:
        label = -1 if self.table is None else known.get(raw)
        if label is None:
            assert self.table is not None
            try:
                label = known[raw] = self.table.index(raw)
            except UnreadableError as error:
                return Item(name, None, -1, str(error))
        if not data:
            return Item(name, None, label, "there are no bytes")
        if len(data) > MAX_ENCODED_BYTES:
            return Item(name, None, label, f"more than {MAX_ENCODED_BYTES:,} bytes")
        return Item(name, data if isinstance(data, bytes) else bytes(data), label)

    def sample(self, count: int) -> Iterator[Item]:
        """The first rows of evenly spread row groups; see :meth:`EncodedSource.sample`."""
        picked = np.unique(np.linspace(0, len(self.groups) - 1, min(16, len(self.groups))).astype(int))
        each = -(-count // len(picked))
        for group in picked.tolist():
            yield from self.items(group, 0, min(each, self.groups[group].rows))

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of the files."""
        return {
            "files": self.listing.digest(),
            "directory": self.files_at.root,
            "classes": self.class_names,
            "columns": self.columns,
            **self.image_identity(),
        }

    def read_bytes(self) -> int:
        """Beside the image, encoded rows of one batch, a page of the file, and the buffer of the column."""
        group = max(self.groups, key=lambda group: group.size // group.rows)
        page = min(group.size, PAGE_ROWS * group.size // group.rows)
        batch = 2 * _batch_rows(group) * (group.size // group.rows)
        return super().read_bytes() + batch + page + 8 * BUFFER_BYTES + READER_BYTES


def _text(value: Any) -> str:
    """A name, in whatever type it is stored."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    return text[:MOST_LABEL_CHARACTERS]


def _batch_rows(group: _Group) -> int:
    """Rows read at a time: fewer of large images."""
    return min(READ_ROWS, max(1, READ_BYTES // max(1, group.size // group.rows)))


def _is_ours(info: FileInfo) -> bool:
    name = info.path.rpartition("/")[2]
    return not info.path or (name.endswith(".parquet") and not name.startswith("metadata."))


def _columns(schema: Any, image: str, label: str, location: str) -> tuple[str, str | None]:
    """Names of the columns of images and labels."""
    import pyarrow as pa

    def holds_images(field: Any) -> Any:
        kind: Any = field.type
        if pa.types.is_struct(kind):
            at = kind.get_field_index("bytes")
            return at >= 0 and _is_bytes(kind.field(at).type)
        return _is_bytes(kind)

    candidates = [field.name for field in schema if holds_images(field) and schema.names.count(field.name) == 1]
    if image and image not in schema.names:
        raise UsageError(f"there is no column {image!r} in {location} (image_column)", nearest(image, schema.names))
    chosen = image or next((name for name in ("image", "img") if name in candidates), next(iter(candidates), ""))
    if not chosen or (image and image not in candidates):
        raise UnreadableError(f"no column of encoded images (binary, or a struct with bytes) among {schema.names}")
    plain = [
        field.name
        for field in schema
        if not pa.types.is_nested(field.type) and field.name not in candidates and schema.names.count(field.name) == 1
    ]
    return chosen, label_column(plain, label)


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _groups(metadata: Any, path: str, image: str) -> list[_Group]:
    """The row groups of a file that have rows.

    Raises
    ------
    UnreadableError
        The footer contradicts itself, or images are far smaller compressed, as no encoded image is.
    """
    found = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(at) for at in range(group.num_columns)]
        sizes = [column for column in columns if column.path_in_schema.partition(".")[0] == image]
        held, packed = (
            sum(getattr(column, f"total_{name}_size") for column in sizes) for name in ("uncompressed", "compressed")
        )
        if group.num_rows < 0 or group.total_byte_size < 0 or held < 0:
            raise UnreadableError(f"damaged: row group {number} has {group.num_rows:,} rows")
        if any(column.num_values != group.num_rows for column in sizes):
            raise UnreadableError(f"damaged: row group {number} has not as many images as rows")
        if held > BOMB_BYTES and held > BOMB_RATIO * max(packed, 1):
            raise UnreadableError(f"{packed:,} bytes that become {held:,}; encoded images are not compressed like that")
        if group.num_rows:
            found.append(_Group(path, number, group.num_rows, max(group.total_byte_size, held)))
    return found


def _label_counts(file: Any, column: str) -> collections.Counter[str]:
    """How often each label occurs; read some at a time, since very many equal ones may take no room in a file."""
    counts: collections.Counter[str] = collections.Counter()
    for batch in file.iter_batches(LABEL_ROWS, columns=[column]):
        for entry in _plain(batch.column(0)).value_counts().to_pylist():
            count(counts, plain_text(entry["values"]), entry["counts"])
    return counts


def _plain(column: Any) -> Any:
    """A column without a dictionary, texts as their bytes: those of damaged files are not always UTF-8."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.large_binary())
    return column


def _names_in(schema: Any, column: str | None) -> tuple[str, ...]:
    """Names of classes that ``datasets`` has written into the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[column]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
