"""Palettes: k-means in cells, Ward's tree without a matrix, best grey levels, mixtures of weighted points."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image
from sklearn.mixture import GaussianMixture
from support import some_slow

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.colour_clusters import Cells, MergeTree, means_of, optimal_grey, polished, searched
from fmnist_dask.kernels.colours import count_colours
from fmnist_dask.kernels.quantizers import Prepared, Recipe, choose, in_space
from fmnist_dask.kernels.ward import cut, weighted_ward
from fmnist_dask.kernels.weighted_mixture import fitted_mixture

METHODS = ("kmeans", "gaussian_mixture", "agglomerative", "median_cut")


@pytest.fixture(scope="module")
def china():
    pixels = np.ascontiguousarray(load_sample_image("china.jpg")[::3, ::3]).reshape(-1, 3)
    return pixels, count_colours(pixels, 1 << 20)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_cells_give_the_nearest_centre_of_each_point(dimensions):
    rng = np.random.default_rng(0)
    points, weight = rng.integers(0, 256, (5000, dimensions)).astype(float), rng.random(5000) + 0.1
    cells = Cells.of(points, weight)
    np.testing.assert_array_equal(cells.points[:, :dimensions], points[cells.order])
    # Centres that points are as far from as from others: the first of them counts.
    centres = rng.integers(0, 256, (40, dimensions)).astype(float)
    squares = ((cells.points[:, None, :dimensions] - centres) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(cells.labels(centres), squares.argmin(axis=1))
    assert cells.inertia(centres) == pytest.approx(float(cells.weight @ squares.min(axis=1)))


def test_iterations_are_those_of_lloyd(china):
    _, colours = china
    points, weight = colours.points, colours.weight
    start = points[np.random.default_rng(0).choice(len(points), 12, replace=False)]
    cells = Cells.of(points, weight)
    found, mass = cells.iterate(start, 500, 0.0)
    theirs = KMeans(12, init=start, n_init=1, tol=0, max_iter=500).fit(points, sample_weight=weight)
    np.testing.assert_allclose(found, theirs.cluster_centers_, atol=1e-6)
    np.testing.assert_allclose(mass, np.bincount(theirs.labels_, weight))


@pytest.mark.parametrize("k", some_slow([2, 8], [4, 16, 32, 64, 128]))
def test_search_is_as_good_as_ten_starts(china, k):
    pixels, colours = china
    few = colours.within(6000)
    centres = searched(Cells.of(few.points, few.weight), MergeTree.of(colours.points, colours.weight).means(k))
    cells = Cells.of(colours.points, colours.weight)
    ours = cells.inertia(polished(cells, centres))
    theirs = KMeans(k, n_init=10, random_state=0).fit(pixels.astype(float)).inertia_
    assert ours <= 1.005 * theirs


@pytest.mark.parametrize("dimensions", [1, 3])
@pytest.mark.parametrize("m", [1, 2, 3, 60, 900])
def test_the_tree_is_wards(m, dimensions):
    rng = np.random.default_rng(m)
    points = rng.normal(size=(m, dimensions)) * 50
    weight = rng.integers(1, 2000, m).astype(float) ** rng.integers(0, 2, m)
    tree = MergeTree.of(points, weight)
    if m == 1:
        assert tree.labels(1).tolist() == [0]
        return
    linkage = weighted_ward(points, weight)
    np.testing.assert_allclose(tree.merges[:, 2], linkage[:, 2] ** 2 / 2, rtol=1e-9)
    for k in {1, 2, min(7, m), m}:
        np.testing.assert_array_equal(tree.labels(k), cut(linkage, k))


def test_means_of_a_cut_are_those_of_its_pixels(china):
    pixels, colours = china
    tree = MergeTree.of(colours.points, colours.weight)
    labels = tree.labels(9)
    code = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    own = labels[np.searchsorted(colours.code, code)]
    np.testing.assert_allclose(tree.means(9), [pixels[own == cluster].mean(axis=0) for cluster in range(9)])


def test_grey_levels_have_no_better_clusters():
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 9, 14).astype(float)
    levels = np.arange(14.0)

    def squares(edges):
        runs = [slice(a, b) for a, b in itertools.pairwise([0, *edges, 14])]
        parts = [(weight[run], levels[run]) for run in runs if weight[run].sum()]
        return sum(float(w @ (x - w @ x / w.sum()) ** 2) for w, x in parts)

    found = optimal_grey(weight, 5)
    assert len(found) == 5
    for k, labels in enumerate(found, 1):
        assert (np.diff(labels) >= 0).all()
        edges = np.searchsorted(labels, np.arange(1, k))
        assert squares(edges) == pytest.approx(min(map(squares, itertools.combinations(range(1, 14), k - 1))))


def test_a_mixture_is_that_of_repeated_points():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(300, 3)) * 4 + at for at in ((0, 0, 0), (30, 0, 9), (0, 40, 5))])
    weight = rng.integers(1, 6, len(points))
    labels = np.repeat(np.arange(3), 300)
    ours = fitted_mixture(points, weight.astype(float), labels, 1e-6, tol=1e-9)
    repeated = points.repeat(weight, axis=0)
    means = np.stack([repeated[labels.repeat(weight) == c].mean(axis=0) for c in range(3)])
    theirs = GaussianMixture(3, means_init=means, tol=1e-9, max_iter=500, random_state=0).fit(repeated)
    np.testing.assert_allclose(ours.mean, theirs.means_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.covariance, theirs.covariances_, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.weight, theirs.weights_, rtol=1e-5)
    np.testing.assert_array_equal(ours.labels(points), theirs.predict(points))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_palettes_hold_what_they_say(china, method, space):
    pixels, colours = china
    found = choose(Prepared.of(colours, space), method, 8, Recipe(space))
    assert found.colours.shape == (8, 3)
    assert found.colours.dtype == found.labels.dtype == np.uint8
    mass = np.bincount(found.labels, colours.weight, 8)
    np.testing.assert_allclose(found.share, mass / len(pixels))
    assert (np.diff(found.share) <= 0).all()
    if method != "median_cut":
        code = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
        own = found.labels[np.searchsorted(colours.code, code)]
        means = np.stack([pixels[own == entry].mean(axis=0) for entry in range(8)])
        assert np.abs(found.colours - means).max() <= 0.5 + 1e-9
    if method in ("kmeans", "agglomerative"):
        places = in_space(colours.points, space)
        near = means_of(places, colours.weight, found.labels)
        assert (((places[:, None] - near) ** 2).sum(axis=-1).argmin(axis=1) == found.labels).mean() > 0.9


def test_medians_are_those_of_the_pixels(china):
    pixels, colours = china
    found = choose(Prepared.of(colours), "gaussian_mixture", 5, Recipe(typical="median"))
    code = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    labels = found.labels[np.searchsorted(colours.code, code)]
    for entry, colour in enumerate(found.colours):
        np.testing.assert_array_equal(colour, np.rint(np.median(pixels[labels == entry], axis=0)).astype(np.uint8))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("distinct", [1, 2, 5])
def test_fewer_colours_than_asked_for_stay_what_they_are(method, channels, distinct):
    values = np.arange(distinct * channels, dtype=np.uint8).reshape(distinct, channels) * 12
    pixels = values.repeat(np.arange(1, distinct + 1), axis=0)
    colours = count_colours(pixels, 4096)
    found = choose(Prepared.of(colours), method, 8, Recipe())
    np.testing.assert_array_equal(found.colours[found.labels], colours.points.astype(np.uint8))
    assert len(found.colours) == distinct


def test_grey_images_get_the_best_palette():
    rng = np.random.default_rng(0)
    grey = np.clip(rng.normal(size=30_000) * 30 + rng.choice([60, 150, 210], 30_000), 0, 255).astype(np.uint8)
    colours = count_colours(grey[:, None], 4096)
    prepared = Prepared.of(colours)
    squares = {}
    for method in METHODS:
        found = choose(prepared, method, 6, Recipe())
        means = means_of(colours.points, colours.weight, found.labels)
        squares[method] = float(colours.weight @ ((colours.points - means[found.labels]) ** 2)[:, 0])
    assert squares["kmeans"] == min(squares.values())
    theirs = KMeans(6, n_init=10, random_state=0).fit(grey[:, None].astype(float)).inertia_
    assert squares["kmeans"] <= theirs * (1 + 1e-9)


def test_lab_without_its_package_is_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skimage.color", None)
    with pytest.raises(UsageError, match=r"fmnist-dask\[lab\]"):
        in_space(np.zeros((3, 3)), "lab")
