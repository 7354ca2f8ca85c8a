"""The starts of a k-means: which are worth going on with, and what becomes of empty clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray

#: Starts have found the same clusters if their centres, matched, are this much closer (squared) than the centres of
#: one of them are to their mean.
SAME_CLUSTERS = 1e-3
#: A start is given up when it is worse than the best by this share on the subset, where basins that differ by 0.4 % on
#: all samples were seen 0.15 % off.
HOPELESS_START = 3e-3
#: A start is given up when it is worse by more than this many times what its last pass gained.
HOPELESS_GAINS = 10
#: Starts that go through full passes together, at most, and bytes of their centres.
MOST_LANES = 8
LANE_BYTES = 48 * 2**20


@dataclass
class Lane:
    """One start on its way.

    Attributes
    ----------
    number
        Position among the starts.
    centres : float64 array, shape (k, d)
        About the shift of the features.
    start
        Inertia on the subset, in the plane where it was found.
    history
        Inertia of each pass over all samples.
    settled
        Whether it has converged.
    """

    number: int
    centres: FloatArray
    start: float = float("nan")
    history: list[float] = field(default_factory=list)
    settled: bool = False

    @property
    def rank(self) -> tuple[float, int]:
        """Better ones first; ties go to the earlier start."""
        return (self.history[-1] if self.history else self.start, self.number)


def drop_repeated(lanes: Sequence[Lane]) -> list[Lane]:
    """Of starts that found the same clusters, the best."""
    if len(lanes) < 2:
        return list(lanes)
    from scipy.optimize import linear_sum_assignment

    kept: list[Lane] = []
    for lane in sorted(lanes, key=lambda lane: lane.rank):
        for other in kept:
            # Every centre of one stands near one of the other.
            distances = _pairwise(lane.centres, other.centres)
            rows, columns = linear_sum_assignment(distances)
            spread = _pairwise(other.centres, other.centres.mean(axis=0, keepdims=True)).mean()
            if distances[rows, columns].mean() <= SAME_CLUSTERS * spread:
                break
        else:
            kept.append(lane)
    return sorted(kept, key=lambda lane: lane.number)


def most_lanes(k: int, d: int) -> int:
    """Starts of ``k`` clusters of ``d`` features that a pass has room for."""
    return max(1, min(MOST_LANES, LANE_BYTES // (8 * k * d)))


def drop_hopeless(lanes: Sequence[Lane], rivals: Sequence[Lane]) -> list[Lane]:
    """Without starts that cannot come near the best any more, and those that there is no room for."""
    if not lanes:
        return []
    best = min(rival.rank[0] for rival in rivals)
    kept = []
    for lane in sorted(lanes, key=lambda lane: lane.rank):
        if lane.history:
            # Where nothing is left to gain, rounding may lose a little.
            gain = max(lane.history[-2] - lane.history[-1], 0.0) if len(lane.history) > 1 else float("inf")
            hopeless = lane.history[-1] - best > HOPELESS_GAINS * gain
        else:
            hopeless = lane.start > best * (1 + HOPELESS_START)
        if not hopeless:
            kept.append(lane)
    return sorted(kept[: most_lanes(*lanes[0].centres.shape)], key=lambda lane: lane.number)


def _pairwise(left: FloatArray, right: FloatArray) -> FloatArray:
    """Squared distances between rows."""
    products = left @ right.T
    lengths = np.einsum("kd,kd->k", left, left)[:, None] + np.einsum("kd,kd->k", right, right)[None]
    result: FloatArray = np.maximum(lengths - 2 * products, 0)
    return result


def relocated(
    centres: FloatArray, sums: dict[str, AnyArray], farthest: dict[str, AnyArray], shift: FloatArray
) -> FloatArray:
    """Means of the clusters; an empty one takes over the farthest sample left, as scikit-learn does it.

    Parameters
    ----------
    centres : float64 array, shape (k, d)
        Before the update, about the shift.
    sums
        ``weight`` (k,) and ``sum`` (k, d) of the clusters, about the shift.
    farthest
        As many samples as there are empty clusters, farthest first; empty if there are none.
    """
    weight, total = sums["weight"].copy(), sums["sum"].copy()
    empty = np.flatnonzero(weight <= 0)
    for position, cluster in enumerate(empty[: len(farthest.get("row", ()))]):
        if farthest["distance"][position] <= 0:
            break  # every sample stands on its centre: there is nothing to take over
        sample = farthest["features"][position].astype(np.float64) - shift
        own, mass = int(farthest["label"][position]), float(farthest["weight"][position])
        total[own] -= mass * sample
        weight[own] -= mass
        total[cluster], weight[cluster] = mass * sample, mass
    means = centres.copy()
    held = weight > 0
    means[held] = total[held] / weight[held, None]
    return means
