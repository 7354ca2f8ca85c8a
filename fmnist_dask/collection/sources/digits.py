"""``digits``: scikit-learn's 1,797 handwritten digits of 8×8 pixels."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, Source, take_options
from fmnist_dask.typing import AnyArray


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
        """The table as float64, and the text it is parsed from."""
        return 8 * 2**20

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Load the table and slice it; see :meth:`Source.read`."""
        levels, target = _table()
        for at in range(start, stop, batch_rows):
            part = slice(at, min(stop, at + batch_rows))
            image = np.rint(levels[part] * (255 / 16)).astype(np.uint8)
            rows = np.arange(part.start, part.stop, dtype=np.int64)
            yield Rows(image=image, label=target[part].astype(np.int16), source_name=rows)


def _table() -> tuple[AnyArray, AnyArray]:
    """Grey levels (1797, 8, 8) and classes.

    The file is read from scikit-learn's package without importing it, which would cost a worker 3 s and 100 MB.
    """
    package = importlib.util.find_spec("sklearn")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    from sklearn.datasets import load_digits  # the file has moved

    bunch = load_digits()
    return bunch.images, bunch.target
