"""Random shape parameters: what differs between two pictures of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmnist_dask.kernels.counter_random import random_fields
from fmnist_dask.kernels.garments.strokes import Array

_STREAM_PARAMETERS = 1_000
_STREAM_COARSE_NOISE = 4_000


class Dice:
    """Random shape parameters of the images of one panel, read one after another.

    Parameters
    ----------
    seed : int
        Seed of the collection.
    rows : numpy.ndarray of int64, shape (n,)
        Row indices of the panel's images.
    """

    _BLOCK = 64

    def __init__(self, seed: int, rows: NDArray[np.int64]) -> None:
        self._seed = seed
        self._rows = rows
        self._next = 0
        self._fields = np.empty((0, rows.size), dtype=np.float32)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Array:
        """Next parameter, uniform in (low, high), shape (n,)."""
        position = self._next % self._BLOCK
        if position == 0:
            stream = _STREAM_PARAMETERS + self._next
            fields = random_fields(self._seed, self._rows, stream, self._BLOCK, 16)
            self._fields = (fields + np.float32(0.5)) * np.float32(1 / 65536)
        self._next += 1
        return np.asarray(self._fields[position] * np.float32(high - low) + np.float32(low))

    def chance(self, probability: float) -> NDArray[np.bool_]:
        """Next parameter, true with the given probability, shape (n,)."""
        return self.uniform() < np.float32(probability)

    def cells(self, chosen: NDArray[np.intp], count: int) -> Array:
        """Coarse noise of some images, uniform in 0..1, shape (count, len(chosen)); always the same."""
        fields = random_fields(self._seed, self._rows[chosen], _STREAM_COARSE_NOISE, count + -count % 8, 8)
        return fields[:count] * np.float32(1 / 255)

    def normal(self, centre: float, spread: float) -> Array:
        """Next parameter, bell-shaped (sum of three uniforms), about `spread` standard deviation."""
        total = self.uniform(-1, 1) + self.uniform(-1, 1) + self.uniform(-1, 1)
        return total * np.float32(spread) + np.float32(centre)
