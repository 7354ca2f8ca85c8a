"""Bounds in a plane: the nearest of many centres is never left out."""

import numpy as np
import pytest

from fmnist_dask.kernels.nearest import CentreSets, nearest
from fmnist_dask.kernels.plane import FEWEST_CENTRES, FEWEST_FEATURES, plane_bytes, plane_of

D = FEWEST_FEATURES + 8


def by_hand(features, centres):
    """Positions by differences in float64, feature after feature."""
    distances = np.zeros((len(features), len(centres)))
    for at in range(features.shape[1]):
        distances += (features[:, at, None].astype(np.float64) - centres[None, :, at]) ** 2
    return distances.argmin(axis=1)


def low_rank(n, rng, rank=6, noise=4.0):
    """Rows of uint8 near a plane, as images are."""
    values = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, D)) * 25 + 128
    return np.clip(values + rng.normal(0, noise, values.shape), 0, 255).astype(np.uint8)


def test_rounding_and_remainders_are_bounded():
    """Products differ from those in the plane by no more than the plane says, in float64 and in float32."""
    rng = np.random.default_rng(0)
    features, centres = low_rank(500, rng).astype(np.float32), low_rank(100, rng).astype(np.float64)
    plane = plane_of(centres)
    projected = features @ plane.basis
    error = np.abs(projected @ plane.coordinates - features.astype(np.float64) @ centres.T)
    norm = np.linalg.norm(features.astype(np.float64), axis=1)
    inside = np.linalg.norm(projected.astype(np.float64), axis=1)
    left = np.sqrt(np.maximum(norm**2 - np.maximum(inside - plane.leakage * norm, 0) ** 2 * (1 - plane.skew), 0))
    bound = left[:, None] * plane.remainders + norm[:, None] * plane.rounding
    assert (error <= bound).all()
    assert bound.mean() < 0.1 * (norm.mean() * np.linalg.norm(centres, axis=1).mean())


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("sizes", [(64,), (200,), (70, 1, 33)])
def test_the_same_as_differences_in_float64(dtype, sizes):
    rng = np.random.default_rng(sum(sizes))
    features = low_rank(900, rng).astype(dtype)
    sets = CentreSets.of([features[rng.choice(900, k)] + rng.normal(0, 2, (k, D)) for k in sizes])
    assert sets.plane is not None
    found = nearest(features, sets)
    for position, (low, high) in enumerate(zip(sets.starts[:-1], sets.starts[1:], strict=True)):
        np.testing.assert_array_equal(found[:, position], by_hand(features, sets.centres[low:high]))


@pytest.mark.parametrize("move", [0.0, 117.3, 1e5])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_about_a_shift(move, dtype):
    rng = np.random.default_rng(1)
    features = low_rank(600, rng).astype(dtype)
    centres = features[:80] + rng.normal(0, 1, (80, D))
    sets = CentreSets.of([centres], np.full(D, move))
    assert sets.plane is not None
    np.testing.assert_array_equal(nearest(features, sets)[:, 0], by_hand(features, centres))


def test_ties_and_differences_that_float32_cannot_see():
    rng = np.random.default_rng(2)
    features = low_rank(500, rng)
    base = features[:40].astype(np.float64) + 0.5
    near = base + np.where(np.arange(40) % 2, 2.0**-30, -(2.0**-30))[:, None]
    centres = np.concatenate([base, near, base])
    sets = CentreSets.of([centres])
    found = nearest(features, sets)[:, 0]
    np.testing.assert_array_equal(found, by_hand(features, centres))
    assert (found < 80).all()
    assert (found >= 40).any()
    assert (found < 40).any()


def test_noise_gives_up_the_plane_and_changes_nothing():
    """Where no plane tells centres apart, all products are computed, from the second panel on."""
    rng = np.random.default_rng(3)
    features = rng.integers(0, 256, (1500, D)).astype(np.uint8)
    centres = features[:100].astype(np.float64)
    sets = CentreSets.of([centres])
    assert sets.plane is not None
    assert not sets.plane.worth(100)
    np.testing.assert_array_equal(nearest(features, sets)[:, 0], by_hand(features, centres))


@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1e-5, 1e5, 1e19, 1e30])
def test_rows_out_of_range_beside_others(scale):
    """Rows whose squares float32 cannot hold are compared with all centres; others are not disturbed."""
    rng = np.random.default_rng(4)
    features = low_rank(600, rng).astype(np.float64)
    features[::3] *= scale
    centres = low_rank(90, rng).astype(np.float64)
    sets = CentreSets.of([centres])
    assert sets.plane is not None
    np.testing.assert_array_equal(nearest(features, sets)[:, 0], by_hand(features, centres))


def test_degenerate_centres():
    """All alike, on one line, or zero: nothing to span a plane with."""
    rng = np.random.default_rng(5)
    features = low_rank(300, rng)
    line = np.outer(np.arange(70.0), np.ones(D))
    for centres in (np.full((70, D), 9.0), line, np.zeros((70, D)), np.eye(70, D) * 200):
        np.testing.assert_array_equal(nearest(features, CentreSets.of([centres]))[:, 0], by_hand(features, centres))


def test_few_centres_have_none():
    assert plane_of(np.ones((FEWEST_CENTRES - 1, D))) is None
    assert plane_of(np.ones((FEWEST_CENTRES, FEWEST_FEATURES - 1))) is None
    assert plane_bytes(FEWEST_CENTRES - 1, D, 256) == 0
    assert plane_of(np.full((FEWEST_CENTRES, D), 1e20)) is None
    assert plane_of(np.full((FEWEST_CENTRES, D), 1e-20)) is None
