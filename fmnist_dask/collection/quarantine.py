"""The list of what could not be read: names and reasons, beside the collection."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
    pending = path.with_name(f".{path.name}.pending")
    pq.write_table(pa.table(columns), pending)
    pending.replace(path)


def read_quarantine_rows(path: Path) -> list[tuple[str, str, str]]:
    """Name, split and reason of each thing left out."""
    import pyarrow.parquet as pq

    if not path.exists():
        return []
    return [(row["source_name"], row["split"], row["reason"]) for row in pq.read_table(path).to_pylist()]


def read_quarantine(path: Path) -> Any:
    """The table as a :class:`pandas.DataFrame`; empty where nothing was left out."""
    import pandas as pd

    if path.exists():
        return pd.read_parquet(path)
    return pd.DataFrame({name: pd.Series([], dtype="str") for name in ("source_name", "split", "reason")})
