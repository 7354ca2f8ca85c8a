"""Where columns are written: Zarr arrays with the collection's chunks, so that no two tasks share one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.store import configure_zarr
from fmnist_dask.passes.protocol import Column, Readable
from fmnist_dask.typing import AnyArray


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
            dimension_names=("sample", *variable.dims),
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
