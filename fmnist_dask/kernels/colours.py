"""Distinct colours and how often each occurs: counted in blocks, merged, and binned where there are too many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.typing import AnyArray, FloatArray, IntArray, UInt8Array

#: Bits of a channel.
BITS = 8


@dataclass(frozen=True)
class Colours:
    """Colours and their pixels.

    Attributes
    ----------
    code : uint32 array, shape (m,)
        Ascending: channels one after the other, the first in the highest bits.
    count : int64 array, shape (m, 1 + channels)
        Pixels; then the sums of their channels.
    bits
        Of a channel that codes hold: 8 are exact; with fewer, a code stands for a bin of colours.
    channels
        1 or 3.
    """

    code: AnyArray
    count: IntArray
    bits: int
    channels: int

    def __len__(self) -> int:
        return len(self.code)

    @property
    def weight(self) -> FloatArray:
        """Pixels of each colour, shape (m,)."""
        found: FloatArray = self.count[:, 0].astype(np.float64)
        return found

    @property
    def n_pixels(self) -> int:
        """Pixels of all colours."""
        return int(self.count[:, 0].sum())

    @property
    def points(self) -> FloatArray:
        """The colours, of bins the mean colours of their pixels, shape (m, channels)."""
        found: FloatArray = self.count[:, 1:] / self.count[:, :1]
        return found

    def coarser(self, bits: int) -> Colours:
        """In bins of fewer bits a channel."""
        if bits >= self.bits:
            return self
        codes = np.zeros(len(self.code), dtype=np.uint32)
        for channel in range(self.channels):
            value = self.code >> np.uint32(self.bits * (self.channels - 1 - channel)) & np.uint32((1 << self.bits) - 1)
            codes = codes << np.uint32(bits) | value >> np.uint32(self.bits - bits)
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
        first = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]])) if len(codes) else np.zeros(0, int)
        count = np.add.reduceat(self.count[order], first, axis=0) if len(first) else self.count[:0]
        return Colours(codes[first], count, bits, self.channels)

    def within(self, limit: int) -> Colours:
        """As they are where there are at most ``limit``, else in the finest bins of which there are no more."""
        found = self
        while len(found) > limit and found.bits > 1:
            found = found.coarser(found.bits - 1)
        return found


def no_colours(channels: int) -> Colours:
    """Those of no pixels."""
    return Colours(np.zeros(0, dtype=np.uint32), np.zeros((0, 1 + channels), dtype=np.int64), BITS, channels)


def count_colours(pixels: UInt8Array, limit: int) -> Colours:
    """Count the colours of pixels of shape (m, channels), 1 or 3, within a limit of 8 or more: :meth:`Colours.within`.

    Raises
    ------
    FmnistDaskError
        Another number of channels.
    """
    from fmnist_dask.kernels.compiled_colours import count_codes, sum_codes

    channels = pixels.shape[1]
    if channels not in (1, 3):
        raise FmnistDaskError(f"pixels have {channels} channels", "give grey levels or red, green and blue")
    for bits in range(BITS, 0, -1):
        table = np.zeros(1 << bits * channels, dtype=np.uint32)
        found = np.empty(min(limit, len(pixels), len(table)), dtype=np.uint32)
        size = count_codes(pixels, BITS - bits, table, found)
        if size >= 0:
            break
    code = np.sort(found[:size])
    count = np.empty((size, 1 + channels), dtype=np.int64)
    count[:, 0] = table[code]
    if bits == BITS:
        for channel in range(channels):
            count[:, 1 + channel] = (code >> np.uint32(BITS * (channels - 1 - channel)) & np.uint32(255)) * count[:, 0]
    else:
        sums = np.zeros((size, channels), dtype=np.int64)
        table[code] = np.arange(size, dtype=np.uint32)
        sum_codes(pixels, BITS - bits, table, sums)
        count[:, 1:] = sums
    return Colours(code, count, bits, channels)


def told_apart(pixels: UInt8Array) -> tuple[Colours, IntArray]:
    """Colours of few pixels of shape (m, channels), and the place among them of each pixel's.

    The same as :func:`count_colours` without a limit, without its table of all colours that there are.
    """
    channels = pixels.shape[1]
    places = 1 << BITS * np.arange(channels - 1, -1, -1)
    code, place, number = np.unique(pixels @ places.astype(np.uint32), return_inverse=True, return_counts=True)
    values = code[:, None] // places & 255
    count = np.concatenate([number[:, None], values * number[:, None]], axis=1).astype(np.int64)
    return Colours(code.astype(np.uint32), count, BITS, channels), place


def counting_bytes(pixels: int, channels: int, limit: int) -> int:
    """Memory of :func:`count_colours` for so many pixels, the result included."""
    most = min(pixels, limit, 1 << BITS * channels)
    return (4 << BITS * channels) + most * (8 + 16 * (1 + channels))


def merged(left: Colours, right: Colours, limit: int) -> Colours:
    """The colours of both, within a limit.

    What comes out for many blocks is the same in whatever order and parts they are merged: the finest bins of which
    there are no more than ``limit`` in all, since a part has no more of them than the whole.
    """
    from fmnist_dask.kernels.compiled_colours import merge_counts

    bits = min(left.bits, right.bits)
    left, right = left.coarser(bits), right.coarser(bits)
    code = np.empty(len(left) + len(right), dtype=np.uint32)
    count = np.empty((len(code), 1 + left.channels), dtype=np.int64)
    size = merge_counts(left.code, left.count, right.code, right.count, code, count)
    found = Colours(code[:size], count[:size], bits, left.channels).within(limit)
    if found.bits == bits and size < len(code):
        found = Colours(code[:size].copy(), count[:size].copy(), bits, left.channels)
    return found


def table_of(colours: Colours, values: AnyArray) -> AnyArray:
    """A table by which pixels' colours are looked up, of those that were counted; 0 elsewhere."""
    table: AnyArray = np.zeros(1 << colours.bits * colours.channels, dtype=values.dtype)
    table[colours.code] = values
    return table


def looked_up(pixels: UInt8Array, bits: int, table: AnyArray) -> AnyArray:
    """What a table says of pixels of shape (m, channels)."""
    from fmnist_dask.kernels.compiled_colours import look_up

    out: AnyArray = np.empty(len(pixels), dtype=table.dtype)
    look_up(pixels, BITS - bits, table, out)
    return out
