"""k-means for several numbers of clusters at once, scored in ways that may tell which of them to take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.nearest import nearest
from fmnist_dask.kernels.seeding import group_means, plane_bytes, principal_plane
from fmnist_dask.kernels.silhouette import distance_scale, silhouettes
from fmnist_dask.kernels.start_chains import chain_bytes, find_chains
from fmnist_dask.models.cluster_scores import Scores, scores_of
from fmnist_dask.models.clusters import means_of
from fmnist_dask.models.k_sweep_mixtures import SweptMixture, swept_mixtures
from fmnist_dask.models.kmeans import KMeansModel, converged
from fmnist_dask.models.kmeans_starts import SMALL_SUBSET, KMeansOptions, Seen, look
from fmnist_dask.models.mixture_starts import GaussianMixtureOptions
from fmnist_dask.models.silhouette import Silhouette, silhouette, summarized
from fmnist_dask.models.starts import Lane, drop_hopeless, drop_repeated
from fmnist_dask.passes.parameters import ArrayParameter, SetsParameter
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.clusters import ClusterSums, FarthestSamples
from fmnist_dask.passes.reductions.members import Assignment, NearestCentre
from fmnist_dask.passes.reductions.silhouettes import DistancesToClusters
from fmnist_dask.passes.reductions.spread import MemberDistances
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.passes.together import together
from fmnist_dask.typing import AnyArray, IntArray

#: Starts of each number of clusters that go through full passes, at most.
MOST_LANES = 3
#: Relative rise of the inertia that is rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class KSweepOptions:
    """What is asked of a sweep.

    Attributes
    ----------
    ks
        Numbers of clusters, ascending.
    n_init, max_iter, tol, seed
        As :class:`~fmnist_dask.models.kmeans.KMeansOptions` has them.
    silhouette
        ``none``, ``exact``, or how many random samples are measured against all.
    mixture
        Covariances of the mixtures that are fitted beside; ``none`` for no mixtures.
    reg_covar
        Added to variances of mixtures, in squared units of the features.
    """

    ks: tuple[int, ...]
    n_init: int = 10
    max_iter: int = 300
    tol: float = 1e-4
    seed: int = 0
    silhouette: str | int = "none"
    mixture: Literal["none", "full", "diag"] = "none"
    reg_covar: float = 1e-6

    def kmeans(self, k: int) -> KMeansOptions:
        """For one number of clusters."""
        return KMeansOptions(k, "k-means++", self.n_init, self.max_iter, self.tol, self.seed)


@dataclass
class Swept:
    """What was found for one number of clusters.

    Attributes
    ----------
    inertia
        About the centres of the model, of all samples.
    sums
        Of the clusters; see :class:`~fmnist_dask.passes.reductions.clusters.ClusterSums`.
    """

    model: KMeansModel
    inertia: float
    sums: dict[str, AnyArray]
    scores: Scores = field(default_factory=Scores)
    silhouette: Silhouette | None = None
    mixture: SweptMixture | None = None

    @property
    def sizes(self) -> IntArray:
        """Samples of each cluster."""
        return np.asarray(self.sums["count"])


@dataclass
class KSweep:
    """What a sweep has found.

    Attributes
    ----------
    found
        By number of clusters, ascending.
    passes
        Over the samples, of all numbers of clusters together.
    regrown
        Numbers of clusters that had to begin again from the centres of the one before.
    """

    found: dict[int, Swept]
    passes: int = 0
    regrown: list[int] = field(default_factory=list)


def k_sweep(source: Readable, n: int, options: KSweepOptions, split: str = "all") -> Algorithm[KSweep]:
    """Cluster the samples of a split into each of several numbers of clusters.

    Starts are looked for on one random subset, each number of clusters also from what was found for the one before.
    All of them go through the same passes: there are as many as the slowest takes, and a few. Inertia does not rise
    with the number of clusters; where it did, iterations begin again from the centres of the one before and the
    samples farthest from them.

    Raises
    ------
    UsageError
        More clusters than samples, features that are not finite.
    """
    algorithm, passes, answer = _sweep(source, n, options, split), 0, None
    while True:
        try:
            request = algorithm.send(answer)
        except StopIteration as end:
            sweep: KSweep = end.value
            sweep.passes = passes
            return sweep
        passes += isinstance(request, Scan)
        answer = yield request


def _sweep(source: Readable, n: int, options: KSweepOptions, split: str) -> Algorithm[KSweep]:
    check(n, options)
    data = yield from look(source, n, options.kmeans(max(options.ks)), split)
    lanes = yield from _starts(data, options)
    running = {called(k): converged(data, lanes[k], options.kmeans(k), split) for k in options.ks}
    models = yield from together(running, source)
    sampled: dict[str, Any] = {}
    if isinstance(options.silhouette, int):
        sampled["subset"] = RandomSubset(min(options.silhouette, n), n, options.seed)
    found, drawn = yield from _summed([models[called(k)] for k in options.ks], data, split, sampled)
    sweep = KSweep(dict(zip(options.ks, found, strict=True)))
    yield from _never_rising(sweep, data, options, split)
    yield from _measured(source, sweep, data, options, split, drawn.get("subset"))
    if options.mixture != "none":
        centres = {k: swept.model.centres for k, swept in sweep.found.items()}
        like = GaussianMixtureOptions(
            covariance_type=options.mixture, reg_covar=options.reg_covar, n_init=options.n_init, seed=options.seed
        )
        made = yield from swept_mixtures(source, data, centres, like, split)
        for k, mixture in made.items():
            sweep.found[k].mixture = mixture
    return sweep


def called(k: int) -> str:
    """What a number of clusters is called among requests."""
    return f"k = {k}"


def check(n: int, options: KSweepOptions) -> None:
    """Refuse what cannot be clustered."""
    ks = options.ks
    if not ks or list(ks) != sorted(set(ks)) or ks[0] < 1:
        raise UsageError(f"numbers of clusters are {ks}", "give whole numbers from 1 up, ascending")
    if ks[-1] > n:
        raise UsageError(f"{ks[-1]} clusters of {n} samples", "ask for fewer clusters, or give more images")


def _starts(data: Seen, options: KSweepOptions) -> Algorithm[dict[int, list[Lane]]]:
    """The best starts for each number of clusters, from chains on the subset."""
    assert data.subset is not None
    features = data.subset["features"]
    m, d = features.shape

    def nothing() -> list[Any]:
        return [(np.zeros((m, 2), dtype=np.float32), 1.0)]

    plane = Tasks("starts plane", (Call(principal_plane),), plane_bytes(m, d), expected=nothing, shared=features)
    points, unit = (yield plane)[0]
    size = options.n_init if features.nbytes <= SMALL_SUBSET else 1
    groups = [range(options.n_init)[at : at + size] for at in range(0, options.n_init, size)]
    calls = tuple(
        Call(find_chains, (options.ks, options.seed, list(group), "k-means++", True), len(group)) for group in groups
    )
    cost = chain_bytes(m, points.shape[1], options.ks, size)
    answers = yield Tasks("starts", calls, cost, unit="starts", shared=points)
    chains = [chain for answer in answers for chain in answer]
    lanes: dict[int, list[Lane]] = {}
    for at, k in enumerate(options.ks):
        every = []
        for number, chain in enumerate(chains):
            centres = group_means(features, None, chain[at]["labels"], k) - data.shift
            every.append(Lane(number, centres, start=chain[at]["inertia"] * unit**2))
        best = drop_hopeless(drop_repeated(every), every)
        lanes[k] = sorted(best, key=lambda lane: lane.rank)[:MOST_LANES]
    return lanes


def _summed(
    models: Sequence[KMeansModel], data: Seen, split: str, more: dict[str, Any]
) -> Algorithm[tuple[list[Swept], dict[str, Any]]]:
    """Sums and inertia of the clusters that centres make, in one pass; what ``more`` reductions give beside."""
    parameter = _parameter(models, data)
    found = yield Scan({"sums": ClusterSums(parameter, data.grid), **more}, split=split)
    swept = []
    for model, (low, high) in zip(models, itertools.pairwise(parameter.starts), strict=True):
        sums = {name: values[low:high] for name, values in found["sums"].items()}
        swept.append(Swept(model, model.inertia_of(sums), sums))
    return swept, found


def _parameter(models: Sequence[KMeansModel], data: Seen) -> SetsParameter:
    return SetsParameter.of([model.centres for model in models], data.shift)


def _never_rising(sweep: KSweep, data: Seen, options: KSweepOptions, split: str) -> Algorithm[None]:
    """Begin again, from what fewer clusters have found, where more of them came to a higher inertia."""
    for fewer, k in itertools.pairwise(options.ks):
        before = sweep.found[fewer]
        if sweep.found[k].inertia <= before.inertia * (1 + ROUNDING):
            continue
        farthest = FarthestSamples(_parameter([before.model], data), (k - fewer,))
        samples = (yield Scan({"farthest": farthest}, split=split))["farthest"][0]["features"]
        centres = np.concatenate([before.model.centres, samples.astype(np.float64)]) - data.shift
        model = yield from converged(data, [Lane(0, centres)], options.kmeans(k), split)
        (sweep.found[k],), _ = yield from _summed([model], data, split, {})
        sweep.regrown.append(k)


def _measured(
    source: Readable, sweep: KSweep, data: Seen, options: KSweepOptions, split: str, drawn: dict[str, AnyArray] | None
) -> Algorithm[None]:
    """Scores and silhouettes of all, in one pass."""
    every = list(sweep.found.values())
    parameter = _parameter([swept.model for swept in every], data)
    means = [means_of(swept.model, swept.sums) for swept in every]
    wanted: dict[str, Any] = {
        f"distances {at}": MemberDistances.of(
            NearestCentre(parameter, at), own.mean, own.shift, data.n, float(data.square_sum)
        )
        for at, own in enumerate(means)
    }
    shift = None if data.grid is None else data.grid.shift
    scale = distance_scale(float(np.sqrt(np.square(data.high - data.low).sum())), data.n)
    if drawn is not None:
        wanted["silhouettes"] = DistancesToClusters(parameter, ArrayParameter(drawn["features"]), scale, shift)
    columns = {}
    if options.silhouette == "exact":
        columns = {called(k): Assignment(_parameter([swept.model], data)) for k, swept in sweep.found.items()}
    found = yield Scan(wanted, columns, split=split)
    for at, (swept, own) in enumerate(zip(every, means, strict=True)):
        swept.scores = scores_of(own, found[f"distances {at}"])
    if drawn is not None:
        labels = nearest(drawn["features"], parameter.sets)
        for at, (swept, (low, high)) in enumerate(zip(every, itertools.pairwise(parameter.starts), strict=True)):
            if high - low > 1:
                fits = silhouettes(found["silhouettes"][:, low:high], labels[:, at], swept.sizes)
                swept.silhouette = summarized(drawn["row"], fits, labels[:, at], high - low, data.n)
    elif columns:
        exact = {
            called(k): silhouette(source, np.asarray(found[called(k)]["labels"][:]), k, split)
            for k in options.ks
            if k > 1
        }
        for name, fit in (yield from together(exact, source)).items():
            sweep.found[int(name.rpartition(" ")[2])].silhouette = fit


def elbow(ks: Sequence[int], inertia: Sequence[float]) -> int | None:
    """The number of clusters whose inertia is farthest below the line from the first to the last one.

    After Satopää, Albrecht, Irwin and Raghavan, "Finding a 'kneedle' in a haystack", 2011, for a curve that falls and
    is not smoothed. ``None`` where there are fewer than three, or the curve nowhere lies below the line.
    """
    if len(ks) < 3 or not inertia[0] > inertia[-1]:
        return None
    across = (np.asarray(ks, dtype=np.float64) - ks[0]) / (ks[-1] - ks[0])
    down = (np.asarray(inertia, dtype=np.float64) - inertia[-1]) / (inertia[0] - inertia[-1])
    below = 1 - across - down
    at = int(np.argmax(below))
    return int(ks[at]) if below[at] > ROUNDING and math.isfinite(below[at]) else None
