"""Which images are on a map, which of them it is fitted on, and where these begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.rows_at import RowLabels, RowsAt
from fmnist_dask.passes.reductions.subset import SUBSET_STREAM, RandomSubset
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: How landmarks are drawn.
LandmarkChoice = Literal["random", "stratified"]
#: Images below which there is no neighbourhood to keep.
LEAST_IMAGES = 5


class MapChoice(Protocol):
    """What options of maps say of the images on it."""

    @property
    def images(self) -> int | None:
        """Images on the map; ``None`` for all."""

    @property
    def landmarks(self) -> int:
        """Images that it is fitted on, at most."""

    @property
    def landmark_choice(self) -> LandmarkChoice:
        """How they are drawn."""

    @property
    def seed(self) -> int:
        """Of both."""


@dataclass(frozen=True)
class MapRows:
    """Images of a map.

    Attributes
    ----------
    rows : int64 array, shape (m,)
        All of them, ascending.
    labels : int16 array, shape (m,)
    landmarks : int64 array, shape (p,)
        Those that the map is fitted on, ascending.
    """

    rows: IntArray
    labels: AnyArray
    landmarks: IntArray


def images_to_place(source: Readable, n: int, options: MapChoice, split: str = "all") -> Algorithm[dict[str, AnyArray]]:
    """The samples of a split that are to be on the map, and features of the landmarks.

    Returns
    -------
    dict
        ``row`` (of landmarks, ascending), ``features`` (float64); of all on the map ``rows`` (ascending) and ``label``.

    Raises
    ------
    UsageError
        Too few samples, features that are not finite.
    """
    m = min(n, options.images or n, options.landmarks)
    if m < LEAST_IMAGES:
        raise UsageError(
            f"a map of {m} image{'' if m == 1 else 's'} would show nothing", f"give {LEAST_IMAGES} or more"
        )
    wanted = min(n, options.images or n)
    if wanted <= options.landmarks:
        sample = (yield Scan({"sample": RandomSubset(wanted, n, options.seed)}, split=split))["sample"]
        rows, labels = sample["row"], sample["label"]
    else:
        everyone = (yield Scan({"rows": RowLabels()}, split=split))["rows"]
        chosen = choose_rows(everyone, options.images, options.landmarks, options.landmark_choice, options.seed)
        rows, labels = chosen.rows, chosen.labels
        sample = (yield Scan({"sample": RowsAt(ArrayParameter(chosen.landmarks))}, split=split))["sample"]
    features = np.asarray(sample["features"], dtype=np.float64)
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        row = int(sample["row"][int(np.flatnonzero(~finite)[0])])
        raise UsageError(f"features of row {row} contain NaN or infinity", "impute these values first")
    return {"row": sample["row"], "features": features, "rows": rows, "label": labels}


def choose_rows(
    everyone: dict[str, AnyArray], images: int | None, landmarks: int, choice: LandmarkChoice, seed: int
) -> MapRows:
    """Draw images and landmarks by random priorities of their rows, the same for any chunking.

    Parameters
    ----------
    everyone
        As :class:`~fmnist_dask.passes.reductions.rows_at.RowLabels` finds them.
    images
        How many are on the map; ``None`` for all.
    landmarks
        How many of them it is fitted on.
    choice
        ``random``: all alike. ``stratified``: as many of each class as there are, up to the same number for all; those
        without a label are one more class.
    """
    rows, labels = everyone["row"], everyone["label"]
    priority = random_bits(seed, rows, SUBSET_STREAM)
    if images is not None and images < len(rows):
        first = np.sort(np.argsort(priority, kind="stable")[:images])
        rows, labels, priority = rows[first], labels[first], priority[first]
    if landmarks >= len(rows):
        return MapRows(rows, labels, rows)
    order = np.argsort(priority, kind="stable")
    picked = order[:landmarks] if choice == "random" else _stratified(labels, order, landmarks)
    return MapRows(rows, labels, rows[np.sort(picked)])


def _stratified(labels: AnyArray, order: IntArray, count: int) -> IntArray:
    """The first in order of each class; what small classes lack, larger ones have more."""
    classes, sizes = np.unique(labels, return_counts=True)
    sorted_labels = labels[order]
    parts: list[IntArray] = []
    left = count
    for position, at in enumerate(np.argsort(sizes, kind="stable")):
        quota = min(int(sizes[at]), left // (len(classes) - position))
        parts.append(order[np.flatnonzero(sorted_labels == classes[at])[:quota]])
        left -= quota
    return np.concatenate(parts)


def principal_start(features: FloatArray, spread: float, seed: int) -> FloatArray:
    """The first two principal components, scaled so that the first has this spread; at random where there are none."""
    centred = features - features.mean(axis=0)
    d = centred.shape[1]
    variance, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    found = np.zeros((len(features), 2))
    axes = directions[:, ::-1][:, : min(2, d)]
    # Signs of eigenvectors are arbitrary: the largest entry is made positive.
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    found[:, : axes.shape[1]] = centred @ axes
    if variance[-1] <= 0 or not found[:, 0].std():
        return np.random.default_rng(seed).normal(0.0, spread, found.shape)
    found *= spread / found[:, 0].std()
    flat = found.std(axis=0) == 0
    found[:, flat] = np.random.default_rng(seed).normal(0.0, spread, (len(found), int(flat.sum())))
    return found
