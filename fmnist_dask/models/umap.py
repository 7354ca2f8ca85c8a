"""UMAP: a plane in which images that are near each other stay together; fitted on landmarks where there are many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.models.map_others import MapModel, with_others
from fmnist_dask.models.map_rows import LandmarkChoice, principal_start
from fmnist_dask.models.neighbours import nearest_neighbours
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Tasks
from fmnist_dask.passes.reductions.map_places import PLACING, Landmarks
from fmnist_dask.passes.reductions.umap_places import LIBRARY_BYTES, UMAPPlaces, UMAPPlacing, umap_alone
from fmnist_dask.typing import AnyArray, FloatArray, IntArray

#: Bytes for each image and neighbour while the graph is made and its edges are drawn, and for each image.
PAIR_BYTES, IMAGE_BYTES = 200, 256


@dataclass(frozen=True)
class UMAPOptions:
    """What umap-learn calls the same.

    Attributes
    ----------
    n_neighbors
        Neighbours that count, the image itself among them; all images where there are fewer.
    min_dist
        How near images may come to each other on the map.
    spread
        Scale of the map.
    n_epochs
        Times that the closest pairs attract each other; ``None``: 500 up to 10,000 images, 200 for more.
    learning_rate
        Of the first epoch; it falls to 0.
    negative_sample_rate
        Images drawn at random that repel an image each time that one attracts it.
    init
        Where images begin: ``pca``, their first two components, or ``spectral``, eigenvectors of the graph.
    images, seed, landmarks, landmark_choice
        See :class:`~fmnist_dask.models.tsne.TSNEOptions`.
    placing_epochs
        Epochs of images that are placed among landmarks.
    """

    n_neighbors: int = 15
    min_dist: float = 0.1
    spread: float = 1.0
    n_epochs: int | None = None
    learning_rate: float = 1.0
    negative_sample_rate: int = 5
    init: Literal["pca", "spectral"] = "pca"
    images: int | None = None
    seed: int = 0
    landmarks: int = 100_000
    landmark_choice: LandmarkChoice = "random"
    placing_epochs: int = 100


@dataclass
class UMAPModel(MapModel):
    """Where images are, by UMAP.

    Attributes
    ----------
    n_neighbors
        As used.
    """

    n_neighbors: int


def umap(
    source: Readable, sample: dict[str, AnyArray], n: int, options: UMAPOptions, split: str = "all"
) -> Algorithm[UMAPModel]:
    """Fit the places of landmarks by their exact nearest neighbours, and place the other samples among them.

    Umap-learn works on one thread here: with more, two runs would not give the same map.

    Parameters
    ----------
    sample
        As :func:`~fmnist_dask.models.map_rows.images_to_place` returns it.
    n
        Samples it was drawn from.

    Raises
    ------
    UsageError
        ``min_dist`` above ``spread``; features that are not finite.
    MemoryLimitError
        The neighbours of all landmarks do not fit into the driver.
    """
    if options.min_dist > options.spread:
        raise UsageError(
            f"min_dist is {options.min_dist:g}, more than spread, {options.spread:g}",
            f"give a min_dist of {options.spread:g} or less",
        )
    rows, features = sample["row"], sample["features"]
    k = neighbours_of(len(rows), options.n_neighbors)
    inside = np.zeros(source.n, dtype=bool)
    inside[rows] = True
    near = yield from nearest_neighbours(source, inside, max(k - 1, min(len(rows) - 1, PLACING)), split)
    # Places among the images that are placed.
    places = np.searchsorted(rows, near.neighbours[:, : k - 1]).astype(np.int32)
    call = Call(embed, (options,), len(rows))

    def nothing() -> list[Any]:
        return [(np.zeros((len(rows), 2), dtype=np.float32), 1.0, 1.0)]

    shared = (features, places, near.distances[:, : k - 1])
    cost = embedding_bytes(len(rows), features.shape[1], k)
    work = Tasks("UMAP", (call,), cost, unit="images", expected=nothing, shared=shared, late=True)
    placed, a, b = (yield work)[0]

    def column(known: Landmarks, wanted: ArrayParameter, shift: ArrayParameter, scale: float) -> UMAPPlaces:
        return UMAPPlaces(known, wanted, shift, scale, placing_of(options, k, a, b))

    fitted = np.isin(sample["rows"], rows, assume_unique=True)
    everywhere, neighbours, distances = yield from with_others(source, sample, placed, near, column, split)
    return UMAPModel(sample["rows"], fitted, everywhere, neighbours, distances, n, k)


def placing_of(options: UMAPOptions, k: int, a: float, b: float) -> UMAPPlacing:
    """How others are placed on a map with these options."""
    rates = options.learning_rate, options.negative_sample_rate
    return UMAPPlacing(k, a, b, options.placing_epochs, *rates, options.seed)


def neighbours_of(m: int, n_neighbors: int) -> int:
    """Neighbours that count, the image itself among them, as umap-learn counts."""
    return min(m, n_neighbors)


def embedding_bytes(m: int, d: int, k: int) -> int:
    """Memory of :func:`embed` beyond the features."""
    return LIBRARY_BYTES + m * (16 * d + PAIR_BYTES * k + IMAGE_BYTES)


def embed(known: tuple[FloatArray, IntArray, FloatArray], options: UMAPOptions) -> tuple[AnyArray, float, float]:
    """Optimize the places of some images by umap-learn; (embedding, a, b) with the parameters of its curve.

    Parameters
    ----------
    known
        Features, shape (m, d), and of the nearest neighbours of each image places among them and distances, shape
        (m, k − 1).
    """
    features, neighbours, distances = known
    m, k = len(features), neighbours.shape[1] + 1
    with umap_alone():
        from umap.umap_ import find_ab_params, fuzzy_simplicial_set, noisy_scale_coords, simplicial_set_embedding

        random_state = np.random.RandomState(options.seed)
        # To umap-learn each image is the first of its own neighbours.
        index = np.column_stack([np.arange(m, dtype=np.int32), neighbours])
        lengths = np.column_stack([np.zeros(m, dtype=np.float32), distances.astype(np.float32)])
        graph, _, _ = fuzzy_simplicial_set(features, k, random_state, "euclidean", knn_indices=index, knn_dists=lengths)
        init: Any = options.init
        if init == "pca":
            init = noisy_scale_coords(principal_start(features, 1.0, options.seed), random_state)
        a, b = find_ab_params(options.spread, options.min_dist)
        embedding, _ = simplicial_set_embedding(
            features,
            graph,
            n_components=2,
            initial_alpha=options.learning_rate,
            a=a,
            b=b,
            gamma=1.0,
            negative_sample_rate=options.negative_sample_rate,
            n_epochs=options.n_epochs,
            init=init,
            random_state=random_state,
            metric="euclidean",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
            tqdm_kwds={"disable": True},
        )
    return np.asarray(embedding, dtype=np.float32), float(a), float(b)
