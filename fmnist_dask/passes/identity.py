"""What a request, a reduction or a source is, as a digest that another process finds again."""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import hashlib
import importlib.metadata
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.passes.protocol import Scan, Tasks


class NotIdentifiableError(TypeError):
    """A value has no identity beyond this process, such as a lambda."""


def digest_of(value: Any) -> str:
    """Hex digest of a value: equal for values of the same types and contents, in any process.

    Dataclasses are walked through their fields, other objects through what pickle would take; arrays go in by their
    bytes, functions and classes by the names that they are imported by.

    Raises
    ------
    NotIdentifiableError
        Something in it has no such identity.
    """
    hasher = hashlib.blake2b(digest_size=16)
    try:
        for part in _walk(value):
            # Lengths keep parts apart.
            hasher.update(len(part).to_bytes(8, "little"))
            hasher.update(part)
    except RecursionError:
        raise NotIdentifiableError("a value is nested too deeply") from None
    return hasher.hexdigest()


def digest_of_request(request: Scan | Tasks) -> str:
    """Digest of what a request asks for; how much memory it takes and what a plan expects of it do not count."""
    if isinstance(request, Tasks):
        return digest_of(("tasks", request.name, request.calls, request.unit, request.shared))
    return digest_of(("scan", request.reductions, request.columns, request.split))


@functools.cache
def code_stamp() -> str:
    """Hex digest of what makes states and answers of this release: its own code, NumPy and numba.

    What is kept of a run that has not ended is of use to a process with the same stamp only.
    """
    hasher = hashlib.blake2b(digest_size=8)
    for name in ("numpy", "numba", "scipy"):
        hasher.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    package = Path(__file__).parents[1]
    for room in ("kernels", "passes", "models"):
        for file in sorted((package / room).rglob("*.py")):
            hasher.update(str(file.relative_to(package)).encode())
            hasher.update(file.read_bytes())
    return hasher.hexdigest()


def _walk(value: Any) -> Iterator[bytes | memoryview]:
    kind = type(value)
    yield f"{kind.__module__}.{kind.__qualname__}".encode()
    if value is None or isinstance(value, bool | int | float | complex | str):
        yield repr(value).encode("utf-8", "backslashreplace")
    elif isinstance(value, bytes | bytearray):
        yield bytes(value)
    elif isinstance(value, np.ndarray | np.generic):
        yield from _walk_array(np.asarray(value))
    elif isinstance(value, list | tuple):
        yield from _walk_all(value)
    elif isinstance(value, Mapping):
        yield from _walk_all([part for pair in value.items() for part in pair])
    elif isinstance(value, set | frozenset):
        yield from _walk_all(sorted(digest_of(part) for part in value))
    elif isinstance(value, functools.partial):
        yield from _walk_all([value.func, value.args, value.keywords])
    elif isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        yield _name_of(value)
    elif dataclasses.is_dataclass(value):
        yield from _walk_all([(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)])
    else:
        yield from _walk_all(_reduced(value))


def _walk_all(parts: Any) -> Iterator[bytes | memoryview]:
    yield len(parts).to_bytes(8, "little")
    for part in parts:
        yield from _walk(part)


def _reduced(value: Any) -> list[Any]:
    """What pickle would make an object of: a callable, its arguments, state, and items."""
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        parts = reduce(value) if reduce is not None else value.__reduce_ex__(4)
    except Exception as error:
        raise NotIdentifiableError(f"{value!r} has no identity that another process could find again") from error
    if isinstance(parts, str):
        return [parts]
    return [*parts[:3], *(list(items) for items in parts[3:5] if items is not None)]


def _walk_array(array: Any) -> Iterator[bytes | memoryview]:
    if array.dtype.hasobject:
        yield from _walk(array.tolist())
        return
    yield repr((array.dtype.str, array.shape)).encode()
    yield array.tobytes()


def _name_of(value: Any) -> bytes:
    """The name that a function or class is imported by."""
    module, name = getattr(value, "__module__", None), value.__qualname__
    bound = getattr(value, "__self__", None)
    if "<" in name or (bound is not None and not isinstance(bound, types.ModuleType)):
        raise NotIdentifiableError(f"{name} cannot be imported by its name")
    return f"{module}.{name}".encode()
