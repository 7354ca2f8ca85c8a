"""From what a user gives to a photograph, if it is one: a file, an array, a name, a stored one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fmnist_dask.collection.files import read_manifest
from fmnist_dask.collection.layout import INGEST, MANIFEST
from fmnist_dask.collection.raster import Raster, is_begun, is_raster
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.decoding import SUFFIXES
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.npy import read_npy_header
from fmnist_dask.collection.sources.photo import Photo, PhotoSource
from fmnist_dask.errors import SourceError, UsageError

#: Photographs that scikit-learn brings: what they show.
SAMPLES = {
    "china": "The summer palace in Beijing, a photograph that scikit-learn brings",
    "flower": "A dahlia, a photograph that scikit-learn brings",
}
PHOTOGRAPHS = ("landscape", *SAMPLES)
#: An NPY file of three dimensions whose last one is a pixel's colour, and whose others are at least so long, holds no
#: collection of images: these would be three pixels wide.
LEAST_SIDE = 64
#: What tells that a directory is a Zarr array.
ZARR_FILES = ("zarr.json", ".zarray")


def photograph_of(
    spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> PhotoSource | Raster | None:
    """The photograph that a source is; ``None`` for other sources.

    Parameters
    ----------
    spec
        A name (``landscape``, ``china``, ``flower``), an image file, an array that can be nothing else, a stored
        photograph; or a mapping with ``name``, ``path`` or ``photo``. What ``photo`` names is one in any case.
    options
        Source options that come on top of those of the mapping.

    Returns
    -------
    PhotoSource, Raster or None
        A raster if the path is one: there is nothing left to ingest.

    Raises
    ------
    SourceError, UsageError
        It is one, and cannot be read; an option that it has not.
    CollectionError
        It is stored, but its ingest has not ended.
    """
    key, given, rest = _taken(spec, options)
    if given is None:
        return None
    if given in PHOTOGRAPHS and (key == "name" or (key == "path" and not Path(given).exists())):
        return _named(given, _checked(rest))
    if key == "name":
        return None
    files = Files.at(given)
    if _may_be_stored(files) and (is_raster(given) or is_begun(given)):
        if rest:
            raise UsageError(
                f"{files.root} is a stored photograph; source options ({', '.join(rest)}) do not apply to it",
                "give what it was made from",
            )
        return Raster.open(given)
    kind = _photo_kind(files) if key == "photo" else _kind_by_path(files)
    return None if kind is None else kind(files, _checked(rest))


def _taken(
    spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None
) -> tuple[str, str | None, dict[str, Any]]:
    """What says which source it is, and options."""
    if not isinstance(spec, Mapping):
        return "path", str(spec), dict(options or {})
    rest = {**spec, **(options or {})}
    for key in ("photo", "path", "name"):
        if key in rest:
            value = str(rest.pop(key))
            return key, None if rest.keys() & {"path", "name"} else value, rest
    return "", None, rest


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """Options, without those of every collection that mean nothing to one photograph."""
    for name, why in (
        ("drop_duplicates", "one photograph has no copies"),
        ("embedding", "vectors belong to the images of a collection"),
        ("chunk_mib", "photographs are stored in tiles"),
    ):
        if name in options and str(options[name]).lower() != "false":
            raise UsageError(f"source option {name} does not apply to a photograph: {why}", f"take {name} away")
        options.pop(name, None)
    return options


def _named(name: str, options: dict[str, Any]) -> PhotoSource:
    if name == "landscape":
        from fmnist_dask.collection.sources.landscape import Landscape

        return Landscape(options)
    photo = Photo(Files.at(str(_sample(name))), options)
    photo.description = SAMPLES[name]
    return photo


def _sample(name: str) -> Path:
    """The file of a photograph of scikit-learn's, which is not imported for it: that would take seconds."""
    found = importlib.util.find_spec("sklearn")
    for place in (found.submodule_search_locations if found is not None else None) or ():
        file = Path(place, "datasets", "images", f"{name}.jpg")
        if file.is_file():
            return file
    raise SourceError(
        f"the photograph {name} is not there: it comes with scikit-learn",
        "install scikit-learn, or give a photograph of your own",
    )


def _may_be_stored(files: Files) -> bool:
    """Whether it is worth a look for a manifest: of files at addresses, each look is a request."""
    if files.remote:
        return _suffix(files) in ("", ".zarr") and (files.holds(MANIFEST) or files.holds(INGEST))
    return files.is_directory()


def _suffix(files: Files) -> str:
    return PurePosixPath(files.root).suffix.lower()


def _photo_kind(files: Files) -> Any:
    """What reads something that is said to be a photograph."""
    from fmnist_dask.collection.sources.photo_array import NpyPhoto, ZarrPhoto

    if _suffix(files) == ".npy":
        return NpyPhoto
    if _suffix(files) == ".zarr" or (not files.remote and _zarr_metadata(files) is not None):
        return ZarrPhoto
    if not files.remote and files.is_directory():
        raise SourceError(
            f"{files.root} is a directory, not a photograph", "give an image file, an NPY file or a Zarr array"
        )
    return Photo


def _kind_by_path(files: Files) -> Any:
    """What reads a path that can be nothing but a photograph; ``None`` for any other."""
    from fmnist_dask.collection.sources.photo_array import NpyPhoto, ZarrPhoto

    suffix = _suffix(files)
    if suffix in SUFFIXES:
        return None if files.is_directory() else Photo
    if files.remote:
        return None
    if suffix == ".npy" and not files.is_directory() and files.exists():
        return NpyPhoto if _in_colour(files) else None
    metadata = _zarr_metadata(files) if files.is_directory() else None
    if metadata is not None and metadata.get("node_type", "array") == "array":
        return ZarrPhoto if len(metadata.get("shape", ())) in (2, 3) else None
    return None


def _in_colour(files: Files) -> bool:
    """Whether an NPY file holds one picture in colour rather than many grey ones."""
    try:
        with files.open() as file:
            array = read_npy_header(file, "", "", files.walk()[0].size)
    except (OSError, UnreadableError, IndexError):
        return False  # said by who reads it
    return (
        len(array.shape) == 3
        and array.shape[2] in (3, 4)
        and min(array.shape[:2]) >= LEAST_SIDE
        and array.dtype.lstrip("<>|") in ("u1", "u2")
    )


def _zarr_metadata(files: Files) -> dict[str, Any] | None:
    """What a Zarr array or group says of itself; ``None`` for another directory."""
    for name in ZARR_FILES:
        found = read_manifest(Path(files.root, name))
        if found is not None:
            return found
    return None
