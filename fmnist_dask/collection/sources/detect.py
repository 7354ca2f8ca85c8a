"""From what a user gives (a name, a path, an address, a mapping) to the source that reads it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fmnist_dask.collection.files import read_manifest
from fmnist_dask.collection.layout import INGEST, MANIFEST
from fmnist_dask.collection.place import is_remote, place_of, reaching
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.decoding import SUFFIXES
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.filled import Filled, is_run
from fmnist_dask.collection.sources.named import DATA_SETS
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.collection.sources.photographs import PHOTOGRAPHS, photograph_of
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import SourceError, UsageError, nearest

EMBEDDED = ("garments", "digits")
NAMES = (*EMBEDDED, *DATA_SETS, *PHOTOGRAPHS)
#: What directories are searched for, in this order, and what files are taken for.
ENDINGS: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "webdataset": (".tar", ".tar.gz", ".tgz"),
    "table": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
    "numpy": (".npz", ".npy"),
    "folder": tuple(sorted(SUFFIXES)),
}
READ = (
    "IDX files (train-images-idx3-ubyte[.gz]), Parquet, tar shards, CSV, NPZ and NPY files, "
    "image files (PNG, JPEG, WebP, BMP, GIF, TIFF), collections, runs that have filled in pixels"
)


def open_source(spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Source | Collection:
    """Find out what a source is, and open it.

    Parameters
    ----------
    spec
        A name (``garments``, ``digits``, ``fashion-mnist``, ``mnist``), a path or an address that fsspec knows, or a
        mapping with ``name`` or ``path`` and source options.
    options
        Source options that come on top of those of the mapping. Every source takes ``chunk_mib``, the pixels of one
        chunk in MiB, ``drop_duplicates``, and ``embedding``, an NPY file with a vector for each image.

    Returns
    -------
    Source or Collection
        A collection if the path is one: there is nothing left to ingest.

    Raises
    ------
    SourceError
        Nothing there, nothing that any source reads, or one photograph.
    """
    found = open_images(spec, options)
    if isinstance(found, Source | Collection):
        return found
    raise _one_photograph(found.path if isinstance(found, Raster) else found.location)


def open_images(
    spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> Source | Collection | PhotoSource | Raster:
    """Open a source as :func:`open_source` does, or the one photograph that it is.

    Returns
    -------
    Source, Collection, PhotoSource or Raster
        A collection or a raster if the path is one: there is nothing left to ingest.

    Raises
    ------
    SourceError
        Nothing there, or nothing that any source reads.
    """
    photograph = photograph_of(spec, options)
    return _open_collection(spec, options) if photograph is None else photograph


def _open_collection(spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None) -> Source | Collection:
    place, taken = _resolve(spec, dict(options or {}))
    chunk_mib = taken.pop("chunk_mib", None)
    drop = _switch("drop_duplicates", taken.pop("drop_duplicates", False))
    embedding = taken.pop("embedding", None)
    source = _open(place, taken)
    if isinstance(source, Collection):
        for name, given in (
            ("chunk_mib", chunk_mib is not None), ("drop_duplicates", drop), ("embedding", embedding is not None)
        ):  # fmt: skip
            if given:
                raise UsageError(f"{place} is a collection already; {name} does not apply to it")
        return source
    source.drop_duplicates = drop
    if embedding is not None:
        from fmnist_dask.collection.sources.embeddings import open_embedding

        source.embedding = open_embedding(source, str(embedding))
    if chunk_mib is not None:
        source.chunk_bytes = _chunk_bytes(chunk_mib)
    return source


def _switch(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise UsageError(f"source option {name}={value!r} is neither true nor false")


def _chunk_bytes(chunk_mib: Any) -> int:
    try:
        mebibytes = float(chunk_mib)
    except (TypeError, ValueError):
        mebibytes = 0.0
    if not 0.01 <= mebibytes <= 1024:
        raise UsageError(f"source option chunk_mib={chunk_mib!r} is no number from 0.01 to 1024", "the default is 16")
    return int(mebibytes * 2**20)


def _open(place: str, taken: dict[str, Any]) -> Source | Collection:
    if place == "garments":
        from fmnist_dask.collection.sources.garments import Garments

        return Garments(taken)
    if place == "digits":
        from fmnist_dask.collection.sources.digits import Digits

        return Digits(taken)
    if place in DATA_SETS:
        from fmnist_dask.collection.sources.named import open_named

        return open_named(place, taken)
    if is_remote(place):
        with reaching(place):
            return _open_remote(Files.at(place), taken)
    return _open_path(Path(place.removeprefix("file://")).expanduser(), taken)


def _resolve(spec: str | Path | Mapping[str, Any], options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, Mapping):
        rest = dict(spec)
        given = [rest.pop(key) for key in ("name", "path") if key in rest]
        if len(given) != 1:
            raise UsageError(
                f"the source {dict(spec)} must have either a name or a path", "for instance {path: photos}"
            )
        return str(given[0]), {**rest, **options}
    return str(spec), options


def _open_path(path: Path, options: dict[str, Any]) -> Source | Collection:
    if not path.exists():
        if len(path.parts) == 1:
            raise SourceError(f'no source "{path}": neither a known name nor a path', nearest(str(path), NAMES))
        raise SourceError(f"no source at {path}: nothing is there", "check the path")
    if path.is_dir():
        if is_run(path):
            return Filled(path, options)
        collection = _collection_at(path, options)
        if collection is not None:
            return collection
        idx = _idx(path)
        if idx is not None:
            return idx(path, options)
    return _open_files(Files.at(str(path)), options)


def _open_remote(files: Files, options: dict[str, Any]) -> Source | Collection:
    if files.holds(MANIFEST) or files.holds(INGEST):
        collection = _collection_at(place_of(files.root), options)
        if collection is not None:
            return collection
    return _open_files(files, options)


def _collection_at(path: Path, options: dict[str, Any]) -> Collection | None:
    """The collection that lies there, also one that is not complete; ``None`` if there is none."""
    if "image_shape" not in (read_manifest(path / MANIFEST) or {}) and not (path / INGEST).exists():
        return None
    if options:
        raise UsageError(f"{path} is a collection already; source options ({', '.join(options)}) do not apply to it")
    return Collection.open(path)


def _idx(path: Path) -> Callable[[Path, dict[str, Any]], Source] | None:
    """What opens a directory of IDX files; ``None`` if it has none."""
    from fmnist_dask.collection.sources.idx import Idx, find_idx_files

    if not find_idx_files(path):
        return None
    for name, data_set in DATA_SETS.items():
        if path.resolve().name == name:
            return lambda place, options: Idx(
                place, options, name=name, class_names=data_set.class_names, description=data_set.title
            )
    return Idx


def _open_files(files: Files, options: dict[str, Any]) -> Source:
    """A source of files, by the endings of their names."""
    kind = _kind_of(files)
    if kind == "parquet":
        from fmnist_dask.collection.sources.parquet import Parquet

        return Parquet(files, options)
    if kind == "webdataset":
        from fmnist_dask.collection.sources.webdataset import WebDataset

        return WebDataset(files, options)
    if kind == "table":
        from fmnist_dask.collection.sources.table import Table

        return Table(files, options)
    if kind == "numpy":
        from fmnist_dask.collection.sources.numpy_files import NumpyFiles

        return NumpyFiles(files, options)
    from fmnist_dask.collection.sources.folder import Folder

    return Folder(files, options)


def _kind_of(files: Files) -> str:
    """Which of :data:`ENDINGS` a file has, or most files of a directory have.

    Raises
    ------
    SourceError
        None of them.
    """
    if not files.is_directory():
        name = files.root.lower()
        found = next((kind for kind, endings in ENDINGS.items() if name.endswith(endings)), None)
        if found == "folder":
            raise _one_photograph(files.root)
        if found is None:
            raise SourceError(
                f"{files.root} is a single file that no source reads; sources are {READ}",
                f"give the directory: {files.root.rpartition('/')[0]}",
            )
        return found
    counts = dict.fromkeys(ENDINGS, 0)
    listed = files.walk()
    files.keep_listing(listed)
    for ending, count in collections.Counter(_ending(info.path) for info in listed).items():
        kind = next((kind for kind, endings in ENDINGS.items() if ending.endswith(endings)), None)
        if kind is not None:
            counts[kind] += count
    # Image files are what they are beside whatever else; of the others the most frequent kind counts.
    if counts["folder"] and counts["folder"] >= max(counts.values()):
        return "folder"
    most = max(counts, key=counts.__getitem__)
    if not counts[most]:
        raise SourceError(
            f"{files.root} holds nothing that can be read; sources are {READ}",
            f"give another directory, or a name: {', '.join(NAMES)}",
        )
    return most


def _one_photograph(place: str) -> SourceError:
    return SourceError(
        f"{place} is one photograph, and a collection of images is wanted here",
        "give the directory that it lies in for all images there",
    )


def _ending(path: str) -> str:
    """The end of a name that tells its format; none of tables that belong to image files."""
    name = path.rpartition("/")[2].lower()
    stem, _, last = name.rpartition(".")
    if stem in ("", "metadata"):
        return ""
    return f".{stem.rpartition('.')[2]}.{last}" if last == "gz" else f".{last}"
