"""Kernels that most runs need, called once on a few numbers: compiles what no cache has, and loads what one has.

Those of rarer steps are compiled where they are first used: the first run of all is not to wait for them.
"""

from __future__ import annotations

import numpy as np

#: Types of features that kernels are compiled for ahead of time; others are when first used.
FEATURE_TYPES = ("uint8", "float32")


def warm_kernels() -> None:
    """Compile or load these kernels for this process."""
    from fmnist_dask.kernels.compiled import add_scaled, add_scaled_squares, count_levels
    from fmnist_dask.kernels.compiled_pixels import count_intervals, count_summary, least_above
    from fmnist_dask.kernels.nearest import (
        WIDE_FEATURES,
        CentreSets,
        column_moments,
        nearest,
        pixel_sums,
        squared_distances,
    )
    from fmnist_dask.kernels.properties import image_properties

    image = np.zeros((4, 4, 4), dtype=np.uint8)
    pixels = image.reshape(4, -1)
    count_levels(pixels, np.arange(4), np.zeros((16, 256), dtype=np.uint32))
    image_properties(image)
    column_moments(pixels)
    groups = np.zeros((4, 1), dtype=np.int64)
    pixel_sums(pixels, groups, 1)
    # Two centres as near as each other: the choice goes to the kernel for doubtful ones, too.
    sets = CentreSets.of([np.zeros((2, 16))])
    for name in FEATURE_TYPES:
        features = pixels.astype(name)
        squared_distances(features, sets, nearest(features, sets)[:, 0])
    nearest(np.zeros((1, WIDE_FEATURES + 1), dtype=np.uint8), CentreSets.of([np.zeros((2, WIDE_FEATURES + 1))]))
    scaled = pixels.astype(np.float32)
    ones = np.ones(4)
    add_scaled(scaled, np.zeros(16), ones, np.ones(16), groups, np.zeros((1, 16), dtype=np.int64))
    add_scaled_squares(scaled, np.zeros(16), ones, np.ones(16), np.zeros(16, dtype=np.int64))
    # Counters of collections of up to 65,535 images, and of larger ones.
    starts, ends = np.zeros((1, 16), dtype=np.uint8), np.full((1, 16), 255, dtype=np.uint8)
    for counter, total, square in (("uint16", "uint32", "uint32"), ("uint32", "uint32", "uint64")):
        sums = np.zeros(16, dtype=total), np.zeros(16, dtype=square)
        count_summary(pixels, np.arange(4), 0, *sums, ends[0], starts[0], np.zeros((4, 256), dtype=np.int64))
        count_intervals(pixels, np.arange(4), 0, 4, starts, np.zeros((1, 3, 16), dtype=counter))
    least_above(pixels, np.arange(4), 0, starts, ends)
