"""Tables of labels that lie beside images: ``metadata.csv``, ``metadata.jsonl``, ``metadata.parquet``."""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections.abc import Iterable
from typing import Any

from fmnist_dask.collection.sources.files import FileInfo, Files
from fmnist_dask.errors import SourceError, UsageError, nearest

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
#: Column of the file's name, relative to the table's folder, and columns that may hold the label, best first.
FILE_NAME = "file_name"
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "fine_label", "y")
#: Largest table.
MOST_BYTES = 1 << 30


def read_labels(files: Files, tables: Iterable[FileInfo], column: str = "") -> dict[str, Any] | None:
    """Label of each file by its path below the root; ``None`` if no table has a column of labels.

    Parameters
    ----------
    column
        Name of the column of labels; by default one of :data:`LABEL_COLUMNS`.

    Raises
    ------
    SourceError
        A table cannot be read, or has no column ``file_name``.
    """
    labels: dict[str, Any] = {}
    found = False
    for table in tables:
        if table.size > MOST_BYTES:
            raise SourceError(f"{table.path} has {table.size:,} bytes; the limit is {MOST_BYTES:,}")
        folder = posixpath.dirname(table.path)
        try:
            with files.open(table.path) as file:
                rows, columns = _rows(table.path, file.read())
        except (OSError, ValueError, RecursionError, csv.Error) as error:
            raise SourceError(
                f"cannot read {table.path} of {files.root}: {str(error)[:200]}", "mend it, or move it away"
            ) from error
        if FILE_NAME not in columns:
            raise SourceError(
                f"{table.path} of {files.root} has no column {FILE_NAME}, only {', '.join(columns[:8])}",
                "add one with each image's path from the table's folder, or move the table away",
            )
        chosen = label_column(columns, column)
        if chosen is None:
            continue
        found = True
        for row in rows:
            name = str(row.get(FILE_NAME) or "").replace("\\", "/")
            labels[posixpath.normpath(posixpath.join(folder, name))] = row.get(chosen)
    return labels if found else None


def label_column(columns: list[str], wanted: str = "") -> str | None:
    """The column that holds labels; ``None`` if there is none.

    Raises
    ------
    UsageError
        There is no column of the name that is wanted.
    """
    if wanted:
        if wanted not in columns:
            raise UsageError(f"there is no column {wanted!r} (label_column)", nearest(wanted, columns))
        return wanted
    lowered = {column.lower(): column for column in reversed(columns)}
    return next((lowered[name] for name in LABEL_COLUMNS if name in lowered), None)


def _rows(path: str, content: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    if path.lower().endswith(".csv"):
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return list(reader), [str(name) for name in reader.fieldnames or []]
    if path.lower().endswith(".jsonl"):
        # Only a newline ends a line: texts in JSON may hold other characters that Python takes for one.
        lines = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
        if not all(isinstance(line, dict) for line in lines):
            raise ValueError("a line is no JSON object")
        return lines, list(dict.fromkeys(name for line in lines for name in line))
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(content))
        names = [name for name in table.column_names if name == FILE_NAME or not pa.types.is_nested(table[name].type)]
        return table.select(names).to_pylist(), names
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(error) from error
