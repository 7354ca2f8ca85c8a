"""Where columns are written: Zarr arrays with the collection's chunks, so that no two tasks share one.

A column's place is named by what it is: which column, over which split of which source. A pass that is run again writes
to the same place, and what another column is was never there.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.store import configure_zarr
from fmnist_dask.passes.identity import NotIdentifiableError, code_stamp, digest_of
from fmnist_dask.passes.protocol import Column, Readable
from fmnist_dask.typing import AnyArray

#: Stands beside the variables of a column once all its rows are written.
COMPLETE = "complete"
#: What the first dimension of columns is called where nothing else is said.
SAMPLE = "sample"


class ColumnOnDisk:
    """A variable that a pass wrote, at a path; picklable, sliced by rows."""

    def __init__(self, path: str, n: int) -> None:
        self.path = path
        self.n = n

    def __getitem__(self, rows: slice) -> AnyArray:
        """Values of these rows."""
        values: AnyArray = np.asarray(_open(self.path, "r")[rows])
        return values

    def __setitem__(self, rows: slice, values: AnyArray) -> None:
        _open(self.path, "r+")[rows] = values

    def __len__(self) -> int:
        return self.n


def row_dim(source: Readable) -> str:
    """What the first dimension of a source's columns is called: ``y`` where samples are the lines of a photograph."""
    return str(getattr(source, "row_dim", SAMPLE))


def column_key(source: Readable, column: Column, split: int | None) -> str | None:
    """Name of a column's place; ``None`` for one that another process could not name again."""
    try:
        # Variables are part of it: what stands at one place is of one shape and type, and workers may keep it open.
        return digest_of((column, split, source, column.variables(source), code_stamp()))
    except NotIdentifiableError:
        return None


def prepare_columns(directory: Path, source: Readable, column: Column) -> dict[str, ColumnOnDisk]:
    """A column's arrays in ``directory``, ready to be written.

    Those that are there are kept, since somebody may rely on their rows: at one place the same values are written.
    """
    if holds_column(directory, source, column):
        return {name: ColumnOnDisk(str(directory / name), source.n) for name in column.variables(source)}
    shutil.rmtree(directory, ignore_errors=True)
    return create_columns(directory, source, column)


def holds_column(directory: Path, source: Readable, column: Column) -> bool:
    """Whether a column's arrays are there."""
    return holds_variables(directory, column.variables(source))


def holds_variables(directory: Path, names: Iterable[str]) -> bool:
    """Whether arrays of these names are there."""
    return all((directory / name / "zarr.json").is_file() for name in names)


def mark_complete(directory: Path) -> None:
    """Say that all rows of a column are written."""
    (directory / COMPLETE).touch()


def is_complete(directory: Path) -> bool:
    """Whether all rows of a column are written."""
    return (directory / COMPLETE).exists()


def create_columns(directory: Path, source: Readable, column: Column) -> dict[str, ColumnOnDisk]:
    """Create a column's arrays below ``directory``, one for each variable."""
    import zarr
    from zarr.codecs import ZstdCodec

    configure_zarr()
    created = {}
    for name, variable in column.variables(source).items():
        path = directory / name
        zarr.create_array(
            str(path),
            shape=(source.n, *variable.shape),
            chunks=(source.chunk_rows, *variable.shape),
            dtype=variable.dtype,
            fill_value=variable.fill_value,
            dimension_names=(row_dim(source), *variable.dims),
            attributes=dict(variable.attrs),
            compressors=[ZstdCodec(level=1)] if variable.compress else None,
            overwrite=True,
        )
        created[name] = ColumnOnDisk(str(path), source.n)
    return created


def columns_in_memory(source: Readable, column: Column) -> dict[str, AnyArray]:
    """NumPy arrays for each variable of a column."""
    return {
        name: np.full((source.n, *variable.shape), variable.fill_value, dtype=variable.dtype)
        for name, variable in column.variables(source).items()
    }


@functools.lru_cache(maxsize=64)
def _open(path: str, mode: Any) -> Any:
    import zarr

    configure_zarr()
    return zarr.open_array(path, mode=mode)


def writers(columns: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Columns as the worker's targets."""
    return [dict(column) for column in columns]
