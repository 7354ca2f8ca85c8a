"""Counted colours: the same in any parts, binned where there are too many."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.kernels.colours import count_colours, looked_up, merged, no_colours, table_of


def pixels_of(n=20_000, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    # Some colours often, most of them once.
    few = rng.integers(0, 256, (50, channels))
    values = np.where(rng.random((n, 1)) < 0.5, few[rng.integers(0, 50, n)], rng.integers(0, 256, (n, channels)))
    return values.astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_counts_are_those_of_numpy(channels):
    pixels = pixels_of(channels=channels)
    found = count_colours(pixels, 1 << 20)
    values, count = np.unique(pixels, axis=0, return_counts=True)
    assert found.bits == 8
    assert found.n_pixels == len(pixels)
    np.testing.assert_array_equal(found.points, values)
    np.testing.assert_array_equal(found.weight, count)


@pytest.mark.parametrize("limit", [1 << 20, 9000, 3000, 100, 8])
def test_parts_add_up_to_the_whole_in_any_order(limit):
    pixels = pixels_of()
    whole = count_colours(pixels, limit)
    assert len(whole) <= limit
    rng = np.random.default_rng(1)
    for parts in (2, 7, 40):
        states = [count_colours(part, limit) for part in np.array_split(pixels, parts)]
        states.append(no_colours(3))
        for order in (range(parts + 1), rng.permutation(parts + 1)):
            found = functools.reduce(lambda a, b: merged(a, b, limit), [states[at] for at in order])
            assert found.bits == whole.bits
            np.testing.assert_array_equal(found.code, whole.code)
            np.testing.assert_array_equal(found.count, whole.count)


def test_bins_are_the_finest_that_fit():
    pixels = pixels_of()
    found = count_colours(pixels, 3000)
    finer = {tuple(row) for row in pixels >> (8 - found.bits - 1)}
    bins, place = np.unique(pixels >> (8 - found.bits), axis=0, return_inverse=True)
    assert len(finer) > 3000 >= len(bins)
    means = np.stack([np.bincount(place, channel) / np.bincount(place) for channel in pixels.T], axis=1)
    np.testing.assert_allclose(found.points, means)
    assert found.n_pixels == len(pixels)


@pytest.mark.parametrize("limit", [1 << 20, 500])
def test_a_table_says_the_place_of_each_pixel(limit):
    pixels = pixels_of()
    colours = count_colours(pixels, limit)
    places = looked_up(pixels, colours.bits, table_of(colours, np.arange(len(colours), dtype=np.uint32)))
    shift = 8 - colours.bits
    np.testing.assert_array_equal(np.rint(colours.points[places]).astype(np.uint8) >> shift, pixels >> shift)


def test_other_channels_are_refused():
    with pytest.raises(FmnistDaskError, match="2 channels"):
        count_colours(np.zeros((3, 2), np.uint8), 10)
