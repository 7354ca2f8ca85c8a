"""Lines of CSV files: cut out of a stream, and turned into numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.decoding import UnreadableError
from fmnist_dask.typing import AnyArray

#: Bytes of text read at a time.
BLOCK_BYTES = 1 << 22
#: Longest line.
MOST_LINE_BYTES = 1 << 26


def parse(
    lines: list[bytes], separator: bytes, columns: int, label_at: int | None
) -> tuple[AnyArray, list[Any], dict[int, str]]:
    """Values (float64, or uint8 where all are), raw labels, and what is wrong with some lines."""
    import pyarrow as pa
    from pyarrow import csv

    names = [str(at) for at in range(columns)]
    pixel_names = [name for at, name in enumerate(names) if at != label_at]
    text = b"\n".join(lines)
    for kind in (pa.uint8(), pa.float32()):
        types = dict.fromkeys(pixel_names, kind)
        if label_at is not None:
            types[names[label_at]] = pa.string()
        try:
            table = csv.read_csv(
                io.BytesIO(text),
                read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
                parse_options=csv.ParseOptions(
                    delimiter=separator.decode(), quote_char=False, ignore_empty_lines=False
                ),
                convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=False),
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
        fields = line.split(separator)
        label: Any = None
        if len(fields) != columns:
            reasons[row] = f"it has {len(fields):,} values, not {columns:,}"
        else:
            if label_at is not None:
                label = fields.pop(label_at)
            for at, field in enumerate(fields):
                text = field.strip().strip(b'"')
                try:
                    values[row, at] = float(text) if text else np.nan
                except ValueError:
                    reasons[row] = f"the value {text[:20].decode('utf-8', 'replace')!r} of pixel {at} is no number"
                    break
        labels.append(label)
    return values, labels if label_at is not None else [], reasons


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


def field_of(line: bytes, separator: bytes, at: int) -> bytes:
    """One value of a line; empty if there are not so many."""
    fields = line.rstrip(b"\r\n").split(separator, at + 1)
    return fields[at] if len(fields) > at else b""


def is_header(line: bytes, separator: bytes) -> bool:
    """Whether a line names columns: most of its values are no numbers."""
    words = 0
    fields = line.split(separator)
    for field in fields:
        try:
            float(field or b"0")
        except ValueError:
            words += 1
    return words > len(fields) / 2
