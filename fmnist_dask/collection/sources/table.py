"""CSV files of pixels as on Kaggle: a label, then the pixels of one image on each line."""

from __future__ import annotations

import collections
import contextlib
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, take_options
from fmnist_dask.collection.sources.csv_lines import (
    BLOCK_BYTES,
    MOST_LINE_BYTES,
    field_of,
    is_header,
    line_blocks,
    parse,
)
from fmnist_dask.collection.sources.decoding import UnreadableError
from fmnist_dask.collection.sources.files import FileInfo, Files, Listing, opened
from fmnist_dask.collection.sources.labels import plain_text, table_of_counts
from fmnist_dask.collection.sources.pixels import check_range, image_shape
from fmnist_dask.collection.sources.plain import PlainSource, numbers_of
from fmnist_dask.errors import SourceError, UsageError, nearest
from fmnist_dask.typing import AnyArray

#: Lines whose places in a file are remembered together.
INDEXED_LINES = 1024
#: What importing the parser costs a worker, in bytes (measured: 60 MB).
PARSER_BYTES = 64 << 20
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
LABEL_NAMES = ("label", "labels", "class", "target")


@dataclass(frozen=True)
class _File:
    """One file.

    Attributes
    ----------
    path
        Below the source's directory; empty for the source itself.
    rows
        Lines of data; one more stands for what is lost where the file breaks off.
    header
        Whether its first line names columns.
    offsets
        Where every 1,024th line begins; empty for compressed files.
    reason
        Why it breaks off.
    """

    path: str
    rows: int
    header: bool
    offsets: AnyArray
    reason: str = ""


