"""Lengths of chunks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_dask.collection.layout import CHUNK_BYTES, MOST_CHUNK_ROWS, image_dimensions, rows_per_chunk
from fmnist_dask.errors import UsageError


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((28, 28), 21504), ((1, 1), 2**17), ((32, 32, 3), 5376), ((256, 256), 256), ((4000, 3000, 3), 256)],
)
def test_rows_of_a_chunk(shape, rows):
    assert rows_per_chunk(shape) == rows


@given(st.lists(st.integers(1, 300), min_size=2, max_size=3), st.integers(2**20, 2**26))
def test_chunks_are_panels_of_about_the_size_asked_for(shape, chunk_bytes):
    rows = rows_per_chunk(tuple(shape), chunk_bytes)
    assert rows % 256 == 0
    assert rows >= 256
    assert rows <= MOST_CHUNK_ROWS
    if 256 < rows < MOST_CHUNK_ROWS:
        assert abs(rows * math.prod(shape) - chunk_bytes) <= 128 * math.prod(shape)


def test_chunks_hold_16_mib_by_default():
    assert CHUNK_BYTES == 16 * 2**20


@pytest.mark.parametrize("shape", [(0, 28), (28, 0, 3)])
def test_images_without_pixels_are_refused(shape):
    with pytest.raises(UsageError, match="no pixels"):
        rows_per_chunk(shape)


@pytest.mark.parametrize(
    ("shape", "dims"), [((2, 3), ("sample", "y", "x")), ((2, 3, 3), ("sample", "y", "x", "channel"))]
)
def test_dimensions(shape, dims):
    assert image_dimensions(shape) == dims
