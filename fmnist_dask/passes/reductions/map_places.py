"""Columns of a map that landmarks span: places of samples that it was not fitted on, and near landmarks; by t-SNE."""

from __future__ import annotations

import functools
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.neighbours import Measure, Samples, look_for, panel_bytes
from fmnist_dask.kernels.projection import panels
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Column, Readable, Variable
from fmnist_dask.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Landmarks that a sample is placed by: three times openTSNE's perplexity of samples that come later.
PLACING, PERPLEXITY = 15, 5.0
#: How openTSNE moves such samples by default.
RATE, EXAGGERATION, MOMENTUM, MOST_GRADIENT = 0.1, 1.5, 0.8, 0.25
#: Samples that are placed at a time.
BATCH_ROWS = 2048
#: Bytes of openTSNE and what it imports and of its grid; of each sample of a batch, and of each landmark near it.
LIBRARY_BYTES, PLACED_BYTES, PAIR_BYTES = 2**28, 2048, 128


@dataclass(frozen=True)
class Landmarks:
    """What a map was fitted on.

    Attributes
    ----------
    rows
        Of the landmarks, int64, ascending, shape (p,).
    features
        Float64, shape (p, d).
    places
        On the map, float64, shape (p, 2).
    near_rows, near_distances
        The nearest other landmarks of each, nearest first, int64 and float32, shape (p, k); −1 and NaN where there are
        none.
    """

    rows: ArrayParameter
    features: ArrayParameter
    places: ArrayParameter
    near_rows: ArrayParameter
    near_distances: ArrayParameter

    @classmethod
    def of_size(cls, p: int, d: int) -> Landmarks:
        """As many as that, of so many features, for plans: their values do not matter."""
        near = ArrayParameter(np.zeros((p, PLACING), np.int64)), ArrayParameter(np.zeros((p, PLACING), np.float32))
        features, places = ArrayParameter(np.zeros((p, d))), ArrayParameter(np.zeros((p, 2)))
        return cls(ArrayParameter(np.arange(p)), features, places, *near)


