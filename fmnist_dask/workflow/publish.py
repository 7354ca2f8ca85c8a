"""Publishing a step's result: written aside, then renamed into place; the manifest says so last."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_dask.passes.columns import ColumnOnDisk
from fmnist_dask.passes.hashes import values_at
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.workflow.registry import StepResult
from fmnist_dask.workflow.rundir import RunDirectory

if TYPE_CHECKING:
    import xarray


def publish(run: RunDirectory, name: str, result: StepResult, source: Readable) -> list[str]:
    """Write a step's dataset and tables; returns the names of the tables.

    Doing it again replaces what is there. A crash at any moment leaves either the old result or the new one, or none
    that the manifest calls published.
    """
    pending = run.pending / name
    shutil.rmtree(pending, ignore_errors=True)
    pending.mkdir(parents=True)
    _write_dataset(pending / "dataset", result)
    for table, columns in result.tables.items():
        _write_table(pending / f"{table}.parquet", columns, source)
    _ensure_root(run.results)
    _replace(pending / "dataset", run.results / name)
    for table in result.tables:
        os.replace(pending / f"{table}.parquet", run.tables / f"{table}.parquet")
    shutil.rmtree(pending)
    return list(result.tables)


def withdraw(run: RunDirectory, name: str, tables: Iterable[str]) -> None:
    """Take away a step's result that no longer holds, so that nobody takes it for one of this run."""
    shutil.rmtree(run.results / name, ignore_errors=True)
    for table in tables:
        (run.tables / f"{table}.parquet").unlink(missing_ok=True)


def _write_dataset(path: Path, result: StepResult) -> None:
    with warnings.catch_warnings():
        # Variable-length strings are in Zarr's registry of extensions, not in its core; zarr says so each time.
        warnings.simplefilter("ignore")
        result.dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    for name, column in result.columns.items():
        if isinstance(column, ColumnOnDisk):
            _link_tree(Path(column.path), path / name)


def _link_tree(origin: Path, target: Path) -> None:
    """Hard links where the file system has them, else copies: columns are never changed once written."""

    def link(source: str, destination: str) -> str:
        try:
            os.link(source, destination)
        except OSError:
            shutil.copy2(source, destination)
        return destination

    shutil.copytree(origin, target, copy_function=link)


def _ensure_root(path: Path) -> None:
    import zarr

    if not (path / "zarr.json").exists():
        zarr.create_group(str(path), zarr_format=3)


def _replace(origin: Path, target: Path) -> None:
    if target.exists():
        aside = origin.parent / "replaced"
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(target, aside)
    os.replace(origin, target)


def _write_table(path: Path, columns: Any, source: Readable) -> None:
    """A table with ``sample``, ``source_name``, ``split``, ``label`` first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.asarray(columns["sample"], dtype=np.int64)
    splits = np.array(list(source.splits), dtype=object)
    codes = values_at(source, "split", rows).astype(np.int64)
    first: dict[str, Any] = {
        "sample": rows,
        "source_name": values_at(source, "source_name", rows),
        "split": pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(splits, pa.string())),
        "label": values_at(source, "label", rows),
    }
    rest = {name: values for name, values in columns.items() if name != "sample"}
    arrays = {name: pa.array(values) for name, values in {**first, **rest}.items()}
    if arrays["source_name"].type == pa.null():
        arrays["source_name"] = arrays["source_name"].cast(pa.string())
    pq.write_table(pa.table(arrays), path)


def open_results(run: RunDirectory, name: str) -> xarray.Dataset:
    """The published dataset of a step, read when used; variables with a value for each sample are Dask arrays."""
    import xarray

    dataset: xarray.Dataset = xarray.open_zarr(run.results / name, consolidated=False, chunks=None)
    per_sample = {key: values.chunk() for key, values in dataset.data_vars.items() if "sample" in values.dims}
    return dataset.assign(per_sample)
