"""Arrays within NPY and NPZ files: headers that are judged before they are believed, and values."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np

from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.typing import AnyArray

#: Characters that Unicode has; damaged files hold others.
CODE_POINTS = 0x110000


@dataclass(frozen=True)
class StoredArray:
    """One array of a file: its header, read without the rest.

    Attributes
    ----------
    path, member
        The file, and the entry of an NPZ archive.
    """

    path: str
    member: str
    shape: tuple[int, ...]
    dtype: str
    fortran: bool
    offset: int

    @property
    def name(self) -> str:
        """What the array is called."""
        return self.member.removesuffix(".npy") or PurePosixPath(self.path).stem

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(math.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize


def read_npy_header(file: IO[bytes], path: str, member: str, size: int) -> StoredArray:
    """Shape and type of an array, from the first bytes of its file.

    Raises
    ------
    UnreadableError
        No array of numbers, or shorter than it says.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise UnreadableError(f"NPY version {version} is not read")
        shape, fortran, dtype = read(file)
    except (UnreadableError, OSError, zipfile.BadZipFile):
        raise
    except Exception as error:  # a header is Python's syntax, and what parses it raises whatever goes wrong
        raise UnreadableError(f"no NPY array: {(str(error).splitlines() or [''])[0][:120]}") from error
    if dtype.hasobject:
        raise UnreadableError("it holds pickled Python objects, which are not read")
    if not dtype.itemsize:
        raise UnreadableError(f"its values ({dtype}) have no bytes")
    offset = file.tell()
    expected = offset + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected > size:
        raise UnreadableError(f"it has {size:,} bytes; its header promises {expected:,}")
    sides = tuple(int(side) for side in shape)
    return StoredArray(path, member, sides, dtype.str, bool(fortran) and len(shape) > 1, offset)


def taken(file: IO[bytes], size: int) -> bytes:
    """So many bytes of a file, which may give them in parts.

    Raises
    ------
    UnreadableError
        It ends before, or is damaged.
    """
    parts, left = [], size
    while left:
        try:
            data = file.read(left)
        except (zlib.error, zipfile.BadZipFile, EOFError) as error:
            raise UnreadableError(f"damaged: {error}") from error
        if not data:
            raise UnreadableError("the file ends before its rows do")
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def texts(labels: AnyArray) -> list[Any]:
    """Labels as Python's numbers and texts."""
    if labels.dtype.kind == "U":
        codes = np.ascontiguousarray(labels).view(np.dtype(np.uint32).newbyteorder(labels.dtype.byteorder))
        if (codes >= CODE_POINTS).any():
            return [
                "".join(chr(code) if code < CODE_POINTS else "\ufffd" for code in row).rstrip("\0")
                for row in codes.reshape(labels.size, -1).tolist()
            ]
    values: list[Any] = labels.ravel().tolist()
    return values
