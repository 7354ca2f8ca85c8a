"""Scores of clusters of any rule, from the means of their members: Calinski-Harabasz and Davies-Bouldin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.passes.parameters import Grid
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.labelled import LabelledSums
from fmnist_dask.passes.reductions.members import Labelling
from fmnist_dask.passes.reductions.spread import MemberDistances
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Share of the largest distance below which another one is rounding.
NEGLIGIBLE = 1e-13
#: Clusters whose distances to all others are worked out together.
PANEL = 256


@dataclass(frozen=True)
class Scores:
    """How compact clusters are beside the distances between them.

    ``None`` where scikit-learn refuses: fewer than two clusters that have samples, or as many as there are samples.

    Attributes
    ----------
    davies_bouldin
        Mean, over clusters, of the largest ratio of the spreads of two clusters to the distance of their means (Davies
        and Bouldin 1979); lower is better.
    calinski_harabasz
        Ratio of the variance between clusters to that within them (Calinski and Harabasz 1974); higher is better.
    """

    davies_bouldin: float | None = None
    calinski_harabasz: float | None = None


@dataclass(frozen=True)
class Means:
    """Means of clusters, and what bounds the distances to them.

    Attributes
    ----------
    count : int64 array, shape (k,)
        Members.
    mean : float64 array, shape (k, d)
        Of the members; any for empty clusters.
    shift : float64 array, shape (d,)
        Of features that are no pixels.
    squares
        Not less than the sum of squared distances of all samples to the means.
    """

    count: IntArray
    mean: FloatArray
    shift: FloatArray | None
    squares: float

    def distances(self, labelling: Labelling) -> MemberDistances:
        """What a pass has to sum for the scores."""
        return MemberDistances.of(labelling, self.mean, self.shift, int(self.count.sum()), self.squares)


def cluster_scores(labelling: Labelling, means: Means, split: str = "all") -> Algorithm[Scores]:
    """Both scores of a labelling, in one pass.

    Parameters
    ----------
    labelling
        Whose samples are.
    means
        Of its clusters.
    """
    found = yield Scan({"distances": means.distances(labelling)}, split=split)
    return scores_of(means, found["distances"])


def labelled_means(labelling: Labelling, k: int, middle: FloatArray, diameter: float, n: int) -> LabelledSums:
    """What a pass has to sum for the means.

    Parameters
    ----------
    middle : float64 array, shape (d,)
        A place among the samples, none of which is farther from it than ``diameter``.
    n
        Samples.
    """
    return LabelledSums(labelling, k, Grid.for_range(middle - diameter, middle + diameter, n))


def scores_of(means: Means, found: dict[str, AnyArray]) -> Scores:
    """Scores from the means of clusters and how far members are from them.

    Parameters
    ----------
    found
        ``count``, ``distance`` and ``square``, as :class:`MemberDistances` gives them.
    """
    held = np.asarray(found["count"]) > 0
    count, mean = np.asarray(found["count"])[held], means.mean[held]
    k, n = len(count), int(count.sum())
    if not 1 < k < n:
        return Scores()
    within = float(np.asarray(found["square"])[held].sum())
    centre = (count @ mean) / n
    between = float(count @ np.square(mean - centre).sum(axis=1))
    spread: FloatArray = np.asarray(found["distance"], dtype=np.float64)[held] / count
    largest = float(np.sqrt((within + between) / n))
    return Scores(_davies_bouldin(mean, spread, largest), _calinski_harabasz(within, between, k, n))


def _calinski_harabasz(within: float, between: float, k: int, n: int) -> float:
    # Where all samples stand on their means, scikit-learn says 1.
    if within <= NEGLIGIBLE**2 * (within + between):
        return 1.0
    return between * (n - k) / (within * (k - 1))


def _davies_bouldin(mean: FloatArray, spread: FloatArray, largest: float) -> float:
    """0 where all samples stand on their means, or all means are one; means that coincide have no ratio."""
    from scipy.spatial.distance import cdist

    least = NEGLIGIBLE * largest
    if (spread <= least).all():
        return 0.0
    worst = np.zeros(len(mean))
    for start in range(0, len(mean), PANEL):
        part = slice(start, start + PANEL)
        distances = cdist(mean[part], mean)
        distances[distances <= least] = np.inf
        worst[part] = ((spread[part, None] + spread) / distances).max(axis=1)
    return float(worst.mean())