class Table(PlainSource):
    """CSV or TSV files, compressed or not: ``label,pixel1,…`` on each line, with or without a header.

    The label is the column that the header calls so, else the first one unless pixels come out even with it. Empty
    values and NaN are missing pixels.
    """

    kind = "CSV files"
    may_miss = True

    def __init__(self, files: Files, options: dict[str, Any] | None = None) -> None:
        rest = dict(options or {})
        self._take(rest)
        wanted = take_options("CSV", rest, label_column=(str, ""))["label_column"]
        self.files_at = files
        self.location = files.root
        self.name = files.name.partition(".")[0]
        self.listing = Listing(files, _is_ours)
        found = self.listing.read()
        self.description = f"Pixel values in {len(found):,} CSV file{'s' * (len(found) != 1)} of {files.root}."
        self.label_at: int | None = None
        self.columns = 0
        counts: collections.Counter[str] = collections.Counter()
        known, self.unreadable = opened(found, self.name, "CSV file", lambda path: self._scan(path, wanted, counts))
        self.opened = [file for _, file in known]
        self.partitions = tuple(Partition(split, file.rows, len(file.offsets) > 0) for split, file in known)
        self.table = table_of_counts(counts, self.given) if self.label_at is not None else None
        self.class_names = self.table.class_names if self.table is not None else ()

    def _separator(self, path: str) -> bytes:
        return b"\t" if ".tsv" in (path or self.location).lower()[-7:] else b","

    def _packed(self, path: str) -> bool:
        return (path or self.location).lower().endswith(".gz")

    def _scan(self, path: str, wanted: str, counts: collections.Counter[str]) -> _File | None:
        """Count lines and labels, and note where lines begin. A file that breaks off counts as far as it goes."""
        separator = self._separator(path)
        first = self._first_lines(path)
        if not self.columns:
            self.columns = self._layout(first, wanted, path or self.name, separator)
        header = is_header(first[0], separator)
        rows, offsets, at, reason = 0, [], 0, ""
        skip = 1 if header else 0
        try:
            with self._stream(path) as file:
                for block in line_blocks(file):
                    for line in block.splitlines(keepends=True):
                        if skip:
                            skip -= 1
                        elif line.strip():
                            if rows % INDEXED_LINES == 0:
                                offsets.append(at)
                            rows += 1
                            if self.label_at is not None:
                                counts[plain_text(field_of(line, separator, self.label_at))] += 1
                        at += len(line)
        except UnreadableError as error:
            reason = str(error)
            rows += 1
        index = np.array([] if self._packed(path) else offsets, dtype=np.int64)
        return _File(path, rows, header, index, reason) if rows else None

    def _first_lines(self, path: str) -> list[bytes]:
        with self._stream(path) as file:
            lines = [line.rstrip(b"\r\n") for line in (file.readline(MOST_LINE_BYTES) for _ in range(2)) if line]
        if not lines or not lines[0].strip():
            raise UnreadableError("the file is empty")
        if b"\0" in lines[0]:
            raise UnreadableError("it is no text")
        lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        return lines

    def _layout(self, first: list[bytes], wanted: str, where: str, separator: bytes) -> int:
        """Number of columns; finds out which of them is the label, and the image's shape."""
        header, fields = is_header(first[0], separator), first[0].split(separator)
        names = [field.decode("utf-8", "replace").strip().strip('"') for field in fields] if header else []
        self.label_at = None
        if wanted:
            if wanted not in names:
                raise UsageError(
                    f"there is no column {wanted!r} in {where} (label_column)", nearest(wanted, names[:50])
                )
            self.label_at = names.index(wanted)
        else:
            self.label_at = next((at for at, name in enumerate(names) if name.lower() in LABEL_NAMES), None)
        if self.label_at is None:
            try:
                self.image_shape = image_shape(len(fields), self.size, where)
                return len(fields)
            except SourceError:
                self.label_at = 0
        self.image_shape = image_shape(len(fields) - 1, self.size, where)
        data = first[-1] if header else first[0]
        values = [field for at, field in enumerate(data.split(separator)) if at != self.label_at]
        check_range(numbers_of(values), self.pixels, where)
        return len(fields)

    @contextlib.contextmanager
    def _stream(self, path: str) -> Iterator[IO[bytes]]:
        with self.files_at.open(path) as raw:
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if self._packed(path) else raw  # type: ignore[assignment]
            try:
                yield stream
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise UnreadableError(f"no whole gzip file: {error}") from error

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Parse lines; see :meth:`Source.read`."""
        batch: list[bytes] = []
        first = start
        for line in self._lines(partition, start, stop):
            batch.append(line)
            if len(batch) == batch_rows:
                yield self._parsed(partition, batch, first)
                first += len(batch)
                batch = []
        if batch:
            yield self._parsed(partition, batch, first)

    def _lines(self, partition: int, start: int, stop: int) -> Iterator[bytes]:
        """Lines of data ``start`` to ``stop``; an empty one for what is lost where a file breaks off."""
        file = self.opened[partition]
        row = 0
        with contextlib.suppress(UnreadableError), self._stream(file.path) as stream:
            skip = 1 if file.header else 0
            if len(file.offsets):
                stream.seek(int(file.offsets[start // INDEXED_LINES]))
                row, skip = start // INDEXED_LINES * INDEXED_LINES, 0
            for block in line_blocks(stream):
                for line in block.splitlines():
                    if skip:
                        skip -= 1
                    elif line.strip():
                        if row >= stop:
                            return
                        if row >= start:
                            yield line
                        row += 1
        yield from (b"" for _ in range(max(row, start), stop))

    def _parsed(self, partition: int, lines: list[bytes], first: int) -> Rows:
        file = self.opened[partition]
        values, labels, reasons = parse(lines, self._separator(file.path), self.columns, self.label_at)
        for at, line in enumerate(lines):
            if not line:
                reasons[at] = f"the file breaks off: {file.reason or 'it has changed'}"
        return self.rows(values, labels, reasons, self.first_in_split(partition) + first, file.path or self.name)

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of the files, and the options."""
        return {**super().identity(), "label": self.label_at}

    def read_bytes(self) -> int:
        """Text of a block and of a batch, their values as float64, and the parser."""
        return 3 * BLOCK_BYTES + self.batch_values() * (4 + 3 * 8) + PARSER_BYTES


def _is_ours(info: FileInfo) -> bool:
    name = info.path.rpartition("/")[2].lower()
    return not info.path or (name.endswith(SUFFIXES) and not name.startswith("metadata."))
