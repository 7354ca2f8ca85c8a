"""Larger steps for EM."""

from __future__ import annotations

import numpy as np
import pytest

from fmnist_dask.models.extrapolation import extrapolations


def mixture(means, weights=(0.5, 0.5), kind="full"):
    k, d = means.shape
    covariances = np.broadcast_to(np.eye(d), (k, d, d)) if kind == "full" else np.ones((k, d))
    return np.array(weights, dtype=float), means, covariances.copy()


@pytest.mark.parametrize("kind", ["full", "diag"])
@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
def test_what_converges_at_one_rate_is_there_at_once(kind, rate):
    end, way = np.array([[0.0, 1.0], [5.0, -2.0]]), np.array([[1.0, 2.0], [-0.5, 0.3]])
    states = [mixture(end + rate**step * way, kind=kind) for step in range(3)]
    first = extrapolations(*states)[0]
    np.testing.assert_allclose(first[1], end, atol=1e-9)
    np.testing.assert_allclose(first[0], [0.5, 0.5])
    np.testing.assert_allclose(first[2], states[0][2])


def test_what_is_no_mixture_is_left_out():
    means = np.zeros((2, 2))
    # Weights go down steadily: far ahead, one is negative.
    states = [mixture(means, (share, 1 - share)) for share in (0.30, 0.20, 0.101)]
    found = extrapolations(*states)
    assert all((weights > 0).all() for weights, _, _ in found)
    assert all(weights.sum() == pytest.approx(1) for weights, _, _ in found)
    shrinking = [(np.full(2, 0.5), means, np.stack([np.eye(2) * size] * 2)) for size in (1.0, 0.8, 0.605)]
    assert all(np.linalg.eigvalsh(covariances).min() > 0 for _, _, covariances in extrapolations(*shrinking))


def test_nothing_is_ahead_where_nothing_moves_or_steps_turn():
    still = mixture(np.zeros((2, 2)))
    assert extrapolations(still, still, still) == []
    back = mixture(np.full((2, 2), 0.1))
    assert extrapolations(still, back, still) == []
