"""The list of what could not be read: names and reasons, beside the collection."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fmnist_dask.collection.files import write_bytes
from fmnist_dask.collection.place import read_many

QUARANTINE = "quarantine.parquet"


def write_quarantine(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write a table with the columns ``source_name``, ``split`` and ``reason``, one row for each thing left out.

    Parameters
    ----------
    rows
        Name, split and reason of each.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    listed = list(rows)
    columns = {
        name: pa.array([row[at] for row in listed], pa.string())
        for at, name in enumerate(("source_name", "split", "reason"))
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    write_bytes(path, buffer.getvalue())


def read_quarantine_rows(path: Path) -> list[tuple[str, str, str]]:
    """Name, split and reason of each thing left out."""
    import pyarrow.parquet as pq

    (content,) = read_many([path])
    rows = [] if content is None else pq.read_table(io.BytesIO(content)).to_pylist()
    return [(row["source_name"], row["split"], row["reason"]) for row in rows]


def read_quarantine(path: Path) -> Any:
    """The table as a :class:`pandas.DataFrame`; empty where nothing was left out."""
    import pandas as pd

    (content,) = read_many([path])
    if content is not None:
        return pd.read_parquet(io.BytesIO(content))
    return pd.DataFrame({name: pd.Series([], dtype="str") for name in ("source_name", "split", "reason")})
