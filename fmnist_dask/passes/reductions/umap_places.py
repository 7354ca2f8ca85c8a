"""Places by UMAP of samples that a map was not fitted on."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.reductions.map_places import AmongLandmarks
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Bytes of umap-learn, of what it imports, and of the machine code that numba makes of it.
LIBRARY_BYTES = 3 * 2**27
#: Of a sample's scale to the mean distance of its landmarks: a thousandth in umap-learn, and a little more than what
#: rounding could make of it.
LEAST_SCALE = 1.0001e-3
#: Samples that come later are moved by a quarter of the learning rate, as by ``UMAP.transform``.
LATER_RATE = 0.25

#: Held while umap-learn works: what numba runs in parallel must not be entered twice in a process on all systems.
_ALONE = threading.Lock()


@contextlib.contextmanager
def umap_alone() -> Iterator[None]:
    """Let umap-learn work quietly, on one thread, and once at a time in a process: it holds the interpreter anyway.

    Cores belong to workers; and sums over many threads would depend on how many there are.
    """
    import numba

    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            yield
        finally:
            numba.set_num_threads(before)


@dataclass(frozen=True)
class UMAPPlacing:
    """How samples are placed on a map by UMAP.

    Attributes
    ----------
    n_neighbors
        Landmarks that attract a sample.
    a, b
        Of the curve of closeness on the map, 1 / (1 + a d^(2b)).
    n_epochs
        Times that its nearest landmark attracts a sample; others do so less often.
    learning_rate
        Of the map.
    negative_sample_rate
        Landmarks drawn at random that repel a sample each time that one attracts it.
    seed
        Of these.
    """

    n_neighbors: int
    a: float
    b: float
    n_epochs: int
    learning_rate: float
    negative_sample_rate: int
    seed: int


@dataclass(frozen=True)
class UMAPPlaces(AmongLandmarks):
    """Places on a map by UMAP; see :func:`place_by_umap`.

    Attributes
    ----------
    placing
        How.
    """

    placing: UMAPPlacing

    @property
    def asked(self) -> int:
        """As many as each landmark had."""
        return self.placing.n_neighbors

    @property
    def library_bytes(self) -> int:
        """umap-learn, and a map of its own type."""
        return LIBRARY_BYTES + 8 * len(self.landmarks.rows.values)

    def place(self, index: IntArray, distances: FloatArray) -> AnyArray:
        """By gradients."""
        return place_by_umap(self.landmarks.places, index, distances, self.placing)


def place_by_umap(places: ArrayParameter, index: IntArray, distances: FloatArray, placing: UMAPPlacing) -> AnyArray:
    """Places of samples by their nearest landmarks, as ``UMAP.transform`` of umap-learn finds them.

    Each begins at the mean place of these, weighted by how close they are, or on one that it is equal to. What
    umap-learn takes from all samples that come together is that of each sample alone here: the scale below which no
    distance counts, and the closeness which is drawn in every epoch. Random numbers follow from the seed and from where
    a sample begins. So a place depends on nothing but the sample and the landmarks.

    Parameters
    ----------
    places
        Of all landmarks.
    index : int64 array, shape (m, k)
        The nearest landmarks of each sample, nearest first.
    distances : float64 array, shape (m, k)

    Returns
    -------
    float32 array, shape (m, 2)
    """
    m, k = index.shape
    known = np.ascontiguousarray(places.values, dtype=np.float32)
    if not m:
        return np.zeros((0, 2), np.float32)
    # In units of each sample's own mean, so that the mean of all decides for none.
    own = np.ascontiguousarray(distances).mean(axis=1, keepdims=True)
    near = (distances / np.where(own > 0, own, 1.0)).astype(np.float32)
    with umap_alone():
        from umap.layouts import optimize_layout_euclidean
        from umap.umap_ import compute_membership_strengths, smooth_knn_dist

        sigma, rho = smooth_knn_dist(near, float(k), local_connectivity=0.0)
        sigma = np.maximum(sigma, np.float32(LEAST_SCALE))
        found = compute_membership_strengths(index.astype(np.int32), near, sigma, rho, bipartite=True)
        strengths = found[2].reshape(m, k)
        start = _weighted_mean(known, index, strengths)
        if not placing.n_epochs:
            return start
        strengths = strengths / strengths.max(axis=1, keepdims=True)
        head, rank = np.nonzero(strengths >= 1 / placing.n_epochs)
        moved: AnyArray = optimize_layout_euclidean(
            start,
            known,
            head.astype(np.int32),
            index[head, rank].astype(np.int32),
            placing.n_epochs,
            len(known),
            1 / strengths[head, rank].astype(np.float64),
            placing.a,
            placing.b,
            np.random.RandomState(placing.seed).randint(-(2**31) + 1, 2**31 - 2, 3).astype(np.int64),
            1.0,
            LATER_RATE * placing.learning_rate,
            placing.negative_sample_rate,
            tqdm_kwds={"disable": True},
        )
    return moved


def _weighted_mean(known: AnyArray, index: IntArray, strengths: AnyArray) -> AnyArray:
    """Where samples begin."""
    total = np.zeros((len(index), 2))
    # One after the other: a sum by NumPy could depend on how many samples there are.
    weight = np.zeros((len(index), 1))
    for rank in range(index.shape[1]):
        total += strengths[:, rank, None].astype(np.float64) * known[index[:, rank]]
        weight += strengths[:, rank, None]
    equal = strengths[:, 0] == 1
    start: AnyArray = (total / weight).astype(np.float32)
    start[equal] = known[index[equal, 0]]
    return start
