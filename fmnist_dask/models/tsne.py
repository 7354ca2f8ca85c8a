"""t-SNE: a plane in which images that are near each other stay together; fitted on landmarks where there are many."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_dask.models.map_others import MapModel, with_others
from fmnist_dask.models.map_rows import LandmarkChoice, principal_start
from fmnist_dask.models.neighbours import nearest_neighbours
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Tasks
from fmnist_dask.passes.reductions.map_places import PLACING, Landmarks, MapPlaces
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Iterations between two records of the divergence.
RECORD = 50
#: Momentum while clusters are exaggerated, and after (van der Maaten and Hinton 2008).
FIRST_MOMENTUM, MOMENTUM = 0.5, 0.8
#: Standard deviation of the first axis where optimization begins (Kobak and Berens 2019).
START_SPREAD = 1e-4
#: Bytes for each image and neighbour while affinities are made, and of the libraries.
PAIR_BYTES, LIBRARY_BYTES = 80, 2**28

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TSNEOptions:
    """What openTSNE calls the same.

    Attributes
    ----------
    perplexity
        Neighbours that count, about; a third of the images at most.
    early_exaggeration, early_exaggeration_iter
        By how much affinities are enlarged at the start, and for how many iterations.
    n_iter
        Iterations after that.
    exaggeration
        Of affinities in these; above 1, groups are drawn tighter.
    learning_rate
        ``auto``: the number of images divided by the exaggeration (Belkina et al. 2019).
    images
        Images that are on the map, at random from all; ``None`` for all.
    seed
        Of the images, and of the landmarks.
    landmarks
        Images that the map is fitted on, at most; the others are placed among them.
    landmark_choice
        How they are drawn; see :func:`~fmnist_dask.models.map_rows.choose_rows`.
    placing_iter
        Steps that the others are moved by.
    """

    perplexity: float = 30.0
    early_exaggeration: float = 12.0
    early_exaggeration_iter: int = 250
    n_iter: int = 500
    exaggeration: float = 1.0
    learning_rate: float | Literal["auto"] = "auto"
    images: int | None = None
    seed: int = 0
    landmarks: int = 100_000
    landmark_choice: LandmarkChoice = "random"
    placing_iter: int = 250


@dataclass
class TSNEModel(MapModel):
    """Where images are, by t-SNE.

    Attributes
    ----------
    kl_divergence
        Of affinities in the plane from those among features, in nats; of the landmarks.
    history : float64 array, shape (records, 2)
        Iterations so far, and the divergence then; while clusters are exaggerated, of exaggerated affinities.
    perplexity
        As used.
    """

    kl_divergence: float
    history: FloatArray
    perplexity: float


def tsne(
    source: Readable, sample: dict[str, AnyArray], n: int, options: TSNEOptions, split: str = "all"
) -> Algorithm[TSNEModel]:
    """Fit the places of landmarks by their exact nearest neighbours, and place the other samples among them.

    Parameters
    ----------
    sample
        As :func:`~fmnist_dask.models.map_rows.images_to_place` returns it.
    n
        Samples it was drawn from.

    Raises
    ------
    UsageError
        Features that are not finite.
    MemoryLimitError
        The neighbours of all landmarks do not fit into the driver.
    """
    rows, features = sample["row"], sample["features"]
    perplexity = min(options.perplexity, (len(rows) - 1) / 3)
    inside = np.zeros(source.n, dtype=bool)
    inside[rows] = True
    k = neighbours_of(len(rows), perplexity)
    near = yield from nearest_neighbours(source, inside, max(k, min(len(rows) - 1, PLACING)), split)
    # Places among the images that are placed; one that there is not counts as far away as the farthest.
    places = np.searchsorted(rows, near.neighbours[:, :k]).astype(np.int64)
    call = Call(embed, (options, perplexity), len(rows))
    cost = embedding_bytes(len(rows), features.shape[1], perplexity)

    def nothing() -> list[Any]:
        return [(np.zeros((len(rows), 2), dtype=np.float32), 0.0, np.zeros((1, 2)))]

    shared = (features, places, near.distances[:, :k])
    work = Tasks("t-SNE", (call,), cost, unit="images", expected=nothing, shared=shared, late=True)
    placed, divergence, history = (yield work)[0]
    fitted = np.isin(sample["rows"], rows, assume_unique=True)

    def column(known: Landmarks, wanted: ArrayParameter, shift: ArrayParameter, scale: float) -> MapPlaces:
        return MapPlaces(known, wanted, shift, scale, options.placing_iter)

    everywhere, neighbours, distances = yield from with_others(source, sample, placed, near, column, split)
    return TSNEModel(sample["rows"], fitted, everywhere, neighbours, distances, n, divergence, history, perplexity)


def neighbours_of(m: int, perplexity: float) -> int:
    """Neighbours that affinities are made of, as openTSNE takes them."""
    return min(m - 1, int(3 * perplexity))


def embedding_bytes(m: int, d: int, perplexity: float) -> int:
    """Memory of :func:`embed` beyond the features."""
    return LIBRARY_BYTES + m * (16 * d + PAIR_BYTES * int(3 * perplexity + 1) + 256)


def embed(
    known: tuple[FloatArray, IntArray, FloatArray], options: TSNEOptions, perplexity: float
) -> tuple[AnyArray, float, FloatArray]:
    """Optimize the places of some images by openTSNE; (embedding, divergence, history).

    Parameters
    ----------
    known
        Features, shape (m, d), and of the nearest neighbours of each image places among them and distances, shape
        (m, k).
    """
    features, neighbours, distances = known
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openTSNE

        history: list[tuple[int, float]] = []

        def record(iteration: int, divergence: float, _: Any) -> bool:
            history.append((done + iteration, float(divergence)))
            return False

        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        places = openTSNE.TSNEEmbedding(
            principal_start(features, START_SPREAD, options.seed),
            _affinities(neighbours, distances, perplexity),
            n_jobs=jobs,
            random_state=options.seed,
            learning_rate=options.learning_rate,
            callbacks=record,
            callbacks_every_iters=RECORD,
        )
        done = 0
        places = places.optimize(
            options.early_exaggeration_iter, exaggeration=options.early_exaggeration, momentum=FIRST_MOMENTUM
        )
        done = options.early_exaggeration_iter
        places = places.optimize(options.n_iter, exaggeration=options.exaggeration, momentum=MOMENTUM)
    return (
        np.asarray(places, dtype=np.float32),
        round(float(places.kl_divergence), 9),  # the last digits depend on the number of threads
        np.array(history, dtype=np.float64).reshape(-1, 2),
    )


def _affinities(neighbours: IntArray, distances: FloatArray, perplexity: float) -> Any:
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    return PerplexityBasedNN(perplexity=perplexity, knn_index=PrecomputedNeighbors(neighbours, distances))
