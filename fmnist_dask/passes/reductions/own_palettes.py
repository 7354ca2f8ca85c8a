"""A palette of its own for each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.colours import told_apart
from fmnist_dask.kernels.quantizers import Method, Prepared, Recipe, choose
from fmnist_dask.kernels.similarity import similarities, squared_errors
from fmnist_dask.passes.protocol import Column, Readable, Variable
from fmnist_dask.passes.reductions.colours import channels_of, pixels_of, plane_of
from fmnist_dask.typing import AnyArray

#: Memory of choosing a palette for an image, for each of its pixels.
PIXEL_BYTES = 400
#: And whatever their number: the grid of Ward's hierarchy, Pillow's own.
LEAST_BYTES = 8 * 2**20
#: Attributes of the entries.
OUTSIDE = (("long_name", "entry of the image's own palette; 0 for images of other splits"),)


@dataclass(frozen=True)
class OwnPalettes(Column):
    """Palettes of single images: entries, colours, and how like the images that looks.

    Attributes
    ----------
    method, k, recipe
        See :func:`fmnist_dask.kernels.quantizers.choose`.
    channels
        Of a pixel, 1 or 3.
    """

    method: Method
    k: int
    recipe: Recipe
    channels: int

    def variables(self, source: Readable) -> dict[str, Variable]:
        """``index``, ``palette``, ``used``, ``ssim`` and ``mse``, each with the method's name."""
        name = self.method
        return {
            f"index_{name}": Variable("uint8", plane_of(source, False), ("y", "x"), OUTSIDE),
            f"palette_{name}": Variable("uint8", (self.k, self.channels), ("color", "channel")),
            f"used_{name}": Variable("uint16", attrs=(("long_name", "colours of the palette"),)),
            f"ssim_{name}": Variable("float64", fill_value=np.nan),
            f"mse_{name}": Variable("float64", fill_value=np.nan),
        }

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """One image after the other."""
        pixels = pixels_of(block, self.channels, False)
        n, height, width, _ = pixels.shape
        index = np.empty((n, height, width), dtype=np.uint8)
        palette = np.zeros((n, self.k, self.channels), dtype=np.uint8)
        used, ssim, mse = np.empty(n, dtype=np.uint16), np.empty(n), np.empty(n)
        for at, image in enumerate(pixels):
            colours, place = told_apart(image.reshape(-1, self.channels))
            found = choose(Prepared.of(colours, self.recipe.space), self.method, self.k, self.recipe)
            index[at] = found.labels[place].reshape(height, width)
            palette[at, : len(found.colours)] = found.colours
            used[at] = len(found.colours)
            ssim[at] = similarities(image[None], index[at : at + 1], found.colours[None])[0]
            mse[at] = squared_errors(image, index[at], found.colours) / image.size
        name = self.method
        return {
            f"index_{name}": index,
            f"palette_{name}": palette,
            f"used_{name}": used,
            f"ssim_{name}": ssim,
            f"mse_{name}": mse,
        }

    def task_bytes(self, source: Readable, rows: int) -> int:
        """What images become, and one that is worked on."""
        pixels = source.image_bytes // channels_of(source, False)
        return rows * (pixels + self.k * self.channels + 32) + PIXEL_BYTES * pixels + LEAST_BYTES
