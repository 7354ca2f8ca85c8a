"""t-SNE: places that keep neighbours, the same for any chunks; odd collections."""

from __future__ import annotations

import numpy as np
import pytest
from support import with_features

from fmnist_dask.errors import UsageError
from fmnist_dask.models.tsne import TSNEModel, TSNEOptions, images_to_place, tsne
from fmnist_dask.passes.local import drive

QUICK = TSNEOptions(perplexity=10, early_exaggeration_iter=100, n_iter=100)


def features(n: int = 240, groups: int = 3, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, groups, n).astype(np.int16)
    centres = rng.normal(0, 10, (groups, d))
    return (centres[label] + rng.normal(0, 1, (n, d))).astype(np.float32), label


def place(values: np.ndarray, options: TSNEOptions = QUICK, chunk_rows: int = 64) -> TSNEModel:
    source = with_features(values, chunk_rows)
    sample = drive(images_to_place(source, len(values), options), source)
    return drive(tsne(source, sample, len(values), options), source)


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
