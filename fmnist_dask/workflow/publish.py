"""Publishing a step's result: written aside, then renamed into place; the manifest says so last."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.passes.columns import SAMPLE, ColumnOnDisk, row_dim
from fmnist_dask.passes.hashes import values_at
from fmnist_dask.passes.protocol import ColumnArray, Readable
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.image_tables import Variables, write_image_tables
from fmnist_dask.workflow.registry import StepResult
from fmnist_dask.workflow.rundir import RunDirectory

if TYPE_CHECKING:
    import xarray


#: Variables that are not read as a whole.
LARGE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Published:
    """What the manifest must know of a step's result beyond the dataset.

    Attributes
    ----------
    tables
        Names of the tables that are this step's alone.
    image_tables
        Name → {suffix: variable, or variables of a struct's fields} of the tables that steps share.
    pictures
        Names of files of ``pictures/``.
    """

    tables: list[str]
    image_tables: dict[str, dict[str, Variables]]
    pictures: list[str] = field(default_factory=list)


def publish(run: RunDirectory, name: str, result: StepResult, source: Readable) -> Published:
    """Write a step's dataset and tables.

    Doing it again replaces what is there. A crash at any moment leaves either the old result or the new one, or none
    that the manifest calls published.
    """
    if row_dim(source) != SAMPLE and (result.tables or result.image_tables):
        table = next(iter((*result.tables, *result.image_tables)))
        raise FmnistDaskError(
            f'the step {name} gives the table "{table}", with a row for each image; its source is one photograph',
            "put what it found into its dataset",
        )
    shared = {table: _variables(name, columns, result) for table, columns in result.image_tables.items()}
    pending = run.publishing(name)
    shutil.rmtree(pending, ignore_errors=True)
    pending.mkdir(parents=True)
    _write_dataset(pending / "dataset", result, source)
    if result.features is not None:
        _check_features(pending / "dataset" / result.features, name, source)
    if result.images is not None:
        _check_choice(pending / "dataset" / result.images, name, source)
    if result.pixels is not None:
        _check_pixels(pending / "dataset" / result.pixels, name, source)
    for table, columns in result.tables.items():
        _write_table(pending / f"{table}.parquet", columns, source)
    written = write_image_tables(run, name, shared, pending / "dataset", source)
    pictures = {f"{name}-{key}.png": content for key, content in result.pictures.items()}
    for file, content in pictures.items():
        with open(pending / file, "wb") as opened:
            if callable(content):
                content(opened)
            else:
                opened.write(content)
    _ensure_root(run.results)
    _replace(pending / "dataset", run.results / name)
    for table in (*result.tables, *written):
        os.replace(pending / f"{table}.parquet", run.tables / f"{table}.parquet")
    if pictures:
        run.pictures.mkdir(exist_ok=True)
    for file in pictures:
        os.replace(pending / file, run.pictures / file)
    shutil.rmtree(pending)
    return Published(list(result.tables), shared, list(pictures))


def withdraw(run: RunDirectory, name: str, tables: Iterable[str], pictures: Iterable[str] = ()) -> None:
    """Take away a step's result that no longer holds, so that nobody takes it for one of this run.

    Tables that it shares with other steps are written anew once the manifest says that it is no longer published, see
    :func:`~fmnist_dask.workflow.image_tables.update_image_tables`.
    """
    shutil.rmtree(run.results / name, ignore_errors=True)
    for table in tables:
        (run.tables / f"{table}.parquet").unlink(missing_ok=True)
    for picture in pictures:
        (run.pictures / picture).unlink(missing_ok=True)


def _variables(
    name: str, columns: Mapping[str, ColumnArray | Mapping[str, ColumnArray]], result: StepResult
) -> dict[str, Variables]:
    """Suffix → variable of the dataset that a shared table's column is, or variables of a struct's fields."""

    def variable(suffix: str, column: ColumnArray) -> str:
        for key, other in result.columns.items():
            if other is column:
                return key
        raise FmnistDaskError(f'the step {name} has a table column "{suffix}" that is not among its columns')

    return {
        suffix: {field: variable(suffix, one) for field, one in column.items()}
        if isinstance(column, Mapping)
        else variable(suffix, column)
        for suffix, column in columns.items()
    }


def _check_features(path: Path, name: str, source: Readable) -> None:
    """Whether other steps can work on a variable."""
    import zarr

    try:
        array = zarr.open_array(str(path), mode="r")
    except FileNotFoundError:
        raise FmnistDaskError(f'the step {name} gives features "{path.name}", which its result does not hold') from None
    if array.ndim != 2 or array.shape[0] != source.n or array.dtype.kind != "f":
        raise FmnistDaskError(
            f'the features "{path.name}" of {name} are {array.dtype} of shape {array.shape}',
            f"give floats of shape ({source.n}, features)",
        )


def _check_choice(path: Path, name: str, source: Readable) -> None:
    """Whether a variable says which images other steps can work on."""
    import zarr

    try:
        array = zarr.open_array(str(path), mode="r")
    except FileNotFoundError:
        raise FmnistDaskError(f'the step {name} chooses images by "{path.name}", which it does not hold') from None
    if array.shape != (source.n,) or array.dtype != bool:
        raise FmnistDaskError(
            f'the choice of images "{path.name}" of {name} is {array.dtype} of shape {array.shape}',
            f"give truth values of shape ({source.n},)",
        )


def _check_pixels(path: Path, name: str, source: Readable) -> None:
    """Whether a variable can take the place of the images."""
    import zarr

    try:
        array = zarr.open_array(str(path), mode="r")
    except FileNotFoundError:
        raise FmnistDaskError(f'the step {name} gives images "{path.name}", which it does not hold') from None
    if array.shape != (source.n, *source.image_shape) or array.dtype != np.uint8:
        raise FmnistDaskError(
            f'the images "{path.name}" of {name} are {array.dtype} of shape {array.shape}',
            f"give uint8 of shape ({source.n}, {', '.join(map(str, source.image_shape))})",
        )


def _write_dataset(path: Path, result: StepResult, source: Readable) -> None:
    with warnings.catch_warnings():
        # Variable-length strings are in Zarr's registry of extensions, not in its core; zarr says so each time.
        warnings.simplefilter("ignore")
        result.dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    for name, column in result.columns.items():
        if isinstance(column, ColumnOnDisk):
            _link_tree(Path(column.path), path / name)
        else:
            _write_column(path / name, column[0 : len(column)], source)


def _write_column(path: Path, values: AnyArray, source: Readable) -> None:
    """A column in memory as an array of the dataset."""
    import zarr

    array = zarr.create_array(
        str(path),
        shape=values.shape,
        chunks=(source.chunk_rows, *values.shape[1:]),
        dtype=values.dtype,
        fill_value=values.dtype.type(0),
        dimension_names=(row_dim(source), *(f"{path.name}_{axis}" for axis in range(1, values.ndim))),
    )
    array[:] = values


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
    """The published dataset of a step, read when used; variables with a value for each sample are Dask arrays.

    So are others that are large: those of a photograph, which have a value for each pixel.
    """
    import xarray

    dataset: xarray.Dataset = xarray.open_zarr(run.results / name, consolidated=False, chunks=None)
    per_sample = {
        key: values.chunk()
        for key, values in dataset.data_vars.items()
        if SAMPLE in values.dims or values.nbytes > LARGE_BYTES
    }
    return dataset.assign(per_sample)
