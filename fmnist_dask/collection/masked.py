"""A collection of which some pixels are hidden, as if they were missing; what they are is kept for scoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.layout import HIDDEN, MISSING, TRUTH
from fmnist_dask.collection.store import Collection
from fmnist_dask.collection.views import FilledImages, KeptImages, PixelView
from fmnist_dask.kernels.masking import hidden_pixels
from fmnist_dask.typing import AnyArray, BoolArray, IntArray


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

    def __hash__(self) -> int:
        """By what tells masks apart: collections themselves have no hash."""
        return hash((self.version, self.fraction, self.seed))

    @classmethod
    def over(cls, images: Any, fraction: float = 0.0, seed: int = 0) -> MaskedImages:
        """Of a collection or of some of its images, or of one that is yet to be made."""
        seen = isinstance(images, (KeptImages, FilledImages))
        base = images.base if seen else images
        version = f"{images.fingerprint}-{images.version}" if seen else images.fingerprint
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
        return self.seen_in(self.of.block(start, stop))

    def seen_in(self, block: Block) -> Block:
        """A block of the images without a mask, seen through this one: whoever reads the same images shares it."""

        def load(name: str) -> AnyArray:
            if name == TRUTH:
                return block.array("image")
            if name == "image" and not self.is_complete:
                image = block.array("image").copy()
                image[seen.array(MISSING)] = 0
                return image
            if name not in (MISSING, HIDDEN):
                return block.array(name)
            if name == MISSING and not self.missing_pixels:
                return seen.array(HIDDEN)
            gone = block.array(MISSING) if self.missing_pixels else None
            return self._pixels_of(name, block.rows, gone)

        seen = Block(block.rows, load)
        return seen

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
        rows = np.arange(start, min(stop, self.n), dtype=np.int64)
        return self._pixels_of(name, rows, self.of.read(MISSING, start, stop) if self.missing_pixels else None)

    def _pixels_of(self, name: str, rows: IntArray, gone: BoolArray | None) -> BoolArray:
        """``missing`` or ``hidden`` pixels of some rows.

        Parameters
        ----------
        gone
            Pixels that are missing anyway.
        """
        size = self.image_shape[:2]
        if not self.fraction:
            none = np.zeros((len(rows), *size), np.bool_)
            return none if name == HIDDEN or gone is None else gone
        hidden: BoolArray = hidden_pixels(self.seed, rows, size[0] * size[1], self.fraction).reshape(-1, *size)
        if gone is None:
            return hidden
        return hidden | gone if name == MISSING else hidden & ~gone
