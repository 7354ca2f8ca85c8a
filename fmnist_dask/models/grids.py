"""Whether float features can be worked with, and the grid on which they add up to the same in any order."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.passes.parameters import Grid

#: Largest ratio of weights, times rows, with which the smallest still counts.
MOST_WEIGHT_RATIO = 2.0**56
#: Largest feature whose square can be summed over any number of rows.
MOST = 1e140


def grid_of(found: dict[str, Any], weighted: bool = False) -> Grid:
    """Grid of float features, from what :class:`FeatureRange` found.

    Raises
    ------
    UsageError
        Values or weights cannot be added up.
    """
    if found["not_finite"]:
        raise UsageError(
            f"{found['not_finite']:,} values are NaN or infinity, the first in row {found['first_not_finite']:,}",
            "impute them first (scikit-learn's imputers do), or drop these rows",
        )
    low, high = found["weights"]
    if weighted:
        _check_weights(found, low, high)
    reach = float(np.max(np.abs([found["low"], found["high"]])))
    if reach > MOST:
        raise UsageError(f"values of up to {reach:g}: their squares overflow", "scale the features")
    return Grid.for_range(found["low"], found["high"], found["n"], high if weighted else None)


def _check_weights(found: dict[str, Any], low: float, high: float) -> None:
    if found["weights_not_finite"]:
        raise UsageError(
            f"Input sample_weight contains NaN or infinity, {found['weights_not_finite']:,} times",
            "give weights that are finite, not negative, not all zero",
        )
    if low < 0 or not high > 0:
        raise UsageError(
            f"sample_weight goes from {low:g} to {high:g}", "give weights that are finite, not negative, not all zero"
        )
    if high / found["least_weight"] * found["n"] > MOST_WEIGHT_RATIO:
        raise UsageError(
            f"sample_weight goes from {found['least_weight']:g} to {high:g}: the small ones would be lost beside the "
            "large ones",
            f"bring them within a factor of {MOST_WEIGHT_RATIO / found['n']:.2g}, or set the small ones to zero",
        )
