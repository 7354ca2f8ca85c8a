"""``digits``: scikit-learn's 1,797 handwritten digits of 8×8 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, Source, take_options


class Digits(Source):
    """The test part of UCI's "Optical Recognition of Handwritten Digits", as scikit-learn ships it; one split.

    Its 17 grey levels 0-16 are spread to 0-255 (multiplied by 15.9375, rounded).
    """

    kind = "digits (scikit-learn)"
    location = "sklearn.datasets.load_digits"
    description = "Handwritten digits of 8×8 pixels, shipped with scikit-learn (UCI, Alpaydin and Kaynak 1998)."
    image_shape = (8, 8)
    class_names = tuple("0123456789")
    partitions = (Partition("all", 1797, seekable=False),)

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        take_options("digits", options or {})
        self.name = "digits"

    def identity(self) -> dict[str, Any]:
        """Constant: the data set never changes."""
        return {"version": 1}

    def read_bytes(self) -> int:
        """scikit-learn's import and the float64 table."""
        return 120 * 2**20

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Load the table and slice it; see :meth:`Source.read`."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        for at in range(start, stop, batch_rows):
            part = slice(at, min(stop, at + batch_rows))
            image = np.rint(bunch.images[part] * (255 / 16)).astype(np.uint8)
            rows = np.arange(part.start, part.stop, dtype=np.int64)
            yield Rows(image=image, label=bunch.target[part].astype(np.int16), source_name=rows)
