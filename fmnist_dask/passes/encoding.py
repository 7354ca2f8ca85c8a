"""States on disk: nested values of arrays, numbers and words in one file, which holds all of it or counts for nothing.

A file is a line that names the format, the length of a JSON text, that text, the bytes of the arrays (each at a
multiple of 64), and a digest of all this. Nothing in it is ever executed, as a pickle would be. It takes the place of
``.npz``, whose directory entries cost more than the small arrays that many states are made of.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from fmnist_dask.typing import AnyArray

MAGIC = b"fmnist-dask states 1\n"
DIGEST_BYTES = 16
ALIGNMENT = 64
#: Kinds of arrays that are nothing but their bytes.
KINDS = "biufcSUMm"


class NotEncodableError(TypeError):
    """A value is none of those that go into a file."""


@dataclass(frozen=True)
class Encoded:
    """A value, ready to be written."""

    header: bytes
    arrays: list[AnyArray]


def encode(value: Any, copy: bool = False) -> Encoded:
    """Take a value apart: arrays, NumPy scalars, numbers, words, bytes, ``None``, lists, tuples and dicts of them.

    Parameters
    ----------
    copy
        Copy the arrays, so that they may be changed before the value is written.

    Raises
    ------
    NotEncodableError
        It holds something else, subclasses of these included.
    """
    arrays: list[AnyArray] = []
    try:
        skeleton = _take_apart(value, arrays)
        described = [[array.dtype.str, array.shape, _is_fortran(array)] for array in arrays]
        header = json.dumps([skeleton, described]).encode()
    except (ValueError, RecursionError) as error:
        raise NotEncodableError(str(error)) from error
    return Encoded(header, [array.copy(order="K") if copy else array for array in arrays])


def write_encoded(path: Path, encoded: Encoded) -> None:
    """Write a file aside and rename it into place.

    It is not forced onto the disk: a process that is killed loses nothing, and a file that a power failure cut short
    counts as absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pending = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    hasher = xxhash.xxh3_128()
    try:
        with open(pending, "wb", buffering=0) as file:
            begin = MAGIC + len(encoded.header).to_bytes(8, "little") + encoded.header
            small = bytearray(begin + bytes(-len(begin) % ALIGNMENT))
            for array in encoded.arrays:
                data = _bytes_of(array)
                if len(data) > 2**16:
                    _put(file, hasher, small)
                    _put(file, hasher, data)
                    small = bytearray()
                else:
                    small += data
                small += bytes(-len(data) % ALIGNMENT)
            _put(file, hasher, small)
            file.write(hasher.digest())
        os.replace(pending, path)
    except BaseException:
        pending.unlink(missing_ok=True)
        raise


def write_value(path: Path, value: Any) -> None:
    """Encode a value and write it."""
    write_encoded(path, encode(value))


def read_value(path: Path) -> Any:
    """Read a file.

    Raises
    ------
    ValueError
        It is damaged.
    OSError
        It is not there.
    """
    size = os.stat(path).st_size
    content = bytearray(size)
    with open(path, "rb", buffering=0) as file:
        view = memoryview(content)
        at = 0
        while at < size and (taken := file.readinto(view[at:])):
            at += taken
    body = memoryview(content)[: max(0, size - DIGEST_BYTES)]
    if at < size or xxhash.xxh3_128_digest(body) != bytes(content[len(body) :]):
        raise ValueError(f"{path} is damaged")
    try:
        skeleton, layout, _ = _read_header(bytes(body[: len(MAGIC) + 8]), lambda a, b: bytes(body[a:b]))
        arrays = [
            np.ndarray(shape, dtype, content, at, order="F" if fortran else "C") for dtype, shape, fortran, at in layout
        ]
        return _put_together(skeleton, lambda index: arrays[index])
    except (TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def read_outline(path: Path) -> Any:
    """The value of a file with ``None`` in the place of arrays, NumPy scalars and bytes; reads its beginning only.

    Raises
    ------
    ValueError
        The file is damaged, as far as its beginning and its length tell.
    OSError
        It is not there.
    """
    with open(path, "rb") as file:
        skeleton, _, end = _read_header(file.read(len(MAGIC) + 8), lambda a, b: file.read(b - a))
    if os.stat(path).st_size != end + DIGEST_BYTES:
        raise ValueError(f"{path} is damaged: it was cut short")
    return _put_together(skeleton, lambda index: None)


def is_whole(path: Path) -> bool:
    """Whether a file is there in its full length."""
    try:
        read_outline(path)
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return False
    return True


def _take_apart(value: Any, arrays: list[AnyArray]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return [kind.__name__, *(_take_apart(part, arrays) for part in value)]
    if kind is dict:
        pairs = [[_take_apart(key, arrays), _take_apart(part, arrays)] for key, part in value.items()]
        return ["dict", *pairs]
    if kind is np.ndarray and value.dtype.kind in KINDS:
        arrays.append(value)
        return ["array", len(arrays) - 1]
    if isinstance(value, np.generic) and value.dtype.kind in KINDS:
        arrays.append(np.asarray(value))
        return ["scalar", len(arrays) - 1]
    if kind is bytes:
        arrays.append(np.frombuffer(value, dtype=np.uint8))
        return ["bytes", len(arrays) - 1]
    raise NotEncodableError(f"a value of type {kind.__name__} cannot be saved")


def _put_together(skeleton: Any, array: Callable[[int], Any]) -> Any:
    if not isinstance(skeleton, list):
        return skeleton
    kind, *parts = skeleton
    if kind == "dict":
        return {_put_together(key, array): _put_together(part, array) for key, part in parts}
    if kind in ("list", "tuple"):
        values = [_put_together(part, array) for part in parts]
        return values if kind == "list" else tuple(values)
    found = array(parts[0])
    if found is None or kind == "array":
        return found
    if kind == "scalar":
        return found[()]
    if kind == "bytes":
        return found.tobytes()
    raise ValueError(f"unknown kind {kind!r}")


def _read_header(begin: bytes, read: Callable[[int, int], bytes]) -> tuple[Any, list[tuple[Any, ...]], int]:
    """Skeleton; type, shape, order and place of each array; and where they end."""
    if not begin.startswith(MAGIC) or len(begin) != len(MAGIC) + 8:
        raise ValueError("not a file of states")
    stop = len(begin) + int.from_bytes(begin[len(MAGIC) :], "little")
    skeleton, described = json.loads(read(len(begin), stop))
    at, layout = _aligned(stop), []
    for dtype, shape, fortran in described:
        layout.append((np.dtype(dtype), tuple(shape), fortran, at))
        at = _aligned(at + np.dtype(dtype).itemsize * math.prod(shape))
    return skeleton, layout, at


def _aligned(size: int) -> int:
    return size + -size % ALIGNMENT


def _is_fortran(array: AnyArray) -> bool:
    # The order stays: products of floats may differ with it in their last bits.
    return array.flags.f_contiguous and not array.flags.c_contiguous


def _bytes_of(array: AnyArray) -> Any:
    flat = np.ascontiguousarray(array.T if _is_fortran(array) else array).reshape(-1)
    return flat.view(np.uint8).data if flat.nbytes else b""


def _put(file: Any, hasher: Any, data: Any) -> None:
    hasher.update(data)
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]
