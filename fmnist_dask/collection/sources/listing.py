"""The files that a source is made of: which they are, whether they are still the same, and what is in each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.files import FileInfo, Files, writable
from fmnist_dask.collection.sources.splits import ordered
from fmnist_dask.errors import SourceError

T = TypeVar("T")


class Listing:
    """The files that a source is made of: what it was opened with, and whether they are still the same.

    Parameters
    ----------
    files
        Where they lie.
    wanted
        Whether a file is one of them; a function of a module.
    """

    def __init__(self, files: Files, wanted: Callable[[FileInfo], bool]) -> None:
        self.files = files
        self.wanted = wanted
        self._fresh: str | None = None
        self._folders: dict[str, int] = {}

    def read(self) -> list[FileInfo]:
        """The files now, sorted by path."""
        found = [info for info in self.files.listed_once() if self.wanted(info)]
        self._fresh = _digest(found)
        self._folders = self.files.folder_stamps()
        return found

    def has_same_names(self) -> bool:
        """Whether no local directory has changed since it was listed; false where that cannot be told."""
        try:
            return bool(self._folders) and all(
                os.stat(folder).st_mtime_ns == stamp for folder, stamp in self._folders.items()
            )
        except OSError:
            return False

    def __getstate__(self) -> dict[str, Any]:
        # Workers do not ask, and there may be many.
        return {**self.__dict__, "_folders": {}}

    def digest(self) -> str:
        """Digest of names, sizes and stamps: of the files as just listed the first time, of the files now later on."""
        if self._fresh is None:
            self.read()
        digest, self._fresh = self._fresh, None
        assert digest is not None
        return digest


def _digest(files: Iterable[FileInfo]) -> str:
    text = "\n".join(f"{file.path!r} {file.size} {file.stamp}" for file in files)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def opened(
    found: Sequence[FileInfo], name: str, kind: str, open_one: Callable[[str], T | None]
) -> tuple[list[tuple[str, T]], dict[str, str]]:
    """Open the files of a source, each in the split that its name says, ``train`` first.

    Parameters
    ----------
    name
        What a source that is a single file is called.
    kind
        What files are asked for, for people: ``CSV file``.
    open_one
        What is known of the file of a path; ``None`` if nothing is in it.

    Returns
    -------
    opened
        (split, what ``open_one`` returned) of each file that is not empty.
    unreadable
        Why others could not be opened.

    Raises
    ------
    SourceError
        None could.
    """
    kept, unreadable = [], {}
    paths = [info.path or name for info in found]
    for split, at in ordered(paths):
        try:
            known = open_one(found[at].path)
        except (OSError, UnreadableError, SourceError) as error:
            if len(found) == 1 and isinstance(error, SourceError):
                raise
            unreadable[writable(paths[at])] = writable((str(error).splitlines() or ["damaged"])[0][:200])
            continue
        if known is not None:
            kept.append((split, known))
    if not kept:
        shown = "; ".join(f"{path}: {reason}" for path, reason in list(unreadable.items())[:3])
        raise SourceError(f"no {kind} of {name} holds images: {shown or 'they are empty'}", "check that it is whole")
    return kept, unreadable
