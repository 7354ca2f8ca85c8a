"""Which images are on a map, and which of them it is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fmnist_dask.collection.store import split_code
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.reductions.subset import SUBSET_STREAM
from fmnist_dask.typing import AnyArray, IntArray

#: How landmarks are drawn.
LandmarkChoice = Literal["random", "stratified"]
#: Labels and splits that are read at a time.
READ_ROWS = 2**20


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


def choose_rows(
    source: Readable, split: str, images: int | None, landmarks: int, choice: LandmarkChoice, seed: int
) -> MapRows:
    """Draw images and landmarks by random priorities of their rows, the same for any chunking.

    Parameters
    ----------
    images
        How many are on the map; ``None`` for all of the split.
    landmarks
        How many of them it is fitted on.
    choice
        ``random``: all alike. ``stratified``: as many of each class as there are, up to the same number for all; those
        without a label are one more class.
    """
    rows, labels = _of_split(source, split)
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


def _of_split(source: Readable, split: str) -> tuple[IntArray, AnyArray]:
    """Rows of a split and their labels."""
    code = split_code(source, split)
    rows, labels = [], []
    for start in range(0, source.n, READ_ROWS):
        stop = min(start + READ_ROWS, source.n)
        label = np.asarray(source.read("label", start, stop), dtype=np.int16)
        here = np.arange(len(label))
        if code is not None:
            here = np.flatnonzero(source.read("split", start, stop) == code)
        rows.append(here + start)
        labels.append(label[here])
    return np.concatenate(rows), np.concatenate(labels)
