"""Exact products of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fmnist_dask.kernels.gram import OFFSET, add_gram, scatter_of


def gram_of(pixels, cut=None):
    d = pixels.shape[1]
    gram, sums = np.zeros((d, d)), np.zeros(d, dtype=np.int64)
    for part in np.split(pixels, [cut]) if cut else [pixels]:
        add_gram(part, gram, sums)
    return gram, sums


@pytest.mark.parametrize("level", [0, 255])
def test_extreme_panels_do_not_round(level):
    pixels = np.full((2500, 3), level, dtype=np.uint8)
    gram, sums = gram_of(pixels)
    assert (gram == 2500 * (level - OFFSET) ** 2).all()
    assert (sums == 2500 * (level - OFFSET)).all()


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3000), st.integers(1, 6))), st.integers(0, 3000))
def test_equal_to_integer_products_however_cut(pixels, cut):
    moved = pixels.astype(np.int64) - OFFSET
    gram, sums = gram_of(pixels, cut)
    np.testing.assert_array_equal(gram, moved.T @ moved)
    np.testing.assert_array_equal(sums, moved.sum(axis=0))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 400), st.integers(1, 6))))
def test_scatter_is_that_about_the_mean(pixels):
    mean, scatter = scatter_of(*gram_of(pixels), len(pixels))
    # In Python's rationals scaled by n: n Σ(x−m)(x−m)ᵀ is an integer.
    exact = len(pixels) * (pixels.astype(object).T @ pixels.astype(object))
    exact = exact - np.multiply.outer(pixels.astype(object).sum(axis=0), pixels.astype(object).sum(axis=0))
    np.testing.assert_allclose(mean, pixels.mean(axis=0), rtol=1e-14, atol=1e-13)
    np.testing.assert_allclose(scatter, exact.astype(float) / len(pixels), rtol=1e-13, atol=1e-9)


def test_a_constant_pixel_has_no_scatter_at_all():
    pixels = np.random.default_rng(0).integers(0, 256, (999, 4), dtype=np.uint8)
    pixels[:, 2] = 7
    _, scatter = scatter_of(*gram_of(pixels), 999)
    assert (scatter[2] == 0).all()
    assert (scatter[:, 2] == 0).all()
    assert (np.diag(scatter)[[0, 1, 3]] > 0).all()
