"""Components and the map of all images: numbers, colours, what is read, and results of every kind."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from bokeh.models import HoverTool, Scatter, Text
from report_support import CELLS, context, pca_result, pictures
from xarray.backends import BackendArray
from xarray.core import indexing

from fmnist_dask.report.blocks import Gallery, Switch, figures_of
from fmnist_dask.report.figures.categories import CATEGORY_COLOURS, NONE_COLOUR, REST_COLOUR, category_colours
from fmnist_dask.report.figures.plane import NAME_HEIGHT, NAME_WIDTH, Cells, spread_out
from fmnist_dask.report.page import Page, assemble, render
from fmnist_dask.report.pictures import signed_picture
from fmnist_dask.workflow.figures import _plane
from fmnist_dask.workflow.figures.pca import figures

NAMES = ("shoe", "shirt", "bag")


def sections(part):
    return {section.anchor: section for section in part.sections}


def map_figures(part):
    (switch,) = sections(part)["map"].blocks
    assert isinstance(switch, Switch)
    return {name: next(figures_of(blocks)) for name, blocks in switch.choices}


@pytest.fixture(scope="module")
def labelled():
    images, kind = pictures(300, (12, 12))
    return images, kind, pca_result(images, kind)


def test_directions_say_how_much_is_explained(labelled):
    images, _, dataset = labelled
    part = figures(dataset, context("pca", 300, NAMES))
    share = dataset["explained_variance_ratio"].values
    together = share.cumsum()
    (card,) = part.cards
    assert card.value == f"{100 * together[-1]:.1f} %"
    assert card.label == "of the variance in 6 components"
    assert card.link == "directions"
    assert len(card.pictures) == 4
    half = int(np.searchsorted(together, 0.5)) + 1
    assert f"{half} component" in card.note
    assert "explain 50 %" in card.note.replace("explains", "explain")
    section = sections(part)["directions"]
    assert section.lead.startswith(f"6 components of {images[0].size} explain {card.value} of the variance")
    assert section.basis == "exact, 300 of 300 images"
    gallery = next(block for block in section.blocks if isinstance(block, Gallery))
    assert [tile.pictures[0].caption[0] for tile in gallery.tiles][:2] == ["mean image", "component 1"]
    assert len(gallery.tiles) == 7
    bars, line = list(figures_of(section.blocks))[:2]
    np.testing.assert_allclose(bars.model.renderers[0].data_source.data["share"], share)
    np.testing.assert_allclose(line.model.renderers[0].data_source.data["together"], together)


def test_approximate_components_say_so(labelled):
    dataset = labelled[2].assign_attrs(method="randomized")
    basis = sections(figures(dataset, context("pca", 300)))["directions"].basis
    assert basis == "approximate (randomized), 300 of 300 images"


def test_components_share_one_scale_about_zero():
    middle = signed_picture(np.zeros((4, 4)), 0.5, "")
    assert signed_picture(np.full((4, 4), 0.5), 0.5, "").uri == signed_picture(np.full((4, 4), 9.0), 0.5, "").uri
    assert len({middle.uri, signed_picture(np.full((4, 4), -0.5), 0.5, "").uri}) == 2
    assert signed_picture(np.full((4, 4, 3), np.nan), 0.0, "").uri.startswith("data:image/png")


def test_map_counts_every_image_once(labelled):
    _, kind, dataset = labelled
    plots = map_figures(figures(dataset, context("pca", 300, NAMES)))
    assert list(plots) == ["class"]
    figure = plots["class"]
    sizes = np.bincount(kind, minlength=3)
    assert [(s.name, s.colour) for s in figure.legend] == list(zip(NAMES, CATEGORY_COLOURS, strict=False))
    assert [int(s.note.split(" ")[0]) for s in figure.legend] == sizes.tolist()
    plot = figure.model
    share = 100 * dataset["explained_variance_ratio"].values
    assert plot.xaxis[0].axis_label == f"component 1, {share[0]:.1f} % of variance"
    assert plot.select_one("overview").glyph.anchor == "top_left"
    points = next(r for r in plot.renderers if isinstance(r.glyph, Scatter)).data_source.data
    assert len(points["row"]) == 50
    assert points["line_0"][7] == f"class: {NAMES[kind[points['row'][7]]]}"
    assert points["colour_0"][7] == CATEGORY_COLOURS[kind[points["row"][7]]]
    assert sorted(points["sprite"]) == list(range(50))
    assert "@sprite" in plot.select_one(HoverTool).tooltips
    assert "thumbnails of a random sample of 50 images appear" in figure.caption
    names = next(r for r in plot.renderers if isinstance(r.glyph, Text)).data_source.data
    assert names["text"] == list(NAMES)


def test_map_has_a_choice_for_each_clustering(labelled):
    _, kind, dataset = labelled
    outside = np.where(np.arange(300) < 200, (kind + 1) % 3, -1).astype(np.int32)
    others = {
        "groups": xr.Dataset({"labels": ("sample", outside)}, attrs={"split": "train"}),
        "of fewer images": xr.Dataset({"labels": ("sample", outside[:9])}),
        "of no images": xr.Dataset({"labels": ("class", [1, 2])}),
        "without": xr.Dataset(),
    }
    plots = map_figures(figures(dataset, context("pca", 300, NAMES, others=others)))
    assert list(plots) == ["class", "cluster (groups)"]
    legend = {swatch.name: swatch for swatch in plots["cluster (groups)"].legend}
    assert list(legend) == ["cluster 0", "cluster 1", "cluster 2", "outside the split train"]
    assert legend["outside the split train"].colour == NONE_COLOUR
    assert legend["outside the split train"].note.startswith("100 ")
    drawn = [next(r for r in figure.model.renderers if isinstance(r.glyph, Scatter)) for figure in plots.values()]
    assert drawn[0].data_source is drawn[1].data_source  # thumbnails are in the page once
    data = drawn[0].data_source.data
    at = [int(np.flatnonzero(data["row"] < 200)[-1]), int(np.flatnonzero(data["row"] >= 200)[0])]
    assert [data["line_1"][i] for i in at] == [
        f"cluster (groups): cluster {outside[data['row'][at[0]]]}",
        "cluster (groups): outside the split train",
    ]
    assert data["colour_1"][at[1]] == NONE_COLOUR


def test_maps_without_labels_show_how_many_images_there_are():
    images, _ = pictures(80, (8, 8))
    plots = map_figures(figures(pca_result(images, shown=0), context("pca", 80)))
    (figure,) = plots.values()
    assert figure.legend == ()
    assert not [r for r in figure.model.renderers if isinstance(r.glyph, Scatter)]
    assert "Dots" not in figure.caption


class Recorder(BackendArray):
    """A column on disk that keeps how many rows were read at once."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, []

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._get)

    def _get(self, key):
        found = self.values[key]
        self.read.append(len(found))
        return found


