"""Places of collections: directories, or prefixes of an object store that fsspec reaches."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from fmnist_dask.errors import FmnistDaskError, RunError

#: Extras that the drivers of protocols come with.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
#: Packages whose exceptions tell of network, credentials or a server, and derive from nothing that Python has.
REMOTE_PACKAGES = frozenset({"aiobotocore", "aiohttp", "aioitertools", "botocore", "fsspec", "gcsfs", "google", "s3fs"})
#: Lies in a directory of an object store of which everything is in its new place.
COPIED = "/.copied"
#: Seconds to wait for a connection, and for the next bytes of an answer.
CONNECT_SECONDS, READ_SECONDS = 10, 60
#: How often the driver's library sends a request that fails for reasons that may pass; the driver itself repeats
#: that some times more.
ATTEMPTS = 2
#: Seconds between tries of a read that the driver has given up.
PAUSES = (1, 2, 4, 8, 16, 30)
Result = TypeVar("Result")


def is_remote(place: str) -> bool:
    """Whether this is an address that fsspec reads rather than a local path."""
    protocol, found, _ = place.partition("://")
    return bool(found) and protocol not in ("file", "local") and protocol.isascii() and protocol.isalnum()


def storage_options(place: str) -> dict[str, Any]:
    """What the driver of an address is told: patience, and to list anew what others may have changed.

    Credentials, regions and endpoints are none of it: drivers take them from the environment and from profiles.
    """
    if place.partition("://")[0] not in ("s3", "s3a"):
        return {}
    config = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"max_attempts": ATTEMPTS, "mode": "standard"},
    }
    return {"config_kwargs": config, "use_listings_cache": False}


def filesystem(place: str) -> Any:
    """The file system that an address belongs to.

    Raises
    ------
    ImportError, ValueError
        Its driver is not installed; there is none.
    """
    import fsspec

    return fsspec.filesystem(place.partition("://")[0], **storage_options(place))


def driver_remedy(place: str) -> str:
    """What to do where a driver is missing."""
    extra = EXTRAS.get(place.partition("://")[0])
    return f'install the driver: pip install "fmnist-dask[{extra}]"' if extra else "give another address"


def place_of(place: str | Path, *below: str) -> Path:
    """A path, local or remote, that is used like one of :mod:`pathlib`.

    Parameters
    ----------
    place
        Local paths become absolute, unless something below is asked for: then they are.

    Raises
    ------
    RunError
        The driver of the address is not installed.
    """
    text = str(place)
    if not is_remote(text):
        return Path(text, *below) if below else Path(text.removeprefix("file://")).expanduser().resolve()
    try:
        from upath import UPath

        remote: Any = UPath(text.rstrip("/"), **storage_options(text))
    except (ImportError, ValueError) as error:
        raise RunError(f"cannot reach {text}: {error}", driver_remedy(text)) from error
    found: Path = remote.joinpath(*below)
    return found


def is_local(path: Path) -> bool:
    """Whether the path is one of the operating system."""
    return isinstance(path, Path) and not is_remote(str(path))


@contextlib.contextmanager
def reaching(place: str | Path) -> Iterator[None]:
    """Errors of drivers become one of ours, which tells nothing of credentials.

    Raises
    ------
    RunError
        The network, the server or the credentials fail.
    """
    try:
        yield
    except (FmnistDaskError, FileNotFoundError, FileExistsError):
        raise
    except Exception as error:
        refused = isinstance(error, OSError) and is_remote(str(place))
        if not refused and type(error).__module__.partition(".")[0] not in REMOTE_PACKAGES:
            raise
        raise RunError(
            f"cannot reach {place}: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}",
            "check address, network and credentials (of the environment or a profile); the same command goes on "
            "where it stopped",
        ) from error


def patiently(work: Callable[[], Result], place: str | Path) -> Result:
    """Do again what an object store refuses, for about a minute: a server that is gone for a while comes back.

    Raises
    ------
    RunError
        It did not.
    """
    pauses = PAUSES if is_remote(str(place)) else ()
    for pause in pauses:
        try:
            return work()
        except RunError:
            time.sleep(pause)
    return work()


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it, if it is there."""
    if is_local(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with reaching(path), contextlib.suppress(FileNotFoundError):
        remote: Any = path
        remote.fs.rm(remote.path, recursive=True)


def move_tree(source: Path, target: Path) -> None:
    """Put a directory in the place of another. Of one that is there already, nothing is left.

    In an object store everything is copied before anything is removed, and a mark says when that is so: done again
    after a kill, what is left of the source is not taken for all of it.
    """
    if is_local(source):
        remove_tree(target)
        source.rename(target)
        return
    origin, goal = source, target
    with reaching(target):
        system: Any = origin.fs  # type: ignore[attr-defined]
        old = {name.removeprefix(_root(goal)) for name in system.find(_root(goal))}
        names = [name.removeprefix(_root(origin)) for name in system.find(_root(origin))]
        if COPIED not in names:
            for name in names:
                system.cp_file(_root(origin) + name, _root(goal) + name)
            if old - set(names):
                system.rm([_root(goal) + name for name in sorted(old - set(names))])
            system.pipe_file(_root(origin) + COPIED, b"")
        rest = [_root(origin) + name for name in names if name != COPIED]
        if rest:
            system.rm(rest)
        system.rm(_root(origin) + COPIED)


def read_many(paths: Iterable[Path]) -> list[bytes | None]:
    """Contents of small files; ``None`` for those that are not there. Remote ones are fetched side by side."""
    listed = list(paths)
    if not listed or is_local(listed[0]):
        return [path.read_bytes() if path.is_file() else None for path in listed]
    with reaching(listed[0]):
        first: Any = listed[0]
        found = first.fs.cat([_root(path) for path in listed], on_error="return")
    contents = [found.get(_root(path)) for path in listed]
    for content in contents:
        if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
            with reaching(listed[0]):
                raise content
    return [content if isinstance(content, bytes) else None for content in contents]


def bytes_below(path: Path, without: str = "") -> int:
    """Bytes of all files of a directory, but for those below one of its directories."""
    if is_local(path):
        files = (file for file in path.rglob("*") if file.is_file() and file.relative_to(path).parts[0] != without)
        return sum(file.stat().st_size for file in files)
    with reaching(path):
        system: Any = path.fs  # type: ignore[attr-defined]
        listed = system.find(_root(path), detail=True).items()
        below = _root(path) + "/"
        return sum(info["size"] for name, info in listed if name.removeprefix(below).partition("/")[0] != without)


def _root(path: Path) -> str:
    """How the file system itself names a path."""
    text: str = path.path  # type: ignore[attr-defined]
    return text.rstrip("/")


def zarr_store(path: str | Path) -> Any:
    """What zarr and xarray open: a path, or a store at an address."""
    text = str(path)
    if not is_remote(text):
        return text
    from zarr.storage import FsspecStore

    with reaching(text):
        return FsspecStore.from_url(text, storage_options=storage_options(text))


def open_group(path: str | Path, mode: Any, **options: Any) -> Any:
    """A Zarr group, wherever it lies; consolidated metadata may be of another generation and are not asked."""
    import zarr

    with reaching(path):
        if mode == "a":
            return zarr.open_group(zarr_store(path), mode=mode, zarr_format=3, **options)
        return zarr.open_group(zarr_store(path), mode=mode, use_consolidated=False, **options)
