"""CSV files of pixels as on Kaggle: a label, then the pixels of one image on each line."""

from __future__ import annotations

import collections
import contextlib
import gzip
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, take_options
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.csv_lines import (
    BLOCK_BYTES,
    LABEL_NAMES,
    MARK,
    MOST_COLUMNS,
    MOST_FAST_COLUMNS,
    MOST_LINE_BYTES,
    data_lines,
    field_of,
    fields_of,
    is_header,
    names_of,
    parse,
)
from fmnist_dask.collection.sources.files import FileInfo, Files
from fmnist_dask.collection.sources.labels import MOST_LABEL_CHARACTERS, count, plain_text, table_of_counts
from fmnist_dask.collection.sources.listing import Listing, opened
from fmnist_dask.collection.sources.pixels import check_range, image_shape
from fmnist_dask.collection.sources.plain import PlainSource, numbers_of
from fmnist_dask.errors import SourceError, UsageError, nearest
from fmnist_dask.typing import AnyArray

#: Lines whose places in a file are remembered together.
INDEXED_LINES = 1024
#: What importing the parser costs a worker, in bytes (measured: 60 MB).
PARSER_BYTES = 64 << 20
#: What the parser holds for each column of a batch beside its values, and what becomes of each value on its way to a
#: pixel, in bytes (measured).
COLUMN_BYTES = 6 << 10
VALUE_BYTES = 44
#: Text of a batch, in bytes.
TEXT_BYTES = 1 << 24
#: Bytes of a value, on average over a line; longer lines are not parsed.
FIELD_BYTES = 64
#: Blank lines that may stand before the first that is not.
MOST_BLANK_LINES = 1000
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


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
    columns, label_at
        Values on a line, and which of them is the label; ``None``: it has none.
    offsets
        Where every 1,024th line begins; empty for compressed files.
    reason
        Why it breaks off.
    """

    path: str
    rows: int
    header: bool
    columns: int
    label_at: int | None
    offsets: AnyArray
    reason: str = ""

    @property
    def line_bytes(self) -> int:
        """Longest line that is parsed."""
        return FIELD_BYTES * self.columns + MOST_LABEL_CHARACTERS


class Table(PlainSource):
    """CSV or TSV files, compressed or not: ``label,pixel1,…`` on each line, with or without a header.

    The label is the column that the header calls so, else the first one unless pixels come out even with it. Files
    without labels may stand beside files with them. Empty values and NaN are missing pixels.
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
        #: Columns of the first file, and which of them is the label: those of the others that do not say otherwise.
        self.columns: int | None = None
        self.label_at: int | None = None
        counts: collections.Counter[str] = collections.Counter()
        known, self.unreadable = opened(found, self.name, "CSV file", lambda path: self._scan(path, wanted, counts))
        self.opened = [file for _, file in known]
        self.partitions = tuple(Partition(split, file.rows, len(file.offsets) > 0) for split, file in known)
        labelled = any(file.label_at is not None for file in self.opened)
        self.table = table_of_counts(counts, self.given) if labelled else None
        self.class_names = self.table.class_names if self.table is not None else ()

    def _separator(self, path: str) -> bytes:
        return b"\t" if ".tsv" in (path or self.location).lower()[-7:] else b","

    def _packed(self, path: str) -> bool:
        return (path or self.location).lower().endswith(".gz")

    def _scan(self, path: str, wanted: str, counts: collections.Counter[str]) -> _File | None:
        """Count lines and labels, and note where lines begin. A file that breaks off counts as far as it goes."""
        separator = self._separator(path)
        first = self._first_lines(path)
        header = is_header(first[0], separator)
        columns, label_at = self._layout(first, header, wanted, path or self.name, separator)
        rows, offsets, reason = 0, [], ""
        try:
            with self._stream(path) as file:
                for at, line in data_lines(file, header):
                    if rows % INDEXED_LINES == 0:
                        offsets.append(at)
                    rows += 1
                    if label_at is not None:
                        count(counts, plain_text(field_of(line, separator, label_at)))
        except UnreadableError as error:
            reason = str(error)
            rows += 1
        index = np.array([] if self._packed(path) else offsets, dtype=np.int64)
        return _File(path, rows, header, columns, label_at, index, reason) if rows else None

    def _first_lines(self, path: str) -> list[bytes]:
        """The first two lines that are not blank."""
        with self._stream(path) as file:
            begun = (file.readline(MOST_LINE_BYTES).removeprefix(MARK).rstrip(b"\r\n") for _ in range(MOST_BLANK_LINES))
            lines = list(itertools.islice((line for line in begun if line.strip()), 2))
        if not lines:
            raise UnreadableError("the file is empty")
        if b"\0" in lines[0]:
            raise UnreadableError("it is no text in UTF-8")
        if b"\r" in lines[0]:
            raise UnreadableError("its lines end in carriage returns; they must end in newlines")
        if any(line.count(self._separator(path)) >= MOST_COLUMNS for line in lines):
            raise UnreadableError(f"its lines have more than {MOST_COLUMNS:,} values")
        return lines

    def _layout(
        self, first: list[bytes], header: bool, wanted: str, where: str, separator: bytes
    ) -> tuple[int, int | None]:
        """Number of columns of a file, and which of them is the label; of the first file also the images' shape."""
        fields = fields_of(first[0], separator)
        if self.columns is not None and not header:
            # A damaged first line is one bad row, not another layout.
            unlabelled = self.label_at is not None and len(fields) == self.columns - 1
            return (len(fields), None) if unlabelled else (self.columns, self.label_at)
        names = names_of(first[0], separator) if header else []
        label_at, shape = self._label_and_shape(names, len(fields), wanted, where)
        if self.columns is not None:
            if shape != self.image_shape:
                raise UnreadableError(f"its images are {shape}, those of the files before it {self.image_shape}")
            return len(fields), label_at
        self.columns, self.label_at, self.image_shape = len(fields), label_at, shape
        data = fields_of(first[-1], separator) if header else fields
        check_range(numbers_of([field for at, field in enumerate(data) if at != label_at]), self.pixels, where)
        return len(fields), label_at

    def _label_and_shape(
        self, names: list[str], columns: int, wanted: str, where: str
    ) -> tuple[int | None, tuple[int, ...]]:
        if wanted in names:
            label_at: int | None = names.index(wanted)
        elif wanted and self.columns is None:
            raise UsageError(f"there is no column {wanted!r} in {where} (label_column)", nearest(wanted, names[:50]))
        else:
            label_at = next((at for at, name in enumerate(names) if name.lower() in LABEL_NAMES), None)
        if label_at is None:
            with contextlib.suppress(SourceError):
                return None, image_shape(columns, self.size, where)
            label_at = 0
        return label_at, image_shape(columns - 1, self.size, where)

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
        first, held = start, 0
        for line in self._lines(partition, start, stop):
            batch.append(line)
            held += len(line)
            if len(batch) == batch_rows or held >= TEXT_BYTES:
                yield self._parsed(partition, batch, first)
                first += len(batch)
                batch, held = [], 0
        if batch:
            yield self._parsed(partition, batch, first)

    def _lines(self, partition: int, start: int, stop: int) -> Iterator[bytes]:
        """Lines of data ``start`` to ``stop``, cut off where they are too long; an empty one for what is lost."""
        file = self.opened[partition]
        row, most = 0, file.line_bytes + 1
        with contextlib.suppress(UnreadableError), self._stream(file.path) as stream:
            at, header = 0, file.header
            if len(file.offsets):
                run = start // INDEXED_LINES
                at, header, row = int(file.offsets[run]), False, run * INDEXED_LINES
                stream.seek(at)
            for _, line in data_lines(stream, header, at):
                if row >= stop:
                    return
                if row >= start:
                    yield line[:most]
                row += 1
        yield from (b"" for _ in range(max(row, start), stop))

    def _parsed(self, partition: int, lines: list[bytes], first: int) -> Rows:
        file = self.opened[partition]
        values, labels, reasons = parse(lines, self._separator(file.path), file.columns, file.label_at)
        for at, line in enumerate(lines):
            if not line:
                reasons[at] = f"the file breaks off: {file.reason or 'it has changed'}"
            elif len(line) > file.line_bytes:
                reasons[at] = f"the line has more than {file.line_bytes:,} bytes"
        return self.rows(values, labels, reasons, self.first_in_split(partition) + first, file.path or self.name)

    def identity(self) -> dict[str, Any]:
        """Names, sizes and times of the files, and the options."""
        return {**super().identity(), "label": self.label_at}

    def read_bytes(self) -> int:
        """Text of a block and of a batch, values as float64 and on their way to pixels, and the parser."""
        columns = max(file.columns for file in self.opened)
        parser = PARSER_BYTES + COLUMN_BYTES * min(columns, MOST_FAST_COLUMNS)
        line = 2 * MOST_LINE_BYTES + FIELD_BYTES * columns
        return 3 * BLOCK_BYTES + line + 3 * TEXT_BYTES + self.batch_values() * VALUE_BYTES + parser


def _is_ours(info: FileInfo) -> bool:
    name = info.path.rpartition("/")[2].lower()
    return not info.path or (name.endswith(SUFFIXES) and not name.startswith("metadata."))
