"""Rank sweeps against scikit-learn's own decomposition, classifiers and folds; nothing leaks, and rows decide."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from support import collection_of, rechunked
from threadpoolctl import threadpool_limits

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.models.classifiers import (
    NO_FOLD,
    ClassifierOptions,
    Labelled,
    factorize,
    least_leaf,
    predict_fold,
    stratified_folds,
)
from fmnist_dask.models.rank_sweep import FOLD_STREAM, SweepOptions, rank_sweep
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive

CLASSES = ("striped", "dotted", "plain")


def pictures(n: int = 600, seed: int = 0) -> ArrayCollection:
    """Images of three classes: of each a pattern, more or less of it, beside patterns that say nothing, and noise."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    directions = np.linalg.qr(rng.standard_normal((36, 6)))[0].T
    codes = 40 * rng.standard_normal((n, 6))
    codes[np.arange(n), 3 + label] += 110
    values = 128 + codes @ directions + 12 * rng.standard_normal((n, 36))
    image = np.rint(values.clip(0, 255)).astype(np.uint8).reshape(n, 6, 6)
    return ArrayCollection(image, label, np.zeros(n, int), CLASSES, ("train",), 256)


def swept(source, tasks=2, **options):
    like = ClassifierOptions(trees=20, iterations=10, seed=3)
    wanted = {"ranks": (2, 6, 0), "classifiers": ("forest",), "like": like} | options
    return drive(rank_sweep(source, source.n, SweepOptions(**wanted)), source, LocalEngine(tasks))


def data_of(source, folds=4):
    label = np.asarray(source.read("label", 0, source.n))
    image = source.read("image", 0, source.n).reshape(source.n, -1)
    key = random_bits(3, np.arange(source.n), FOLD_STREAM)
    return Labelled(image, label, stratified_folds(label, key, folds), len(source.class_names))


@pytest.mark.parametrize("transform", ["none", "demean", "standardize", "normalize"])
def test_factors_are_the_singular_vectors_of_the_other_folds(transform):
    data = data_of(pictures())
    data.features[:, 4] = 9  # constant
    train = data.features[data.fold != 2].astype(np.float64)
    mean = train.mean(axis=0) if transform != "none" else np.zeros(36)
    scale = {"standardize": train.std(axis=0), "normalize": np.ptp(train, axis=0)}.get(transform, np.ones(36))
    wanted = (data.features - mean) / np.where(scale > 0, scale, 1)
    vectors = np.linalg.svd(wanted[data.fold != 2], full_matrices=False)[2][:5]
    factors = factorize(data, 2, 5, transform)
    codes = factors.codes(data.features, 3)
    np.testing.assert_allclose(np.abs(np.einsum("ij,ij->i", factors.directions, vectors)), 1, atol=1e-5)
    assert (factors.directions[np.arange(5), np.abs(factors.directions).argmax(axis=1)] > 0).all()
    signs = np.sign(np.einsum("ij,ij->i", factors.directions, vectors))[:3]
    np.testing.assert_allclose(codes, wanted @ (vectors[:3].T * signs), atol=1e-3 * np.abs(codes).max())


@pytest.mark.slow
def test_accuracy_is_that_of_scikit_learns_forest_on_its_own_svd():
    source = pictures()
    found = swept(source, classifiers=("forest", "boosting"), ranks=(2, 6))
    data = data_of(source)
    for at, rank in enumerate((2, 6)):
        theirs = {"forest": [], "boosting": []}
        for fold in range(4):
            inside = data.fold == fold
            values = data.features.astype(np.float64)
            values = TruncatedSVD(rank, algorithm="arpack", random_state=0).fit(values[~inside]).transform(values)
            forest = RandomForestClassifier(20, random_state=0).fit(values[~inside], data.label[~inside])
            boosting = HistGradientBoostingClassifier(learning_rate=0.15, max_iter=10, random_state=0)
            with threadpool_limits(1, user_api="openmp"):
                boosting.fit(values[~inside], data.label[~inside])
            for name, model in (("forest", forest), ("boosting", boosting)):
                theirs[name].append(model.score(values[inside], data.label[inside]))
        for which, name in enumerate(("forest", "boosting")):
            # The same folds; trees draw otherwise.
            assert found.accuracy[which, at].mean() == pytest.approx(np.mean(theirs[name]), abs=0.03)
    assert found.n == 600
    assert (found.seconds > 0).all()
    # The patterns of the classes are among six directions, and not all of them among the first two.
    assert found.accuracy[0, 1].mean() > 0.9 > found.accuracy[0, 0].mean()


