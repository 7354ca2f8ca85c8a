"""Counter-based random numbers: each value is a pure function of (seed, row, stream).

There is no generator state, so any subset of rows, in any order and in any chunking, gets the
same numbers.  The mixing function is the 64-bit finalizer of SplitMix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014, with the "variant 13" constants of
D. Stafford); a stream is a SplitMix64 sequence whose start is the mixed (seed, stream) pair and
whose position is the row index.  Integer arithmetic modulo 2**64 is the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = 0x94D049BB133111EB


def _mix_int(value: int) -> int:
    """Mix one Python integer, taken modulo 2**64 (SplitMix64 finalizer)."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _MULTIPLIER_1) & _MASK
    value = ((value ^ (value >> 27)) * _MULTIPLIER_2) & _MASK
    return value ^ (value >> 31)


def _mix_in_place(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix an array of words in place (SplitMix64 finalizer)."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(_MULTIPLIER_1)
    words ^= words >> np.uint64(27)
    words *= np.uint64(_MULTIPLIER_2)
    words ^= words >> np.uint64(31)
    return words


def _as_counters(rows: ArrayLike) -> NDArray[np.uint64]:
    """Row indices as 64-bit counters spread by the golden-ratio increment."""
    counters = np.asarray(rows, dtype=np.int64).astype(np.uint64)
    return np.asarray(counters * np.uint64(_GOLDEN))


def random_bits(seed: int, rows: ArrayLike, stream: int) -> NDArray[np.uint64]:
    """Random 64-bit words, one for each row.

    Parameters
    ----------
    seed : int
        Any integer; taken modulo 2**64.
    rows : array_like of int64
        Row indices, any shape.
    stream : int
        Number of the independent stream to read.

    Returns
    -------
    numpy.ndarray of uint64, same shape as `rows`
    """
    key = _mix_int(_mix_int(seed) + stream * _GOLDEN)
    return _mix_in_place(np.atleast_1d(_as_counters(rows) + np.uint64(key))).reshape(np.shape(rows))


def uniform(seed: int, rows: ArrayLike, stream: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) with 53 random bits, one for each row.

    Parameters
    ----------
    seed, rows, stream
        As for `random_bits`.

    Returns
    -------
    numpy.ndarray of float64, same shape as `rows`
    """
    return (random_bits(seed, rows, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def random_words(seed: int, rows: ArrayLike, first_stream: int, count: int) -> NDArray[np.uint64]:
    """Words of `count` consecutive streams: ``out[k] == random_bits(seed, rows, first_stream + k)``.

    Parameters
    ----------
    seed : int
        Any integer; taken modulo 2**64.
    rows : array_like of int64, shape (n,)
        Row indices.
    first_stream, count : int
        Streams ``first_stream`` to ``first_stream + count - 1`` are read.

    Returns
    -------
    numpy.ndarray of uint64, shape (count, n)
    """
    streams = np.arange(first_stream, first_stream + count, dtype=np.int64)
    keys = _mix_in_place(_as_counters(streams) + np.uint64(_mix_int(seed)))
    return _mix_in_place(keys[:, None] + _as_counters(rows)[None, :])


def random_fields(seed: int, rows: ArrayLike, first_stream: int, count: int, bits: int) -> NDArray[np.float32]:
    """Many small random integers for each row, cut out of few 64-bit words.

    This is the cheap source of per-pixel noise: eight 8-bit fields come out of one word.

    Parameters
    ----------
    seed, rows, first_stream
        As for `random_words`.
    count : int
        Fields for each row; a multiple of ``64 // bits``.
    bits : int
        Width of a field, 8 or 16.

    Returns
    -------
    numpy.ndarray of float32, shape (count, n)
        Whole numbers 0 to ``2**bits - 1``.
    """
    fields_in_word = 64 // bits
    if count % fields_in_word:
        raise ValueError(f"count must be a multiple of {fields_in_word}, got {count}")
    word_count = count // fields_in_word
    words = random_words(seed, rows, first_stream, word_count)
    mask = np.uint64((1 << bits) - 1)
    fields = np.empty((fields_in_word, word_count, words.shape[1]), dtype=np.float32)
    for position in range(fields_in_word):
        # Shifts, not a byte view: the same on machines of either byte order.
        fields[position] = (words >> np.uint64(position * bits)) & mask
    return fields.reshape(count, words.shape[1])
