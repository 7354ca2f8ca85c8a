"""What a map holds for those who look closer: layers of groups, thumbnails in one sheet."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from bokeh.models import Range1d
from PIL import Image
from report_support import context, pca_result, pictures

from fmnist_dask.report.figures.density import FAINTEST, STEPS, coarser, layers
from fmnist_dask.report.page import Page, assemble, figures_of, render
from fmnist_dask.report.sprites import sprites
from fmnist_dask.workflow.figures import pca
from fmnist_dask.workflow.steps._maps import chosen_to_show

EDGES = np.array([[-2.0, 6.0], [1.0, 5.0]])


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def counts_of(side: int = 64, groups: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    counts = np.zeros((groups, side, side), np.uint32)
    for group in range(groups):
        places = np.clip(rng.normal(side * (group + 1) / 4, side / 12, (400 * (group + 1), 2)), 0, side - 1).astype(int)
        np.add.at(counts[group], (places[:, 0], places[:, 1]), 1)
    return counts


def test_layers_show_each_cell_that_holds_images() -> None:
    counts = counts_of()
    found = layers(counts, EDGES, ["#ff0000", "#00ff00", "#0000ff"])
    assert [one.group for one in found] == [2, 1, 0]  # the largest lies below
    for one in found:
        picture = np.asarray(opened(one.uri).convert("RGBA"))
        rows, columns = np.flatnonzero(counts[one.group].any(axis=1)), np.flatnonzero(counts[one.group].any(axis=0))
        part = counts[one.group][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # Row 0 of a picture is its top.
        np.testing.assert_array_equal(picture[::-1, :, 3] > 0, part > 0)
        # On one scale for all groups.
        strength = np.log1p(part) / np.log1p(counts.sum(axis=0).max())
        expected = 255 * (FAINTEST + (1 - FAINTEST) * (np.rint(strength * (STEPS - 1)) / (STEPS - 1)))
        assert abs(picture[::-1, :, 3] - expected)[part > 0].max() < 2
        assert (
            picture[..., :3][picture[..., 3] > 0].reshape(-1, 3).argmax(axis=1).tolist()
            == [one.group] * (part > 0).sum()
        )
        assert one.left == pytest.approx(-2 + 8 * columns[0] / 64)
        assert one.top == pytest.approx(1 + 4 * (rows[-1] + 1) / 64)
        assert (one.width, one.height) == pytest.approx((8 * part.shape[1] / 64, 4 * part.shape[0] / 64))


@pytest.mark.parametrize("shape", [(256, 256), (255, 201)])
def test_cells_become_coarser_until_layers_fit(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, (4, *shape)).astype(np.uint32)
    counts[:, -1, -1] = 1
    budget = 60_000
    found = layers(counts, EDGES, ["#0072b2"] * 4, budget)
    assert sum(len(one.uri) for one in found) <= budget
    assert len(found) == 4
    # They lie where the cells lay, but for a part of a coarser cell.
    for one in found:
        assert (one.left, one.top - one.height) == pytest.approx((-2, 1))
        assert one.left + one.width == pytest.approx(6, abs=8 * 8 / shape[1])
        assert one.top == pytest.approx(5, abs=4 * 8 / shape[0])
    counts = counts[:, :200, :200]
    np.testing.assert_array_equal(coarser(counts, 4).sum(axis=(1, 2)), counts.sum(axis=(1, 2)))
    nothing = np.zeros((2, 8, 8), np.uint32)
    assert layers(nothing, EDGES, ["#0072b2"] * 2) == ()


@pytest.mark.parametrize("shape", [(28, 28), (9, 13), (1, 1), (12, 10, 2)])
def test_grey_thumbnails_lie_in_the_sheet_as_they_are(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (53, *shape), dtype=np.uint8)
    sheet = sprites(images)
    assert sheet is not None
    assert sheet.count == 53
    drawn = np.asarray(opened(sheet.uri).convert("L"))
    for at in (0, 7, 52):
        row, column = divmod(at, sheet.columns)
        cut = drawn[row * sheet.height : (row + 1) * sheet.height, column * sheet.width : (column + 1) * sheet.width]
        np.testing.assert_array_equal(cut, images[at] if len(shape) == 2 else images[at, ..., 0])


def test_a_sheet_keeps_to_its_bytes() -> None:
    images = np.random.default_rng(0).integers(0, 256, (600, 64, 48, 3), dtype=np.uint8)
    sheet = sprites(images, budget=60_000)
    assert sheet is not None
    assert 20 < sheet.count < 600
    assert len(sheet.uri) <= 60_000
    assert (sheet.width, sheet.height) == (24, 32)
    assert sprites(images[:0]) is None
    one = sprites(images[:1], budget=10)
    assert one is not None
    assert one.count == 1


def test_a_map_says_how_many_thumbnails_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    images, kind = pictures(300, (12, 12, 3))
    found = pca_result(images, kind)
    shown = found.sizes["shown"]
    assert 20 < shown < 300
    named = context("pca", 300, ("a", "b", "c"))
    page = render(assemble(Page("map"), {"pca": pca.figures(found, named)}))
    assert f"thumbnails of a random sample of {shown:,} images appear" in page
    assert page.count("class ZoomableMap") == 1
    monkeypatch.setattr("fmnist_dask.workflow.figures._map.sprites", lambda images: sprites(images, budget=2_500))
    section = next(one for one in pca.figures(found, named).sections if one.anchor == "map")
    figure = next(figures_of(section.blocks))
    points = next(one for one in figure.model.renderers if one.name == "points").data_source
    left = len(points.data["row"])
    assert 1 < left < shown
    assert f"thumbnails of a random sample of {left:,} images appear" in figure.caption
    assert isinstance(figure.model.x_range, Range1d)
    assert figure.model.toolbar.active_scroll is None  # the page scrolls


def test_images_to_show_are_spread_over_the_map() -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.normal(0, 0.01, (5000, 2)), rng.uniform(-1, 1, (200, 2))]).astype(np.float32)
    rows = np.sort(rng.choice(20_000, len(places), replace=False))
    chosen = chosen_to_show(rows, places, 150, 7)
    assert len(np.unique(chosen)) == 150
    assert (np.diff(chosen) > 0).all()
    # The crowd holds 96 % of the images, and few of those that are shown.
    assert (chosen < 5000).mean() < 0.2
    np.testing.assert_array_equal(chosen_to_show(rows, places, 150, 7), chosen)
    assert (chosen_to_show(rows, places, 150, 8) != chosen).any()
    np.testing.assert_array_equal(chosen_to_show(rows, places, 10_000, 7), np.arange(len(places)))