def test_mean_over_classes_is_the_accuracy():
    source = pictures()
    found = swept(source, ranks=(6, 0))
    number = np.bincount(source.read("label", 0, 600), minlength=3)
    data = data_of(source)
    sizes = np.bincount(data.fold)
    np.testing.assert_allclose(
        (found.class_accuracy * number).sum(axis=-1) / 600, (found.accuracy * sizes).sum(axis=-1) / 600, atol=1e-3
    )


@pytest.mark.slow
def test_labels_that_say_nothing_are_not_told():
    """Were rows of the fold among those trained on, forests would know them by heart."""
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (800, 6, 6), dtype=np.uint8)
    source = ArrayCollection(image, rng.integers(0, 4, 800), np.zeros(800, int), tuple("abcd"), ("train",), 256)
    found = swept(source, ranks=(4, 0))
    assert (np.abs(found.accuracy.mean(axis=-1) - 0.25) < 0.06).all()


def test_leaky_factors_are_of_all_images():
    """Each fold holds a pattern of its own, which only factors of all images know."""
    data = data_of(pictures())
    own = np.zeros((4, 36))
    own[np.arange(4), [3, 11, 20, 35]] = 1
    fold = np.asarray(data.fold)
    values = np.where(own[fold] > 0, 255, data.features // 8).astype(np.uint8)
    changed = Labelled(values, data.label, fold, 3)
    honest, leaky = factorize(changed, 1, 6, "demean"), factorize(changed, NO_FOLD, 6, "demean")
    seen = [np.linalg.norm(factors.directions[:, 11]) for factors in (honest, leaky)]
    assert seen[0] < 0.6 < 0.8 < seen[1]
    source = pictures()
    assert swept(source, ranks=(6,), leaky=True).accuracy.mean() > 0.85


@pytest.mark.slow
def test_any_chunks_tasks_and_engine_give_the_same():
    source = pictures()
    first = swept(source)
    for other, tasks in ((rechunked(source, 64), 5), (rechunked(source, 600), 1)):
        again = swept(other, tasks)
        np.testing.assert_array_equal(again.accuracy, first.accuracy)
        np.testing.assert_array_equal(again.class_accuracy, first.class_accuracy)


def test_trees_grown_in_parts_are_a_forest_of_all():
    data = data_of(pictures())
    factors = [factorize(data, fold, 6, "none") for fold in range(4)]
    options = ClassifierOptions(trees=60, seed=1)
    parts = [predict_fold((data, factors, options), "forest", 2, 6, part, 20)[0] for part in range(3)]
    inside = data.fold == 2
    whole = RandomForestClassifier(60, random_state=0)
    codes = factors[2].codes(data.features, 6)
    probability = whole.fit(codes[~inside], data.label[~inside]).predict_proba(codes[inside])
    together = sum(parts) / 60
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    assert np.abs(together - probability).mean() < 0.04
    assert not np.array_equal(parts[0], parts[1])


def test_folds_have_as_many_of_each_class_as_can_be():
    label = np.repeat([0, 1, 2], [41, 8, 3])
    key = np.random.default_rng(0).integers(0, 2**63, 52).astype(np.uint64)
    fold = stratified_folds(label, key, 4)
    for of_class, most in ((0, 11), (1, 2), (2, 1)):
        counts = np.bincount(fold[label == of_class], minlength=4)
        assert counts.max() == most
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(fold)) <= 1
    order = np.random.default_rng(1).permutation(52)
    np.testing.assert_array_equal(stratified_folds(label[order], key[order], 4), fold[order])


def test_leaves_are_large_where_codes_are_few():
    assert [least_leaf(rank, 45_000) for rank in (1, 2, 4, 8, 16, 256, 784)] == [45, 20, 5, 1, 1, 1, 1]
    assert least_leaf(2, 600) == 1


def test_images_without_a_class_are_left_out():
    source = collection_of(400, splits=("train",), chunk_rows=64)
    known = int((source.read("label", 0, 400) >= 0).sum())
    found = swept(source, ranks=(2,))
    assert 250 < found.n == known < 350


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (collection_of(50, labelled=False), {}, "no classes"),
        (collection_of(3, splits=("train",)), {"ranks": (0,)}, "folds"),
        (pictures(40), {"ranks": (37,)}, "rank 37"),
    ],
)
def test_what_cannot_be_compared_is_refused(source, options, words):
    with pytest.raises(UsageError, match=words):
        swept(source, **options)