@dataclass(frozen=True)
class AmongLandmarks(Column):
    """Place of each sample on a map (``place``), and the landmarks nearest to it (``neighbour``, ``distance``).

    Samples do not act upon each other: the place of one does not depend on which others are in its block. Samples that
    are not asked for have NaN, and −1 for neighbours.

    Attributes
    ----------
    landmarks
        What the others are placed among.
    wanted
        A bit for each sample of the collection (:func:`numpy.packbits`): whether it is to be on the map.
    shift, scale
        Of distances; see :class:`~fmnist_dask.kernels.neighbours.Measure`.
    """

    landmarks: Landmarks
    wanted: ArrayParameter
    shift: ArrayParameter
    scale: float

    @property
    @abstractmethod
    def asked(self) -> int:
        """Landmarks that a sample is placed by."""

    @property
    @abstractmethod
    def library_bytes(self) -> int:
        """Memory of what places them, and of what it knows of the map."""

    @abstractmethod
    def place(self, index: IntArray, distances: FloatArray) -> AnyArray:
        """Places of samples by their nearest landmarks, both of shape (m, asked); shape (m, 2)."""

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Two coordinates, as many neighbours as the landmarks have, and how far they are."""
        k, nowhere = self.landmarks.near_rows.values.shape[1], float("nan")
        return {
            "place": Variable("float32", (2,), ("axis",), fill_value=nowhere, compress=False),
            "neighbour": Variable("int64", (k,), ("neighbour",), fill_value=-1),
            "distance": Variable("float32", (k,), ("neighbour",), fill_value=nowhere, compress=False),
        }

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Place the samples of a block, some at a time."""
        known, k = self.landmarks, self.landmarks.near_rows.values.shape[1]
        place = np.full((len(block), 2), np.nan, dtype=np.float32)
        neighbour = np.full((len(block), k), -1, dtype=np.int64)
        distance = np.full((len(block), k), np.nan, dtype=np.float32)
        rows = known.rows.values
        at = np.minimum(np.searchsorted(rows, block.rows), len(rows) - 1)
        own = rows[at] == block.rows
        place[own] = known.places.values[at[own]]
        neighbour[own], distance[own] = known.near_rows.values[at[own]], known.near_distances.values[at[own]]
        here = np.flatnonzero(self._asked(block.rows) & ~own)
        measure, asked = Measure(self.shift.values, self.scale), min(self.asked, len(rows))
        for part in panels(block.rows[here], BATCH_ROWS):
            some = here[part]
            samples = Samples(block.features[some], block.rows[some])
            index, distances = look_for(samples, known.features.values, asked, measure)
            place[some] = self.place(index, distances)
            neighbour[some, : min(k, asked)] = rows[index[:, :k]]
            distance[some, : min(k, asked)] = distances[:, :k]
        return {"place": place, "neighbour": neighbour, "distance": distance}

    def _asked(self, rows: IntArray) -> BoolArray:
        asked: BoolArray = (self.wanted.values[rows >> 3] >> (7 - (rows & 7)).astype(np.uint8)) & 1 > 0
        return asked

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Libraries, a batch, panels of both sides, what is asked of landmarks, and what is found."""
        batch = min(rows, BATCH_ROWS) * (PLACED_BYTES + PAIR_BYTES * self.asked + 16 * source.n_features)
        p, k = len(self.landmarks.rows.values), int(self.landmarks.near_rows.values.shape[1])
        found = (64 + 12 * k) * rows + 64 * p + source.n // 8
        return self.library_bytes + batch + panel_bytes(source.n_features) + found


@dataclass(frozen=True)
class MapPlaces(AmongLandmarks):
    """Places on a map by t-SNE.

    A sample that is no landmark begins at the median place of its nearest landmarks and is moved by gradients of t-SNE,
    in which only these attract it and all landmarks repel it.

    Attributes
    ----------
    n_iter
        Steps of gradients.
    """

    n_iter: int

    @property
    def asked(self) -> int:
        """As many as openTSNE takes."""
        return PLACING

    @property
    def library_bytes(self) -> int:
        """OpenTSNE."""
        return LIBRARY_BYTES

    def place(self, index: IntArray, distances: FloatArray) -> AnyArray:
        """By gradients."""
        return place_by(self.landmarks.places, index, distances, self.n_iter)


def place_by(places: ArrayParameter, index: IntArray, distances: FloatArray, n_iter: int) -> FloatArray:
    """Places of samples by their nearest landmarks, as ``TSNEEmbedding.transform`` of openTSNE finds them.

    Parameters
    ----------
    places
        Of all landmarks.
    index : int64 array, shape (m, k)
        The nearest landmarks of each sample, nearest first.
    distances : float64 array, shape (m, k)

    Returns
    -------
    float64 array, shape (m, 2)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from openTSNE import PartialTSNEEmbedding
        from openTSNE.affinity import joint_probabilities_nn

        reference, middle = _reference(places)
        affinities = joint_probabilities_nn(
            index,
            distances,
            [min(PERPLEXITY, index.shape[1] / 3)],
            symmetrize=False,
            normalization="point-wise",
            n_reference_samples=len(places.values),
            n_jobs=1,
        )
        start = np.ascontiguousarray(np.median(np.asarray(reference)[index], axis=1))
        # Gradients of the interpolation grid, whatever the number of samples: openTSNE would choose by that.
        moved = PartialTSNEEmbedding(start, reference, affinities, negative_gradient_method="fft", n_jobs=1).optimize(
            n_iter,
            learning_rate=RATE,
            exaggeration=EXAGGERATION,
            momentum=MOMENTUM,
            max_grad_norm=MOST_GRADIENT,
            max_step_norm=None,
        )
    placed: FloatArray = np.asarray(moved, dtype=np.float64) + middle
    return placed


@functools.lru_cache(maxsize=2)
def _reference(places: ArrayParameter) -> tuple[Any, FloatArray]:
    """The landmarks' map about its middle, as openTSNE wants it, and the middle; its grid is made once."""
    from openTSNE import TSNEEmbedding

    middle: FloatArray = (places.values.max(axis=0) + places.values.min(axis=0)) / 2
    nothing = SimpleNamespace(P=np.zeros((len(places.values), 0)))
    reference = TSNEEmbedding(places.values - middle, nothing, negative_gradient_method="fft", n_jobs=1)
    reference.prepare_interpolation_grid()
    return reference, middle
