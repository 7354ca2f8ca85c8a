"""Names of classes and splits for labels and codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmnist_dask.passes.protocol import Readable
from fmnist_dask.typing import AnyArray, IntArray

UNLABELLED = "not labelled"
#: Dimensions of one image.
IMAGE_DIMS = ("y", "x", "channel")


@dataclass(frozen=True)
class ClassTable:
    """Columns of a (…, 1 + classes) table that are worth showing, and their names."""

    columns: list[int]
    names: list[str]


def class_table(class_names: Sequence[str], counts: IntArray) -> ClassTable:
    """All classes, and the column of unknown labels if it counts any."""
    columns = list(range(1, 1 + len(class_names)))
    names = list(class_names)
    if counts[:, 0].any() or not columns:
        columns, names = [*columns, 0], [*names, UNLABELLED]
    return ClassTable(columns, names)


def label_names(class_names: Sequence[str], labels: AnyArray) -> AnyArray:
    """Name of each label's class, as an object array."""
    names = np.array([*class_names, UNLABELLED], dtype=object)
    chosen: AnyArray = names[np.asarray(labels, dtype=np.int64)]  # −1 picks the last
    return chosen


def unit_of(source: Readable) -> float:
    """What counts as 1 in metrics: 255 for pixels, which are scaled to [0, 1]."""
    return 255.0 if source.feature_dtype == "uint8" else 1.0
