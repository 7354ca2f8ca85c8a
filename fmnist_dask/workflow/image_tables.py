"""Tables with one row for each image, in which every step that has something to say of each image has its columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.files import make_directory
from fmnist_dask.collection.store import configure_zarr, split_code
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.rundir import PUBLISHED, RunDirectory

#: Rows of one row group, at least: what is held in memory at a time.
BATCH_ROWS = 131_072
#: Columns of every table.
FIRST = ("sample", "source_name", "split", "label")


@dataclass(frozen=True)
class TableColumn:
    """A per-sample variable on disk, as a column.

    Attributes
    ----------
    name
        Of the column.
    path
        Zarr array with a value for each sample.
    split_code
        Split that the step worked on, ``None`` for all: elsewhere −1 and NaN stand for "nothing known".
    """

    name: str
    path: Path
    split_code: int | None


def update_image_tables(run: RunDirectory, tables: Iterable[str], source: Readable) -> None:
    """Write tables anew with the columns of those steps that are published; take away those that none is for."""
    for table in tables:
        columns = _columns(run, table, source, {})
        place = run.tables / f"{table}.parquet"
        if columns:
            aside = make_directory(run.pending / "tables") / place.name
            _write(aside, columns, source)
            os.replace(aside, place)
        else:
            place.unlink(missing_ok=True)


def write_image_tables(
    run: RunDirectory, step: str, tables: Mapping[str, Mapping[str, str]], dataset: Path, source: Readable
) -> dict[str, Path]:
    """Write the tables of a step that is about to be published, aside; returns where they lie.

    Parameters
    ----------
    tables
        Table → {suffix: variable}.
    dataset
        Where the step's variables lie for now.
    """
    written = {}
    for table, variables in tables.items():
        columns = _columns(run, table, source, {step: (variables, dataset)})
        written[table] = run.publishing(step) / f"{table}.parquet"
        _write(written[table], columns, source)
    return written


def _columns(
    run: RunDirectory, table: str, source: Readable, fresh: Mapping[str, tuple[Mapping[str, str], Path]]
) -> list[TableColumn]:
    """Columns of a table in the workflow's order: of published steps, and of those given as ``fresh``."""
    records: dict[str, Any] = run.manifest.get("steps", {})
    columns, taken = [], set(FIRST)
    for step in dict.fromkeys([*records, *fresh]):
        record = records.get(step, {})
        if step in fresh:
            variables, directory = fresh[step]
        elif record.get("status") in PUBLISHED:
            variables, directory = record.get("image_tables", {}).get(table, {}), run.results / step
        else:
            continue
        for suffix, variable in variables.items():
            name = f"{step}{suffix}"
            if suffix.startswith("="):
                # A name of its own; the second step that has such a one puts its name before it.
                name = suffix[1:] if suffix[1:] not in taken else f"{step}_{suffix[1:]}"
            while name in taken:
                name += "_"  # a step may be called "label", or as another step and its suffix
            taken.add(name)
            columns.append(TableColumn(name, directory / variable, split_code(source, record.get("split", "all"))))
    return columns


def _write(path: Path, columns: list[TableColumn], source: Readable) -> None:
    """Stream rows into a Parquet file, some chunks at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zarr

    configure_zarr()
    arrays = [zarr.open_array(str(column.path), mode="r") for column in columns]
    named = source.read("source_name", 0, min(1, source.n))
    schema = pa.schema(
        [
            ("sample", pa.int64()),
            ("source_name", pa.int64() if named.dtype.kind == "i" else pa.string()),
            ("split", pa.dictionary(pa.int8(), pa.string())),
            ("label", pa.int16()),
            *((c.name, pa.from_numpy_dtype(array.dtype)) for c, array in zip(columns, arrays, strict=True)),
        ]
    )
    names = pa.array(list(source.splits), pa.string())
    step = source.chunk_rows * max(1, BATCH_ROWS // source.chunk_rows)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, source.n, step):
            stop = min(start + step, source.n)
            split = source.read("split", start, stop)
            values = [
                np.arange(start, stop),
                source.read("source_name", start, stop),
                pa.DictionaryArray.from_arrays(pa.array(split.astype(np.int8)), names),
                source.read("label", start, stop),
            ]
            for column, array in zip(columns, arrays, strict=True):
                part = np.asarray(array[start:stop])
                values.append(pa.array(part, mask=_unknown(part, split, column.split_code)))
            fields = [pa.array(part, field.type) for part, field in zip(values, schema, strict=True)]
            writer.write_table(pa.table(fields, schema=schema))


def _unknown(values: AnyArray, split: AnyArray, code: int | None) -> AnyArray | None:
    """Rows outside of the step's split that hold no value."""
    if code is None or values.dtype.kind not in "if":
        return None
    nothing: AnyArray = (np.isnan(values) if values.dtype.kind == "f" else values == -1) & (split != code)
    return nothing
