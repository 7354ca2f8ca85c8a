"""Counting pixels' values within intervals, and the order statistics that follow, against NumPy on the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmnist_dask.kernels.compiled_pixels import TILE, count_intervals, count_summary, least_above
from fmnist_dask.kernels.selection import Sought

values_of_pixels = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 5)))


def pictures(n, pixels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, pixels), dtype=np.uint8)


@pytest.mark.parametrize(("n", "first", "size"), [(7, 3, 9), (600, 0, 2), (2, 5, 2 * TILE + 3)])
def test_a_range_of_pixels_is_summed_and_counted(n, first, size):
    pixels = pictures(n, first + size + 4)
    rows = np.arange(0, n, 2)
    chosen = pixels[rows][:, first : first + size]
    sums, squares = np.ones(size, np.uint32), np.zeros(size, np.uint64)
    low, high, tables = np.full(size, 255, np.uint8), np.zeros(size, np.uint8), np.zeros((4, 256), np.int64)
    count_summary(pixels, rows, first, sums, squares, low, high, tables)
    assert (sums == 1 + chosen.sum(axis=0)).all()
    assert (squares == (chosen.astype(np.int64) ** 2).sum(axis=0)).all()
    assert (low == chosen.min(axis=0)).all()
    assert (high == chosen.max(axis=0)).all()
    assert (tables.sum(axis=0) == np.bincount(chosen.ravel(), minlength=256)).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize(("width", "bits"), [(8, 3), (6, 2), (2, 2), (1, 1)])
@pytest.mark.parametrize(("n", "size"), [(1, 4), (511, 3), (3, TILE + 1)])
def test_intervals_are_counted(dtype, width, bits, n, size):
    pixels, rows = pictures(n, size + 2), np.arange(n)
    chosen = pixels[:, 2:]
    starts = (pictures(3, size, 1) >> width << width) if width < 8 else np.zeros((3, size), np.uint8)
    bins = np.ones((3, 2**bits - 1, size), dtype)
    count_intervals(pixels, rows, 2, width - bits, starts >> (width - bits), bins)
    for slot, start in enumerate(starts.astype(int)):
        for part in range(2**bits - 1):
            low = start + part * 2 ** (width - bits)
            expected = ((chosen >= low) & (chosen < low + 2 ** (width - bits))).sum(axis=0)
            assert (bins[slot, part] == 1 + expected).all()


def test_the_least_value_above_an_interval():
    pixels = np.array([[9, 3, 7], [9, 8, 200], [9, 12, 7]], np.uint8)
    ends, above = np.array([[7, 7, 7], [9, 12, 255]], np.uint8), np.full((2, 3), 255, np.uint8)
    least_above(pixels, np.arange(3), 0, ends, above)
    assert above.tolist() == [[9, 8, 200], [255, 255, 255]]


@given(values_of_pixels, st.lists(st.integers(0, 10**6), min_size=1, max_size=6), st.permutations([1, 2, 2, 3]))
def test_narrowing_ends_at_the_order_statistics(values, ranks, cut):
    n, pixels = values.shape
    ranks = np.sort(np.array(ranks) % n)
    sought, width = Sought.of(ranks, n, pixels), 8
    for bits in cut:
        starts, which = sought.intervals(min(len(ranks), 2 ** (8 - width)))
        bins = np.zeros((len(starts), 2**bits - 1, pixels), np.uint16)
        count_intervals(values, np.arange(n), 0, width - bits, starts >> (width - bits), bins)
        width -= bits
        if width:
            sought.narrow(bins, which, width)
    above = np.full(starts.shape, 255, np.uint8)
    least_above(values, np.arange(n), 0, starts + np.uint8(2 ** cut[-1] - 1), above)
    found, following = sought.finish(bins, which, above)
    ordered = np.sort(values, axis=0)
    assert (found == ordered[ranks]).all()
    inner = ranks < n - 1
    assert (following[inner] == ordered[ranks[inner] + 1]).all()
