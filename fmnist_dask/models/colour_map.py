"""A plane of distinct colours by UMAP, so that those that are alike lie together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.kernels.colours import Colours
from fmnist_dask.kernels.counter_random import random_bits
from fmnist_dask.models.umap import UMAPOptions, embed, embedding_bytes, neighbours_of
from fmnist_dask.passes.protocol import Algorithm, Call, Tasks
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Stream of random numbers that colours draw their priorities from.
COLOUR_STREAM = 9201
#: Fewer colours make no map.
FEWEST = 5


@dataclass
class ColourMap:
    """Distinct colours and their places.

    Attributes
    ----------
    row : int64 array, shape (m,)
        Which of the counted colours.
    place : float32 array, shape (m, 2), or None
        ``None`` where no map was asked for, or there are too few colours for one.
    n_neighbors
        Of each colour, itself among them.
    """

    row: IntArray
    place: AnyArray | None
    n_neighbors: int


def chosen_colours(colours: Colours, most: int, seed: int) -> IntArray:
    """At most so many of the distinct colours, drawn at random; the same for the same colours."""
    if len(colours) <= most:
        return np.arange(len(colours))
    priority = random_bits(seed, colours.code.astype(np.int64), COLOUR_STREAM)
    return np.sort(np.argsort(priority, kind="stable")[:most])


def colour_map(
    colours: Colours, points: FloatArray, most: int, n_neighbors: int, seed: int, placed: bool = True
) -> Algorithm[ColourMap]:
    """Place some of the distinct colours in a plane.

    Parameters
    ----------
    points : float64 array, shape (m, d)
        All of them, where distances are measured.
    most
        Colours on the map.
    n_neighbors
        Neighbours that count for each, as umap-learn counts.
    placed
        Whether to place them, or only to draw them.
    """
    row = chosen_colours(colours, most, seed)
    k = neighbours_of(len(row), n_neighbors)
    if not placed or len(row) < FEWEST:
        return ColourMap(row, None, k)

    def nothing() -> list[Any]:
        return [np.zeros((len(row), 2), dtype=np.float32)]

    call = Call(place_colours, (k, seed), len(row))
    cost, _ = map_bytes(len(row), points.shape[1], n_neighbors)
    # A few thousand colours are no great work, but umap-learn itself takes more memory than small workers have.
    work = Tasks("UMAP", (call,), cost, "colours", expected=nothing, shared=points[row], late=True, here=True)
    place = (yield work)[0]
    return ColourMap(row, place, k)


def map_bytes(m: int, d: int, n_neighbors: int) -> tuple[int, int]:
    """Memory of a map of m colours of d values, and of the colours themselves."""
    return embedding_bytes(m, d, neighbours_of(m, n_neighbors)), 8 * m * d


def place_colours(points: FloatArray, k: int, seed: int) -> AnyArray:
    """Places of colours by their exact nearest neighbours, float32, shape (m, 2)."""
    from scipy.spatial import KDTree

    distance, neighbour = KDTree(points).query(points, k)
    # Of colours in one place (bins of few bits may be) the one itself need not come first.
    itself = neighbour == np.arange(len(points))[:, None]
    itself[~itself.any(axis=1), -1] = True
    others = ~itself
    near = neighbour[others].reshape(len(points), k - 1).astype(np.int32)
    return embed((points, near, distance[others].reshape(len(points), k - 1)), UMAPOptions(k, seed=seed))[0]
