"""The drawn landscape: the same bytes in any cut, colours enough, numbers of the counter-based generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_dask.kernels.compiled_landscape import _bits
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.kernels.landscape import draw

#: Drawing is compiled first.
pytestmark = pytest.mark.slow

SIZE = (211, 320)


@pytest.fixture(scope="module")
def whole():
    return draw(0, SIZE, (0, SIZE[0]), (0, SIZE[1]))


@given(st.data())
def test_any_part_has_the_bytes_of_the_whole(whole, data):
    top = data.draw(st.integers(0, SIZE[0] - 1))
    bottom = data.draw(st.integers(top + 1, SIZE[0]))
    left = data.draw(st.integers(0, SIZE[1] - 1))
    right = data.draw(st.integers(left + 1, SIZE[1]))
    np.testing.assert_array_equal(draw(0, SIZE, (top, bottom), (left, right)), whole[top:bottom, left:right])


def test_parts_of_a_large_one_agree():
    size = (150_001, 200_000)
    columns = (123_456, 123_556)
    for top in (3, 60_000, 90_000, 149_900):
        band = draw(5, size, (top, top + 40), columns)
        np.testing.assert_array_equal(draw(5, size, (top + 17, top + 19), (123_500, 123_520)), band[17:19, 44:64])


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 900), (900, 7), (64, 64)])
def test_any_size_can_be_drawn(size):
    pixels = draw(0, size, (0, size[0]), (0, size[1]))
    assert pixels.shape == (*size, 3)
    np.testing.assert_array_equal(draw(0, size, (0, 1), (0, size[1])), pixels[:1])


def test_it_has_what_landscapes_have(whole):
    codes = whole.reshape(-1, 3).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    assert len(np.unique(codes)) > 20_000
    sky, lake, meadow = whole[:40].mean((0, 1)), whole[125:140].mean((0, 1)), whole[190:].mean((0, 1))
    assert sky[2] > sky[0]
    assert lake[2] > lake[0]
    assert meadow[1] > max(meadow[0], meadow[2])
    below = whole[170:].astype(int)
    vivid = (below[:, :, 0] > 180) & (below[:, :, 1] < 80)
    assert vivid.any()


def test_another_seed_is_another_place(whole):
    assert (draw(1, SIZE, (0, SIZE[0]), (0, SIZE[1])) != whole).mean() > 0.8


def test_random_numbers_are_those_of_the_generator():
    key = random_bits(9, 0, 4)
    for row, column in ((0, 0), (3, 5), (70_000, 199_999)):
        mixed = _bits(np.uint64(key), row, column)
        # The word of a stream whose start is the key, at the position that row and column make.
        state = (int(key) + ((row << 32) ^ column) * 0x9E3779B97F4A7C15) % 2**64
        state ^= state >> 30
        state = state * 0xBF58476D1CE4E5B9 % 2**64
        state ^= state >> 27
        state = state * 0x94D049BB133111EB % 2**64
        assert int(mixed) == state ^ (state >> 31)
