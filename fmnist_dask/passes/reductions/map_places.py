"""A column of places on a map that landmarks span: t-SNE for samples that it was not fitted on."""

from __future__ import annotations

import functools
import warnings
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
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Landmarks that a sample is placed by: three times openTSNE's perplexity of samples that come later.
PLACING, PERPLEXITY = 15, 5.0
#: How openTSNE moves such samples by default.
RATE, EXAGGERATION, MOMENTUM, MOST_GRADIENT = 0.1, 1.5, 0.8, 0.25
#: Samples that are placed at a time.
BATCH_ROWS = 2048
#: Bytes of openTSNE and what it imports, of its grid, and of each sample of a batch.
LIBRARY_BYTES, PLACED_BYTES = 2**28, 2048


@dataclass(frozen=True)
class MapPlaces(Column):
    """Place of each sample among landmarks (``place``); NaN for those that are not asked for.

    A sample begins at the median place of its nearest landmarks and is moved by gradients of t-SNE, in which only these
    attract it and all landmarks repel it. Samples do not act upon each other: the place of one does not depend on which
    others are in its block.

    Attributes
    ----------
    features
        Of the landmarks, float64, shape (p, d).
    places
        Of the landmarks, float64, shape (p, 2).
    wanted
        Rows to place, int64, ascending.
    shift, scale
        Of distances; see :class:`~fmnist_dask.kernels.neighbours.Measure`.
    n_iter
        Steps of gradients.
    """

    features: ArrayParameter
    places: ArrayParameter
    wanted: ArrayParameter
    shift: ArrayParameter
    scale: float
    n_iter: int

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Two coordinates."""
        return {"place": Variable("float64", (2,), ("axis",), fill_value=float("nan"), compress=False)}

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Place the samples of a block, some at a time."""
        found = np.full((len(block), 2), np.nan)
        rows = self.wanted.values
        low, high = np.searchsorted(rows, (block.rows[0], block.rows[-1] + 1))
        here = np.searchsorted(block.rows, rows[low:high])
        measure = Measure(self.shift.values, self.scale)
        k = min(PLACING, len(self.places.values))
        for part in panels(block.rows[here], BATCH_ROWS):
            some = here[part]
            samples = Samples(block.features[some], block.rows[some])
            index, distances = look_for(samples, self.features.values, k, measure)
            found[some] = place_by(self.places, index, distances, self.n_iter)
        return {"place": found}

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Libraries, a batch, panels of both sides, what is asked of landmarks, and the places."""
        batch = min(rows, BATCH_ROWS) * (PLACED_BYTES + 16 * source.n_features)
        return LIBRARY_BYTES + batch + panel_bytes(source.n_features) + 64 * len(self.places.values) + 40 * rows


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
