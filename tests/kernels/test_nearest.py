"""Nearest centres, to the last bit of float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fmnist_dask.kernels.nearest import (
    PANEL_ROWS,
    PANEL_VALUES,
    CentreSets,
    column_moments,
    nearest,
    panel_rows,
    pixel_sums,
    squared_distances,
)


@pytest.fixture(params=["float32", "float64"])
def products(request, monkeypatch):
    """Type of the matrix products: float64 is for very many features."""
    if request.param == "float64":
        monkeypatch.setattr("fmnist_dask.kernels.nearest.WIDE_FEATURES", 0)


def by_hand(features, centres):
    """Positions by differences in float64, feature after feature."""
    distances = np.zeros((len(features), len(centres)))
    for at in range(features.shape[1]):
        distances += (features[:, at, None].astype(np.float64) - centres[None, :, at]) ** 2
    return distances.argmin(axis=1), distances


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("k", [1, 2, 13])
@pytest.mark.usefixtures("products")
def test_equal_to_float64_differences(dtype, k):
    rng = np.random.default_rng(k)
    features = rng.integers(0, 256, (700, 90)).astype(dtype)
    sets = [rng.random((k, 90)) * 255, features[rng.choice(700, k)].astype(np.float64)]
    found = nearest(features, CentreSets.of(sets))
    assert found.shape == (700, 2)
    for position, centres in enumerate(sets):
        labels, distances = by_hand(features, centres)
        np.testing.assert_array_equal(found[:, position], labels)
        own = squared_distances(features, CentreSets.of([centres]), labels)
        np.testing.assert_allclose(own, distances.min(axis=1), rtol=1e-12, atol=1e-9)


@pytest.mark.usefixtures("products")
def test_ties_go_to_the_first_centre():
    features = np.array([[0, 4], [2, 2], [4, 0]], dtype=np.uint8)
    centres = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    np.testing.assert_array_equal(nearest(features, CentreSets.of([centres]))[:, 0], [1, 0, 0])


@pytest.mark.usefixtures("products")
def test_differences_that_float32_cannot_see_decide():
    """Centres 2⁻³⁰ apart: products in float32 are the same, the choice is not."""
    features = np.full((300, 50), 200, dtype=np.uint8)
    centres = np.full((3, 50), 199.0)
    centres[1] += 2.0**-30
    centres[2] -= 2.0**-30
    assert (nearest(features, CentreSets.of([centres])) == 1).all()


@given(
    features=hnp.arrays(np.uint8, st.tuples(st.integers(1, 600), st.just(5))),
    cut=st.integers(0, 600),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_blocks_do_not_matter(features, cut, seed):
    sets = CentreSets.of([np.random.default_rng(seed).random((4, 5)) * 255])
    whole = nearest(features, sets)
    parts = [nearest(part, sets) for part in np.split(features, [min(cut, len(features))]) if len(part)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    sums = pixel_sums(features, whole.astype(np.int64), 4)
    expected = np.stack([features[whole[:, 0] == k].astype(np.int64).sum(axis=0) for k in range(4)])
    np.testing.assert_array_equal(sums, expected)


def test_a_shift_changes_nothing():
    rng = np.random.default_rng(5)
    features = (rng.standard_normal((500, 7)) + 1e4).astype(np.float32)
    centres = features[:6].astype(np.float64) + 0.25
    plain = nearest(features, CentreSets.of([centres]))
    shifted = nearest(features, CentreSets.of([centres], np.full(7, 1e4)))
    np.testing.assert_array_equal(plain, by_hand(features, centres)[0][:, None])
    np.testing.assert_array_equal(shifted, plain)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_shift_that_the_features_cannot_hold(dtype):
    """The shift is 2⁻²⁷ of itself off in float32, which is more than what tells the centres apart."""
    rng = np.random.default_rng(6)
    base = np.array([60.3, 200.7, 100.1, 55.55])
    features = (base + rng.normal(0, 1e-5 if dtype == np.float32 else 20, (5000, 4))).astype(dtype)
    centres = features[:6].astype(np.float64) + rng.normal(0, 1e-6, (6, 4))
    found = nearest(features, CentreSets.of([centres], base + 1e-6 / 3))
    np.testing.assert_array_equal(found, by_hand(features, centres)[0][:, None])


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-20, 1e10, 1e19, 1e25, 1e60, 1e140])
def test_values_that_float32_cannot_hold(scale):
    features = np.random.default_rng(7).normal(0, 1, (1000, 5))
    expected = by_hand(features, features[:7])[0]
    found = nearest(features * scale, CentreSets.of([features[:7] * scale]))
    np.testing.assert_array_equal(found[:, 0], expected)
    mixed = features * np.where(np.arange(1000) % 2, 1.0, scale)[:, None]
    both = nearest(mixed, CentreSets.of([features[:7]]))
    np.testing.assert_array_equal(both[1::2, 0], expected[1::2])


def test_moments_of_more_rows_than_32_bits_hold():
    pixels = np.full((2**16 + 5, 2), 255, dtype=np.uint8)
    sums, squares = column_moments(pixels)
    np.testing.assert_array_equal(sums, [255 * (2**16 + 5)] * 2)
    np.testing.assert_array_equal(squares, [255**2 * (2**16 + 5)] * 2)


def test_rows_of_large_images_leave_no_doubts(monkeypatch):
    """By float32, most rows would have to be measured again, hundreds of times as slowly."""
    rng = np.random.default_rng(0)
    features = rng.integers(100, 150, (40, 20_000), dtype=np.uint8)
    centres = features[:3] * 0.1 + 112.0
    settled = []
    monkeypatch.setattr("fmnist_dask.kernels.compiled.settle_doubts", lambda *given: settled.append(given))
    found = nearest(features, CentreSets.of([centres]))[:, 0]
    assert settled == []
    np.testing.assert_array_equal(found, by_hand(features, centres)[0])


def test_panels_of_long_rows_are_short():
    for d in (1, 784, 12_288, 150_528, 10**8):
        assert 1 <= panel_rows(d) <= PANEL_ROWS
        assert panel_rows(d) * d <= max(PANEL_VALUES, d)
    assert panel_rows(784) == PANEL_ROWS
