"""Where a k-means begins: what the first passes tell of the samples, and starts among them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_dask.kernels.seeding import find_starts, group_means, plane_bytes, principal_plane, search_bytes
from fmnist_dask.models.grids import grid_of
from fmnist_dask.models.starts import Lane, drop_hopeless, drop_repeated, most_lanes
from fmnist_dask.passes.parameters import Grid, SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.clusters import ClusterSums, Race
from fmnist_dask.passes.reductions.moments import FeatureRange, Moments
from fmnist_dask.passes.reductions.subset import RandomSubset, subset_rows
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import AnyArray, FloatArray

Init = Literal["k-means++", "k-means||", "random"]
#: Samples of the subset for each cluster, and for each of very many.
SUBSET_PER_CLUSTER = 64
LEAST_PER_CLUSTER = 16
#: Samples of the subset that are enough unless there are very many clusters.
LARGE_SUBSET = 2**15
#: Bytes of a subset beyond which the least has to do: photographs are large.
MOST_SUBSET_BYTES = 2**25
#: Bytes of a subset on which all starts take less time than a call of their own would.
SMALL_SUBSET = 2**16
#: Rounds of k-means||, and candidates drawn in each for each cluster (Bahmani et al. 2012).
RACE_ROUNDS = 5
RACE_FACTOR = 2


@dataclass(frozen=True)
class KMeansOptions:
    """What scikit-learn's KMeans calls the same.

    Attributes
    ----------
    n_clusters
        Clusters.
    init
        ``k-means++`` and ``random`` look for starts on a subset, ``k-means||`` draws candidates from all samples in a
        few passes; an array of shape (k, d) is the one start.
    n_init
        Starts.
    max_iter
        Passes of Lloyd's iterations over all samples, at most.
    tol
        Iterations end when the squared shift of all centres is below this share of the features' mean variance.
    seed
        Of the subset and the starts.
    weighted
        Whether samples have weights, in the array ``sample_weight``.
    swaps
        Move single centres while looking for starts.
    per_cluster
        Samples of the subset for each cluster, at most.
    limits
        Between which all features are known to lie, which are finite and have no weights: saves a pass.
    """

    n_clusters: int = 8
    init: Init | FloatArray = "k-means++"
    n_init: int = 10
    max_iter: int = 300
    tol: float = 1e-4
    seed: int = 0
    weighted: bool = False
    swaps: bool = True
    per_cluster: int = SUBSET_PER_CLUSTER
    limits: tuple[FloatArray, FloatArray] | None = None


@dataclass
class Seen:
    """What the first passes tell of the samples.

    Attributes
    ----------
    grid, shift
        How features are read; see :class:`~fmnist_dask.passes.parameters.Grid`.
    low, high : float64 arrays, shape (d,)
        Range of the features.
    subset
        Random samples; ``None`` where no starts are looked for.
    square_sum, variance
        As :class:`~fmnist_dask.models.kmeans.KMeansModel` has them.
    """

    n: int
    grid: Grid | None
    shift: FloatArray
    low: FloatArray
    high: FloatArray
    subset: dict[str, AnyArray] | None
    square_sum: float = 0.0
    variance: float = 0.0

    @property
    def known_unit(self) -> float:
        """What inertia is multiplied by for people who watch: of pixels, they see brightness from 0 to 1."""
        return 1 / 255**2 if self.grid is None else 1.0

    def take(self, moments: dict[str, Any]) -> None:
        """Sum of squares and mean variance, from the moments about the shift."""
        weight = moments["weight"]
        mean = moments["sum"] / weight
        squares = moments["square"]
        self.square_sum = sum(map(int, squares)) if self.grid is None else float(squares.sum())
        self.variance = float(np.mean(np.maximum(moments["square"] / weight - mean * mean, 0)))


def lanes_of(options: KMeansOptions, d: int) -> int:
    """Starts that may go through a full pass together."""
    if not isinstance(options.init, str):
        return 1
    return options.n_init if options.init == "k-means||" else min(options.n_init, most_lanes(options.n_clusters, d))


def subset_size(source: Readable, n: int, options: KMeansOptions) -> int:
    """Samples among which starts are looked for."""
    k = options.n_clusters
    least = min(options.per_cluster * k, max(LARGE_SUBSET, LEAST_PER_CLUSTER * k))
    if least * row_bytes(source) > MOST_SUBSET_BYTES:
        least = min(least, LEAST_PER_CLUSTER * k)
    return min(n, subset_rows(source, n, least))


def look(source: Readable, n: int, options: KMeansOptions, split: str) -> Algorithm[Seen]:
    """Subset, range and moments of the samples."""
    count = subset_size(source, n, options)
    wanted: dict[str, Any] = {}
    if isinstance(options.init, str):
        wanted["subset"] = RandomSubset(count, n, options.seed, options.weighted)
    if source.feature_dtype == "uint8" and not options.weighted:
        found = yield Scan({**wanted, "moments": Moments()}, split=split)
        d = source.n_features
        data = Seen(n, None, np.zeros(d), np.zeros(d), np.full(d, 255.0), found.get("subset"))
        data.take(found["moments"])
        return data
    if options.limits is not None:
        low, high = options.limits
        grid = Grid.for_range(low, high, n)
        found = yield Scan({**wanted, "moments": Moments(grid)}, split=split)
        data = Seen(n, grid, grid.shift.values, low, high, found.get("subset"))
        data.take(found["moments"])
        return data
    found = yield Scan({**wanted, "range": FeatureRange(options.weighted)}, split=split)
    grid = grid_of(found["range"], options.weighted)
    low, high = (np.asarray(found["range"][name], dtype=np.float64) for name in ("low", "high"))
    data = Seen(n, grid, grid.shift.values, low, high, found.get("subset"))
    data.take((yield Scan({"moments": Moments(grid)}, split=split))["moments"])
    return data


def starts_of(
    source: Readable, data: Seen, options: KMeansOptions, split: str
) -> Algorithm[tuple[list[Lane], FloatArray, bool]]:
    """Starts that are worth full passes, the inertia of all on the subset, and whether there are samples enough.

    The last is false where there are known to be fewer distinct samples than clusters.
    """
    if not isinstance(options.init, str):
        return [Lane(0, np.array(options.init, dtype=np.float64) - data.shift)], np.zeros(0), True
    assert data.subset is not None
    if options.init == "k-means||":
        candidates, weights = yield from _race(source, data, options, split)
    else:
        candidates, weights = [data.subset["features"]], [data.subset.get("weight")]
    lanes, inertia = [], []
    for position, (features, mass) in enumerate(zip(candidates, weights, strict=True)):
        numbers = [position] if options.init == "k-means||" else list(range(options.n_init))
        for number, labels, start_inertia in (yield from _search(features, mass, numbers, options)):
            centres = group_means(features, mass, labels, options.n_clusters) - data.shift
            lanes.append(Lane(number, centres, start=start_inertia))
            inertia.append(start_inertia)
    distinct = len(np.unique(candidates[0], axis=0)) >= options.n_clusters if data.n <= len(candidates[0]) else True
    if options.init == "k-means||":  # inertia among different candidates cannot be compared
        return lanes, np.array(inertia), distinct
    return drop_hopeless(drop_repeated(lanes), lanes), np.array(inertia), distinct


def _search(
    features: AnyArray, mass: AnyArray | None, numbers: Sequence[int], options: KMeansOptions
) -> Algorithm[list[tuple[int, AnyArray, float]]]:
    """Starts on a subset: (number, labels, inertia) each."""

    def nothing() -> list[Any]:
        return [(np.zeros((len(features), 2), dtype=np.float32), 1.0)]

    cost = plane_bytes(len(features), features.shape[1])
    plane = Tasks("starts plane", (Call(principal_plane),), cost, expected=nothing, shared=features)
    points, unit = (yield plane)[0]
    size = len(numbers) if features.nbytes <= SMALL_SUBSET else 1
    groups = [list(numbers[at : at + size]) for at in range(0, len(numbers), size)]
    calls = tuple(
        Call(find_starts, (mass, options.n_clusters, options.seed, group, str(options.init), options.swaps), len(group))
        for group in groups
    )
    cost = search_bytes(len(points), points.shape[1], options.n_clusters)
    answers = yield Tasks("starts", calls, cost, unit="starts", shared=points)
    found = []
    for group, starts in zip(groups, answers, strict=True):
        pairs = zip(group, starts, strict=True)
        found += [(number, start["labels"], start["inertia"] * unit**2) for number, start in pairs]
    return found


def find_centres(features: AnyArray, mass: AnyArray | None, options: KMeansOptions) -> Algorithm[FloatArray]:
    """Centres of the best of some starts among samples in memory, shape (k, d)."""
    starts = yield from _search(features, mass, list(range(options.n_init)), options)
    _, labels, _ = min(starts, key=lambda start: (start[2], start[0]))
    return group_means(features, mass, labels, options.n_clusters)


def _race(
    source: Readable, data: Seen, options: KMeansOptions, split: str
) -> Algorithm[tuple[list[AnyArray], list[AnyArray | None]]]:
    """Candidates of k-means|| and the weight of the samples nearest to each, for each start."""
    assert data.subset is not None
    generator = np.random.default_rng([options.seed, 0x6B6D])
    first = generator.integers(0, len(data.subset["row"]), options.n_init)
    sets = [data.subset["features"][row][None].astype(np.float64) for row in first]
    for number in range(RACE_ROUNDS):
        race = Race(
            SetsParameter.of(sets, data.shift),
            RACE_FACTOR * options.n_clusters,
            options.seed,
            number,
            options.weighted,
        )
        drawn = (yield Scan({"race": race}, split=split))["race"]
        sets = [
            np.concatenate([own, found["features"].astype(np.float64)]) if len(found.get("row", ())) else own
            for own, found in zip(sets, drawn, strict=True)
        ]
    parameter = SetsParameter.of(sets, data.shift)
    sums = (yield Scan({"sums": ClusterSums(parameter, data.grid)}, split=split))["sums"]
    edges = parameter.starts
    weights: list[AnyArray | None] = [sums["weight"][low:high] for low, high in itertools.pairwise(edges)]
    return [np.asarray(own) for own in sets], weights
