"""Figures are models that can be inspected: axes, ranges, scales, data."""

from __future__ import annotations

import numpy as np
import pytest
from bokeh.models import HoverTool, Image, ImageRGBA

from fmnist_dask.report.figures.bars import class_bars, count_bars
from fmnist_dask.report.figures.heatmaps import PANEL_SIDE, Panel, colour_bar, panels, reduce_mean
from fmnist_dask.report.figures.histograms import value_histogram
from fmnist_dask.report.figures.ridges import ridges
from fmnist_dask.report.figures.style import WARN_COLOUR, brightness_mapper, difference_mapper, spread_mapper


def glyph_values(plot, glyph, field):
    renderer = next(item for item in plot.renderers if item.glyph is glyph)
    return renderer.data_source.data[field]


def test_class_bars_show_images_and_copies():
    images = np.array([[10, 7], [3, 2]])
    distinct = np.array([[9, 7], [3, 1]])
    plot = class_bars(["cat", "dog"], ["train", "test"], images, distinct)
    assert plot.xaxis[0].axis_label == "images"
    assert plot.yaxis[0].axis_label == "class"
    assert plot.yaxis[0].major_label_overrides == {0: "cat", 1: "dog"}
    assert plot.x_range.start == 0
    assert plot.x_range.end >= 10
    assert (plot.y_range.start, plot.y_range.end) == (1.5, -0.5)  # the first class on top
    assert [item.label.value for item in plot.legend[0].items] == [
        "train, distinct",
        "test, distinct",
        "surplus copies",
    ]
    train = plot.renderers[0].data_source.data
    assert train["images"].tolist() == [10, 7]
    assert train["surplus"].tolist() == [1, 0]
    assert {r.glyph.fill_color for r in plot.renderers if r.glyph.left != 0} == {WARN_COLOUR}
    assert all(y.max() < 1.5 and y.min() > -0.5 for y in (r.data_source.data["y"] for r in plot.renderers))
    assert plot.select_one(HoverTool).tooltips[0] == ("class", "@class")


def test_class_bars_without_copies_need_no_legend_entry():
    images = np.array([[4, 4]])
    plot = class_bars(["a", "a"], ["all"], images, images)
    assert [item.label.value for item in plot.legend[0].items] == ["distinct images"]
    assert plot.yaxis[0].major_label_overrides == {0: "a", 1: "a"}  # names may repeat


def test_count_bars():
    plot = count_bars(["28 × 28", "32 × 32"], [5, 2], "images", "size")
    assert plot.renderers[0].data_source.data["count"] == [5, 2]
    assert plot.xaxis[0].axis_label == "images"
    assert plot.toolbar_location is None


def test_panels_share_one_scale_and_keep_pixels_square():
    mean, median, std = np.random.default_rng(0).random((3, 28, 14))
    brightness = brightness_mapper()
    plot = panels(
        [Panel("mean", mean, brightness), Panel("median", median, brightness), Panel("std", std, spread_mapper())]
    )
    glyphs = [item.glyph for item in plot.renderers if isinstance(item.glyph, Image)]
    assert glyphs[0].color_mapper is glyphs[1].color_mapper is brightness
    assert (brightness.low, brightness.high) == (0, 1)
    across, down = plot.x_range.end - plot.x_range.start, plot.y_range.start - plot.y_range.end
    assert plot.aspect_ratio == pytest.approx(across / down)
    assert plot.y_range.start > plot.y_range.end  # row 0 on top
    np.testing.assert_allclose(glyph_values(plot, glyphs[0], "panel_0")[0], mean, rtol=1e-6)
    data = plot.renderers[0].data_source.data
    assert data["row"][0][27, 0] == 27
    assert data["column"][0][0, 13] == 13
    assert [label for label, _ in plot.select_one(HoverTool).tooltips] == ["column, row", "mean", "median", "std"]


def test_panels_in_colour():
    values = np.zeros((4, 4, 3))
    values[..., 0] = 1.0
    plot = panels([Panel("mean", values, brightness_mapper()), Panel("std", values, spread_mapper(), as_picture=False)])
    colour, plain = (item.glyph for item in plot.renderers[:2])
    assert isinstance(colour, ImageRGBA)
    assert isinstance(plain, Image)
    packed = plot.renderers[0].data_source.data["panel_0_colour"][0]
    assert packed.view(np.uint8).reshape(4, 4, 4)[0, 0].tolist() == [255, 0, 0, 255]
    np.testing.assert_allclose(plot.renderers[0].data_source.data["panel_1"][0], 1 / 3, rtol=1e-6)


def test_large_images_are_drawn_small():
    values = np.random.default_rng(0).random((300, 130))
    small = reduce_mean(values)
    assert max(small.shape) <= PANEL_SIDE + 1
    np.testing.assert_allclose(small[0, 0], values[:5, :5].mean())
    assert reduce_mean(values[:20, :20]).shape == (20, 20)
    plot = panels([Panel("mean", values, brightness_mapper())])
    assert plot.renderers[0].glyph.dw == 130  # in pixels of the image all the same


@pytest.mark.parametrize("shape", [(65, 65), (129, 64), (1, 200), (64, 1)])
def test_reduced_means_keep_every_pixel(shape):
    ones = np.ones(shape)
    small = reduce_mean(ones)
    assert max(small.shape) <= PANEL_SIDE
    np.testing.assert_allclose(small, 1)


def test_colour_bar_shows_the_mappers_range():
    mapper = difference_mapper(0.02)
    plot = colour_bar(mapper, "difference")
    assert (plot.x_range.start, plot.x_range.end) == (-0.02, 0.02)
    assert plot.xaxis[0].axis_label == "difference"
    assert 0.0 in plot.xaxis[0].ticker.ticks
    assert difference_mapper(0.0).high > 0  # equal splits still have a scale


def test_value_histogram_is_logarithmic_and_in_shares():
    overall = np.zeros(256, np.int64)
    overall[[0, 100, 255]] = 90, 9, 1
    plot = value_histogram(overall, {"test": overall * 3})
    assert "log" in plot.yaxis[0].axis_label
    assert "pixel value" in plot.xaxis[0].axis_label
    bars, line = plot.renderers
    assert bars.data_source.data["share"][[0, 100, 255]].tolist() == [0.9, 0.09, 0.01]
    assert 0 < plot.y_range.start < 0.01
    assert plot.y_range.end > 0.9
    assert bars.data_source.data["top"].min() >= plot.y_range.start
    steps = line.data_source.data["share"]
    assert steps[0] == 0.9
    assert np.isnan(steps[1])
    assert value_histogram(np.zeros(256, np.int64)).y_range.start > 0


def test_ridges():
    counts = np.array([[0, 4, 2, 0], [0, 0, 0, 0]])
    numbers = np.array([[1, 1, 1.5, 2, 3], [np.nan] * 5], dtype=float)
    plot = ridges(["a", "b"], counts, np.arange(5.0), numbers, "brightness")
    assert plot.xaxis[0].axis_label == "brightness"
    assert (plot.x_range.start, plot.x_range.end) == (1, 3)
    hill = plot.renderers[0].data_source.data["y"]
    assert min(hill[0]) == pytest.approx(-0.78)
    assert max(hill[0]) == 0
    assert set(hill[1]) == {1}  # an empty class is a flat line
