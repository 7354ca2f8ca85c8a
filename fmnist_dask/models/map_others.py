"""What maps have in common, and places of images that a map was not fitted on, among those that it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fmnist_dask.models.neighbours import Neighbours, measure_of
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Column, ColumnArray, Readable, Scan
from fmnist_dask.passes.reductions.map_places import PLACING, Landmarks
from fmnist_dask.typing import AnyArray, BoolArray, IntArray

#: Places that are read at a time.
READ_ROWS = 2**18

#: Makes the column of places: from landmarks, a bit for each sample that is wanted, and shift and scale of distances.
ColumnOfPlaces = Callable[[Landmarks, ArrayParameter, ArrayParameter, float], Column]


@dataclass
class MapModel:
    """Where images are.

    Attributes
    ----------
    rows : int64 array, shape (m,)
        The images that are on the map, ascending.
    fitted : bool array, shape (m,)
        Which of them are landmarks.
    embedding : float32 array, shape (m, 2)
    neighbours, distances
        For each image of the collection the rows of the landmarks nearest to it, itself left out, nearest first, and
        how far they are among the features; −1 and NaN where there are none, as for images that are not on the map.
        Shapes (n of the collection, k).
    n
        Images there were.
    """

    rows: IntArray
    fitted: BoolArray
    embedding: AnyArray
    neighbours: ColumnArray
    distances: ColumnArray
    n: int


def with_others(
    source: Readable,
    sample: dict[str, AnyArray],
    placed: AnyArray,
    near: Neighbours,
    column: ColumnOfPlaces,
    split: str,
) -> Algorithm[tuple[AnyArray, ColumnArray, ColumnArray]]:
    """Places of all samples on the map, of landmarks and of others among them, and their nearest landmarks.

    Parameters
    ----------
    sample
        As :func:`~fmnist_dask.models.map_rows.images_to_place` returns it.
    placed : float32 array, shape (p, 2)
        Places of the landmarks.
    near
        Their neighbours among each other.
    column
        What places the others.

    Returns
    -------
    tuple
        Places, shape (m, 2); of each sample of the collection rows of the nearest landmarks, and distances to them.
    """
    rows, landmarks = sample["rows"], sample["row"]
    near_rows = near.neighbours[:, :PLACING]
    near_distances = np.where(near_rows < 0, np.nan, near.distances[:, :PLACING]).astype(np.float32)
    if len(landmarks) == len(rows):
        neighbours = np.full((source.n, near_rows.shape[1]), -1, dtype=np.int64)
        distances = np.full(neighbours.shape, np.nan, dtype=np.float32)
        neighbours[landmarks], distances[landmarks] = near_rows, near_distances
        return placed, neighbours, distances
    wanted = np.zeros(source.n, dtype=bool)
    wanted[rows] = True
    measure = yield from measure_of(source, split)
    known = Landmarks(
        ArrayParameter(landmarks),
        ArrayParameter(sample["features"]),
        ArrayParameter(placed.astype(np.float64)),
        ArrayParameter(near_rows),
        ArrayParameter(near_distances),
    )
    places = column(known, ArrayParameter(np.packbits(wanted)), ArrayParameter(measure.shift), measure.scale)
    found = (yield Scan(columns={"places": places}, split=split))["places"]
    everywhere = np.empty((len(rows), 2), dtype=np.float32)
    for start in range(0, source.n, READ_ROWS):
        low, high = np.searchsorted(rows, (start, start + READ_ROWS))
        everywhere[low:high] = found["place"][start : min(start + READ_ROWS, source.n)][rows[low:high] - start]
    return everywhere, found["neighbour"], found["distance"]
