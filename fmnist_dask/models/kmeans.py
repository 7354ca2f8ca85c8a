"""k-means: many starts on a subset, the best of them carried to convergence over all samples."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.nearest import CentreSets
from fmnist_dask.models.kmeans_starts import KMeansOptions, Seen, look, starts_of
from fmnist_dask.models.starts import Lane, drop_hopeless, drop_repeated, relocated
from fmnist_dask.passes.parameters import Grid, SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.clusters import ClusterSums, FarthestSamples
from fmnist_dask.typing import AnyArray, FloatArray


@dataclass
class KMeansModel:
    """Centres and how they were found. Units are those of the features.

    Attributes
    ----------
    centres : float64 array, shape (k, d)
    n_iter
        Passes of Lloyd's iterations that led to the centres.
    shift, grid
        How the features were read; see :class:`~fmnist_dask.passes.parameters.Grid`.
    square_sum
        Weighted sum of all squared lengths, about the shift; weights count in the grid's unit.
    n
        Samples.
    history : list of lists
        Inertia of each start that went through full passes, pass by pass.
    start_inertia : float64 array, shape (n_init,)
        Of each start on the subset, in the plane where it was found.
    subset
        Samples that starts were looked for among; 0 where none were.
    distinct
        False if there are known to be fewer distinct samples than clusters.
    variance
        Mean variance of the features.
    """

    centres: FloatArray
    n_iter: int
    shift: FloatArray
    grid: Grid | None
    square_sum: float
    n: int
    history: list[list[float]] = field(default_factory=list)
    start_inertia: FloatArray = field(default_factory=lambda: np.zeros(0))
    subset: int = 0
    distinct: bool = True
    variance: float = 0.0

    @property
    def parameter(self) -> SetsParameter:
        """The centres as reductions take them."""
        return SetsParameter.of([self.centres], self.shift)

    def inertia_of(self, sums: dict[str, AnyArray]) -> float:
        """Sum of squared distances about the centres, from the sums of the clusters that they make."""
        measure = pixel_inertia_about if self.grid is None else inertia_about
        return measure(CentreSets.of([self.centres], self.shift).centres, sums, self.square_sum)


def inertia_about(centres: FloatArray, sums: dict[str, AnyArray], square_sum: float) -> float:
    """Sum of squared distances of all samples to the centres of their clusters.

    ``Σ‖x‖² − Σ‖S‖²/w + Σ w‖c − S/w‖²`` over clusters of weight w and sum S: exact sums go in, and nothing is summed
    sample by sample in floating point.

    Parameters
    ----------
    centres : float64 array, shape (k, d)
        About the same shift as the sums.
    sums
        ``weight`` (k,) and ``sum`` (k, d).
    square_sum
        Weighted sum of all squared lengths.
    """
    weight, total = sums["weight"], sums["sum"]
    held = weight > 0
    means = total[held] / weight[held, None]
    moved = centres[held] - means
    within = square_sum - float(np.einsum("k,kd,kd->", weight[held], means, means))
    return max(within, 0.0) + float(np.einsum("k,kd,kd->", weight[held], moved, moved))


def pixel_inertia_about(centres: FloatArray, sums: dict[str, AnyArray], square_sum: float) -> float:
    """The same from integers: nothing is lost where clusters are tight and far from the origin.

    Only remainders of divisions, each below 1, and what the centres are beside the means, are floats.
    """
    weight, total = sums["weight"], sums["sum"]
    held = weight > 0
    lengths = (total[held].astype(np.int64).astype(object) ** 2).sum(axis=1)
    counts = [int(count) for count in weight[held]]
    parts = [divmod(int(length), count) for length, count in zip(lengths, counts, strict=True)]
    whole = int(square_sum) - sum(quotient for quotient, _ in parts)
    rest = math.fsum(remainder / count for (_, remainder), count in zip(parts, counts, strict=True))
    moved = centres[held] - total[held] / weight[held, None]
    return max(whole - rest, 0.0) + float(np.einsum("k,kd,kd->", weight[held], moved, moved))


def kmeans(source: Readable, n: int, options: KMeansOptions, split: str = "all") -> Algorithm[KMeansModel]:
    """Cluster the samples of a split.

    Starts are looked for on a random subset, along the directions of its largest variation: seeds of k-means++,
    Lloyd's iterations, swaps of single centres. Starts that found the same clusters, and those clearly worse, are
    dropped; the others share exact passes over all samples until the best has converged.

    Parameters
    ----------
    n
        Samples of the split.

    Raises
    ------
    UsageError
        Fewer samples than clusters, features that are not finite, weights that are negative or all zero.
    """
    _check(n, source, options)
    data = yield from look(source, n, options, split)
    lanes, start_inertia, distinct = yield from starts_of(source, data, options, split)
    model = yield from converged(data, lanes, options, split)
    model.start_inertia, model.distinct = start_inertia, distinct
    return model


def converged(data: Seen, lanes: list[Lane], options: KMeansOptions, split: str) -> Algorithm[KMeansModel]:
    """Take starts through passes over all samples until the best of them has converged.

    Parameters
    ----------
    lanes
        The starts.
    """
    running, finished = lanes, list[Lane]()
    for _ in range(options.max_iter):
        yield from _iterate(data, running, options, split)
        finished += [lane for lane in running if lane.settled]
        running = [lane for lane in running if not lane.settled]
        running = drop_hopeless(drop_repeated(running), [*running, *finished])
        if not running:
            break
    best = min(finished + running, key=lambda lane: lane.rank)
    return KMeansModel(
        centres=best.centres + data.shift,
        n_iter=len(best.history),
        shift=data.shift,
        grid=data.grid,
        square_sum=data.square_sum,
        n=data.n,
        history=[lane.history for lane in lanes],
        subset=0 if data.subset is None else len(data.subset["row"]),
        variance=data.variance,
    )


def _check(n: int, source: Readable, options: KMeansOptions) -> None:
    if options.n_clusters < 1:
        raise UsageError(f"n_clusters is {options.n_clusters}", "ask for 1 cluster or more")
    if n < options.n_clusters:
        raise UsageError(
            f"n_samples={n} should be >= n_clusters={options.n_clusters}", "ask for fewer clusters, or give more images"
        )
    if not isinstance(options.init, str):
        shape = np.shape(options.init)
        if shape != (options.n_clusters, source.n_features):
            raise UsageError(
                f"init has shape {shape}; {options.n_clusters} clusters of {source.n_features} features need "
                f"{(options.n_clusters, source.n_features)}"
            )


def _iterate(data: Seen, lanes: list[Lane], options: KMeansOptions, split: str) -> Algorithm[None]:
    """One of Lloyd's iterations of all starts, in one pass; a second one where a cluster is empty."""
    parameter = SetsParameter.of([lane.centres for lane in lanes], data.shift, about_shift=True)
    best = min((lane.history[-1] for lane in lanes if lane.history), default=None)
    known = {} if best is None else {"inertia": best * data.known_unit}
    sums = (yield Scan({"sums": ClusterSums(parameter, data.grid)}, split=split, known=known))["sums"]
    parts = [
        {name: values[low:high] for name, values in sums.items()} for low, high in itertools.pairwise(parameter.starts)
    ]
    empty = tuple(int((part["weight"] <= 0).sum()) for part in parts)
    farthest: list[dict[str, AnyArray]] = [{} for _ in lanes]
    if any(empty):
        reduction = FarthestSamples(parameter, empty, options.weighted)
        farthest = (yield Scan({"farthest": reduction}, split=split))["farthest"]
        unit = 1.0 if data.grid is None else data.grid.weight_unit
        farthest = [{**far, "weight": far["weight"] / unit} if far else far for far in farthest]
    for lane, part, far in zip(lanes, parts, farthest, strict=True):
        old = lane.centres
        lane.history.append(inertia_about(old, part, data.square_sum))
        new = relocated(old, part, far, data.shift)
        moved = float(((new - old) ** 2).sum())
        lane.centres = new
        lane.settled = moved <= options.tol * data.variance
