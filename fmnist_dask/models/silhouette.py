"""Silhouettes of clusters: of all samples, or of a random part of them against all."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.kernels.silhouette import Panel, distance_scale, distance_sums, inner_sums, silhouettes
from fmnist_dask.passes.protocol import Algorithm, Call, ColumnArray, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.moments import FeatureRange
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Calls that the pairs of chunks are cut into, at least.
LEAST_CALLS = 16
#: Sums that all samples may take in the driver, in bytes; beyond, a part of them is measured.
MOST_SUMS = 2**30
#: Of the normal distribution, for intervals that hold in 95 of 100 cases.
QUANTILE = 1.959964


@dataclass(frozen=True)
class Silhouette:
    """How well samples fit their clusters, from −1 to 1.

    Attributes
    ----------
    mean
        Of all samples; of a random part, the estimate.
    interval
        Half the width of its 95 % confidence interval; 0 where all samples were measured.
    rows : int64 array, shape (m,)
        The samples that were measured.
    labels : int array, shape (m,)
        Their clusters.
    values : float64 array, shape (m,)
        Their silhouettes.
    of_cluster : float64 array, shape (k,)
        Means; NaN for clusters of which no sample was measured.
    """

    mean: float
    interval: float
    rows: IntArray
    labels: IntArray
    values: FloatArray
    of_cluster: FloatArray


@dataclass(frozen=True)
class _Shared:
    """What all calls work with."""

    source: Readable
    labels: ColumnArray
    k: int
    scale: float
    shift: FloatArray | None = None
    sample: AnyArray | None = None
    sample_labels: IntArray | None = None

    def chunk(self, number: int) -> tuple[IntArray, Panel]:
        """Rows of a chunk that belong to clusters, and the samples."""
        start = number * self.source.chunk_rows
        stop = min(start + self.source.chunk_rows, self.source.n)
        labels = self.labels[start:stop]
        held = np.flatnonzero(labels >= 0)
        features = self.source.block(start, stop).features
        chosen = features if len(held) == len(features) else features[held]
        return held + start, Panel.of(chosen, labels[held], self.shift)


def silhouette(
    source: Readable, labels: ColumnArray, k: int, split: str = "all", sample: int | None = None, seed: int = 0
) -> Algorithm[Silhouette]:
    """Silhouettes by Euclidean distance (Rousseeuw 1987).

    Each pair of samples is looked at once, in blocks of two chunks; sums of distances by cluster are kept, n × k
    numbers, never the distances. They are sums of whole numbers, and so the same for any chunking.

    Parameters
    ----------
    labels : integers, shape (n,)
        Cluster of each sample; −1 for those that belong to none (of another split). An array, or a column on disk, of
        which a chunk is read at a time where a part of the samples is measured.
    k
        Clusters.
    sample
        Measure so many samples, drawn at random, against all others; by default all.

    Raises
    ------
    MemoryLimitError
        Sums of all samples do not fit; a part would.
    """
    sizes = sum((_sizes(labels[rows], k) for rows in _chunks(source)), np.zeros(k, np.int64))
    n = int(sizes.sum())
    scale, shift = yield from _scale(source, n, split)
    shared = _Shared(source, labels, k, scale, shift)
    if sample is not None and sample < n:
        return (yield from _sampled(shared, n, sizes, split, sample, seed))
    if 8 * source.n * k > MOST_SUMS:
        raise MemoryLimitError(
            f"silhouettes of all {n:,} samples need {8 * source.n * k / 2**30:.1f} GiB of the driver for {k} clusters",
            "measure a random part of them (silhouette: sampled)",
        )
    whole = np.asarray(labels[:])
    sums = yield from _sums(replace(shared, labels=whole))
    rows = np.flatnonzero(whole >= 0)
    return summarized(rows, silhouettes(sums[rows] / scale, whole[rows], sizes), whole[rows], k, n)


def _chunks(source: Readable) -> list[slice]:
    """Rows of each chunk."""
    size = source.chunk_rows
    return [slice(start, min(start + size, source.n)) for start in range(0, source.n, size)]


def _sizes(labels: IntArray, k: int) -> IntArray:
    """Members of each cluster."""
    return np.bincount(labels[labels >= 0], minlength=k)


def _labels_of(labels: ColumnArray, rows: IntArray, source: Readable) -> IntArray:
    """Labels of some rows, ascending; others are not held."""
    edges = np.searchsorted(rows, [chunk.stop for chunk in _chunks(source)])
    parts = zip(_chunks(source), np.split(rows, edges[:-1]), strict=True)
    return np.concatenate([np.asarray(labels[chunk])[part - chunk.start] for chunk, part in parts if len(part)])


def _scale(source: Readable, n: int, split: str) -> Algorithm[tuple[float, FloatArray | None]]:
    if source.feature_dtype == "uint8":
        return distance_scale(255.0 * math.sqrt(source.n_features), n), None
    seen = (yield Scan({"range": FeatureRange()}, split=split))["range"]
    low, high = (np.asarray(seen[name], dtype=np.float64) for name in ("low", "high"))
    return distance_scale(float(np.sqrt(np.square(high - low).sum())), n), (low + high) / 2


def _sums(shared: _Shared) -> Algorithm[FloatArray]:
    """Sums of the distances of all samples to the members of each cluster, in units of 1 / scale."""
    source = shared.source
    chunks = -(-source.n // source.chunk_rows)
    pairs = [(left, right) for left in range(chunks) for right in range(left, chunks)]
    parts = max(1, -(-LEAST_CALLS // len(pairs)))
    weights = [source.chunk_rows**2 // parts // (2 if left == right else 1) for left, right in pairs]
    calls = tuple(
        Call(pair_sums, (left, right, part, parts), max(1, weight // 10**6))
        for (left, right), weight in zip(pairs, weights, strict=True)
        for part in range(parts)
    )
    answers = yield Tasks(
        "silhouette", calls, pair_bytes(source, shared.k), unit="million pairs", shared=shared, expected=lambda: []
    )
    sums = np.zeros((source.n, shared.k))
    for answer in answers:
        for rows, found in answer:
            sums[rows] += found
    return sums


def pair_bytes(source: Readable, k: int) -> int:
    """Memory of one call: two chunks as they are and as floats, and their sums."""
    wide = 4 if source.feature_dtype == "uint8" else 8
    return 2 * source.chunk_rows * (2 * row_bytes(source) + 2 * wide * source.n_features + 24 * k + 40) + 2**23


def pair_sums(shared: _Shared, left: int, right: int, part: int, parts: int) -> list[tuple[IntArray, FloatArray]]:
    """Rows and sums of the samples of two chunks, or of one with itself; of a part of the first one's rows."""
    rows, panel = shared.chunk(left)
    edges = np.linspace(0, len(panel), parts + 1).astype(int)
    here = panel.part(edges[part], edges[part + 1])
    here_rows = rows[here.order]
    mine = Panel(here.values, here.squares, here.labels, np.arange(len(here)))
    if left != right:
        other_rows, other = shared.chunk(right)
        of_mine, of_other = distance_sums(mine, other, shared.k, shared.scale)
        return [(here_rows, of_mine), (other_rows, of_other)]
    found = [(here_rows, inner_sums(mine, shared.k, shared.scale))]
    rest = panel.part(edges[part + 1], len(panel))
    if len(rest):
        later = Panel(rest.values, rest.squares, rest.labels, np.arange(len(rest)))
        of_mine, of_later = distance_sums(mine, later, shared.k, shared.scale)
        found += [(here_rows, of_mine), (rows[rest.order], of_later)]
    return found


