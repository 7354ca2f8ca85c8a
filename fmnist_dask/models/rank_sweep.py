"""How well classes can be told from few codes: classifiers on low-rank codes of each rank, cross-validated."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.models.classifiers import (
    NO_FOLD,
    Classifier,
    ClassifierOptions,
    Factors,
    Labelled,
    Transform,
    accuracy_of,
    factorize,
    predict_fold,
    stratified_folds,
    training_bytes,
)
from fmnist_dask.models.pca import MOST_EXACT_FEATURES
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Stream of random numbers that order the samples of a class.
FOLD_STREAM = 9201
#: Arguments of a call: classifier, fold, rank, part of a forest and its trees.
ClassifierCall: TypeAlias = tuple[Classifier, int, int, int, int]
#: Trees of a forest that are grown by one call.
TREES_A_CALL = 25


@dataclass(frozen=True)
class SweepOptions:
    """What is asked of a sweep.

    Attributes
    ----------
    ranks
        Ascending; 0 stands for the features as they are.
    classifiers
        Names.
    folds
        Of the cross-validation.
    images
        Samples that are used at most, drawn at random.
    transform
        See :class:`~fmnist_dask.models.low_rank.LowRankOptions`.
    leaky
        Factors of all samples, also those that accuracy is measured on.
    like
        What the classifiers are like.
    """

    ranks: tuple[int, ...]
    classifiers: tuple[Classifier, ...] = ("forest", "boosting")
    folds: int = 4
    images: int = 60_000
    transform: Transform = "none"
    leaky: bool = False
    like: ClassifierOptions = field(default_factory=ClassifierOptions)


@dataclass
class Sweep:
    """What a sweep has found.

    Attributes
    ----------
    accuracy : float64 array, shape (classifiers, ranks, folds)
    class_accuracy : float64 array, shape (classifiers, ranks, classes)
        Of the samples of a class, the share that is told to be of it; NaN where there are none.
    seconds : float64 array, shape (classifiers, ranks)
        Of one processor, for all folds, with the codes but without the factors.
    factor_seconds
        Of the factors of all folds.
    n
        Samples used.
    """

    accuracy: FloatArray
    class_accuracy: FloatArray
    seconds: FloatArray
    factor_seconds: float
    n: int

    @classmethod
    def empty(cls, options: SweepOptions, data: Labelled) -> Sweep:
        """Before anything is known."""
        size = (len(options.classifiers), len(options.ranks))
        class_accuracy = np.zeros((*size, data.classes))
        class_accuracy[..., np.bincount(data.label, minlength=data.classes) == 0] = np.nan
        return cls(np.full((*size, options.folds), np.nan), class_accuracy, np.zeros(size), 0.0, len(data.label))


def rank_sweep(source: Readable, n: int, options: SweepOptions, split: str = "all") -> Algorithm[Sweep]:
    """Cross-validated accuracy of classifiers on codes of each rank.

    One factorization serves all ranks: codes of a lower rank are the first of those of a higher one. It is made for
    each fold from the other folds, unless ``leaky``.

    Raises
    ------
    UsageError
        No classes; more codes than features; fewer samples than folds.
    """
    check(source, options)
    count = min(n, options.images)
    subset = RandomSubset(count, n, options.like.seed)
    drawn = (yield Scan({"subset": subset}, split=split))["subset"]
    data = _labelled(source, drawn, options)
    n, d = data.features.shape
    sweep = Sweep.empty(options, data)
    factors: list[Factors] = []
    if max(options.ranks):
        made = yield _factor_tasks(data, options)
        factors = [Factors(*arrays) for *arrays, _ in made]
        sweep.factor_seconds = sum(seconds for *_, seconds in made)
    for at, rank in enumerate(options.ranks):
        # A request for each rank, so that what is done is kept should the run be stopped.
        calls = _calls(options, rank)
        width = rank or d
        answers = yield Tasks(
            f"classifiers of rank {rank}" if rank else "classifiers of all values",
            tuple(Call(predict_fold, call, _weight(call)) for call in calls),
            max(training_bytes(n, d, width, data.classes, name) for name in options.classifiers),
            unit="trees",
            shared=(data, factors, options.like),
            late=True,
        )
        _take(sweep, data, options, at, calls, answers)
    return sweep


def check(source: Readable, options: SweepOptions) -> None:
    """Refuse what cannot be compared."""
    d = source.n_features
    if not source.class_names:
        raise UsageError("the images have no classes to be told apart", "take a source with labels")
    if d > MOST_EXACT_FEATURES:
        raise UsageError(
            f"samples of {d:,} values: a rank sweep takes up to {MOST_EXACT_FEATURES:,}",
            "ingest images smaller, with the source options size=64x64 and mode=gray",
        )
    if max(options.ranks) > d:
        raise UsageError(f"rank {max(options.ranks)} of samples of {d} values", "take lower ranks")


def _factor_tasks(data: Labelled, options: SweepOptions) -> Tasks:
    folds = [NO_FOLD] if options.leaky else range(options.folds)
    calls = tuple(Call(timed_factors, (fold, max(options.ranks), options.transform)) for fold in folds)
    return Tasks("factors", calls, factor_bytes(*data.features.shape), unit="folds", shared=data, late=True)


def timed_factors(
    data: Labelled, fold: int, rank: int, transform: Transform
) -> tuple[AnyArray, AnyArray, AnyArray, float]:
    """Arrays of the factors, and seconds that they took."""
    begun = time.perf_counter()
    made = factorize(data, fold, rank, transform)
    return made.centre, made.inverse_scale, made.directions, time.perf_counter() - begun


def factor_bytes(n: int, d: int) -> int:
    """Memory of :func:`~fmnist_dask.models.classifiers.factorize`: a copy of the samples, and matrices of products."""
    return 8 * n * d + 8 * 5 * d * d


def _labelled(source: Readable, drawn: dict[str, AnyArray], options: SweepOptions) -> Labelled:
    known = drawn["label"] >= 0
    label, rows = drawn["label"][known], drawn["row"][known]
    if len(rows) < options.folds or len(np.unique(label)) < 2:
        raise UsageError(
            f"{len(rows)} labelled images of {len(np.unique(label))} classes cannot be told apart in {options.folds} "
            "folds",
            "take a split with more of them",
        )
    key = random_bits(options.like.seed, rows, FOLD_STREAM)
    fold = stratified_folds(label, key, options.folds).astype(np.int8)
    return Labelled(drawn["features"][known], label, fold, len(source.class_names))


def _calls(options: SweepOptions, rank: int) -> list[ClassifierCall]:
    """Arguments of the calls; those that take longest come first."""
    made: list[ClassifierCall] = []
    for name in sorted(options.classifiers):
        trees = options.like.trees
        sizes = [1] if name == "boosting" else [min(TREES_A_CALL, trees - at) for at in range(0, trees, TREES_A_CALL)]
        made += [(name, fold, rank, part, size) for fold in range(options.folds) for part, size in enumerate(sizes)]
    return made


def _weight(call: ClassifierCall) -> int:
    return TREES_A_CALL if call[0] == "boosting" else call[-1]


def _take(
    sweep: Sweep,
    data: Labelled,
    options: SweepOptions,
    at: int,
    calls: list[ClassifierCall],
    answers: list[tuple[AnyArray, float]],
) -> None:
    """Add what classifiers of one rank have predicted."""
    votes: dict[tuple[int, int], FloatArray] = {}
    for (name, fold, *_), (found, took) in zip(calls, answers, strict=True):
        which = options.classifiers.index(name)
        votes[which, fold] = votes.get((which, fold), 0.0) + found.astype(np.float64)
        sweep.seconds[which, at] += took
    number = np.maximum(np.bincount(data.label, minlength=data.classes), 1)
    for (which, fold), vote in votes.items():
        truth: IntArray = data.label[data.fold == fold]
        sweep.accuracy[which, at, fold] = accuracy_of(vote, truth)
        right = np.bincount(truth[vote.argmax(axis=1) == truth], minlength=data.classes)
        sweep.class_accuracy[which, at] += right / number
