"""Nearest neighbours of blocks: those of a brute search to the last bit, however the samples are cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_dask.kernels import neighbours as module
from fmnist_dask.kernels.neighbours import Best, Measure, Samples, look_between, look_within


def brute(features: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and distances, by differences in float64; of equal distances the lower row."""
    values, n = features.astype(np.float64), len(features)
    squares = np.zeros((n, n))
    for column in values.T:
        squares += np.square(column[:, None] - column)
    np.fill_diagonal(squares, np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(n), (n, n)), squares), axis=1)[:, :k]
    return order, np.sqrt(np.take_along_axis(squares, order, axis=1))


def measure_of(features: np.ndarray) -> Measure:
    values = features.astype(np.float64)
    return Measure.of_range(values.min(axis=0), values.max(axis=0))


def searched(features: np.ndarray, k: int, cuts: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Rows and distances, from blocks between the cuts: each with itself, then with the others."""
    n, measure = len(features), measure_of(features)
    samples, best = Samples(features, np.arange(n)), Best.none(n, k)
    edges = [0, *cuts, n]
    spans = list(itertools.pairwise(edges))
    for at, (start, stop) in enumerate(spans):
        look_within(samples.part(start, stop), best.part(start, stop), measure)
        for low, high in spans[:at]:
            parts = (samples.part(start, stop), samples.part(low, high))
            look_between(*parts, best.part(start, stop), best.part(low, high), measure)
    return best.rows, measure.distances(best.squares)


def drawn(kind: str, n: int = 700) -> np.ndarray:
    rng = np.random.default_rng(7)
    found = {
        "pixels": lambda: rng.integers(0, 256, (n, 40)).astype(np.uint8),
        "few values, many ties": lambda: rng.integers(0, 3, (n, 5)).astype(np.uint8),
        "plane": lambda: rng.normal(size=(n, 2)).astype(np.float32),
        "far from zero": lambda: (rng.normal(size=(n, 50)) + 5000).astype(np.float32),
        "float64": lambda: rng.normal(size=(n, 30)),
        "tiny": lambda: rng.normal(size=(n, 12)) * 1e-160,
        "large": lambda: rng.normal(size=(n, 12)) * 1e130,
        "most of them in one place": lambda: np.where(rng.random((n, 1)) < 0.02, 1.0, 1e-9) * rng.normal(size=(n, 20)),
        "wide": lambda: rng.normal(size=(60, 5000)).astype(np.float32),
    }[kind]()
    found[n // 2 : n // 2 + 20] = found[:20][: len(found[n // 2 : n // 2 + 20])]  # copies are neighbours, too
    return found


KINDS = (
    "pixels", "few values, many ties", "plane", "far from zero", "float64", "tiny", "large",
    "most of them in one place", "wide",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_a_brute_search(kind, monkeypatch):
    features = drawn(kind)
    exponent = np.frexp(np.abs(features.astype(np.float64)).max())[1]
    scaled = features * 2.0**-exponent if kind in ("tiny", "large") else features
    rows, distances = brute(scaled, 8)
    for sizes in ((512, 1024), (16, 48)):
        monkeypatch.setattr(module, "LEFT_ROWS", sizes[0])
        monkeypatch.setattr(module, "RIGHT_ROWS", sizes[1])
        for cuts in ((), (1, 30), (20, 40)):
            found, away = searched(features, 8, cuts)
            np.testing.assert_array_equal(found, rows)
            np.testing.assert_array_equal(away, distances * (2.0**exponent if scaled is not features else 1))


@given(n=st.integers(1, 60), d=st.integers(1, 12), k=st.integers(1, 9), levels=st.integers(1, 4), data=st.data())
def test_any_cut_gives_the_same(n, d, k, levels, data):
    features = np.random.default_rng(n * 100 + d).integers(0, levels, (n, d)).astype(np.uint8)
    cuts = tuple(sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=4)))) if n > 1 else ()
    rows, distances = searched(features, k, cuts)
    known = min(k, n - 1)
    expected = brute(features, known)
    np.testing.assert_array_equal(rows[:, :known], expected[0])
    np.testing.assert_array_equal(distances[:, :known], expected[1])
    assert (rows[:, known:] == -1).all()
    assert np.isinf(distances[:, known:]).all()


def test_of_equal_images_the_lower_rows_are_taken():
    rows, distances = searched(np.full((2000, 30), 9, np.uint8), 3, (700,))
    assert rows[:4].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert (rows[4:] == [0, 1, 2]).all()
    assert (distances == 0).all()


def test_what_does_not_come_before_a_limit_is_not_kept():
    features = np.array([[0.0], [1.0], [1.0], [3.0]])
    measure = measure_of(features)
    square = (1 * measure.scale) ** 2
    # The second image, at distance 1, does not come before a known one at row 1; one at row 2 does it come before.
    for limit_row, kept in ((1, []), (2, [1])):
        limits, rows = np.full(4, np.inf), np.full(4, -1)
        limits[0], rows[0] = square, limit_row
        best = Best.before(limits, rows, 2)
        look_within(Samples(features, np.arange(4)), best, measure)
        assert best.rows[0][best.rows[0] >= 0].tolist() == kept
