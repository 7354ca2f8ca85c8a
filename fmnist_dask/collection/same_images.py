"""What views of a collection leave as it is."""

from __future__ import annotations

from typing import Any


class SameImages:
    """What stays the same where a collection is seen otherwise: its images, in their order, with classes and splits.

    Attributes
    ----------
    base
        What is seen.
    """

    base: Any

    @property
    def n(self) -> int:
        """Number of samples."""
        found: int = self.base.n
        return found

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(y, x) or (y, x, channel) of the images."""
        found: tuple[int, ...] = self.base.image_shape
        return found

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        found: int = self.base.image_bytes
        return found

    @property
    def chunk_rows(self) -> int:
        """Samples in one chunk."""
        found: int = self.base.chunk_rows
        return found

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        found: tuple[str, ...] = self.base.class_names
        return found

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split, in the order of their codes."""
        found: dict[str, int] = self.base.splits
        return found
