"""Which images are on a map, and which of them it is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.passes.reductions.subset import SUBSET_STREAM
from fmnist_dask.typing import AnyArray, IntArray

#: How landmarks are drawn.
LandmarkChoice = Literal["random", "stratified"]


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
