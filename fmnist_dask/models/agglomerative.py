"""Hierarchies of any number of samples: many small clusters by k-means, then Ward's method on these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.ward import cut, ward_bytes, weighted_ward
from fmnist_dask.models.grids import grid_of
from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.parameters import ArrayParameter, SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.clusters import ClusterSums
from fmnist_dask.passes.reductions.members import GroupedCentres
from fmnist_dask.passes.reductions.moments import FeatureRange
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.typing import FloatArray, IntArray

#: Iterations of the k-means that makes small clusters: where exactly their borders are matters little.
MICRO_ITERATIONS = 20


@dataclass(frozen=True)
class AgglomerativeOptions:
    """What is asked of a hierarchy.

    Attributes
    ----------
    micro_clusters
        Small clusters at the bottom of the hierarchy. Up to so many samples stand for themselves.
    seed
        Of the k-means.
    """

    micro_clusters: int = 1024
    seed: int = 0


@dataclass
class AgglomerativeModel:
    """A hierarchy. Units are those of the features.

    Attributes
    ----------
    centres : float64 array, shape (m, d)
        Of the small clusters.
    sizes : int64 array, shape (m,)
        Their samples.
    linkage : float64 array, shape (m − 1, 4)
        See :func:`~fmnist_dask.kernels.ward.weighted_ward`.
    shift : float64 array, shape (d,)
        Features are moved by this before products are made.
    n
        Samples.
    diameter
        No two samples are farther apart.
    exact
        Whether samples stand for themselves: the hierarchy is Ward's of all of them.
    """

    centres: FloatArray
    sizes: IntArray
    linkage: FloatArray
    shift: FloatArray
    n: int
    diameter: float
    exact: bool

    def groups(self, n_clusters: int) -> IntArray:
        """Cluster of each small cluster where there are ``n_clusters``."""
        return cut(self.linkage, n_clusters)

    def labelling(self, n_clusters: int) -> GroupedCentres:
        """Whose each sample is where there are ``n_clusters``."""
        groups = ArrayParameter(self.groups(n_clusters).astype(np.int32))
        return GroupedCentres(SetsParameter.of([self.centres], self.shift), groups)

    def means(self, n_clusters: int) -> FloatArray:
        """Means of the clusters where there are ``n_clusters``, shape (n_clusters, d)."""
        groups = self.groups(n_clusters)
        total = np.zeros((int(groups.max(initial=0)) + 1, self.centres.shape[1]))
        np.add.at(total, groups, self.sizes[:, None] * self.centres)
        found: FloatArray = total / np.bincount(groups, self.sizes)[:, None]
        return found


def agglomerative(
    source: Readable, n: int, options: AgglomerativeOptions, split: str = "all"
) -> Algorithm[AgglomerativeModel]:
    """Ward's hierarchy of the samples of a split.

    More samples than ``micro_clusters`` are gathered in that many small clusters first, whose means count by their
    sizes: what the hierarchy looks like above these is hardly touched by it.

    Raises
    ------
    UsageError
        Features that are not finite.
    """
    exact = n <= options.micro_clusters
    found: dict[str, Any] = {}
    if source.feature_dtype != "uint8" or exact:
        wanted: dict[str, Any] = {} if source.feature_dtype == "uint8" else {"range": FeatureRange()}
        wanted |= {"subset": RandomSubset(n, n, options.seed)} if exact else {}
        found = yield Scan(wanted, split=split)
    shift = _shift(source, found)
    if exact:
        centres, sizes = found["subset"]["features"].astype(np.float64), np.ones(n, dtype=np.int64)
    else:
        micro = KMeansOptions(options.micro_clusters, "k-means++", 1, MICRO_ITERATIONS, seed=options.seed, swaps=False)
        model = yield from kmeans(source, n, micro, split)
        sums = (yield Scan({"sums": ClusterSums(model.parameter, model.grid)}, split=split))["sums"]
        held = sums["count"] > 0
        sizes = sums["count"][held]
        centres = sums["sum"][held] / sizes[:, None] + model.shift
    linkage = yield from _hierarchy(centres, sizes)
    return AgglomerativeModel(centres, sizes, linkage, shift, n, _diameter(source, found), exact)


def _shift(source: Readable, found: dict[str, Any]) -> FloatArray:
    if "range" not in found:
        return np.zeros(source.n_features)
    return np.asarray(grid_of(found["range"]).shift.values, dtype=np.float64)


def _diameter(source: Readable, found: dict[str, Any]) -> float:
    if "range" not in found:
        return float(255.0 * np.sqrt(source.n_features))
    return float(np.sqrt(np.square(found["range"]["high"] - found["range"]["low"]).sum()))


def _hierarchy(centres: FloatArray, sizes: IntArray) -> Algorithm[FloatArray]:
    m = len(centres)

    def nothing() -> list[Any]:
        return [np.column_stack([np.zeros(m - 1), np.arange(1, m), np.zeros(m - 1), np.ones(m - 1)])]

    calls = (Call(ward_of),)
    shared = (centres, sizes.astype(np.float64))
    found: FloatArray = (yield Tasks("hierarchy", calls, ward_bytes(m), expected=nothing, shared=shared))[0]
    return found


def ward_of(shared: tuple[FloatArray, FloatArray]) -> FloatArray:
    """The hierarchy of points and their weights."""
    return weighted_ward(*shared)
