"""Small files written so that a reader never sees half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fmnist_dask.collection.place import is_local, reaching
from fmnist_dask.errors import RunError


def write_atomic(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it there, after its bytes have reached the disk."""
    if not is_local(path):
        with reaching(path):
            path.write_bytes(content)  # an object is there as a whole or not at all
        return
    pending = path.with_name(f".{path.name}.{os.getpid()}.pending")
    try:
        with open(pending, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(pending, path)
    except OSError as error:
        pending.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}", _write_remedy(error)) from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, in the order of its keys, for people to read."""
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; ``None`` if there is no such file.

    Raises
    ------
    json.JSONDecodeError
        It is no JSON.
    """
    try:
        with reaching(path):
            content = path.read_bytes()
        return json.loads(content.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Read a manifest; ``None`` if there is none, or the file is no JSON mapping and so somebody else's."""
    try:
        found = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError, IsADirectoryError):
        return None
    return found if isinstance(found, dict) else None


def make_directory(path: Path) -> Path:
    """Create a directory and its parents, or say why not. Object stores have none: there a name is enough."""
    if not is_local(path):
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot create the directory {path}: {error.strerror or error}", _write_remedy(error)
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise RunError(f"cannot write into {path}: permission denied", "choose another place with --out or --store")
    return path


def _write_remedy(error: OSError) -> str:
    if error.errno == 28:  # ENOSPC
        return "free some space, or choose a place on another disk with --out and --store; then run the same command"
    return "choose a place that you may write to, with --out or --store"
