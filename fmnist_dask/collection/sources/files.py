"""Files of sources, local or remote: listed, described and opened alike."""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from fmnist_dask.collection.place import driver_remedy, filesystem, is_remote, reaching
from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.decoding import MAX_ENCODED_BYTES
from fmnist_dask.errors import SourceError

T = TypeVar("T")

#: Remote files fetched at a time.
FETCHED = 64
#: Bytes that are read at first of a file whose size is not known.
FIRST_BYTES = 1 << 14
#: Age (ns) from which on a directory's time of change tells it from what it is after another change.
SETTLED_NS = 4_000_000_000
#: A time that no directory has.
NEVER = -(1 << 63)
#: How local files are opened: on Windows, their bytes would be taken for text otherwise.
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class FileInfo(NamedTuple):
    """One file.

    Attributes
    ----------
    path
        Below the root, with slashes.
    size
        Bytes.
    stamp
        What changes with the content: modification time (ns), or an object's tag.
    """

    path: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Files:
    """A directory or a single file, and what lies below it. Small and picklable.

    Attributes
    ----------
    root
        Absolute local path, or a URL that fsspec knows.
    found
        See :meth:`keep_listing`.
    folders
        See :meth:`folder_stamps`.
    """

    root: str
    found: list[FileInfo] = field(default_factory=list, compare=False, repr=False)
    folders: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def at(cls, place: str) -> Files:
        """From a path or a URL."""
        if is_remote(place):
            return cls(place.rstrip("/"))
        return cls(str(Path(place.removeprefix("file://")).expanduser().resolve()))

    @property
    def remote(self) -> bool:
        """Whether fsspec reads it."""
        return is_remote(self.root)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.root.rstrip("/").rpartition("/")[2] or "root"

    def exists(self) -> bool:
        """Whether anything is there."""
        return self._filesystem().exists(self.root) if self.remote else os.path.exists(self.root)

    def is_directory(self) -> bool:
        """Whether other files may lie below."""
        if not self.remote:
            return os.path.isdir(self.root)
        return not self._filesystem().isfile(self.root)

    def holds(self, name: str) -> bool:
        """Whether there is a file of this name below an address; an object that may not be seen is none.

        Raises
        ------
        RunError
            The server cannot be reached.
        """
        with reaching(self.root):
            try:
                self._filesystem().cat_file(self._below(name))
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
                return False
            except Exception as error:
                if 400 <= getattr(error, "status", 0) < 500:  # of a web server
                    return False
                raise
        return True

    def walk(self) -> list[FileInfo]:
        """All files below, sorted by path; hidden files and folders are left out. The root itself, if it is a file."""
        with many_objects():
            found = self._walk_remote() if self.remote else self._walk_local()
            return sorted(found, key=lambda info: info.path)

    def listed_once(self) -> list[FileInfo]:
        """What :meth:`walk` has found for someone else, if nobody has taken it yet, or finds now."""
        found = list(self.found) or self.walk()
        self.found.clear()
        return found

    def keep_listing(self, found: list[FileInfo]) -> None:
        """Leave a listing to the next who asks: who finds out what a directory holds lists all of it."""
        self.found[:] = found

    def _walk_local(self) -> list[FileInfo]:
        if os.path.isfile(self.root):
            info = _local_info(self.root, "")
            return [] if info is None else [info]
        found: list[FileInfo] = []
        self.folders.clear()
        _below_local(self.root, "", found, self.folders)
        return found

    def folder_stamps(self) -> dict[str, int]:
        """Time of change (ns) of each local directory as of the last listing, or `NEVER`; given once."""
        folders = dict(self.folders)
        self.folders.clear()
        return folders

    def names(self) -> list[str]:
        """Paths of all files below a local directory, sorted; found much faster than by :meth:`walk`."""
        found: list[FileInfo] = []
        _below_local(self.root, "", found)
        return sorted(info.path for info in found)

    def _walk_remote(self) -> Iterator[FileInfo]:
        system = self._filesystem()
        root = system._strip_protocol(self.root)
        try:
            if system.isfile(self.root):
                yield _remote_info(system.info(self.root), "")
                return
            listed = system.find(self.root, detail=True)
        except (OSError, ValueError) as error:
            raise SourceError(f"cannot list {self.root}: {error}", "check address, credentials and network") from error
        for path, info in listed.items():
            below = path.removeprefix(root).lstrip("/")
            if not any(part.startswith(".") for part in below.split("/")):
                yield _remote_info(info, below)

    def open(self, path: str = "") -> IO[bytes]:
        """A file below, for reading.

        Raises
        ------
        OSError
            It cannot be opened.
        """
        if self.remote:
            # Files of fsspec lack some of what those of Python can, as lines of limited length.
            return io.BufferedReader(self._filesystem().open(self._below(path), "rb"))
        return open(self._below(path), "rb")

    def read(self, paths: Iterable[str], sizes: Iterable[int] = ()) -> Iterator[bytes | UnreadableError]:
        """Whole files, in order; in the place of one that cannot be read, why.

        Parameters
        ----------
        sizes
            Their sizes as last known, which saves a question to the file system.
        """
        if not self.remote:
            for path, size in itertools.zip_longest(paths, sizes, fillvalue=-1):
                yield _read_local(self._below(str(path)), int(size))
            return
        pending = list(paths)
        for at in range(0, len(pending), FETCHED):
            part = [self._below(path) for path in pending[at : at + FETCHED]]
            system = self._filesystem()
            found = system.cat(part, on_error="return") if part else {}
            for path in part:
                content = found.get(system._strip_protocol(path), found.get(path))
                if isinstance(content, bytes):
                    yield content
                else:
                    yield UnreadableError(f"it cannot be fetched: {content}")

    def _below(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _filesystem(self) -> Any:
        try:
            return filesystem(self.root)
        except (ImportError, ValueError) as error:
            raise SourceError(f"cannot read {self.root}: {error}", driver_remedy(self.root)) from error


@contextlib.contextmanager
def many_objects() -> Iterator[None]:
    """Without the search for cycles, while millions of small objects are made that are all kept.

    Each time their number has grown by a quarter, Python would look at every object there is.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def writable(text: str) -> str:
    r"""A text that UTF-8 can hold: names of files that are none have their odd bytes written out (``\udcff``)."""
    return text.encode("utf-8", "backslashreplace").decode()


def _below_local(folder: str, base: str, found: list[FileInfo], folders: dict[str, int] | None = None) -> None:
    """Note the files below a directory; links to directories are not followed.

    Parameters
    ----------
    folders
        Takes the time of change of each directory; without it, files are not described either.
    """
    try:
        if folders is not None:
            changed = os.stat(folder).st_mtime_ns
            # Clocks of file systems tick slowly: another change right now might bear the same time.
            folders[folder] = changed if time.time_ns() - changed > SETTLED_NS else NEVER
        with os.scandir(folder) as listed:
            entries = list(listed)
    except OSError:
        return  # gone meanwhile, or not ours to see
    for entry in entries:
        name = entry.name
        if name.startswith("."):
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                _below_local(entry.path, f"{base}{name}/", found, folders)
                continue
            if folders is None:
                if entry.is_file():
                    found.append(FileInfo(base + name, -1, ""))
                continue
            status = entry.stat()
        except OSError:
            continue  # a link to nowhere, or to itself
        if stat.S_ISREG(status.st_mode):
            found.append(FileInfo(base + name, status.st_size, str(status.st_mtime_ns)))


def _local_info(full: str, path: str) -> FileInfo | None:
    """A file; ``None`` for what is none, such as a pipe, which would be waited for, or a device, which has no end."""
    status = os.stat(full)
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileInfo(path, status.st_size, str(status.st_mtime_ns))


def _remote_info(info: dict[str, Any], path: str) -> FileInfo:
    stamp = next((str(info[key]) for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
                  if info.get(key)), "")  # fmt: skip
    return FileInfo(path, int(info.get("size") or 0), stamp)


def _read_local(path: str, size: int) -> bytes | UnreadableError:
    most = MAX_ENCODED_BYTES + 1
    try:
        # Without a file object, which would ask for what is known, and take longer to make than small files to read.
        file = os.open(path, _READING)
        try:
            # A byte more is asked for: where it does not come, the file ends.
            content = os.read(file, min(size + 1, most) if size > 0 else FIRST_BYTES)
            while len(content) not in (size, most) and (more := os.read(file, most - len(content))):
                content += more
        finally:
            os.close(file)
    except OSError as error:
        return UnreadableError(f"it cannot be read: {error.strerror or error}")
    if len(content) > MAX_ENCODED_BYTES:
        return UnreadableError(f"more than {MAX_ENCODED_BYTES:,} bytes")
    return content or UnreadableError("the file is empty")
