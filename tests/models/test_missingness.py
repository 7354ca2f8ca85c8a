"""Whether values are missing at random, against scipy's tests on the rows themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats
from support import collection_of

from fmnist_dask.models.missingness import missingness
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.classes import ClassMoments


def gathered(missing, label, chunk_rows=7, tasks=3):
    n = len(label)
    source = collection_of(n, chunk_rows=chunk_rows, splits=("all",))
    source = dataclasses.replace(source, label=label.astype(np.int16), extra={"missing": missing}, reads=[])

    def ask():
        return (yield Scan({"classes": ClassMoments()}))["classes"]

    return source, drive(ask(), source, LocalEngine(tasks))


def some(seed: int = 0, n: int = 400, more: float = 0.0):
    rng = np.random.default_rng(seed)
    label = rng.integers(-1, 3, n)
    return rng.random((n, 5, 4)) < np.where(label == 2, 0.2 + more, 0.2)[:, None, None], label


def test_sums_are_those_of_the_rows_for_any_chunks():
    missing, label = some()
    source, found = gathered(missing, label)
    there = ~missing.reshape(400, -1)
    image = source.image.reshape(400, -1).astype(np.int64) - 128
    for row, of_class in enumerate([0, 1, 2, -1]):
        inside = label == of_class
        np.testing.assert_array_equal(found["count"][row], there[inside].sum(axis=0))
        np.testing.assert_array_equal(found["sum"][row], np.where(there, image, 0)[inside].sum(axis=0))
        lacks = (~there[inside]).sum(axis=1)
        assert (found["images"][row], found["missing"][row]) == (inside.sum(), lacks.sum())
        assert found["missing_square"][row] == (lacks**2).sum()
    again = gathered(missing, label, 64, 1)[1]
    for name, values in found.items():
        np.testing.assert_array_equal(values, again[name])


def test_probabilities_are_scipys():
    missing, label = some(more=0.02)
    test = missingness(gathered(missing, label)[1])
    flat = missing.reshape(400, -1)
    groups = [flat[label == of_class].sum(axis=1) for of_class in range(3)]
    assert test.p_share == pytest.approx(stats.f_oneway(*groups).pvalue, rel=1e-9)
    least = min(
        stats.chi2_contingency(
            [[(flat[label == c, j] == gone).sum() for c in range(3)] for gone in (False, True)], correction=False
        ).pvalue
        for j in range(20)
    )
    assert test.p_feature == pytest.approx(min(1, 20 * least), rel=1e-9)
    np.testing.assert_allclose(test.share, [flat[label == c].mean() for c in range(3)])


def test_what_depends_on_the_class_is_found_and_chance_is_not():
    assert missingness(gathered(*some(more=0.15))[1]).p_value < 1e-6
    chance = [missingness(gathered(*some(seed))[1]).p_value for seed in range(20)]
    assert min(chance) > 0.001
    assert np.median(chance) > 0.2
    # The same share in every class, but other pixels.
    missing, label = some()
    missing[:] = False
    missing[label == 0, 0] = True
    missing[label != 0, 1] = True
    test = missingness(gathered(missing, label)[1])
    assert test.p_share == 1
    assert test.p_feature < 1e-6
    assert test.largest > 0.5


def test_without_classes_or_holes_there_is_nothing_to_test():
    missing, label = some()
    assert missingness(gathered(np.zeros_like(missing), label)[1]) is None
    assert missingness(gathered(missing, np.zeros(400))[1]) is None
