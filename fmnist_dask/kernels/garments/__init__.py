"""The embedded data set `garments`: synthetic grey images in the manner of Fashion-MNIST.

Every picture, label and planted fault is a pure function of the seed and the row index, so a
collection can be drawn in chunks of any size, in any order, and row ``r`` is the same in a
collection of any length.  Pixels use only float32 operations that IEEE 754 rounds the same way on
every machine (``+ - * /``, square root, comparisons, floor), so the bytes are portable.

`dataset` holds the rows, `panel` draws images of one class; one module for each kind of garment
builds on the primitives in `strokes`, `dice`, `fabric`, `torso` and `trimmings`.
"""

from fmnist_dask.kernels.garments.dataset import (
    CLASS_NAMES,
    EXACT_DUPLICATE,
    FADED,
    HEIGHT,
    NEAR_DUPLICATE,
    PLANTED_MEANINGS,
    VERSION,
    WIDTH,
    WRONG_LABEL,
    draw,
    labels,
    planted,
)

__all__ = [
    "CLASS_NAMES",
    "EXACT_DUPLICATE",
    "FADED",
    "HEIGHT",
    "NEAR_DUPLICATE",
    "PLANTED_MEANINGS",
    "VERSION",
    "WIDTH",
    "WRONG_LABEL",
    "draw",
    "labels",
    "planted",
]
