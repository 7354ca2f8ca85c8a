"""Whether the workers of a cluster can do this driver's work: said before it begins, with a remedy."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_dask.cluster import inspection
from fmnist_dask.collection.place import is_local
from fmnist_dask.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

PACKAGE = "fmnist_dask"


def check_workers(client: Client, directories: Iterable[Path] = ()) -> None:
    """Ask all workers what they are.

    Parameters
    ----------
    directories
        That driver and workers must both see; those in object stores are left out.

    Raises
    ------
    ClusterError
        A worker lacks this package, has another version of it or of Python, or does not see a directory.
    """
    import cloudpickle

    with _probes(directories) as probes:
        cloudpickle.register_pickle_by_value(inspection)
        try:
            answers = client.run(inspection.inspect_worker, PACKAGE, probes, on_error="return")
        finally:
            cloudpickle.unregister_pickle_by_value(inspection)
        mine = inspection.inspect_worker(PACKAGE, probes)
    for address, said in answers.items():
        _check(address, said, mine)


def _check(address: str, said: Any, mine: dict[str, Any]) -> None:
    if isinstance(said, BaseException):
        if _gone(said):
            return  # it died meanwhile; another one may take its place
        raise ClusterError(
            f"the worker {address} cannot run what this process sends: {type(said).__name__}: {said}",
            f"give workers Python {mine['python']}, fmnist-dask {mine['version']}, and the same dask and distributed",
        ) from said
    where = f"the worker {address} on {said['host']}"
    how = f"install fmnist-dask {mine['version']} with Python {mine['python']} for the workers, as here"
    if said["python"] != mine["python"]:
        raise ClusterError(f"{where} has Python {said['python']}, this process {mine['python']}", how)
    if "missing" in said:
        raise ClusterError(
            f"{where} cannot import fmnist_dask ({said['missing']}); its Python is {said['executable']}", how
        )
    if said["version"] != mine["version"]:
        raise ClusterError(f"{where} has fmnist-dask {said['version']}, this process {mine['version']}", how)
    if said["code"] != mine["code"]:
        raise ClusterError(
            f"{where} has another fmnist-dask {said['version']} (in {said['place']}) than this process "
            f"(in {mine['place']}): their code differs, or their NumPy, numba or SciPy",
            "install the same one for both, and start the workers again",
        )
    if said["unseen"]:
        raise ClusterError(
            f"{where} does not see {Path(said['unseen'][0]).parent}, where this process writes; "
            f"its current directory is {said['directory']}",
            "put collections and runs on a file system that all workers see at the same path "
            "(--store, --out), or collections in an object store",
        )


def _gone(error: BaseException) -> bool:
    from distributed.comm import CommClosedError

    return isinstance(error, CommClosedError | OSError | TimeoutError)


@contextlib.contextmanager
def _probes(directories: Iterable[Path]) -> Iterator[dict[str, str]]:
    """A small file in each directory, for the time of the block; of one that is only read, its manifest."""
    written: dict[str, str] = {}
    found: dict[str, str] = {}
    try:
        for directory in directories:
            if not is_local(directory) or not directory.is_dir():
                continue
            manifest = directory / "manifest.json"
            if os.access(directory, os.W_OK):
                path, content = directory / f".seen-{uuid.uuid4().hex}", uuid.uuid4().hex
                path.write_text(content, encoding="utf-8")
                written[str(path)] = content
            elif manifest.is_file():
                found[str(manifest)] = manifest.read_text(encoding="utf-8")
        yield {**written, **found}
    finally:
        for name in written:
            Path(name).unlink(missing_ok=True)
