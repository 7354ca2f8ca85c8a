"""Histograms, and the statistics that follow from them, against NumPy on the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmnist_dask.kernels.compiled import count_levels
from fmnist_dask.kernels.histogram import extremes, moments, order_statistics, quantiles

values_of_pixels = arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 4)))
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def histograms(values):
    """Counts of each column of ``values``."""
    return np.stack([np.bincount(column, minlength=256) for column in values.T])


@given(values_of_pixels, st.lists(st.integers(0, 10**6), max_size=15), st.booleans())
def test_counts_equal_bincount(values, rows, alike):
    """For any number of rows, also none and those that are no multiple of four; pixels alike take a shorter way."""
    values = values // 128 if alike else values
    rows = np.array(rows, dtype=np.int64) % len(values)
    counts = np.zeros((values.shape[1], 256), dtype=np.uint32)
    count_levels(values, rows, counts)
    assert (counts == histograms(values[rows])).all()


def test_counts_add_up():
    values = np.array([[7], [7], [7], [7], [9]], dtype=np.uint8)
    counts = np.full((1, 256), 3, dtype=np.uint32)
    for _ in range(2):
        count_levels(values, np.arange(5), counts)
    assert (counts[0, 7], counts[0, 9], counts[0, 8]) == (11, 5, 3)


@settings(max_examples=150)
@given(values_of_pixels, probabilities)
def test_quantiles_are_numpys_to_the_last_bit(values, probabilities):
    found = quantiles(histograms(values), np.array(probabilities))
    np.testing.assert_array_equal(found, np.quantile(values, probabilities, axis=0))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 999, 1000])
def test_common_quantiles_are_numpys_to_the_last_bit(n):
    values = np.random.default_rng(n).integers(0, 256, (n, 20), dtype=np.uint8)
    wanted = np.array([0, 0.01, 0.05, 0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 0.9, 0.95, 0.99, 1])
    np.testing.assert_array_equal(quantiles(histograms(values), wanted), np.quantile(values, wanted, axis=0))


def test_quantiles_keep_the_shape_of_the_histograms():
    counts = histograms(np.arange(24, dtype=np.uint8).reshape(2, 12)).reshape(3, 4, 256)
    assert quantiles(counts, np.array([0.5, 1.0])).shape == (2, 3, 4)
    assert quantiles(counts[0, 0], np.array([0.5])).tolist() == [6.0]


@given(values_of_pixels)
def test_order_statistics_are_the_sorted_values(values):
    ranks = np.arange(len(values))
    assert (order_statistics(histograms(values), ranks) == np.sort(values, axis=0)).all()


@given(values_of_pixels)
def test_means_are_exact_and_deviations_are_numpys(values):
    mean, std = moments(histograms(values))
    np.testing.assert_array_equal(mean, values.sum(axis=0, dtype=np.int64) / len(values))
    np.testing.assert_allclose(std, values.astype(np.longdouble).std(axis=0).astype(float), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("count", [1, 3, 10**9, 10**12])
def test_constant_pixels_do_not_deviate(level, count):
    counts = np.zeros((1, 256), dtype=np.int64)
    counts[0, level] = count
    mean, std = moments(counts)
    assert (mean.item(), std.item()) == (level, 0.0)


def test_a_single_deviating_pixel_in_a_billion_is_seen():
    counts = np.zeros((1, 256), dtype=np.uint64)
    counts[0, 254], counts[0, 255] = 10**9 - 1, 1
    mean, std = moments(counts)
    assert mean.item() == (254 * (10**9 - 1) + 255) / 10**9
    assert std.item() == pytest.approx(np.sqrt(1e-9 * (1 - 1e-9)), rel=1e-9)


@given(values_of_pixels)
def test_extremes_are_the_smallest_and_the_largest(values):
    lowest, highest = extremes(histograms(values))
    assert (lowest == values.min(axis=0)).all()
    assert (highest == values.max(axis=0)).all()
    assert lowest.dtype == highest.dtype == np.uint8


@pytest.mark.parametrize("shape", [(256,), (3, 256), (2, 3, 256)])
def test_nothing_counted_is_no_number(shape):
    counts = np.zeros(shape, dtype=np.uint32)
    mean, std = moments(counts)
    assert np.isnan(mean).all()
    assert np.isnan(std).all()
    assert mean.shape == std.shape == shape[:-1]
    found = quantiles(counts, np.array([0.1, 0.5]))
    assert found.shape == (2, *shape[:-1])
    assert np.isnan(found).all()
    assert extremes(counts)[1].max() == 0


def test_one_empty_histogram_among_others():
    counts = np.zeros((2, 256), dtype=np.uint32)
    counts[1, 5] = 4
    mean, std = moments(counts)
    assert np.isnan(mean[0])
    assert np.isnan(std[0])
    assert (mean[1], std[1]) == (5.0, 0.0)
