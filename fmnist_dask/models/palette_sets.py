"""Palettes beside each other: nested ones of every number of colours, and entries matched between methods."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.colour_clusters import MergeTree
from fmnist_dask.kernels.colours import Colours
from fmnist_dask.kernels.quantizers import TREE_COLOURS
from fmnist_dask.typing import AnyArray, FloatArray, UInt8Array


def nested_palettes(colours: Colours, merges: FloatArray, most: int = 256) -> dict[str, AnyArray]:
    """The top of Ward's hierarchy: palettes of every number of colours up to ``most``, each by merging two of the next.

    Returns
    -------
    dict
        ``colour`` (uint8, shape (2k − 1, channels)) and ``share`` of k clusters, then of those that they become;
        ``merger`` (int64, shape (k − 1, 2)): which two become one. The palette of j colours is what is left of these
        after k − j mergers.
    """
    coarse = colours.within(TREE_COLOURS)
    k = min(most, len(coarse))
    labels = MergeTree(coarse.points, coarse.weight, merges).labels(k)
    sums = np.zeros((2 * k - 1, 1 + colours.channels), dtype=np.int64)
    np.add.at(sums, labels, coarse.count)
    parent, merger = np.arange(2 * k - 1), np.empty((k - 1, 2), dtype=np.int64)
    for number, (one, other) in enumerate(merges[len(coarse) - k :, :2].astype(np.int64).tolist()):
        pair = []
        for node in (int(labels[one]), int(labels[other])):
            while parent[node] != node:
                node = int(parent[node])
            pair.append(node)
        merger[number] = sorted(pair)
        parent[pair] = k + number
        sums[k + number] = sums[pair].sum(axis=0)
    return {
        "colour": np.rint(sums[:, 1:] / sums[:, :1]).astype(np.uint8),
        "share": sums[:, 0] / colours.n_pixels,
        "merger": merger,
    }


def matched_entries(palettes: list[UInt8Array]) -> list[AnyArray]:
    """Numbers of entries such that those of one number are alike in all palettes.

    The first palette's entries keep their places; those of each other one are matched to them with the least sum of
    squared distances (linear assignment), and what is left over is numbered on.
    """
    from scipy.optimize import linear_sum_assignment

    first = palettes[0].astype(np.float64)
    found = []
    for palette in palettes:
        apart = ((palette[:, None].astype(np.float64) - first) ** 2).sum(axis=-1)
        rows, columns = linear_sum_assignment(apart)
        numbers = np.full(len(palette), -1)
        numbers[rows] = columns
        left = numbers < 0
        numbers[left] = len(first) + np.arange(int(left.sum()))
        found.append(numbers.astype(np.int64))
    return found
