"""Grids: least cost, near it by windows, spare cells, odd points, the same for any chunks; pictures."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import linear_sum_assignment
from support import FloatCollection, rechunked, with_features

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.assignment import cell_centres, squared_distances, windows
from fmnist_dask.models.grid import GridModel, grid, grid_shape, scaled
from fmnist_dask.passes.local import ArrayCollection, drive
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.placed import PlacedSubset
from fmnist_dask.workflow.registry import StepInput, StepResult
from fmnist_dask.workflow.steps.grid import grid_step
from fmnist_dask.workflow.steps.mosaic import mosaic_step

ANY = with_features(np.zeros((1, 2), np.float32))


def clumps(m: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return scaled(rng.uniform(0, 1, (5, 2))[rng.integers(0, 5, m)] + rng.normal(0, 0.07, (m, 2)))


def least(points: np.ndarray, rows: int, columns: int) -> float:
    costs = squared_distances(points, cell_centres(rows, columns))
    return float(costs[linear_sum_assignment(costs)].mean())


def laid(points: np.ndarray, rows: int, columns: int, **options: object) -> GridModel:
    model = drive(grid(points, rows, columns, **options), ANY)
    assert len(set(model.cells.tolist())) == len(points)
    assert ((model.cells >= 0) & (model.cells < rows * columns)).all()
    distances = ((points - cell_centres(rows, columns)[model.cells]) ** 2).sum(axis=1)
    assert model.cost == pytest.approx(distances.mean(), rel=1e-12)
    return model


@pytest.mark.parametrize(("m", "rows", "columns"), [(144, 12, 12), (150, 10, 17), (1, 1, 1), (3, 2, 4)])
def test_the_exact_cost_is_the_least(m: int, rows: int, columns: int) -> None:
    points = clumps(m)
    model = laid(points, rows, columns, method="exact")
    assert model.exact
    assert model.cost == pytest.approx(least(points, rows, columns), rel=1e-12)


# Spare cells in a long grid need the full window: with 6 cells a side, that one ends 7.6 % above the least cost.
@pytest.mark.parametrize(("m", "rows", "columns", "side"), [(400, 20, 20, 6), (380, 20, 20, 6), (390, 13, 31, 16)])
def test_windows_come_within_two_hundredths(m: int, rows: int, columns: int, side: int) -> None:
    points = clumps(m, 3)
    model = laid(points, rows, columns, method="tiled", side=side)
    assert (np.diff(model.history) <= 0).all()
    assert least(points, rows, columns) <= model.cost * (1 + 1e-12)
    assert model.cost <= 1.02 * least(points, rows, columns)
    np.testing.assert_array_equal(laid(points, rows, columns, method="tiled", side=side).cells, model.cells)


@pytest.mark.parametrize("shifted", [False, True])
def test_windows_share_no_cell_and_leave_none_out(shifted: bool) -> None:
    for stride in (1, 2, 4):
        groups = windows(13, 9, 4, stride, shifted)
        assert max(map(len, groups)) <= 16
        np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(13 * 9))


@pytest.mark.parametrize("method", ["exact", "tiled"])
def test_equal_points_and_lines_have_cells(method: str) -> None:
    laid(np.full((50, 2), 0.5), 8, 7, method=method)
    laid(scaled(np.stack([np.arange(40.0), np.zeros(40)], axis=1)), 6, 7, method=method)


def test_what_does_not_fit_is_refused() -> None:
    assert grid_shape(2500) == (50, 50)
    assert grid_shape(10) == (3, 4)
    assert grid_shape(10, rows=2) == (2, 5)
    with pytest.raises(UsageError, match="10 images do not fit into 3 × 3 = 9 cells"):
        grid_shape(10, 3, 3)
    with pytest.raises(UsageError, match="up to 6,400 cells"):
        drive(grid(np.zeros((4, 2)), 81, 80, method="exact"), ANY)
    with pytest.raises(UsageError, match="NaN"):
        drive(grid(np.full((4, 2), np.nan), 2, 2), ANY)


def placed(chunk_rows: int = 64) -> FloatCollection:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 200)
    places = (label[:, None] * [5, 3] + rng.normal(0, 1, (200, 2))).astype(np.float32)
    places[::4] = np.nan
    image = np.zeros((200, 6, 5), np.uint8)
    image[:, 1:5, 1:4] = rng.integers(50, 256, (200, 4, 3))
    return FloatCollection(image, label, None, ("a", "b", "T/b"), chunk_rows=chunk_rows, extra={"features": places})


def run(source: ArrayCollection, step: object = grid_step, **options: object) -> StepResult:
    return drive(step(StepInput(source, "all", None, 5, "map"), **options), source)


def test_a_step_is_the_same_for_any_chunks_and_writes_pictures() -> None:
    first = run(placed(), images=90, per=["all", "T/b"], shuffled=True)
    other = run(placed(17), images=90, per=["all", "T/b"], shuffled=True)
    assert first.dataset.identical(other.dataset)
    assert first.pictures == other.pictures
    assert set(first.pictures) == {"all", "all-places", "t-b", "t-b-places", "all-shuffled"}
    cells = first.dataset["grid_0"].values
    assert cells.shape == tuple(first.metrics["shape"]["all"]) == (9, 10)
    assert (cells[cells >= 0] % 4 != 0).all()
    with Image.open(io.BytesIO(first.pictures["all"])) as picture:
        assert picture.size == (10 * 5 * 4, 9 * 6 * 4)
        drawn = np.asarray(picture)[::4, ::4].reshape(9, 6, 10, 5)[4, :, 7]
    np.testing.assert_array_equal(drawn, placed().image[cells[4, 7]])
    assert first.metrics["cost"]["all"] < first.metrics["cost_random"]["all"] / 3
    wrong = first.dataset["grid_2"]
    assert wrong.attrs["cost"] > 3 * first.metrics["cost"]["all"]
    np.testing.assert_array_equal(np.sort(wrong.values.ravel()), np.sort(cells.ravel()))


def test_a_class_is_drawn_from_its_own_images() -> None:
    source = placed()
    result = run(source, per="b")
    cells = result.dataset["grid_0"].values
    assert set(source.label[cells[cells >= 0]].tolist()) == {1}
    assert (cells >= 0).sum() == result.n_used == ((source.label == 1) & (np.arange(200) % 4 != 0)).sum()
    assert list(run(source, per="class").metrics["shape"]) == ["a", "b", "T/b"]


def test_several_classes_share_a_grid() -> None:
    source = placed()
    result = run(source, per=[["T/b", "a"], "b"])
    assert list(result.metrics["shape"]) == ["a + T/b", "b"]
    assert set(result.pictures) == {"a-t-b", "a-t-b-places", "b", "b-places"}
    cells = result.dataset["grid_0"].values
    assert set(source.label[cells[cells >= 0]].tolist()) == {0, 2}
    there = np.isin(source.label, (0, 2)) & (np.arange(200) % 4 != 0)
    np.testing.assert_array_equal(np.sort(cells[cells >= 0]), np.flatnonzero(there))
    with pytest.raises(UsageError, match='there is no class "c"'):
        run(source, per=[["a", "c"]])
    odd = replace(source, class_names=("all", "b", "all + b"))
    assert list(run(odd, per=["all", ["all"], ["b", "all"], "all + b"]).metrics["shape"]) == [
        "all",
        "all (class)",
        "all + b",
        "all + b (class)",
    ]


def test_a_step_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match='there is no class "c"'):
        run(placed(), per="c")
    with pytest.raises(UsageError, match="of two features; map has 3"):
        run(with_features(np.zeros((9, 3), np.float32)))
    with pytest.raises(UsageError, match="none of the images has a place"):
        run(with_features(np.full((9, 2), np.nan, np.float32)))
    with pytest.raises(UsageError, match="needs images with classes"):
        run(with_features(np.zeros((9, 2), np.float32)), per="class")


@pytest.mark.parametrize("chunk_rows", [1, 23, 200])
def test_subsets_of_placed_images_are_the_same_for_any_chunks(chunk_rows: int) -> None:
    def drawn(source: ArrayCollection) -> dict[str, np.ndarray]:
        def ask():
            return (yield Scan({"it": PlacedSubset(40, 3, (0, 2))}))["it"]

        return drive(ask(), source)

    found, expected = drawn(rechunked(placed(), chunk_rows)), drawn(placed())
    for name, wanted in expected.items():
        np.testing.assert_array_equal(found[name], wanted)
    assert len(found["row"]) == 40


def test_a_mosaic_holds_random_images_and_exact_means() -> None:
    source = placed()
    pixels = ArrayCollection(source.image, source.label, None, source.class_names, chunk_rows=31)
    result = run(pixels, mosaic_step, rows=4, columns=7)
    assert result.metrics["shape"] == [4, 7]
    expected = np.stack([source.image[source.label == at].mean(axis=0) for at in range(3)])
    np.testing.assert_allclose(result.dataset["class_mean"], expected, rtol=1e-6)
    assert run(rechunked(pixels, 200), mosaic_step, rows=4, columns=7).pictures == result.pictures
