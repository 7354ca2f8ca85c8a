"""Properties of each image as a column, and their distributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.hashing import content_hashes
from fmnist_dask.kernels.properties import PROPERTIES, image_properties
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.typing import AnyArray, IntArray

#: Upper end of each property's range; the lower end is 0.
RANGES = {"brightness": 1.0, "contrast": 0.5, "blank_share": 1.0, "sharpness": 4.0, "distinct_values": 256.0}
BINS = 4096


def measured(block: Block) -> AnyArray:
    """Properties of a block's images, measured once for all that ask."""
    return block.memo("properties", lambda: image_properties(block.image))


@dataclass(frozen=True)
class ImageProperties(Column):
    """Brightness, contrast, blank share, sharpness and number of distinct values of each image, float32."""

    def variables(self, source: Readable) -> dict[str, Variable]:
        """One variable a property."""
        return {
            name: Variable("float32", attrs=(("long_name", meaning),), fill_value=float("nan"))
            for name, meaning in PROPERTIES.items()
        }

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Measure."""
        values = measured(block)
        return {name: np.ascontiguousarray(values[name]) for name in PROPERTIES}

    def kept_as(self) -> Any:
        """A row's values do not depend on others."""
        return self


@dataclass(frozen=True)
class ContentHash(Column):
    """XXH3-128 of each image, for collections that do not store it."""

    def variables(self, source: Readable) -> dict[str, Variable]:
        """High and low half."""
        return {"content_hash": Variable("uint64", (2,), ("half",), compress=False)}

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Hash."""
        return {"content_hash": content_hashes(block.image)}


@dataclass(frozen=True)
class PropertyHistogram(Reduction):
    """Histograms of each property, by class: int64 array of shape (1 + classes, properties, 4096).

    The first row is for unknown labels. Bins cut [0, upper end of the property's range] evenly; the last one is closed.
    """

    def initial(self, source: Readable) -> IntArray:
        """Zeros."""
        return np.zeros((1 + len(source.class_names), len(PROPERTIES), BINS), dtype=np.int64)

    def chunk(self, state: IntArray, block: Block) -> IntArray:
        """Count a block."""
        values = measured(block)
        label = block.label.astype(np.int64) + 1
        for position, name in enumerate(PROPERTIES):
            bins = np.minimum(values[name].astype(np.float64) * (BINS / RANGES[name]), BINS - 1).astype(np.int64)
            counted = np.bincount(label * BINS + bins, minlength=state.shape[0] * BINS)
            state[:, position] += counted.reshape(state.shape[0], BINS)
        return state

    def combine(self, left: IntArray, right: IntArray) -> IntArray:
        """Add."""
        left += right
        return left

    def state_bytes(self, source: Readable) -> int:
        """8 bytes a bin."""
        return 8 * (1 + len(source.class_names)) * len(PROPERTIES) * BINS

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Properties, bins and codes of the rows."""
        return 60 * rows

    def kept_as(self) -> Any:
        """Counts of some rows are part of those of all."""
        return self
