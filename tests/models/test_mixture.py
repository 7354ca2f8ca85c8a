"""Mixtures of Gaussians found without labels: planted groups, any chunks, what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support import rechunked

from fmnist_dask.errors import UsageError
from fmnist_dask.models.low_rank import low_rank
from fmnist_dask.models.low_rank_model import LowRankOptions
from fmnist_dask.models.mixture import MixtureOptions, mixture_of_gaussians
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.reductions.mixture import MixtureImputer
from fmnist_dask.passes.reductions.pairs import ObservedSubset

SIDE, N = 8, 1500


def grouped(seed: int = 0):
    """Images of three groups, each in directions of its own; which pixels are missing; the groups."""
    rng = np.random.default_rng(seed)
    d = SIDE * SIDE
    group = rng.integers(0, 3, N)
    centres = 128 + 40 * rng.standard_normal((3, d))
    directions = 30 * rng.standard_normal((3, 3, d))
    values = centres[group] + np.einsum("nk,nkd->nd", rng.standard_normal((N, 3)) / 2, directions[group])
    image = np.rint((values + 4 * rng.standard_normal((N, d))).clip(0, 255)).astype(np.uint8).reshape(N, SIDE, SIDE)
    return image, rng.random(image.shape) < 0.2, group


def source_of(image, missing):
    return ArrayCollection(np.where(missing, 0, image).astype(np.uint8), chunk_rows=256, extra={"missing": missing})


def fitted(source, tasks=3, groups=3, rank=8, **options):
    def both():
        extra = {"begin": ObservedSubset(800, source.n, 0)}
        model = yield from low_rank(source, source.n, LowRankOptions(rank, **options), extra=extra)
        begin = model.extra["begin"]
        mixture = yield from mixture_of_gaussians(source, source.n, model, begin, MixtureOptions(groups, rank))
        return model, mixture

    return drive(both(), source, LocalEngine(tasks))


@pytest.mark.slow
def test_groups_are_found_and_fill_in_better_than_one_model():
    image, missing, group = grouped()
    model, mixture = fitted(source_of(image, missing))
    scale = ArrayParameter(model.error_scale.astype(np.float32))
    fill = MixtureImputer(mixture.parameter, scale, model.parameter)
    features, there = np.where(missing, 0, image).reshape(N, -1).astype(np.uint8), ~missing.reshape(N, -1)
    parts = [slice(start, start + 250) for start in range(0, N, 250)]
    filled = [fill(features[part], there[part]) for part in parts]
    values = np.concatenate([one.values for one in filled])
    truth, gone = image.reshape(N, -1).astype(float), missing.reshape(N, -1)
    error = np.sqrt(np.square(values - truth)[gone].mean())
    gaussian = model.parameter.model
    codes = gaussian.codes(gaussian.centred(features, there), there.astype(np.float32))
    single = codes @ gaussian.factors + gaussian.centre
    assert error < 0.85 * np.sqrt(np.square(single - truth)[gone].mean())
    assert error < 9  # noise of 4, and what three codes of fifty values leave open
    # Deviations hold, and so do those of values that were looked at as if they were missing.
    deviation = np.concatenate([one.deviation for one in filled])
    assert 0.9 < (np.abs(values - truth) < 1.96 * deviation)[gone].mean() < 0.995
    ratios = np.concatenate([one.ratios for one in filled])
    judged = ratios[~np.isnan(ratios)]
    assert len(judged) > 10 * N
    assert 0.9 < (np.abs(judged) < 1.96).mean() < 0.995
    chosen = mixture.parameter.mixture.expected(features.astype(np.float32), there)
    best = chosen.chosen[np.arange(N), chosen.weight.argmax(axis=1)]
    agree = max((np.array(order)[group] == best).mean() for order in itertools.permutations(range(3)))
    assert agree > 0.95
    assert mixture.count.sum() == pytest.approx(N, rel=0.02)


@pytest.mark.slow
def test_any_chunks_and_tasks_give_the_same():
    source = source_of(*grouped()[:2])
    first = fitted(source)[1]
    for other, tasks in ((rechunked(source, 512), 1), (rechunked(source, 768), 2)):
        again = fitted(other, tasks)[1]
        np.testing.assert_array_equal(again.covariance, first.covariance)
        np.testing.assert_array_equal(again.centre, first.centre)


@pytest.mark.parametrize(
    "gone", ["most", pytest.param("a pixel", marks=pytest.mark.slow), pytest.param("an image", marks=pytest.mark.slow)]
)
def test_whatever_is_missing_results_are_numbers(gone):
    image, missing, _ = grouped()
    missing = np.random.default_rng(0).random(image.shape) < (0.9 if gone == "most" else 0.1)
    if gone == "a pixel":
        missing[:, 2, 3] = True
    elif gone == "an image":
        missing[7] = True
    model, mixture = fitted(source_of(image, missing))
    fill = MixtureImputer(mixture.parameter, ArrayParameter(model.error_scale.astype(np.float32)), model.parameter)
    filled = fill(np.where(missing, 0, image).reshape(N, -1)[:100].astype(np.uint8), ~missing.reshape(N, -1)[:100])
    assert np.isfinite(filled.values).all()
    assert np.isfinite(filled.deviation).all()
    assert (filled.deviation >= 0).all()


def test_what_a_mixture_does_not_work_with_is_refused():
    image, missing, _ = grouped()
    source = source_of(image, missing)
    for options, words in (
        ({"regularization": "none"}, "with noise"),
        ({"transform": "standardize"}, "not scaled"),
        ({"groups": 200}, "200 groups of 1500"),
    ):
        with pytest.raises(UsageError, match=words):
            fitted(source, **options)
