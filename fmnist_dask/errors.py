"""The error tree. Every error that a user can cause derives from :class:`FmnistDaskError`.

A message gives the value that was found, the limit or the expectation that it broke, and the remedy::

    FmnistDaskError
    ├── UsageError            the command, workflow or parameter is wrong      (exit code 2)
    │   └── WorkflowError     a workflow file, with file and line
    ├── SourceError           raw input cannot be read as images               (exit code 1)
    ├── CollectionError       a Zarr collection is missing, incomplete, broken (exit code 1)
    ├── MemoryLimitError      a pass does not fit the workers                  (exit code 1)
    ├── ClusterError          a cluster cannot be started or reached           (exit code 1)
    │   └── LostClusterError  a cluster that worked is gone; another try may go on
    └── RunError              a run directory is taken, broken or missing      (exit code 1)
        └── InUseError        another process works there
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FmnistDaskError(Exception):
    """Base of all errors that name a cause and a remedy.

    Parameters
    ----------
    message
        What is wrong, with the value found and the limit or expectation.
    remedy
        What to do about it; shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message if self.remedy is None else f"{self.message}\n  remedy: {self.remedy}"


class UsageError(FmnistDaskError, ValueError):
    """The command line, a parameter or an argument is wrong: a ``ValueError`` to callers of the estimators."""

    exit_code = 2


class WorkflowError(UsageError):
    """A workflow file is not valid; the message names file and line."""


class SourceError(FmnistDaskError):
    """Raw input is missing or cannot be read as images."""


class CollectionError(FmnistDaskError):
    """A collection is missing, incomplete or not in the expected format."""


class MemoryLimitError(FmnistDaskError):
    """A pass would not fit the memory of the workers.

    Attributes
    ----------
    step
        The step that asks for it, where that is known.
    """

    step: str | None = None


class ClusterError(FmnistDaskError):
    """A Dask cluster cannot be started, reached or used."""


class LostClusterError(ClusterError):
    """The scheduler that was at work does not answer any more."""


class RunError(FmnistDaskError):
    """A run directory is missing, in use by another process, or cannot be written."""


class InUseError(RunError):
    """Another live process works in a directory."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Words for an error's remedy: the nearest valid name, then all of them.

    Examples
    --------
    >>> nearest("kmean", ["kmeans", "pca"])
    'did you mean "kmeans"? Valid: kmeans, pca'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    listing = f"Valid: {', '.join(names) or '(none)'}"
    return f'did you mean "{close[0]}"? {listing}' if close else listing
