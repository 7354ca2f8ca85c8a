"""Content hashes of images and the grouping of equal hashes."""

from __future__ import annotations

import hashlib

import numpy as np
import xxhash

from fmnist_dask.typing import AnyArray, IntArray, UInt64Array

#: Rows that one digest of :func:`panel_digests` covers. Panels start at multiples of this number of absolute rows.
PANEL_ROWS = 256


def content_hashes(image: AnyArray) -> UInt64Array:
    """XXH3-128 of each image's bytes.

    Parameters
    ----------
    image : array, shape (rows, ...)
        Any dtype; each row is hashed in C order.

    Returns
    -------
    uint64 array, shape (rows, 2)
        High and low half. Equal images have equal hashes; the converse is likely, not certain, so that groups of
        equal hashes are compared byte by byte before they are called duplicates.
    """
    rows = len(image)
    flat = np.ascontiguousarray(image).reshape(-1).view(np.uint8).data
    size = len(flat) // rows if rows else 0
    digest = xxhash.xxh3_128_digest
    joined = b"".join([digest(flat[at : at + size]) for at in range(0, rows * size, size)]) if size else b""
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(rows, 2)


def repeated_hashes(hashes: UInt64Array, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Rows whose hash occurs more than once.

    Parameters
    ----------
    hashes : uint64 array, shape (m, 2)
    rows : int64 array, shape (m,)
        Absolute row of each hash, ascending.

    Returns
    -------
    rows, groups : int64 arrays, shape (members,)
        Sorted by group, then by row. A group is named by its first row.
    """
    order = np.lexsort((rows, hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    same_as_previous = np.zeros(len(order), dtype=bool)
    same_as_previous[1:] = (ordered[1:] == ordered[:-1]).all(axis=1)
    member = same_as_previous.copy()
    member[:-1] |= same_as_previous[1:]
    starts = np.flatnonzero(~same_as_previous)
    first = rows[order][starts][np.cumsum(~same_as_previous) - 1] if len(order) else rows
    members, groups = rows[order][member], first[member]
    by_group = np.lexsort((members, groups))
    return members[by_group], groups[by_group]


def panel_digests(start: int, *arrays: AnyArray) -> list[bytes]:
    """BLAKE2b digests (16 bytes) of panels of 256 rows, for a fingerprint that does not depend on chunking.

    Parameters
    ----------
    start
        Absolute row of the arrays' first row, a multiple of 256.
    arrays
        Per-row arrays of equal length (content hashes, labels, splits, …).

    Returns
    -------
    list of bytes
        One digest for each panel, in row order.
    """
    if start % PANEL_ROWS:
        raise ValueError(f"start is {start}, which is no multiple of {PANEL_ROWS}")
    digests = []
    for at in range(0, len(arrays[0]), PANEL_ROWS):
        digest = hashlib.blake2b(digest_size=16)
        for array in arrays:
            digest.update(np.ascontiguousarray(array[at : at + PANEL_ROWS]).tobytes())
        digests.append(digest.digest())
    return digests


def content_sum(hashes: UInt64Array, label: AnyArray, split: AnyArray) -> tuple[int, int]:
    """A digest of rows that does not depend on their order: sums, modulo 2⁶⁴, of two mixtures of each row.

    Two collections of the same images with the same labels and splits have the same digest, in whatever order and
    however often they were chunked or appended to: digests of parts add up.

    Parameters
    ----------
    hashes : uint64 array, shape (m, 2)
    label : int16 array, shape (m,)
    split : int8 array, shape (m,)
    """
    tag = (label.astype(np.int64) + 1).astype(np.uint64) << np.uint64(8) | split.astype(np.uint8).astype(np.uint64)
    with np.errstate(over="ignore"):
        first = _mixed(hashes[:, 0] ^ _mixed(tag + np.uint64(1)))
        second = _mixed(hashes[:, 1] ^ _mixed(first + tag))
        return int(first.sum(dtype=np.uint64)), int(second.sum(dtype=np.uint64))


def _mixed(values: UInt64Array) -> UInt64Array:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on every other."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: UInt64Array = mixed ^ (mixed >> np.uint64(31))
    return result
