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
#: Tables in which the main columns of another table stand too, and under what name: clusters beside places on a map.
ALSO = {"embedding": ("clusters", "=cluster")}

#: Of a column: the variable; for a struct of lists, the variable of each field.
Variables = str | Mapping[str, str]
#: Table → suffix → variables.
TableVariables = Mapping[str, Mapping[str, Variables]]


@dataclass(frozen=True)
class TableColumn:
    """A per-sample variable on disk, as a column.

    Attributes
    ----------
    name
        Of the column.
    paths
        Zarr array with a value for each sample: one, whose name is empty, or that of each field of a struct, with a row
        of values each, as many as the first field has that are not negative.
    split_code
        Split that the step worked on, ``None`` for all: elsewhere −1 and NaN stand for "nothing known".
    """

    name: str
    paths: Mapping[str, Path]
    split_code: int | None


def update_image_tables(run: RunDirectory, tables: Iterable[str], source: Readable) -> None:
    """Write tables anew with the columns of those steps that are published; take away those that none is for."""
    for table in _touched(tables):
        columns = _columns(run, table, source, {})
        place = run.tables / f"{table}.parquet"
        if columns:
            aside = make_directory(run.pending / "tables") / place.name
            _write(aside, columns, source)
            os.replace(aside, place)
        else:
            place.unlink(missing_ok=True)


def write_image_tables(
    run: RunDirectory, step: str, tables: TableVariables, dataset: Path, source: Readable
) -> dict[str, Path]:
    """Write the tables of a step that is about to be published, aside; returns where they lie.

    Parameters
    ----------
    tables
        Those that the step has columns in.
    dataset
        Where the step's variables lie for now.
    """
    written = {}
    for table in _touched(tables):
        columns = _columns(run, table, source, {step: (tables, dataset)})
        if columns:
            written[table] = run.publishing(step) / f"{table}.parquet"
            _write(written[table], columns, source)
    return written


def _touched(tables: Iterable[str]) -> list[str]:
    """Tables, and those in which their columns stand too."""
    given = list(tables)
    return list(dict.fromkeys([*given, *(table for table, (other, _) in ALSO.items() if other in given)]))


def _columns(
    run: RunDirectory, table: str, source: Readable, fresh: Mapping[str, tuple[TableVariables, Path]]
) -> list[TableColumn]:
    """Columns of a table in the workflow's order: of published steps, and of those given as ``fresh``."""
    records: dict[str, Any] = run.manifest.get("steps", {})
    other, name_there = ALSO.get(table, ("", ""))
    own: list[tuple[str, Path, str, Variables]] = []
    also: list[tuple[str, Path, str, Variables]] = []
    for step in dict.fromkeys([*records, *fresh]):
        record = records.get(step, {})
        if step in fresh:
            tables, directory = fresh[step]
        elif record.get("status") in PUBLISHED:
            tables, directory = record.get("image_tables", {}), run.results / step
        else:
            continue
        own += [(step, directory, suffix, variable) for suffix, variable in tables.get(table, {}).items()]
        if "" in tables.get(other, {}):
            also.append((step, directory, name_there, tables[other][""]))
    columns, taken = [], set(FIRST)
    for step, directory, suffix, variable in [*own, *also] if own else []:
        name = f"{step}{suffix}"
        if suffix.startswith("="):
            # A name of its own; the second step that has such a one puts its name before it.
            name = suffix[1:] if suffix[1:] not in taken else f"{step}_{suffix[1:]}"
        while name in taken:
            name += "_"  # a step may be called "label", or as another step and its suffix
        taken.add(name)
        fields = {"": variable} if isinstance(variable, str) else variable
        paths = {field: directory / one for field, one in fields.items()}
        columns.append(TableColumn(name, paths, split_code(source, records.get(step, {}).get("split", "all"))))
    return columns


def _write(path: Path, columns: list[TableColumn], source: Readable) -> None:
    """Stream rows into a Parquet file, some chunks at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zarr

    configure_zarr()
    arrays = [
        {field: zarr.open_array(str(place), mode="r") for field, place in column.paths.items()} for column in columns
    ]
    named = source.read("source_name", 0, min(1, source.n))
    schema = pa.schema(
        [
            ("sample", pa.int64()),
            ("source_name", pa.int64() if named.dtype.kind == "i" else pa.string()),
            ("split", pa.dictionary(pa.int8(), pa.string())),
            ("label", pa.int16()),
            *((column.name, _type_of(fields)) for column, fields in zip(columns, arrays, strict=True)),
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
            for column, fields in zip(columns, arrays, strict=True):
                parts = {field: np.asarray(array[start:stop]) for field, array in fields.items()}
                if "" not in parts:
                    values.append(_lists(parts))
                    continue
                values.append(pa.array(parts[""], mask=_unknown(parts[""], split, column.split_code)))
            columns_of_part = [pa.array(part, field.type) for part, field in zip(values, schema, strict=True)]
            writer.write_table(pa.table(columns_of_part, schema=schema))


def _type_of(fields: Mapping[str, Any]) -> Any:
    """The type of a column in Parquet: plain, or a struct of lists."""
    import pyarrow as pa

    types = {field: pa.from_numpy_dtype(array.dtype) for field, array in fields.items()}
    return types[""] if "" in types else pa.struct({field: pa.list_(kind) for field, kind in types.items()})


def _lists(parts: Mapping[str, AnyArray]) -> Any:
    """Rows of values as structs of lists, without the places at which the first field is negative."""
    import pyarrow as pa

    there = next(iter(parts.values())) >= 0
    ends = np.concatenate([[0], there.sum(axis=1).cumsum()]).astype(np.int32)
    lists = [pa.ListArray.from_arrays(ends, values[there]) for values in parts.values()]
    return pa.StructArray.from_arrays(lists, list(parts))


def _unknown(values: AnyArray, split: AnyArray, code: int | None) -> AnyArray | None:
    """Rows outside of the step's split that hold no value."""
    if code is None or values.dtype.kind not in "if":
        return None
    nothing: AnyArray = (np.isnan(values) if values.dtype.kind == "f" else values == -1) & (split != code)
    return nothing
