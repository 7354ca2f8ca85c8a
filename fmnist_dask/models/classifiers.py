"""Classifiers of samples in memory, in parts that go to different workers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_dask.kernels.projection import PANEL_ROWS
from fmnist_dask.models.pca import oriented
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

Transform = Literal["none", "demean", "standardize", "normalize"]
Classifier = Literal["forest", "boosting"]
#: Memory of scikit-learn in a process that has not used it before.
LIBRARY_BYTES = 160 * 2**20
#: Bins that boosting sorts features into; 255 took a fifth longer and told 0.1 % more right.
BINS = 63
#: Fold of no rows: all of them are trained on, as it were.
NO_FOLD = -1


@dataclass(frozen=True)
class Labelled:
    """Samples with classes, cut into folds.

    Attributes
    ----------
    features : array, shape (n, d)
    label : int16 array, shape (n,)
        From 0; classes that no sample is of are allowed.
    fold : int8 array, shape (n,)
    classes
        Number of classes.
    """

    features: AnyArray
    label: AnyArray
    fold: AnyArray
    classes: int


@dataclass(frozen=True)
class Factors:
    """``x ≈ centre + scale · z W`` by least squares: rows of W are orthonormal, the longest direction first.

    Attributes
    ----------
    centre, inverse_scale : float32 arrays, shape (d,)
    directions : float32 array, shape (k, d)
    """

    centre: AnyArray
    inverse_scale: AnyArray
    directions: AnyArray

    def codes(self, features: AnyArray, rank: int) -> AnyArray:
        """Coordinates along the first directions, float32, shape (n, rank)."""
        found = np.empty((len(features), rank), np.float32)
        back = np.ascontiguousarray(self.directions[:rank].T)
        for start in range(0, len(features), PANEL_ROWS):
            part = slice(start, start + PANEL_ROWS)
            found[part] = ((features[part] - self.centre) * self.inverse_scale) @ back
        return found


@dataclass(frozen=True)
class ClassifierOptions:
    """What classifiers are like.

    Attributes
    ----------
    trees
        Of a forest.
    min_samples_leaf
        Of a forest; ``None`` for :func:`least_leaf`.
    iterations, learning_rate
        Of boosting: trees of each class, and how much of each counts.
    seed
        Of what is random.
    """

    trees: int = 100
    min_samples_leaf: int | None = None
    iterations: int = 60
    learning_rate: float = 0.15
    seed: int = 0


def least_leaf(width: int, n: int) -> int:
    """Samples that a leaf has at least: many where features are few, and trees otherwise split noise.

    On Fashion-MNIST, forests on 2 codes are right for 49 % of the images with leaves of one sample, 55 % with 20; on 8
    codes and more, leaves of one are best.
    """
    return int(max(1, min(round(80 / width**2), n // 1000)))


def factorize(data: Labelled, fold: int, rank: int, transform: Transform) -> Factors:
    """The best factors of all samples but those of one fold.

    Of complete rows, they are the leading eigenvectors of the matrix of products (Eckart and Young 1936), which is
    exact for pixels: float32 holds sums of 256 products of theirs.
    """
    import scipy.linalg

    features = data.features[data.fold != fold]
    n, d = features.shape
    product, total = np.zeros((d, d)), np.zeros(d)
    for start in range(0, n, PANEL_ROWS):
        panel = features[start : start + PANEL_ROWS]
        panel = panel.astype(np.float32) if panel.dtype == np.uint8 else panel.astype(np.float64)
        product += panel.T @ panel
        total += panel.sum(axis=0, dtype=np.float64)
    centre, scale = np.zeros(d), np.ones(d)
    if transform != "none":
        centre = total / n
        product -= n * np.outer(centre, centre)
    if transform == "standardize":
        scale = np.sqrt(np.maximum(np.diag(product), 0) / n)
    elif transform == "normalize":
        scale = features.max(axis=0).astype(float) - features.min(axis=0).astype(float)
    scale = np.where(scale > 0, scale, 1.0)
    product /= np.outer(scale, scale)
    vectors = scipy.linalg.eigh((product + product.T) / 2, subset_by_index=(d - rank, d - 1))[1]
    made = (centre, 1 / scale, oriented(vectors.T[::-1]))
    return Factors(*(np.ascontiguousarray(array, np.float32) for array in made))


def predict_fold(
    shared: tuple[Labelled, list[Factors], ClassifierOptions],
    classifier: Classifier,
    fold: int,
    rank: int,
    part: int,
    trees: int,
) -> tuple[AnyArray, float]:
    """Train on all folds but one, or grow a part of the trees of a forest, and predict that one.

    Parameters
    ----------
    shared
        The samples, the factors of each fold (or one set for all), and what classifiers are like.
    rank
        Codes that the classifier sees; 0 for the features as they are.
    part, trees
        Number of the part of a forest, and trees in it.

    Returns
    -------
    float32 array, shape (rows of the fold, classes)
        Probability of each class, times the trees of the part.
    float
        Seconds.
    """
    from sklearn import ensemble  # noqa: F401 - it takes seconds, once
    from threadpoolctl import threadpool_limits

    data, factors, options = shared
    seconds = time.perf_counter()
    if rank:
        values = factors[fold if len(factors) > 1 else 0].codes(data.features, rank)
    else:
        values = data.features.astype(np.float32)
    inside = data.fold == fold
    model = _made(classifier, values.shape[1], len(values), options, seed=(fold, rank, part), trees=trees)
    # Sums of gradients round differently on more threads.
    with threadpool_limits(1, user_api="openmp"):
        model.fit(values[~inside], data.label[~inside])
        found = np.zeros((int(inside.sum()), data.classes), np.float32)
        if inside.any():
            found[:, model.classes_] = trees * model.predict_proba(values[inside])
    return found, time.perf_counter() - seconds


def _made(
    classifier: Classifier, width: int, n: int, options: ClassifierOptions, seed: tuple[int, ...], trees: int
) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    number = int(np.random.SeedSequence((options.seed % 2**64, *seed)).generate_state(1)[0])
    if classifier == "boosting":
        return HistGradientBoostingClassifier(
            max_iter=options.iterations,
            learning_rate=options.learning_rate,
            # Without it, samples that are told right for sure make leaves of any size.
            l2_regularization=1.0,
            max_bins=BINS,
            early_stopping=False,
            random_state=number,
        )
    leaf = options.min_samples_leaf or least_leaf(width, n)
    return RandomForestClassifier(trees, min_samples_leaf=leaf, random_state=number)


def training_bytes(n: int, d: int, width: int, classes: int, classifier: Classifier) -> int:
    """Memory of :func:`predict_fold` beyond the shared samples: features, those that are trained on, and the model."""
    values = 8 * n * width
    # Boosting takes features as float64, sorts them into bins, and has gradients of each class.
    own = n * (9 * width + 16 * classes) if classifier == "boosting" else n * 64 * 32
    return LIBRARY_BYTES + values + own + 4 * n * classes + 4 * PANEL_ROWS * d


def stratified_folds(label: AnyArray, key: AnyArray, folds: int) -> IntArray:
    """A fold for each sample: of every class nearly as many in each, in an order that the key decides.

    Parameters
    ----------
    label : int array, shape (n,)
    key : uint64 array, shape (n,)
        Random numbers of the samples.
    """
    fold = np.empty(len(label), np.int64)
    begin = 0
    for of_class in np.unique(label):
        members = np.flatnonzero(label == of_class)
        members = members[np.argsort(key[members], kind="stable")]
        fold[members] = (begin + np.arange(len(members))) % folds
        begin += len(members)
    return fold


def accuracy_of(probability: FloatArray, label: AnyArray) -> float:
    """Share of the samples whose most probable class is theirs; ties go to the first."""
    return float((probability.argmax(axis=1) == label).mean()) if len(label) else float("nan")
