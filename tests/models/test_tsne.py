"""t-SNE: places that keep neighbours, the same for any chunks; odd collections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openTSNE
import pytest
from sklearn.decomposition import PCA
from source_files import arrays_of
from support import assert_spread, with_features

from fmnist_dask.cluster.connect import Connection
from fmnist_dask.collection.sources.idx import Idx
from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.neighbours import Measure, Samples, look_for
from fmnist_dask.models.map_rows import choose_rows, images_to_place
from fmnist_dask.models.tsne import TSNEModel, TSNEOptions, tsne
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import drive
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Scan
from fmnist_dask.passes.reductions.map_places import place_by
from fmnist_dask.passes.reductions.rows_at import RowLabels

QUICK = TSNEOptions(perplexity=10, early_exaggeration_iter=100, n_iter=100)


def features(n: int = 240, groups: int = 3, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, groups, n).astype(np.int16)
    centres = rng.normal(0, 10, (groups, d))
    return (centres[label] + rng.normal(0, 1, (n, d))).astype(np.float32), label


def place(values: np.ndarray, options: TSNEOptions = QUICK, chunk_rows: int = 64, engine: Any = None) -> TSNEModel:
    source = with_features(values, chunk_rows)
    sample = drive(images_to_place(source, len(values), options), source, engine)
    return drive(tsne(source, sample, len(values), options), source, engine)


def test_groups_stay_together_whatever_the_chunks() -> None:
    values, label = features()
    model = place(values)
    assert model.embedding.shape == (240, 2)
    np.testing.assert_array_equal(model.rows, np.arange(240))
    squares = ((model.embedding[:, None] - model.embedding) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    assert (label[squares.argmin(axis=1)] == label).all()
    assert model.history[-1, 0] == 200
    assert model.kl_divergence == pytest.approx(model.history[-1, 1], rel=0.01)  # one step later
    assert 0 < model.kl_divergence < 1
    np.testing.assert_array_equal(place(values, chunk_rows=37).embedding, model.embedding)


def test_a_part_is_drawn_where_there_are_too_many() -> None:
    values, _ = features()
    options = TSNEOptions(perplexity=10, early_exaggeration_iter=10, n_iter=10, images=100, seed=3)
    model = place(values, options)
    assert len(model.rows) == len(model.embedding) == 100
    assert model.n == 240
    assert (np.diff(model.rows) > 0).all()
    np.testing.assert_array_equal(place(values, options, 17).rows, model.rows)


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
def test_odd_collections_have_finite_places(values: np.ndarray) -> None:
    model = place(values)
    assert np.isfinite(model.embedding).all()
    assert np.isfinite(model.kl_divergence)
    assert model.perplexity <= (len(values) - 1) / 3


def test_too_few_and_broken_images_are_refused() -> None:
    with pytest.raises(UsageError, match="a map of 4 images would show nothing"):
        place(features(4)[0])
    values = features(30)[0]
    values[17, 2] = np.nan
    with pytest.raises(UsageError, match="row 17 contain NaN"):
        place(values)


BY_LANDMARKS = replace(QUICK, landmarks=120, placing_iter=60)


@pytest.fixture(scope="module")
def by_landmarks() -> TSNEModel:
    return place(features(400)[0], BY_LANDMARKS)


def test_others_are_placed_among_landmarks(by_landmarks: TSNEModel) -> None:
    _, label = features(400)
    assert by_landmarks.fitted.sum() == 120
    assert len(by_landmarks.rows) == 400
    assert np.isfinite(by_landmarks.embedding).all()
    own, others = by_landmarks.embedding[by_landmarks.fitted], by_landmarks.embedding[~by_landmarks.fitted]
    squares = ((others[:, None] - own) ** 2).sum(axis=2)
    assert (label[by_landmarks.fitted][squares.argmin(axis=1)] == label[~by_landmarks.fitted]).mean() > 0.98


def test_the_places_of_others_do_not_pile_up(by_landmarks: TSNEModel) -> None:
    own, others = by_landmarks.embedding[by_landmarks.fitted], by_landmarks.embedding[~by_landmarks.fitted]
    assert len(np.unique(others, axis=0)) > 0.99 * len(others)
    among = np.sqrt(((own[:, None] - own) ** 2).sum(axis=2))
    np.fill_diagonal(among, np.inf)
    to = np.sqrt(((others[:, None] - own) ** 2).sum(axis=2)).min(axis=1)
    assert 0.2 < np.median(to) / np.median(among.min(axis=1)) < 5
    assert to.min() > 0


@pytest.mark.parametrize("chunk_rows", [37, 256])
def test_places_of_others_are_the_same_for_any_chunks(by_landmarks: TSNEModel, chunk_rows: int) -> None:
    other = place(features(400)[0], BY_LANDMARKS, chunk_rows)
    np.testing.assert_array_equal(other.embedding, by_landmarks.embedding)
    np.testing.assert_array_equal(other.fitted, by_landmarks.fitted)
    for mine, theirs in ((by_landmarks.neighbours, other.neighbours), (by_landmarks.distances, other.distances)):
        np.testing.assert_array_equal(theirs[0:400], mine[0:400])


@pytest.mark.slow
def test_places_of_others_are_the_same_for_any_workers(
    by_landmarks: TSNEModel, cluster: Connection, start_cluster: Callable[..., Any], tmp_path: Path
) -> None:
    with start_cluster(1) as alone:
        for connection in (cluster, alone):
            engine = DistributedEngine(connection.client, connection.workers, tmp_path / str(connection.workers))
            there = place(features(400)[0], BY_LANDMARKS, 50, engine)
            np.testing.assert_array_equal(there.embedding, by_landmarks.embedding)


def nearest_by_hand(values: np.ndarray, among: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    squares = ((values[:, None].astype(np.float64) - values[among]) ** 2).sum(axis=2)
    squares[among, np.arange(len(among))] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return among[order], np.sqrt(np.take_along_axis(squares, order, axis=1))


def test_neighbours_are_the_nearest_landmarks(by_landmarks: TSNEModel) -> None:
    values, _ = features(400)
    rows, distances = nearest_by_hand(values, by_landmarks.rows[by_landmarks.fitted], 15)
    np.testing.assert_array_equal(by_landmarks.neighbours[0:400], rows)
    np.testing.assert_allclose(by_landmarks.distances[0:400], distances, rtol=1e-6)


def test_who_is_not_on_the_map_has_no_neighbours() -> None:
    values, _ = features()
    for landmarks in (100, 60):
        model = place(values, replace(QUICK, images=100, landmarks=landmarks, perplexity=3, placing_iter=10))
        rows, _ = nearest_by_hand(values, model.rows[model.fitted], 15)
        np.testing.assert_array_equal(model.neighbours[0:240][model.rows], rows[model.rows])
        absent = np.setdiff1d(np.arange(240), model.rows)
        assert (model.neighbours[0:240][absent] == -1).all()
        assert np.isnan(model.distances[0:240][absent]).all()


@pytest.mark.slow
def test_as_many_landmarks_as_images_are_the_plain_fit() -> None:
    values, _ = features()
    model = place(values, replace(QUICK, landmarks=240))
    assert model.fitted.all()
    np.testing.assert_array_equal(model.embedding, place(values).embedding)


@pytest.mark.slow
def test_places_are_those_of_opentsne() -> None:
    values, _ = features(300)
    few, rest = values[:200].astype(np.float64), values[200:].astype(np.float64)
    fit = openTSNE.TSNE(perplexity=10, n_iter=100, neighbors="exact", negative_gradient_method="fft", random_state=0)
    fitted = fit.fit(few)
    fitted -= (fitted.max(axis=0) + fitted.min(axis=0)) / 2
    measure = Measure.of_range(values.min(axis=0), values.max(axis=0))
    index, distances = look_for(Samples(rest, np.arange(100)), few, 15, measure)
    mine = place_by(ArrayParameter(np.array(fitted)), index, distances, 250)
    np.testing.assert_allclose(mine, np.asarray(fitted.transform(rest)), atol=1e-6)


def everyone_of() -> Algorithm[dict[str, np.ndarray]]:
    return (yield Scan({"rows": RowLabels()}))["rows"]


def test_landmarks_are_drawn_from_each_class() -> None:
    label = np.repeat([0, 1, 2, -1], [150, 60, 5, 25]).astype(np.int16)
    source = replace(with_features(features()[0], 50), label=label)
    everyone = drive(everyone_of(), source)
    np.testing.assert_array_equal(everyone["label"], label)
    drawn = choose_rows(everyone, None, 80, "stratified", 0)
    counts = {which: int((label[drawn.landmarks] == which).sum()) for which in (-1, 0, 1, 2)}
    assert counts == {-1: 25, 0: 25, 1: 25, 2: 5}
    assert len(drawn.rows) == 240
    part = choose_rows(everyone, 100, 40, "random", 0)
    assert len(part.rows) == 100
    assert np.isin(part.landmarks, part.rows).all()


def test_features_of_others_have_to_be_finite() -> None:
    values, _ = features(400)
    drawn = choose_rows({"row": np.arange(400), "label": np.zeros(400, np.int16)}, None, 120, "random", 0)
    values[np.setdiff1d(drawn.rows, drawn.landmarks)[3], 1] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        place(values, BY_LANDMARKS)


@pytest.mark.data
@pytest.mark.slow
def test_real_images_do_not_pile_up_on_landmarks(real_data: Callable[[str], Path]) -> None:
    images = arrays_of(Idx(real_data("fashion-mnist"), name="fashion-mnist"))["train"][0][:3000]
    codes = PCA(50, random_state=0).fit_transform(images.reshape(3000, -1).astype(np.float64)).astype(np.float32)
    assert_spread(place(codes, TSNEOptions(landmarks=1000), 512), codes)
