"""Clusters found among codes, polished among pixels; and what either costs in the other space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fmnist_dask.models.cluster_scores import Means
from fmnist_dask.models.clusters import Clusters
from fmnist_dask.models.kmeans import KMeansModel, kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.parameters import Grid
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.labelled import LabelledSums
from fmnist_dask.passes.reductions.members import MappedCentres
from fmnist_dask.passes.reductions.moments import Moments
from fmnist_dask.passes.through import Pixels, scan_through, seen, through
from fmnist_dask.typing import AnyArray, FloatArray, IntArray


@dataclass
class Polished:
    """k-means of pixels that began with clusters of codes.

    Attributes
    ----------
    model
        Of pixels.
    means
        Of its clusters among codes.
    inertia_codes
        Sum of squared distances, among codes, to these.
    """

    model: KMeansModel
    means: Means
    inertia_codes: float


def pixel_squares(split: str) -> Scan:
    """A scan for :func:`pixel_inertia`; its result is called ``pixels``."""
    return scan_through(Scan({"pixels": Moments()}, split=split), Pixels())


def pixel_inertia(moments: dict[str, Any], mean_image: FloatArray, size: IntArray) -> float:
    """Sum of squared distances of pixels to the mean images of their clusters, in units of pixel values.

    Parameters
    ----------
    moments
        What :func:`pixel_squares` has found.
    mean_image : float64 array, shape (k, …)
        NaN for empty clusters.
    size : int64 array, shape (k,)
    """
    held = size > 0
    sums = np.rint(mean_image.reshape(len(size), -1)[held] * size[held, None])  # whole numbers again
    lengths = (sums.astype(np.int64).astype(object) ** 2).sum(axis=1)
    whole = sum(map(int, moments["square"]))
    # Quotients and remainders apart, so that nothing is lost where clusters are tight.
    parts = [divmod(int(length), int(count)) for length, count in zip(lengths, size[held], strict=True)]
    rest = float(sum(remainder / int(count) for (_, remainder), count in zip(parts, size[held], strict=True)))
    return max(whole - sum(quotient for quotient, _ in parts) - rest, 0.0)


def polish(
    source: Readable, found: KMeansModel, clusters: Clusters, options: KMeansOptions, split: str = "all"
) -> Algorithm[Polished]:
    """Go on with Lloyd's iterations among pixels, from the mean images of clusters of codes.

    Parameters
    ----------
    source
        The codes.
    found, clusters
        k-means of the codes, and what its clusters hold.
    """
    start = clusters.mean_image.reshape(len(clusters.size), -1).copy()
    # An empty cluster begins where another one is, stays empty, and takes over the farthest image.
    start[clusters.size == 0] = start[int(clusters.size.argmax())]
    given = replace(options, init=start, n_init=1)
    pixels = Pixels()
    model = yield from through(kmeans(seen(source, pixels), found.n, given, split), pixels)
    sums = yield from _sums(source, MappedCentres(pixels, model.parameter), found, split)
    moved = sums["mean"] - found.shift
    within = found.square_sum - float(np.einsum("k,kd,kd->", sums["count"].astype(float), moved, moved))
    means = Means(sums["count"], sums["mean"], found.shift, found.square_sum)
    return Polished(model, means, max(within, 0.0))


def _sums(source: Readable, labelling: MappedCentres, found: KMeansModel, split: str) -> Algorithm[dict[str, AnyArray]]:
    grid = found.grid if isinstance(found.grid, Grid) else Grid.for_range(np.zeros(1), np.ones(1), 1)
    sums = LabelledSums(labelling, len(found.centres), grid)
    answer: dict[str, AnyArray] = (yield Scan({"sums": sums}, split=split))["sums"]
    return answer
