"""Colour quantization of each image by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.models.quantize import QuantizeOptions, check_channels
from fmnist_dask.passes.protocol import Algorithm, Column, ColumnArray, Readable, Reduction, Scan
from fmnist_dask.passes.reductions.colours import channels_of
from fmnist_dask.passes.reductions.own_palettes import OwnPalettes


@dataclass
class OwnPalettesModel:
    """A palette of its own for each image.

    Attributes
    ----------
    columns
        Per-image variables, see :class:`~fmnist_dask.passes.reductions.own_palettes.OwnPalettes`.
    ssim, mse
        Means over all images of the split, by method.
    extra
        What else was asked of the pass.
    """

    columns: dict[str, ColumnArray]
    ssim: dict[str, float]
    mse: dict[str, float]
    extra: dict[str, Any] = field(default_factory=dict)


def quantize_each(
    source: Readable, options: QuantizeOptions, split: str = "all", besides: dict[str, Reduction] | None = None
) -> Algorithm[OwnPalettesModel]:
    """Choose palettes for each image by itself, in one pass.

    Raises
    ------
    UsageError
        Pixels are neither grey levels nor red, green and blue.
    """
    channels = channels_of(source, False)
    check_channels(channels)
    own: dict[str, Column] = {
        method: OwnPalettes(method, options.n_colors, options.recipe, channels) for method in options.methods
    }
    found = yield Scan(besides or {}, own, split)
    columns: dict[str, ColumnArray] = {}
    for method in own:
        columns |= found.pop(method)

    def mean(name: str) -> float:
        # Numbers of images outside of the split are NaN.
        values = np.concatenate(
            [columns[name][at : at + source.chunk_rows] for at in range(0, source.n, source.chunk_rows)]
        )
        known = values[~np.isnan(values)]
        return math.fsum(known) / len(known) if len(known) else math.nan

    return OwnPalettesModel(
        columns,
        {method: mean(f"ssim_{method}") for method in own},
        {method: mean(f"mse_{method}") for method in own},
        found,
    )
