"""A landscape with sky, hills, a lake and flowers, each pixel of which is a pure function of (seed, y, x) and the size.

Any part of the picture, in any cut, has the same bytes. What looks natural is gradient noise in octaves (Perlin,
"Improving noise", SIGGRAPH 2002).
"""

from __future__ import annotations

import math

import numpy as np

from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.typing import UInt8Array

#: Changes with what is drawn.
VERSION = 1
#: Octaves end where their lattice has so many pixels a cell.
FINEST = 5.0


def draw(seed: int, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> UInt8Array:
    """A part of the landscape.

    Parameters
    ----------
    seed
        Another one is another place.
    size
        Height and width of the whole.
    rows, columns
        First one, and the one after the last.

    Returns
    -------
    uint8 array, shape (y, x, 3)
    """
    from fmnist_dask.kernels.compiled_landscape import CELLS, STREAMS, SUN, draw_part

    keys = np.array([random_bits(seed, 0, stream) for stream in range(SUN + 1)], dtype=np.uint64)
    octaves = np.array([min(_octaves(size[0], cells), STREAMS) for cells in CELLS], dtype=np.int64)
    pixels = np.empty((rows[1] - rows[0], columns[1] - columns[0], 3), dtype=np.uint8)
    draw_part(pixels, rows[0], columns[0], size[0], size[1], keys, octaves)
    return pixels


def _octaves(height: int, cells: float) -> int:
    """Octaves of a field that begins with so many cells a height, down to cells of few pixels."""
    return max(1, int(math.log2(max(2.0, height / (cells * FINEST)))) + 1)
