"""Codes of partly observed rows, against each row's own system of equations; masks; sums that are exact."""

from __future__ import annotations

import numpy as np
import pytest

from fmnist_dask.kernels.low_rank import LowRankGaussian, fill, neighbour_mean, rounded, rounder
from fmnist_dask.kernels.masking import hidden_pixels


def gaussian(d: int = 40, k: int = 6, noise: float = 0.5, seed: int = 0) -> LowRankGaussian:
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.standard_normal((d, k)))[0].T
    factors = directions * np.linspace(9, 1, k)[:, None]
    centre, scale = rng.uniform(50, 200, d), rng.uniform(0.5, 2, d)
    return LowRankGaussian(*(a.astype(np.float32) for a in (centre, 1 / scale, factors)), noise)


def rows_of(model: LowRankGaussian, m: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    k, d = model.factors.shape
    values = rng.standard_normal((m, k)) @ model.factors + np.sqrt(model.noise) * rng.standard_normal((m, d))
    return (values / model.inverse_scale + model.centre).astype(np.float32)


def left_over(model: LowRankGaussian, row: np.ndarray, there: np.ndarray, codes: np.ndarray) -> float:
    """What codes leave of the equations of one row's posterior mean, against their right side; in float64."""
    factors = model.factors[:, there].astype(np.float64)
    right = factors @ ((row - model.centre) * model.inverse_scale).astype(np.float64)[there]
    left = (factors @ factors.T + model.noise * np.eye(len(factors))) @ codes
    return float(np.linalg.norm(left - right) / np.linalg.norm(right))


@pytest.mark.parametrize("noise", [0.5, 1e-3, 0.0])
@pytest.mark.parametrize("share", [0.95, 0.6, 0.3])
def test_codes_solve_each_rows_equations(noise, share):
    model = gaussian(noise=noise)
    rows, there = rows_of(model, 60), np.random.default_rng(2).random((60, 40)) < share
    codes = model.codes(model.centred(rows, there), there.astype(np.float32))
    assert max(map(left_over, [model] * 60, rows, there, codes)) < 1e-4
    whole = model.codes(model.centred(rows, None), None)
    assert max(map(left_over, [model] * 60, rows, np.ones_like(there), whole)) < 1e-5


def test_rows_of_which_nothing_or_little_is_known_are_filled_with_what_is_expected():
    model = gaussian()
    rows, there = rows_of(model, 4).clip(0, 255).astype(np.uint8), np.zeros((4, 40), bool)
    there[1, 7] = there[2, ::13] = there[3] = True
    filled = fill(model, rows, there, np.full(40, 2, np.float32))
    for found in (filled.values, filled.codes, filled.contrast, filled.ratios):
        assert np.isfinite(found).all()
    np.testing.assert_allclose(filled.values[0], model.centre, rtol=1e-6)
    assert filled.contrast[0] == pytest.approx(1.0)
    assert not filled.ratios[~there].any()
    assert filled.values.min() >= 0
    assert filled.values.max() <= 255


def test_what_a_value_says_of_itself_is_found_by_leaving_it_out():
    """A residual divided by 1 − leverage is that of the value when it is missing."""
    model = gaussian(d=300, k=4)
    rows = rows_of(model, 3)
    filled = fill(model, rows, np.ones((3, 300), bool), np.ones(300, np.float32))
    for row in range(3):
        for left_out in (0, 17, 299):
            there = np.ones((3, 300), bool)
            there[row, left_out] = False
            without = fill(model, rows, there, np.ones(300, np.float32)).values[row, left_out]
            expected = (rows[row, left_out] - without) / filled.contrast[row]
            assert filled.ratios[row, left_out] == pytest.approx(expected, abs=0.02)


def test_sums_of_rounded_numbers_do_not_depend_on_their_order():
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32) * 1000
    by = rounder(1e8)
    multiples = rounded(values, by)
    assert abs(multiples - values).max() < 1e-7
    rng = np.random.default_rng(1)
    sums = {float(np.add.reduce(rng.permutation(multiples))) for _ in range(20)}
    halves = {float(rounded(values[:at], by).sum() + rounded(values[at:], by).sum()) for at in (1, 99, 2500)}
    assert len(sums | halves) == 1
    assert len({float(np.add.reduce(rng.permutation(values).astype(np.float64) / 3)) for _ in range(20)}) > 1


def test_neighbours_are_those_that_are_there():
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    there = np.ones((1, 3, 3), bool)
    there[0, 0, 1] = there[0, 1, 0] = False
    found = neighbour_mean(np.where(there[..., None], image, 0), there, np.full((3, 3, 1), 77, np.float32))
    assert found[0, 0, 0, 0] == 77  # both neighbours are missing
    assert found[0, 1, 1, 0] == pytest.approx((5 + 7) / 2)
    assert found[0, 2, 2, 0] == pytest.approx((5 + 7) / 2)


@pytest.mark.parametrize("fraction", [0.2, 0.9, 0.001])
def test_masks_depend_on_seed_row_and_pixel_alone(fraction):
    whole = hidden_pixels(3, np.arange(3000), 101, fraction)
    assert whole.shape == (3000, 101)
    np.testing.assert_array_equal(hidden_pixels(3, np.arange(1000, 1300), 101, fraction), whole[1000:1300])
    assert whole.mean() == pytest.approx(fraction, abs=4 * np.sqrt(fraction / whole.size))
    deviation = np.sqrt(fraction * (1 - fraction) / 3000)
    assert abs(whole.mean(axis=0) - fraction).max() < 5 * deviation
    together = whole[:, :50].T.astype(float) @ whole[:, :50] / 3000
    np.fill_diagonal(together, fraction**2)
    assert abs(together - fraction**2).max() < 6 * fraction / np.sqrt(3000) + 3 / 3000
    assert (hidden_pixels(4, np.arange(3000), 101, fraction) != whole).any()
