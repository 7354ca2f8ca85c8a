"""k-means by mini-batches: centres that every batch moves a little (Sculley 2010), as scikit-learn weighs them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.nearest import CentreSets, nearest, panel_rows, squared_distances
from fmnist_dask.models.grids import grid_of
from fmnist_dask.models.kmeans_starts import Init, KMeansOptions, find_centres
from fmnist_dask.passes.protocol import Algorithm, Readable, Scan
from fmnist_dask.passes.reductions.moments import FeatureRange
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.passes.sizing import row_bytes
from fmnist_dask.typing import AnyArray, FloatArray

#: Bytes of the batches that one pass gathers.
GATHERED_BYTES = 2**25
#: Samples for each cluster among which starts are looked for, by default, as in scikit-learn; and batches.
INIT_FACTOR = 3
#: Clusters that are so much smaller than the largest are looked at again after so many samples for each cluster.
REASSIGN_EVERY = 10
#: What a batch adds to the smoothed inertia, at least: of very many samples each would hardly count, and nothing end.
LEAST_SMOOTHING = 0.01
#: Of a batch, at most so much becomes new centres.
MOST_REASSIGNED = 0.5


@dataclass(frozen=True)
class MiniBatchOptions:
    """What scikit-learn's MiniBatchKMeans calls the same.

    Attributes
    ----------
    n_clusters, init, n_init, seed, weighted
        As in :class:`~fmnist_dask.models.kmeans.KMeansOptions`.
    max_iter
        Times that as many samples as there are are drawn, at most.
    batch_size
        Samples of a batch.
    tol
        Iterations end when centres move less than this share of the features' mean variance; 0 for no such end.
    max_no_improvement
        Batches without improvement of the smoothed inertia after which iterations end; ``None`` for no such end.
    init_size
        Samples among which starts are looked for; ``None`` for three batches, or three for each cluster.
    reassignment_ratio
        Centres with less than this share of the largest one's samples are moved to random samples now and then.
    """

    n_clusters: int = 8
    init: Init | FloatArray = "k-means++"
    n_init: int = 3
    max_iter: int = 100
    batch_size: int = 1024
    tol: float = 0.0
    max_no_improvement: int | None = 10
    init_size: int | None = None
    reassignment_ratio: float = 0.01
    seed: int = 0
    weighted: bool = False


@dataclass
class MiniBatches:
    """Centres on their way.

    Attributes
    ----------
    centres : float64 array, shape (k, d)
    weight : float64 array, shape (k,)
        Of the samples that each has taken in.
    steps
        Batches taken in.
    since
        Samples since small clusters were looked at last.
    """

    centres: FloatArray
    weight: FloatArray
    steps: int = 0
    since: int = 0

    @classmethod
    def at(cls, centres: FloatArray) -> MiniBatches:
        """Before the first batch."""
        return cls(np.array(centres, dtype=np.float64), np.zeros(len(centres)))

    def take(self, features: AnyArray, mass: FloatArray | None, options: MiniBatchOptions) -> float:
        """Move centres to the mean of all samples that they have taken in; the batch's inertia about those before.

        Parameters
        ----------
        features : array, shape (m, d)
        mass : float64 array, shape (m,), or ``None``
            Weights of the samples.
        """
        m, k = len(features), len(self.centres)
        weight = np.ones(m) if mass is None else mass
        shift = None if features.dtype == np.uint8 else self.centres.mean(axis=0)
        sets = CentreSets.of([self.centres], shift)
        labels = nearest(features, sets)[:, 0]
        inertia = float(weight @ squared_distances(features, sets, labels))
        member = np.zeros((m, k))
        member[np.arange(m), labels] = weight
        gained = member.sum(axis=0)
        # About the centres, so that little cancels where samples are far from zero.
        moved = member.T @ features.astype(np.float64) - gained[:, None] * self.centres
        total = self.weight + gained
        held = gained > 0
        self.centres[held] += moved[held] / total[held, None]
        self.weight = total
        self.steps += 1
        self.since += m
        if options.reassignment_ratio > 0 and ((total == 0).any() or self.since >= REASSIGN_EVERY * k):
            self.since = 0
            self._reassign(features, mass, options)
        return inertia

    def _reassign(self, features: AnyArray, mass: FloatArray | None, options: MiniBatchOptions) -> None:
        small = np.flatnonzero(self.weight < options.reassignment_ratio * self.weight.max())
        # Samples without weight are not there.
        rows = np.arange(len(features)) if mass is None else np.flatnonzero(mass > 0)
        most = int(MOST_REASSIGNED * len(rows))
        small = small[np.argsort(self.weight[small], kind="stable")[:most]]
        if not len(small):
            return
        drawn = np.random.default_rng([options.seed, self.steps]).choice(rows, len(small), replace=False)
        self.centres[small] = features[drawn]
        others = np.delete(self.weight, small)
        self.weight[small] = others.min(initial=np.inf) if len(others) else 0.0


@dataclass
class MiniBatchModel:
    """Centres and how they were found.

    Attributes
    ----------
    state
        Centres and weights.
    passes
        Passes over the samples.
    samples
        Samples that batches were made of.
    history
        Mean inertia of a sample in each batch, about the centres before it.
    """

    state: MiniBatches
    passes: int
    samples: int
    history: list[float] = field(default_factory=list)


def mini_batch_kmeans(source: Readable, n: int, options: MiniBatchOptions) -> Algorithm[MiniBatchModel]:
    """Fit centres to random batches of the samples.

    A pass gathers the random samples of many batches, the same for any chunking; they are taken in one after the other
    in the driver. So far fewer passes are needed than k-means takes.

    Raises
    ------
    UsageError
        Fewer samples than clusters, features that are not finite.
    """
    k = options.n_clusters
    if n < k:
        raise UsageError(f"n_samples={n} should be >= n_clusters={k}", "ask for fewer clusters, or give more images")
    size = min(options.batch_size, n)
    affordable = max(size, GATHERED_BYTES // row_bytes(source) // size * size)
    looked_at = options.init_size or max(INIT_FACTOR * size, INIT_FACTOR * k)
    looked_at = min(n, max(looked_at, k))
    most = max(1, options.max_iter * n // size)
    end = _End(options, size / n)
    model: MiniBatchModel | None = None
    passes = 0
    while model is None or (model.state.steps < most and not end.reached):
        count = min(n, max(affordable, looked_at) if model is None else affordable)
        wanted: dict[str, Any] = {"subset": RandomSubset(count, n, options.seed + 7919 * passes, options.weighted)}
        if model is None and (source.feature_dtype != "uint8" or options.weighted):
            wanted["range"] = FeatureRange(options.weighted)
        found = yield Scan(wanted)
        passes += 1
        if "range" in found:
            grid_of(found["range"], options.weighted)  # refuses what is not finite
        features, mass = found["subset"]["features"], found["subset"].get("weight")
        order = np.random.default_rng([options.seed, passes]).permutation(len(features))
        if model is None:
            end.variance = _mean_variance(features) if options.tol > 0 else 0.0
            some = np.sort(order[:looked_at])
            centres = yield from start_of(features[some], None if mass is None else mass[some], options)
            model = MiniBatchModel(MiniBatches.at(centres), passes, 0)
        for first in range(0, len(order), size):
            batch = order[first : first + size]
            if model.state.steps >= most or end.reached or (first and len(batch) < size):
                break
            before = model.state.centres.copy()
            inertia = model.state.take(features[batch], None if mass is None else mass[batch], options)
            model.samples += len(batch)
            model.history.append(inertia / len(batch))
            end.look(model.history[-1], before, model.state.centres)
    model.passes = passes
    return model


def start_of(features: AnyArray, mass: FloatArray | None, options: MiniBatchOptions) -> Algorithm[FloatArray]:
    """Centres to begin with: those given, or the best start on some samples."""
    if not isinstance(options.init, str):
        return np.array(options.init, dtype=np.float64)
    k = options.n_clusters
    if len(features) < k:
        raise UsageError(
            f"n_samples={len(features)} should be >= n_clusters={k}", "ask for fewer clusters, or give more images"
        )
    given = KMeansOptions(k, options.init, options.n_init, seed=options.seed)
    return (yield from find_centres(features, mass, given))


def _mean_variance(features: AnyArray) -> float:
    """Of the features; a panel at a time, since all of them as floats would take eight times the memory of pixels."""
    mean = features.mean(axis=0, dtype=np.float64)
    size = panel_rows(features.shape[1])
    parts = (features[first : first + size] - mean for first in range(0, len(features), size))
    return sum(float(np.square(part).sum()) for part in parts) / features.size


@dataclass
class _End:
    """Whether batches improve anything any more: scikit-learn's two criteria."""

    options: MiniBatchOptions
    share: float
    variance: float = 0.0
    reached: bool = False
    smooth: float = math.nan
    least: float = math.inf
    idle: int = 0
    seen: int = 0

    def look(self, inertia: float, before: FloatArray, after: FloatArray) -> None:
        """After a batch."""
        self.seen += 1
        if self.seen == 1:
            return  # about centres that samples have not moved yet
        alpha = min(max(2 * self.share, LEAST_SMOOTHING), 1.0)
        self.smooth = inertia if math.isnan(self.smooth) else self.smooth * (1 - alpha) + inertia * alpha
        if self.options.tol > 0 and float(np.square(after - before).sum()) <= self.options.tol * self.variance:
            self.reached = True
        if self.smooth < self.least:
            self.least, self.idle = self.smooth, 0
        else:
            self.idle += 1
        most = self.options.max_no_improvement
        if most is not None and self.idle >= most:
            self.reached = True
