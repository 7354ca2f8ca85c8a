"""PNG files of a palette and its entries, made piece by piece: no more of the image is in memory than some lines.

Pieces are of fixed lines and compressed by themselves, so that any worker can make or measure each, and a file does not
depend on how the image was cut up.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fmnist_dask.typing import AnyArray, UInt8Array

#: Lines of a piece: every row of tiles of a stored photograph holds whole ones.
PIECE_LINES = 64
LEVEL = 6
SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Beginning and end of a zlib stream; the checksum follows.
ZLIB_HEADER, LAST_BLOCK = b"\x78\x9c", b"\x03\x00"
#: Bytes of a chunk beside its content.
CHUNK_BYTES = 12
#: PNG's kinds of pixels.
GREY, RGB, INDEXED = 0, 2, 3


def depth_of(entries: int) -> int:
    """Bits of a pixel for so many entries: 1, 2, 4 or 8."""
    return next(depth for depth in (1, 2, 4, 8) if entries <= 1 << depth)


def packed(index: UInt8Array, depth: int) -> bytes:
    """Lines of entries as PNG has them: pixels in bits, a zero (no filter) before each line."""
    height, width = index.shape
    if depth < 8:
        per_byte = 8 // depth
        padded = np.zeros((height, -(-width // per_byte) * per_byte), dtype=np.uint8)
        padded[:, :width] = index
        parts = padded.reshape(height, -1, per_byte)
        index = np.zeros(parts.shape[:2], dtype=np.uint8)
        for place in range(per_byte):
            index |= parts[:, :, place] << np.uint8(8 - depth * (place + 1))
    lines = np.zeros((height, 1 + index.shape[1]), dtype=np.uint8)
    lines[:, 1:] = index
    return lines.tobytes()


def filtered(pixels: UInt8Array) -> bytes:
    """Lines of shape (y, x, channels) as PNG has them, as differences from the pixel to the left."""
    height, width, channels = pixels.shape
    lines = np.empty((height, 1 + width * channels), dtype=np.uint8)
    lines[:, 0] = 1
    flat = pixels.reshape(height, -1)
    lines[:, 1 : 1 + channels] = flat[:, :channels]
    np.subtract(flat[:, channels:], flat[:, :-channels], out=lines[:, 1 + channels :])
    return lines.tobytes()


def deflated(data: bytes) -> bytes:
    """A part of a deflate stream that stands for itself."""
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)


def pieces(height: int) -> list[tuple[int, int]]:
    """First line of each piece, and where it ends."""
    return [(top, min(top + PIECE_LINES, height)) for top in range(0, height, PIECE_LINES)]


def pieces_bytes(index: UInt8Array, depth: int) -> int:
    """Bytes that lines of entries take in a file; the first of them begins a piece."""
    return sum(len(deflated(packed(index[top:end], depth))) + CHUNK_BYTES for top, end in pieces(len(index)))


def plain_bytes(pixels: UInt8Array) -> int:
    """The same of lines of pixels, shape (y, x, channels), in a file without a palette."""
    return sum(len(deflated(filtered(pixels[top:end]))) + CHUNK_BYTES for top, end in pieces(len(pixels)))


def file_bytes(content: int, palette: UInt8Array | None) -> int:
    """Size of a file, from the bytes of all its pieces."""
    header = len(SIGNATURE) + CHUNK_BYTES + 13 + CHUNK_BYTES
    entries = 0 if palette is None else CHUNK_BYTES + 3 * len(palette)
    stream = len(ZLIB_HEADER) + len(LAST_BLOCK) + 4
    return header + entries + stream + content


def palette_png(
    lines: Callable[[int, int], AnyArray], height: int, width: int, palette: UInt8Array, threads: int = 2
) -> Iterator[bytes]:
    """The parts of a PNG file with a palette.

    Parameters
    ----------
    lines
        Entries of lines from the first number to before the second, uint8.
    palette : uint8 array, shape (k, 1 or 3)
    threads
        That compress.
    """
    depth = depth_of(len(palette))
    colours = palette if palette.shape[1] == 3 else palette.repeat(3, axis=1)
    yield SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, INDEXED, 0, 0, 0))
    yield _chunk(b"PLTE", colours.astype(np.uint8).tobytes())
    check = 1

    def made(part: tuple[int, int]) -> tuple[bytes, bytes]:
        data = packed(np.asarray(lines(*part)), depth)
        return data, deflated(data)

    parts = pieces(height)
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(made, part) for part in parts[:threads]]
        for number in range(len(parts)):
            data, stream = waiting.pop(0).result()
            if number + threads < len(parts):
                waiting.append(pool.submit(made, parts[number + threads]))
            check = zlib.adler32(data, check)
            if number == 0:
                stream = ZLIB_HEADER + stream
            if number == len(parts) - 1:
                stream += LAST_BLOCK + struct.pack(">I", check)
            yield _chunk(b"IDAT", stream)
    yield _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
