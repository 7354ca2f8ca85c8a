"""Coordinates along principal components: a column, and the sums of a streamed randomized PCA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.projection import PANEL_ROWS, project, projection_bytes, sketch, sketch_bytes
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.typing import AnyArray, IntArray


@dataclass(frozen=True)
class Codes(Column):
    """Each sample's coordinates along directions (``codes``), and its cell in their first plane (``plane``).

    Attributes
    ----------
    mean
        Shape (d,), subtracted first.
    directions
        Shape (d, k), scaled as the codes shall be.
    edges
        Shape (2, 2): low and high of both axes of the plane; ``None`` for no plane.
    cells
        Cells along each side of the plane; values beyond its edges stand in the outermost ones.
    """

    mean: ArrayParameter
    directions: ArrayParameter
    edges: ArrayParameter | None = None
    cells: int = 0

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Codes, plane, and the label beside it."""
        k = self.directions.values.shape[1]
        found = {
            "codes": Variable("float32", (k,), ("component",), fill_value=float("nan"), compress=False),
            "label": Variable("int16", attrs=(("long_name", "class"),), fill_value=-1),
        }
        if self.edges is not None:
            attrs = (("long_name", "cell of the first two components"), ("cells", self.cells))
            found["plane"] = Variable("uint16", (2,), ("axis",), attrs)
        return found

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Project."""
        codes = project(block.features, block.rows, self.mean.values, self.directions.values)
        found: dict[str, AnyArray] = {"codes": codes.astype(np.float32), "label": block.label}
        if self.edges is not None:
            found["plane"] = cells_of(codes[:, :2], self.edges.values, self.cells)
        return found

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Codes twice, and a panel as float64; directions are copied where they lie in another order."""
        directions = self.directions.values
        copied = 0 if directions.flags.c_contiguous else directions.nbytes
        k = int(directions.shape[1])
        return rows * (12 * k + 8) + projection_bytes(source.n_features) + 8 * PANEL_ROWS * k + copied


def cells_of(codes: AnyArray, edges: AnyArray, cells: int) -> AnyArray:
    """Cell of points on a regular grid, uint16, shape (m, 2)."""
    width = np.where(edges[:, 1] > edges[:, 0], edges[:, 1] - edges[:, 0], 1.0)
    at = np.floor((codes - edges[:, 0]) / width * cells)
    return np.clip(at, 0, cells - 1).astype(np.uint16)


@dataclass(frozen=True)
class Sketch(Reduction):
    """``Σ (x − mean)(x − mean)ᵀ B`` for a basis B: one round of a subspace iteration.

    Attributes
    ----------
    mean, basis
        Shapes (d,) and (d, l).
    scale
        Shape (d,). Sums of panels count as ``round(v * scale)``.
    """

    mean: ArrayParameter
    basis: ArrayParameter
    scale: ArrayParameter

    def initial(self, source: Readable) -> IntArray:
        """Zeros."""
        return np.zeros(self.basis.values.shape, dtype=np.int64)

    def chunk(self, state: IntArray, block: Block) -> IntArray:
        """Add one block."""
        sketch(block.features, block.rows, self.mean.values, self.basis.values, self.scale.values, state)
        return state

    def combine(self, left: IntArray, right: IntArray) -> IntArray:
        """Add."""
        left += right
        return left

    def aggregate(self, state: IntArray, source: Readable) -> Any:
        """As floats."""
        return state / self.scale.values[:, None]

    def state_bytes(self, source: Readable) -> int:
        """An integer for each entry of the basis."""
        return 8 * self.basis.values.size

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Tiles of a panel; the basis is copied where it lies in another order."""
        basis = self.basis.values
        copied = 0 if basis.flags.c_contiguous else basis.nbytes
        return sketch_bytes(source.n_features, int(basis.shape[1])) + copied
