"""UMAP: places that keep neighbours, the same for any chunks and workers; odd collections; beside umap-learn."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from support import assert_spread, with_features

from fmnist_dask.cluster.connect import Connection
from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.neighbours import Measure, Samples, look_for
from fmnist_dask.models.map_rows import images_to_place
from fmnist_dask.models.umap import UMAPModel, UMAPOptions, umap
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.reductions.umap_places import UMAPPlacing, place_by_umap

QUICK = UMAPOptions(n_epochs=60)
BY_LANDMARKS = replace(QUICK, landmarks=120, placing_epochs=40)


def features(n: int = 400, groups: int = 3, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, groups, n).astype(np.int16)
    centres = rng.normal(0, 10, (groups, d))
    return (centres[label] + rng.normal(0, 1, (n, d))).astype(np.float32), label


def place(values: np.ndarray, options: UMAPOptions = QUICK, chunk_rows: int = 64, engine: Any = None) -> UMAPModel:
    source = with_features(values, chunk_rows)
    sample = drive(images_to_place(source, len(values), options), source, engine)
    return drive(umap(source, sample, len(values), options), source, engine)


def nearest_on_map(places: np.ndarray, among: np.ndarray) -> np.ndarray:
    squares = ((places[:, None].astype(np.float64) - among) ** 2).sum(axis=2)
    if places is among:
        np.fill_diagonal(squares, np.inf)
    return np.sqrt(squares.min(axis=1))


@pytest.fixture(scope="module")
def by_landmarks() -> UMAPModel:
    return place(features()[0], BY_LANDMARKS)


def test_too_few_and_broken_images_are_refused() -> None:
    with pytest.raises(UsageError, match="a map of 4 images would show nothing"):
        place(features(4)[0])
    values = features(30)[0]
    values[17, 2] = np.nan
    with pytest.raises(UsageError, match="row 17 contain NaN"):
        place(values)
    with pytest.raises(UsageError, match=r"min_dist is 2, more than spread, 1") as caught:
        place(features(30)[0], replace(QUICK, min_dist=2.0))
    assert caught.value.remedy == "give a min_dist of 1 or less"


@pytest.mark.slow
def test_groups_stay_together_whatever_the_chunks() -> None:
    values, label = features(240)
    model = place(values)
    np.testing.assert_array_equal(model.rows, np.arange(240))
    squares = ((model.embedding[:, None] - model.embedding) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    assert (label[squares.argmin(axis=1)] == label).all()
    np.testing.assert_array_equal(place(values, chunk_rows=37).embedding, model.embedding)
    assert (place(values, replace(QUICK, seed=1)).embedding != model.embedding).any()


@pytest.mark.slow
@pytest.mark.parametrize("init", ["pca", "spectral"])
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((30, 4), np.float32),
        np.repeat(features(10)[0], 3, axis=0),
        features(30)[0][:, :1],
        features(5)[0],
    ],
    ids=["constant", "copies", "one feature", "five images"],
)
def test_odd_collections_have_finite_places(values: np.ndarray, init: Any) -> None:
    model = place(values, replace(QUICK, init=init, n_neighbors=40))
    assert np.isfinite(model.embedding).all()
    assert model.n_neighbors == len(values)


@pytest.mark.slow
def test_others_are_placed_among_landmarks_and_do_not_pile_up(by_landmarks: UMAPModel) -> None:
    _, label = features()
    fitted = by_landmarks.fitted
    assert fitted.sum() == 120
    own, others = by_landmarks.embedding[fitted], by_landmarks.embedding[~fitted]
    assert np.isfinite(others).all()
    vote = KNeighborsClassifier(10).fit(own, label[fitted])
    assert vote.score(others, label[~fitted]) > 0.98
    assert len(np.unique(others, axis=0)) == len(others)
    to, among = nearest_on_map(others, own), nearest_on_map(own, own)
    assert to.min() > 0
    assert 0.2 < np.median(to) / np.median(among) < 5


@pytest.mark.slow
@pytest.mark.parametrize("chunk_rows", [37, 256])
def test_places_of_others_are_the_same_for_any_chunks(by_landmarks: UMAPModel, chunk_rows: int) -> None:
    other = place(features()[0], BY_LANDMARKS, chunk_rows)
    np.testing.assert_array_equal(other.embedding, by_landmarks.embedding)
    for mine, theirs in ((by_landmarks.neighbours, other.neighbours), (by_landmarks.distances, other.distances)):
        np.testing.assert_array_equal(theirs[0:400], mine[0:400])


@pytest.mark.slow
@pytest.mark.long
def test_places_are_the_same_for_any_workers(
    by_landmarks: UMAPModel, cluster: Connection, start_cluster: Callable[..., Any], tmp_path: Path
) -> None:
    with start_cluster(1) as alone:
        for connection in (cluster, alone):
            engine = DistributedEngine(connection.client, connection.workers, tmp_path / str(connection.workers))
            there = place(features()[0], BY_LANDMARKS, 50, engine)
            np.testing.assert_array_equal(there.embedding, by_landmarks.embedding)


@pytest.mark.slow
def test_copies_of_landmarks_and_equal_images_have_places(by_landmarks: UMAPModel) -> None:
    values = features(200)[0]
    model = place(np.concatenate([values, values]), BY_LANDMARKS)
    assert np.isfinite(model.embedding).all()
    first, second = np.arange(200), np.arange(200, 400)
    both_placed = ~model.fitted[first] & ~model.fitted[second]
    # Alike in their features, alike on the map.
    np.testing.assert_array_equal(model.embedding[first][both_placed], model.embedding[second][both_placed])
    one_fitted = model.fitted[first] ^ model.fitted[second]
    gap = np.linalg.norm(model.embedding[first] - model.embedding[second], axis=1)
    assert np.median(gap[one_fitted]) < 1
    constant = place(np.zeros((60, 3), np.float32), replace(BY_LANDMARKS, landmarks=20))
    assert np.isfinite(constant.embedding).all()


@pytest.mark.slow
def test_others_begin_where_umap_learn_would_place_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scipy.sparse import coo_matrix
        from umap.umap_ import compute_membership_strengths, init_graph_transform, smooth_knn_dist
    values = features(300)[0]
    few, rest = values[:200].astype(np.float64), values[200:].astype(np.float64)
    rest[0] = few[7]
    measure = Measure.of_range(values.min(axis=0), values.max(axis=0))
    index, distances = look_for(Samples(rest, np.arange(100)), few, 15, measure)
    near = distances.astype(np.float32)
    sigma, rho = smooth_knn_dist(near, 15.0, local_connectivity=0.0)
    rows, columns, strengths, _ = compute_membership_strengths(index, near, sigma, rho, bipartite=True)
    graph = coo_matrix((strengths, (rows, columns)), shape=(100, 200)).tocsr()
    places = np.random.default_rng(1).normal(0, 5, (200, 2))
    still = UMAPPlacing(15, 1.5, 0.9, 0, 1.0, 5, 0)
    mine = place_by_umap(ArrayParameter(places), index, distances, still)
    np.testing.assert_allclose(mine, init_graph_transform(graph, places), atol=1e-4)
    np.testing.assert_array_equal(mine[0], places[7].astype(np.float32))
    # One at a time they come to lie where all together do.
    moving = replace(still, n_epochs=50)
    together = place_by_umap(ArrayParameter(places), index, distances, moving)
    alone = [
        place_by_umap(ArrayParameter(places), index[at : at + 1], distances[at : at + 1], moving)[0]
        for at in range(0, 100, 9)
    ]
    np.testing.assert_array_equal(alone, together[::9])
    assert (together != mine).any(axis=1).all()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.data
def test_maps_are_as_good_as_those_of_umap_learn(real_data: Callable[[str], Path]) -> None:
    found = {}
    for what, head in (("images-idx3", 16), ("labels-idx1", 8)):
        raw = gzip.decompress((real_data("fashion-mnist") / f"train-{what}-ubyte.gz").read_bytes())
        found[what] = np.frombuffer(raw, np.uint8, offset=head)
    images, label = found["images-idx3"].reshape(-1, 784)[:3000], found["labels-idx1"][:3000]
    codes = PCA(50, random_state=0).fit_transform(images.astype(np.float64))
    codes = codes.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        direct = UMAP(init="pca", random_state=0).fit_transform(codes)
    mine = place(codes, UMAPOptions(), 512).embedding
    measured = {}
    for name, places in (("direct", direct), ("mine", mine)):
        votes = cross_val_score(KNeighborsClassifier(10), places, label, cv=10).mean()
        measured[name] = np.array([trustworthiness(codes, places, n_neighbors=15), votes])
    assert (measured["mine"] > measured["direct"] - 0.01).all(), measured
    assert measured["mine"][0] > 0.9
    assert_spread(place(codes, UMAPOptions(landmarks=1000), 512), codes)
