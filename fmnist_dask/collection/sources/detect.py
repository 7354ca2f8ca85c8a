"""From what a user gives (a name, a path, a mapping) to the source that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fmnist_dask.collection.files import read_manifest
from fmnist_dask.collection.layout import INGEST, MANIFEST
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.named import DATA_SETS
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import SourceError, UsageError, nearest

EMBEDDED = ("garments", "digits")
NAMES = (*EMBEDDED, *DATA_SETS)


def open_source(spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Source | Collection:
    """Find out what a source is, and open it.

    Parameters
    ----------
    spec
        A name (``garments``, ``digits``, ``fashion-mnist``, ``mnist``), a path, or a mapping with ``name`` or ``path``
        and source options.
    options
        Source options that come on top of those of the mapping. Every source takes ``chunk_mib``, the pixels of one
        chunk in MiB.

    Returns
    -------
    Source or Collection
        A collection if the path is one: there is nothing left to ingest.

    Raises
    ------
    SourceError
        Nothing there, or nothing that any source reads.
    """
    place, taken = _resolve(spec, dict(options or {}))
    chunk_mib = taken.pop("chunk_mib", None)
    source = _open(place, taken)
    if chunk_mib is not None:
        if isinstance(source, Collection):
            raise UsageError(f"{place} is a collection already; chunk_mib does not apply to it")
        source.chunk_bytes = _chunk_bytes(chunk_mib)
    return source


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
    return _open_path(Path(place).expanduser(), taken)


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
    if not path.is_dir():
        raise SourceError(
            f"{path} is a single file; sources are directories of IDX files or images, or collections",
            f"give the directory: {path.parent}",
        )
    if "image_shape" in (read_manifest(path / MANIFEST) or {}) or (path / INGEST).exists():
        if options:
            raise UsageError(
                f"{path} is a collection already; source options ({', '.join(options)}) do not apply to it"
            )
        return Collection.open(path)
    return _detect_directory(path)(path, options)


def _detect_directory(path: Path) -> Callable[[Path, dict[str, Any]], Source]:
    from fmnist_dask.collection.sources.idx import Idx, find_idx_files

    if find_idx_files(path):
        for name, data_set in DATA_SETS.items():
            if path.resolve().name == name:
                return lambda place, options: Idx(
                    place, options, name=name, class_names=data_set.class_names, description=data_set.title
                )
        return Idx
    from fmnist_dask.collection.sources.folder import Folder, list_images

    if list_images(path):
        return Folder
    raise SourceError(
        f"{path} holds nothing that can be read: no IDX files (train-images-idx3-ubyte[.gz]), no PNG or JPEG files, "
        "no collection",
        f"give another directory, or a name: {', '.join(NAMES)}",
    )
