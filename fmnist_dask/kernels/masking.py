"""Pixels that are hidden at random: a pure function of (seed, row, pixel)."""

from __future__ import annotations

import numpy as np

from fmnist_dask.kernels.counter_random import random_words
from fmnist_dask.typing import BoolArray, IntArray

#: Fields of a 64-bit word, and values that each can have: fractions are met to within 1 / 65,536.
FIELDS = 4
LEVELS = 1 << 16
#: Rows at a time: words take several times the room of what they say.
SLAB_ROWS = 1024


def hidden_pixels(seed: int, rows: IntArray, pixels: int, fraction: float) -> BoolArray:
    """Which pixels of some rows are hidden, each with the same probability.

    Parameters
    ----------
    rows : int64 array, shape (m,)
        Absolute rows.
    pixels
        Pixels of one image.
    fraction
        Probability, above 0 and below 1.

    Returns
    -------
    bool array, shape (m, pixels)
    """
    hidden = np.empty((len(rows), pixels), dtype=np.bool_)
    level = np.uint16(round(fraction * LEVELS))
    for start in range(0, len(rows), SLAB_ROWS):
        words = random_words(seed, rows[start : start + SLAB_ROWS], 0, -(-pixels // FIELDS))
        # Words of a row lie together; their 16-bit fields in the order of a little-endian machine.
        fields = np.ascontiguousarray(words.T).astype("<u8", copy=False).view("<u2")
        np.less(fields[:, :pixels], level, out=hidden[start : start + SLAB_ROWS])
    return hidden
