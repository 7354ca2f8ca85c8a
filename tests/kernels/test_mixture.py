"""Mixtures of Gaussians of rows that lack values: conditionals in closed form, row by row in float64."""

from __future__ import annotations

import numpy as np
import pytest

from fmnist_dask.kernels.low_rank import LowRankGaussian
from fmnist_dask.kernels.mixture import FREEDOM, GaussianMixture, both_triangles, check_values, solve_missing

D, N = 40, 60


def covariances(g: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((g, 5, D))
    return np.einsum("gki,gkj->gij", factors, factors) + 0.3 * np.eye(D)


def rows(seed: int = 1):
    rng = np.random.default_rng(seed)
    missing = rng.random((N, D)) < 0.3
    missing[0], missing[1] = False, True
    return rng.standard_normal((N, D)).astype(np.float32) * 2, missing


def test_what_rows_lack_is_solved_for_each():
    covariance = covariances()[0]
    precision, (x, missing) = np.linalg.inv(covariance), rows()
    off = np.where(missing, 0, x).astype(np.float32)
    checked, total = check_values(~missing), np.zeros((D, D), np.float32)
    weight = (np.arange(N) % 3).astype(np.float32)
    solved = solve_missing(precision.astype(np.float32), off, missing, checked, True, total, weight)
    expected_total = np.zeros((D, D))
    for row, gone in enumerate(missing):
        there = ~gone
        known = np.linalg.inv(covariance[np.ix_(there, there)]) if there.any() else np.zeros((0, 0))
        wanted = covariance[np.ix_(gone, there)] @ known @ x[row, there]
        np.testing.assert_allclose(solved.found[row, gone], wanted, atol=2e-3)
        assert (solved.found[row, there] == 0).all()
        spread = (
            covariance[np.ix_(gone, gone)] - covariance[np.ix_(gone, there)] @ known @ covariance[np.ix_(there, gone)]
        )
        np.testing.assert_allclose(solved.variance[row, gone], np.diag(spread), rtol=2e-3)
        assert solved.log_determinant[row] == pytest.approx(-np.linalg.slogdet(spread)[1], abs=1e-2)
        expected_total[np.ix_(gone, gone)] += weight[row] * spread
        for place, at in enumerate(checked[row]):
            if at >= 0:
                position = np.flatnonzero(np.flatnonzero(there) == at)[0]
                assert solved.lone[row, place] == pytest.approx(known[position, position], rel=5e-3)
                residual = solved.gradient[row, at] / solved.lone[row, place]
                others = np.delete(np.flatnonzero(there), position)
                if len(others):
                    alone = covariance[at, others] @ np.linalg.solve(covariance[np.ix_(others, others)], x[row, others])
                    assert residual == pytest.approx(x[row, at] - alone, abs=2e-2)
    np.testing.assert_allclose(both_triangles(total), expected_total, rtol=2e-3, atol=2e-2)


def mixture(g: int = 3) -> GaussianMixture:
    rng = np.random.default_rng(5)
    guide = LowRankGaussian(np.zeros(D), np.ones(D, np.float32), np.zeros((2, D), np.float32), 1.0)
    precision = np.stack([np.linalg.inv(matrix) for matrix in covariances(g)]).astype(np.float32)
    centre = 4 * rng.standard_normal((g, D)).astype(np.float32)
    return GaussianMixture(centre, precision, np.log(np.arange(1, g + 1) / np.arange(1, g + 1).sum()), guide)


def test_rows_are_weighted_by_how_likely_what_they_have_is():
    made, (x, missing) = mixture(), rows()
    found = made.expected(x, ~missing, judge=True)
    np.testing.assert_allclose(found.weight.sum(axis=1), 1, rtol=1e-5)
    for row in range(2, 12):
        there = ~missing[row]
        likely = {}
        for component in range(3):
            spread = covariances()[component][np.ix_(there, there)]
            off = x[row, there] - made.centre[component, there]
            square = off @ np.linalg.solve(spread, off)
            likely[component] = (
                made.log_weight[component]
                - 0.5 * np.linalg.slogdet(spread)[1]
                - 0.5 * (FREEDOM + there.sum()) * np.log1p(square / FREEDOM)
            )
            place = list(found.chosen[row]).index(component)
            assert found.scale[row, place] == pytest.approx((FREEDOM + square) / (FREEDOM + there.sum()), rel=1e-2)
        values = np.array([likely[component] for component in found.chosen[row]])
        weights = np.exp((values - values.max()) / max(0.1 * there.sum(), 1))
        np.testing.assert_allclose(found.weight[row], weights / weights.sum(), atol=5e-3)
    mean = found.mean()
    np.testing.assert_allclose(mean[~missing], x[~missing], atol=1e-4)
    deviation = found.deviation(mean)
    assert (deviation[missing] > 0).all()
    assert np.abs(deviation[~missing]).max() < 1e-2


def test_a_row_of_which_nothing_is_known_is_the_mean_of_all():
    made, (x, missing) = mixture(), rows()
    found = made.expected(x, ~missing)
    wanted = np.exp(made.log_weight) @ made.centre
    np.testing.assert_allclose(found.mean()[1], wanted, atol=1e-3)