def test_columns_of_all_images_are_read_in_blocks(labelled, monkeypatch):
    _, _, dataset = labelled
    whole = map_figures(figures(dataset, context("pca", 300, NAMES)))["class"]
    monkeypatch.setattr(_plane, "BLOCK_ROWS", 32)
    recorders = {name: Recorder(dataset[name].values) for name in ("plane", "label", "codes")}
    lazy = {
        name: xr.Variable(dataset[name].dims, indexing.LazilyIndexedArray(recorder), dataset[name].attrs)
        for name, recorder in recorders.items()
    }
    blocks = map_figures(figures(dataset.assign(lazy), context("pca", 300, NAMES)))["class"]
    assert recorders["codes"].read == []
    assert max(recorders["plane"].read) == max(recorders["label"].read) == 32
    assert sum(recorders["plane"].read) == 300  # once
    assert blocks.legend == whole.legend
    sources = [figure.model.select_one("overview").data_source.data["url"] for figure in (whole, blocks)]
    assert sources[0] == sources[1]


def test_raster_mixes_colours_and_is_stronger_where_more_images_are():
    counts = np.zeros((2, 3, 4), dtype=np.int64)
    counts[0, 0, 0], counts[0, 0, 1], counts[1, 2, 3] = 1, 100, 7
    counts[:, 1, 1] = 5
    cells = Cells(counts, np.array([[0.0, 4.0], [0.0, 3.0]]))
    picture = cells.raster(["#ff0000", "#0000ff"])
    assert picture.shape == (3, 4, 4)
    assert picture[2, 0, :3].tolist() == [255, 0, 0]  # the lowest row is at the bottom
    assert picture[0, 3, :3].tolist() == [0, 0, 255]
    assert picture[1, 1, 0] == picture[1, 1, 2] > 100
    assert picture[0, 0, 3] == 0
    assert 0 < picture[2, 0, 3] < picture[1, 1, 3] < picture[2, 1, 3] == 255
    assert cells.middles()[1].tolist() == [3.5, 2.5]
    assert np.isnan(Cells(np.zeros((1, 3, 4), int), cells.edges).middles()).all()


