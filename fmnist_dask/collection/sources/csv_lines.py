"""Lines of CSV files: cut out of a stream, and turned into numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.typing import AnyArray

#: Bytes of text read at a time.
BLOCK_BYTES = 1 << 22
#: Longest line.
MOST_LINE_BYTES = 1 << 23
#: Most values on a line.
MOST_COLUMNS = 1 << 20
#: Columns that the fast parser is asked for; it needs some kilobytes for each.
MOST_FAST_COLUMNS = 20_000
#: What UTF-8 files of some programs begin with.
MARK = b"\xef\xbb\xbf"
LABEL_NAMES = ("label", "labels", "class", "target")


def parse(
    lines: list[bytes], separator: bytes, columns: int, label_at: int | None
) -> tuple[AnyArray, list[Any], dict[int, str]]:
    """Values (float64, or uint8 where all are), raw labels, and what is wrong with some lines."""
    import pyarrow as pa
    from pyarrow import csv as fast

    names = [str(at) for at in range(columns)]
    pixel_names = [name for at, name in enumerate(names) if at != label_at]
    text = b"\n".join(lines)
    # What is quoted needs more than cutting at separators.
    kinds = () if columns > MOST_FAST_COLUMNS or b'"' in text else (pa.uint8(), pa.float64())
    for kind in kinds:
        types = dict.fromkeys(pixel_names, kind)
        if label_at is not None:
            types[names[label_at]] = pa.string()
        try:
            table = fast.read_csv(
                io.BytesIO(text),
                read_options=fast.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
                parse_options=fast.ParseOptions(
                    delimiter=separator.decode(), quote_char=False, ignore_empty_lines=False
                ),
                # Only what is empty is missing, as where lines are parsed one by one.
                convert_options=fast.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[""]),
            )
        except pa.ArrowInvalid:
            continue
        if table.num_rows != len(lines):
            break
        if kind == pa.uint8() and any(table[name].null_count for name in pixel_names):
            continue
        values = np.empty((len(lines), len(pixel_names)), dtype=kind.to_pandas_dtype())
        for at, name in enumerate(pixel_names):
            values[:, at] = table[name].to_numpy()
        return values, [] if label_at is None else table[names[label_at]].to_pylist(), {}
    return _parse_slowly(lines, separator, columns, label_at)


def _parse_slowly(
    lines: list[bytes], separator: bytes, columns: int, label_at: int | None
) -> tuple[AnyArray, list[Any], dict[int, str]]:
    """Line by line, where some line is not as the others."""
    values = np.zeros((len(lines), columns - (label_at is not None)))
    labels: list[Any] = []
    reasons: dict[int, str] = {}
    for row, line in enumerate(lines):
        fields = fields_of(line, separator)
        label: Any = None
        if len(fields) != columns:
            reasons[row] = f"it has {len(fields):,} values, not {columns:,}"
        else:
            if label_at is not None:
                label = fields.pop(label_at)
            for at, field in enumerate(fields):
                try:
                    values[row, at] = _number(field)
                except ValueError:
                    shown = field.strip()[:20].decode("utf-8", "replace")
                    reasons[row] = f"the value {shown!r} of pixel {at} is no number"
                    break
        labels.append(label)
    return values, labels if label_at is not None else [], reasons


def _number(field: bytes) -> float:
    text = field.strip().strip(b'"')
    if b"_" in text:
        raise ValueError  # to Python 1_0 is a number
    return float(text) if text else np.nan


def data_lines(file: IO[bytes], skip_header: bool, at: int = 0) -> Iterator[tuple[int, bytes]]:
    r"""Lines of data, and where they begin; blank lines and the header are left out.

    Only a newline ends a line: a lone ``\r`` within one is damage, and must not make two rows of it.

    Parameters
    ----------
    at
        Where in its file the stream stands.
    """
    for block in line_blocks(file):
        start = at
        for line in block.split(b"\n"):
            if line.strip(b" \r") and not skip_header:
                yield at, (line.removeprefix(MARK) if at == 0 else line).rstrip(b"\r")
            elif line.strip(b" \r"):
                skip_header = False
            at += len(line) + 1
        at = start + len(block)


def line_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Text in blocks that end with a line."""
    rest = b""
    while block := file.read(BLOCK_BYTES):
        block = rest + block
        end = block.rfind(b"\n") + 1
        if end:
            yield block[:end]
        rest = block[end:]
        if len(rest) > MOST_LINE_BYTES:
            raise UnreadableError(f"a line has more than {MOST_LINE_BYTES:,} bytes")
    if rest:
        yield rest


def fields_of(line: bytes, separator: bytes) -> list[bytes]:
    """The values of a line; within quotes there may be separators."""
    if b'"' not in line:
        return line.split(separator)
    try:
        # Latin-1 takes any byte to a character and back.
        return [
            field.encode("latin-1")
            for field in next(csv.reader([line.decode("latin-1")], delimiter=separator.decode()))
        ]
    except (csv.Error, StopIteration):
        return line.split(separator)


def field_of(line: bytes, separator: bytes, at: int) -> bytes:
    """One value of a line; empty if there are not so many."""
    fields = fields_of(line, separator) if b'"' in line else line.split(separator, at + 1)
    return fields[at] if len(fields) > at else b""


def names_of(line: bytes, separator: bytes) -> list[str]:
    """What a line would call the columns."""
    return [field.decode("utf-8", "replace").strip().strip('"') for field in fields_of(line, separator)]


def is_header(line: bytes, separator: bytes) -> bool:
    """Whether a line names columns: one of them is called label, or most of its values are no numbers."""
    names = names_of(line, separator)
    if any(name.lower() in LABEL_NAMES for name in names):
        return True
    words = 0
    for name in names:
        try:
            float(name or "0")
        except ValueError:
            words += 1
    return words > len(names) / 2
