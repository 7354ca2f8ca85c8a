"""Layers of a map to look at closely: for each group, how many of its images stand in each of many small cells."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmnist_dask.typing import FloatArray, IntArray

#: Least opacity of a cell that holds images; the fullest of all groups together is opaque. On a log scale between, in
#: so many steps.
FAINTEST, STEPS = 0.55, 15
#: Bytes of all layers of one map, as addresses; cells become coarser until they fit.
BUDGET = 1_200_000


@dataclass(frozen=True)
class Layer:
    """The cells of one group as a picture, and where it lies.

    Attributes
    ----------
    group
        Position of the group.
    uri
        ``data:`` address.
    left, top, width, height
        Of the picture, in the units of the map.
    """

    group: int
    uri: str
    left: float
    top: float
    width: float
    height: float


def layers(counts: IntArray, edges: FloatArray, colours: Sequence[str], budget: int = BUDGET) -> tuple[Layer, ...]:
    """A picture for each group that has images, the largest group first, so that small ones lie above it.

    Parameters
    ----------
    counts : int array, shape (groups, rows, columns)
        Row 0 has the lowest values.
    edges : float array, shape (2, 2)
        Low and high of x, and of y.
    colours
        Of the groups.
    """
    while True:
        fullest = int(counts.sum(axis=0, dtype=np.int64).max(initial=1))
        found = [_layer(group, counts[group], edges, colours[group], fullest) for group in _by_size(counts)]
        if sum(len(one.uri) for one in found) <= budget or max(counts.shape[1:]) <= 2:
            return tuple(found)
        counts, edges = _evened(counts, edges)
        counts = coarser(counts, 2)


def _evened(counts: IntArray, edges: FloatArray) -> tuple[IntArray, FloatArray]:
    """With an even number of rows and of columns: empty ones are added at the upper ends."""
    rows, columns = counts.shape[1:]
    if rows % 2 == columns % 2 == 0:
        return counts, edges
    cell = (edges[:, 1] - edges[:, 0]) / np.array([columns, rows])
    more = np.array([columns % 2, rows % 2])
    longer = np.stack([edges[:, 0], edges[:, 1] + more * cell], axis=1)
    return np.pad(counts, ((0, 0), (0, more[1]), (0, more[0]))), longer


def coarser(counts: IntArray, factor: int) -> IntArray:
    """Counts of square blocks of cells; sides are multiples of the factor."""
    groups, rows, columns = counts.shape
    blocks = counts.reshape(groups, rows // factor, factor, columns // factor, factor)
    summed: IntArray = blocks.sum(axis=(2, 4), dtype=np.int64)
    return summed


def _by_size(counts: IntArray) -> list[int]:
    sizes = counts.sum(axis=(1, 2), dtype=np.int64)
    return [int(group) for group in np.argsort(-sizes, kind="stable") if sizes[group]]


def _layer(group: int, counts: IntArray, edges: FloatArray, colour: str, fullest: int) -> Layer:
    rows, columns = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    (bottom, up), (left, right) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    part = counts[bottom:up, left:right]
    shares = np.log1p(part) / np.log1p(fullest)
    steps = np.where(part > 0, 1 + np.rint(shares * (STEPS - 1)), 0).astype(np.uint8)
    cell = (edges[:, 1] - edges[:, 0]) / np.array([counts.shape[1], counts.shape[0]])
    return Layer(
        group,
        _picture(np.ascontiguousarray(steps[::-1]), colour),
        float(edges[0, 0] + left * cell[0]),
        float(edges[1, 0] + up * cell[1]),
        float((right - left) * cell[0]),
        float((up - bottom) * cell[1]),
    )


def _picture(steps: IntArray, colour: str) -> str:
    """Steps of opacity of one colour, as PNG with a palette."""
    from PIL import Image

    image = Image.fromarray(steps.astype(np.uint8)).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([int(colour[at : at + 2], 16) for at in (1, 3, 5)] * (STEPS + 1))
    opacity = [0.0, *(FAINTEST + (1 - FAINTEST) * np.linspace(0, 1, STEPS))]
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, bits=4, transparency=bytes(int(255 * one) for one in opacity))
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