def test_empty_margins_are_cut_off_and_places_stay():
    counts = np.zeros((1, 10, 10), dtype=np.int64)
    counts[0, 4, 6] = 3
    cells = Cells(counts, np.array([[0.0, 10.0], [-5.0, 5.0]])).cropped()
    assert cells.counts.shape == (1, 3, 3)
    assert cells.edges.tolist() == [[5.0, 8.0], [-2.0, 1.0]]
    assert cells.middles()[0].tolist() == [6.5, -0.5]
    nothing = Cells(counts * 0, cells.edges)
    assert nothing.cropped() is nothing


def test_names_do_not_cover_each_other():
    places = np.random.default_rng(0).uniform(0.45, 0.55, (10, 2))
    at = spread_out(places)
    apart = np.abs(at[:, None] - at[None])
    free = (apart[..., 0] >= NAME_WIDTH) | (apart[..., 1] >= NAME_HEIGHT - 1e-4) | np.eye(10, dtype=bool)
    assert free.all()
    assert ((at > 0) & (at < 1)).all()


def test_colours_of_few_and_of_many_categories():
    assert category_colours([5, 1]) == list(CATEGORY_COLOURS[:2])
    assert len(set(CATEGORY_COLOURS)) == 12
    colours = category_colours(np.arange(300))
    assert colours[:288] == [REST_COLOUR] * 288
    assert colours[288:] == list(CATEGORY_COLOURS)


@pytest.mark.parametrize(
    ("shape", "n_components", "classes"),
    [((12, 12), 1, 3), ((64, 64, 3), 4, 3), ((9, 12, 2), 3, 0), ((150, 100), 3, 2), ((8, 8), 6, 300), ((1, 1), 1, 0)],
)
def test_any_result_makes_a_page(shape, n_components, classes):
    images, kind = pictures(60, shape, max(1, classes))
    names = tuple(f"class {at}" for at in range(classes))
    dataset = pca_result(images, kind if classes else None, n_components)
    part = figures(dataset, context("pca", 60, names))
    assert ("map" in sections(part)) == (n_components > 1)
    assert all(section.lead and section.basis for section in part.sections)
    html = render(assemble(Page("t"), {"pca": part}))
    body = re.sub(r"data:image/[a-z]+;base64,[^\"]+", "…", html[html.rindex("<body>") :])
    assert not {"nan", "inf", "none"} & set(re.sub(r"<[^>]+>", " ", body).lower().split())
    assert len(html) < 4_000_000
    if classes > 12:
        assert "the 12 largest of" in sections(part)["map"].lead
        legend = map_figures(part)["class"].legend
        assert [s.colour for s in legend].count(REST_COLOUR) == 1


def test_equal_images_have_no_directions():
    part = figures(pca_result(np.full((30, 8, 8), 7, np.uint8)), context("pca", 30))
    assert list(sections(part)) == ["directions"]
    assert sections(part)["directions"].lead.startswith("Nothing varies")
    assert part.cards[0].value == "0.0 %"
    assert part.cards[0].pictures == ()


def test_components_of_vectors_are_not_drawn():
    images, kind = pictures(60, (4, 4))
    dataset = pca_result(images, kind)
    flat = {"components": (("component", "feature"), dataset["components"].values.reshape(6, -1))}
    dataset = dataset.drop_vars(["components", "mean"]).assign(flat)
    section = sections(figures(dataset, context("pca", 60, NAMES)))["directions"]
    assert not [block for block in section.blocks if isinstance(block, Gallery)]
    assert len(list(figures_of(section.blocks))) == 2


def test_cells_beyond_the_edges_are_counted(labelled):
    _, _, dataset = labelled
    plane = dataset["plane"].values.copy()
    plane[0] = CELLS + 5
    changed = dataset.assign(plane=(("sample", "axis"), plane, {"cells": CELLS}))
    legend = map_figures(figures(changed, context("pca", 300, NAMES)))["class"].legend
    assert sum(int(swatch.note.split(" ")[0]) for swatch in legend) == 300