def _sampled(shared: _Shared, n: int, sizes: IntArray, split: str, sample: int, seed: int) -> Algorithm[Silhouette]:
    source = shared.source
    drawn = (yield Scan({"subset": RandomSubset(sample, n, seed)}, split=split))["subset"]
    rows = np.asarray(drawn["row"])
    own = _labels_of(shared.labels, rows, source)
    rows, features, own = rows[own >= 0], drawn["features"][own >= 0], own[own >= 0]
    together = replace(shared, sample=features, sample_labels=own)
    chunks = -(-source.n // source.chunk_rows)
    calls = tuple(Call(sample_sums, (number,), source.chunk_rows) for number in range(chunks))
    cost = pair_bytes(source, shared.k) // 2 + 16 * len(rows) * (source.n_features + shared.k)
    answers = yield Tasks("silhouette", calls, cost, unit="images", shared=together, expected=lambda: [])
    sums = np.zeros((len(rows), shared.k))
    for found in answers:
        sums += found
    return summarized(rows, silhouettes(sums / shared.scale, own, sizes), own, shared.k, n)


def sample_sums(shared: _Shared, number: int) -> FloatArray:
    """Sums of the distances of the sample to the samples of a chunk."""
    assert shared.sample is not None
    assert shared.sample_labels is not None
    panel = Panel.of(shared.sample, shared.sample_labels, shared.shift)
    _, other = shared.chunk(number)
    return distance_sums(panel, other, shared.k, shared.scale)[0]


def summarized(rows: IntArray, values: FloatArray, labels: IntArray, k: int, n: int) -> Silhouette:
    """What silhouettes of ``n`` samples, or of some of them at random, come to."""
    measured: BoolArray = np.bincount(labels, minlength=k) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        of_cluster = np.bincount(labels, values, minlength=k) / np.bincount(labels, minlength=k)
    of_cluster[~measured] = np.nan
    m = len(values)
    interval = 0.0
    if 1 < m < n:
        # Without replacement: as the part grows to the whole, nothing is left to chance.
        interval = QUANTILE * float(values.std(ddof=1)) * math.sqrt((1 - m / n) / m)
    return Silhouette(float(values.mean()) if m else math.nan, interval, rows, labels, values, of_cluster)
