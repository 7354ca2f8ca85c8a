"""A collection of which some pixels are hidden, as if they were missing; what they are is kept for scoring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.layout import HIDDEN, MISSING, TRUTH
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.views import FilledImages, KeptImages, PixelView
from fmnist_dask.kernels.masking import hidden_pixels
from fmnist_dask.typing import AnyArray


@dataclass(frozen=True)
class MaskedImages(PixelView):
    """Images whose pixels are partly missing: those that are in the collection, and those hidden here at random.

    ``image`` is 0 where ``missing``; ``truth`` has all pixels of the collection, and ``hidden`` says which were taken
    away.

    Attributes
    ----------
    of
        The collection, or a choice of its images.
    fraction
        Probability of a pixel to be hidden; 0 for none.
    seed
        Which ones are hidden depends on it, the row and the pixel alone.
    """

    of: Collection | KeptImages | FilledImages
    fraction: float = 0.0
    seed: int = 0

    @classmethod
    def over(cls, images: Collection | KeptImages | FilledImages, fraction: float = 0.0, seed: int = 0) -> MaskedImages:
        """Of a collection or of some of its images."""
        base = images if isinstance(images, Collection) else images.base
        version = images.fingerprint if isinstance(images, Collection) else f"{images.fingerprint}-{images.version}"
        return cls(base, "", f"{version}-{fraction}-{seed}", images, fraction, seed)

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split, in the order of their codes."""
        return self.of.splits

    @property
    def missing_pixels(self) -> int:
        """Pixels that nobody knows; more are hidden."""
        return self.of.missing_pixels

    @property
    def is_complete(self) -> bool:
        """Whether no pixel is missing or hidden."""
        return not self.fraction and not self.missing_pixels

    def block(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``; arrays are read when asked for."""

        def load(name: str) -> AnyArray:
            if name == "image" and not self.is_complete:
                image = block.array(TRUTH).copy()
                image[block.array(MISSING)] = 0
                return image
            if name == MISSING and not self.missing_pixels:
                return block.array(HIDDEN)
            return self.read(name, start, stop)

        block = Block(np.arange(start, stop, dtype=np.int64), load)
        return block

    def read(self, name: str, start: int, stop: int) -> AnyArray:
        """One named array for rows ``start`` to ``stop``."""
        if name == TRUTH:
            return self.of.read("image", start, stop)
        if name == "image" and not self.is_complete:
            image = self.of.read("image", start, stop).copy()
            image[self.read(MISSING, start, stop)] = 0
            return image
        if name not in (MISSING, HIDDEN):
            return self.of.read(name, start, stop)
        size = self.image_shape[:2]
        stop = min(stop, self.n)
        gone = self.of.read(MISSING, start, stop) if self.missing_pixels else np.zeros((stop - start, *size), np.bool_)
        if not self.fraction:
            return gone if name == MISSING else np.zeros_like(gone)
        rows = np.arange(start, stop, dtype=np.int64)
        hidden = hidden_pixels(self.seed, rows, size[0] * size[1], self.fraction).reshape(-1, *size)
        found: AnyArray = hidden | gone if name == MISSING else hidden & ~gone
        return found
