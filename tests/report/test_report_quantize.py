"""A quantization in the report: pictures under a divider, palettes, scores, colours; and of odd images."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from bokeh.models import Scatter, Span
from PIL import Image
from quantized import china, collection, photograph
from report_support import context
from support import some_slow

from fmnist_dask.report.blocks import Block, Compare, Figure, Grid, Paint, Palettes, Switch, Table, Text, figures_of
from fmnist_dask.report.few_colours import packed, painted
from fmnist_dask.report.page import Contribution, Page, Section, assemble, render
from fmnist_dask.workflow.figures import quantize

MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def photo() -> xr.Dataset:
    """A real photograph in few colours."""
    return photograph(china(2))


def shown(dataset: xr.Dataset, n: int = 1) -> tuple[Contribution, str]:
    """What the step adds, and the page."""
    part = quantize.figures(dataset, context("quantize", n))
    return part, render(assemble(Page("Quantized"), {"quantize": part}))


def section(part: Contribution, anchor: str) -> Section:
    return next(one for one in part.sections if one.anchor == anchor)


def block(blocks: tuple[Block, ...], kind: type) -> Block:
    return next(one for one in blocks if isinstance(one, kind))


def compare_of(part: Contribution) -> Compare:
    found = block(section(part, "quantized").blocks, Compare)
    assert isinstance(found, Compare)
    return found


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


class Balanced(HTMLParser):
    """Whether every element that opens also ends."""

    VOID = ("img", "input", "meta", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_a_photograph_has_all_sections_and_cards(photo: xr.Dataset) -> None:
    part, page = shown(photo)
    assert [one.anchor for one in part.sections] == ["quantized", "palettes", "fidelity", "colours"]
    assert [card.link for card in part.cards] == ["colours", "fidelity", "fidelity"]
    assert part.cards[0].value == f"{photo.attrs['n_distinct']:,}"
    assert part.cards[1].value == f"{float(photo.ssim.max()):.3f}"
    best = int(np.argmax(photo.ssim.values))
    saved = 100 * (1 - float(photo.png_bytes[best]) / photo.attrs["original_png_bytes"])
    assert part.cards[2].value == f"{saved:.1f} %"
    assert len(page) < MOST_BYTES
    assert page.count("// Comparisons of two pictures") == 1
    assert "pictures/quantize-gaussian_mixture.png" in page
    assert "pictures/quantize-64-colors.png" in page
    assert page.count('<input type="range" min="0" max="100"') == 1
    Balanced().feed(re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.S))


@pytest.mark.slow
def test_a_published_result_makes_the_same_page(photo: xr.Dataset, tmp_path: Path) -> None:
    photo.to_zarr(tmp_path / "quantize", consolidated=False)
    opened_again = xr.open_zarr(tmp_path / "quantize", consolidated=False, chunks=None)
    first, second = (shown(one)[0] for one in (photo, opened_again))
    assert first.cards == second.cards
    assert compare_of(first) == compare_of(second)
    assert [one.lead for one in first.sections] == [one.lead for one in second.sections]


@pytest.mark.slow
def test_every_picture_stands_on_the_page_once_and_is_exact(photo: xr.Dataset) -> None:
    part, page = shown(photo)
    compare = compare_of(part)
    assert [ask for ask, _ in compare.groups] == ["8 colours by", "number of colours"]
    assert [version.name for version in compare.versions][:5] == [
        "k-means", "Gaussian mixture", "agglomerative", "median cut", "2",
    ]  # fmt: skip
    assert (compare.height, compare.width) == photo.preview.shape[:2]
    expected = [(photo.palette, photo.preview_index), (photo.sweep_palette, photo.sweep_preview_index)]
    pictures = [palette.values[at][index.values[at]] for palette, index in expected for at in range(len(index))]
    for version, picture in zip(compare.versions, pictures, strict=True):
        # Eight colours by k-means are one of the methods and one of the numbers.
        assert page.count(version.picture.uri) == (2 if version.title in ("k-means, 8 colours", "8 colours") else 1)
        np.testing.assert_array_equal(opened(version.picture.uri), picture)
        assert version.picture.alt
    assert page.count(compare.original.uri) == 1
    error = opened(compare.original.uri).astype(float) - photo.preview.values
    assert np.sqrt((error**2).mean()) < 8


def test_scores_stand_in_captions_bars_and_tables(photo: xr.Dataset) -> None:
    part, _ = shown(photo.assign_attrs(sweep_method="kmeans"))
    assert compare_of(part).versions[0].picture.caption[0] == f"SSIM {float(photo.ssim[0]):.4f}"
    blocks = section(part, "fidelity").blocks
    bars, lines = (one for one in blocks if isinstance(one, Grid))
    assert [figure.title for figure in bars.figures] == [
        "SSIM: higher is better", "Mean squared error: lower is better", "Time",
    ]  # fmt: skip
    source = bars.figures[0].model.renderers[0].data_source
    np.testing.assert_allclose(source.data["value"], photo.ssim)
    assert lines.heading == "By number of colours (k-means)"
    ssim, sizes, _ = (figure.model for figure in lines.figures)
    assert ssim.xaxis[0].ticker.ticks == photo.sweep_colors.values.tolist()
    np.testing.assert_allclose(sizes.renderers[0].data_source.data["value"], photo.sweep_png_bytes / 1e3)
    assert sizes.yaxis[0].axis_label == "PNG size (kB)"
    methods, sweep = (one for one in blocks if isinstance(one, Table))
    assert methods.bold == {(int(np.argmax(photo.ssim.values)), 1)}
    assert [row[0] for row in sweep.rows] == [f"{number}" for number in photo.sweep_colors.values]
    assert "values from 0 to 255" in methods.caption


@pytest.mark.slow
def test_palettes_show_used_colours_with_their_shares(photo: xr.Dataset) -> None:
    part, page = shown(photo)
    by_method, by_number = section(part, "palettes").blocks
    assert isinstance(by_method, Palettes)
    assert isinstance(by_number, Palettes)
    for row, share in zip(by_method.rows, photo.share.values, strict=True):
        assert len(row.paints) == (share > 0).sum()
        assert sum(paint.share for paint in row.paints) == pytest.approx(1)
        assert all(f"{paint.colour} <span>" in page for paint in row.paints)
    assert by_number.folded
    assert [len(row.paints) for row in by_number.rows][:3] == [2, 4, 8]


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#767676", "#ff0000", "#00ff00", "#0000ff", "#8f7958"])
def test_codes_can_be_read_on_their_colours(colour: str) -> None:
    def light(code: str) -> float:
        parts = [int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    ink = {"#000": "#000000", "#fff": "#ffffff"}[Paint(colour, 0.5).ink]
    bright, dark = sorted((light(colour), light(ink)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.slow
def test_colours_are_points_that_figures_share(photo: xr.Dataset) -> None:
    part, _ = shown(photo)
    found = section(part, "colours")
    figures = list(figures_of(found.blocks))
    assert len(figures) == 3 + 1 + len(photo.method)
    sources = {id(figure.model.renderers[0].data_source) for figure in figures}
    assert len(sources) == 1
    data = figures[0].model.renderers[0].data_source.data
    assert len(data["own"]) == 4000
    assert (np.diff(data["pixels"]) <= 0).all()
    assert data["own"][0] == "#" + bytes([data["red"][0], data["green"][0], data["blue"][0]]).hex()
    assert f"4,000 of {photo.attrs['n_distinct']:,}" in found.lead
    assert "UMAP of 5,000 of" in figures[3].caption
    assert "20 neighbours" in figures[3].caption


@pytest.mark.slow
def test_matched_clusters_have_the_colours_of_the_first_method(photo: xr.Dataset) -> None:
    part, _ = shown(photo)
    switch = block(section(part, "colours").blocks, Switch)
    assert isinstance(switch, Switch)
    assert [name for name, _ in switch.choices] == [
        "own colours", "k-means", "Gaussian mixture", "agglomerative", "median cut",
    ]  # fmt: skip
    first = {int(number): "#" + bytes(colour).hex() for number, colour in
             zip(photo.map_match.values[0], photo.palette.values[0], strict=True)}  # fmt: skip
    for at, (_, (figure,)) in enumerate(switch.choices[1:]):
        assert isinstance(figure, Figure)
        renderer = figure.model.renderers[0]
        assert isinstance(renderer.glyph, Scatter)
        data = renderer.data_source.data
        assert renderer.glyph.fill_color == f"colour_{at}"
        assert data[f"colour_{at}"] == [first[number] for number in data[f"cluster_{at}"].tolist()]
        assert [swatch.colour for swatch in figure.legend] == [first[number] for number in sorted(first)]


@pytest.mark.slow
def test_clusters_that_the_first_method_lacks_have_colours_of_their_own(photo: xr.Dataset) -> None:
    changed = photo.copy(deep=True)
    lacking = int(changed.map_match[0, -1])
    changed["share"][0, -1] = 0
    part, _ = shown(changed)
    switch = block(section(part, "colours").blocks, Switch)
    assert isinstance(switch, Switch)
    data = switch.choices[2][1][0].model.renderers[0].data_source.data
    position = int(np.flatnonzero(changed.map_match.values[1] == lacking)[0])
    own = "#" + bytes(changed.palette.values[1, position]).hex()
    colours = {code for number, code in zip(data["cluster_1"].tolist(), data["colour_1"], strict=True)
               if number == lacking}  # fmt: skip
    assert colours == {own}


@pytest.mark.parametrize("scope", some_slow(["shared"], ["each"]))
def test_a_collection_shows_examples(scope: str) -> None:
    image = china()
    tiles = np.stack([image[y : y + 32, x : x + 40] for y in range(0, 320, 64) for x in range(0, 640, 128)])
    dataset = collection(tiles, scope, examples=5)
    part, page = shown(dataset, len(tiles))
    compare = compare_of(part)
    assert len(compare.versions) == 2
    assert "5 examples" in compare.original.caption
    assert not any(version.link for version in compare.versions)
    # The first example by the second method, at the top left of its sheet.
    sheet = opened(compare.versions[1].picture.uri)
    palette = dataset.palette.values[1] if scope == "shared" else dataset.example_palette.values[1, 0]
    np.testing.assert_array_equal(sheet[:32, :40], palette[dataset.example_index.values[1, 0]])
    assert "of the photograph" not in page
    palettes = section(part, "palettes").blocks
    assert len(palettes) == 1
    assert isinstance(palettes[0], Palettes if scope == "shared" else Switch)
    if scope == "each":
        rows = palettes[0].choices[1][1][0].rows
        assert len(rows) == 5
        assert all(sum(paint.share for paint in row.paints) == pytest.approx(1) for row in rows)
        assert all(row.paints[0].share >= row.paints[-1].share for row in rows)


def grey_photo() -> xr.Dataset:
    image = china(2).mean(axis=2, keepdims=True).astype(np.uint8)
    return photograph(image, ("kmeans",), sweep=(2, 4), kind="")


@pytest.mark.slow
def test_grey_photographs_have_levels() -> None:
    dataset = grey_photo()
    part, page = shown(dataset)
    figure = block(section(part, "colours").blocks, Figure)
    assert isinstance(figure, Figure)
    lines = [one.location for one in figure.model.center if isinstance(one, Span)]
    assert sorted(lines) == sorted(dataset.palette.values[0, :, 0].tolist())
    assert figure.model.renderers[0].data_source.data["pixels"].sum() == dataset.attrs["n_pixels"]
    assert part.cards[0].label == "distinct levels of grey"
    assert "fmnist-dask[map]" not in page
    np.testing.assert_array_equal(
        opened(compare_of(part).versions[0].picture.uri)[..., 0],
        dataset.palette.values[0, :, 0][dataset.preview_index.values[0]],
    )


def test_one_colour_and_one_method() -> None:
    part, page = shown(photograph(np.full((40, 50, 3), (200, 30, 60), np.uint8), ("kmeans",), 4, sweep=()))
    assert [one.anchor for one in part.sections] == ["quantized", "palettes", "fidelity"]
    assert not list(figures_of(other for one in part.sections for other in one.blocks))
    assert part.cards[0].label == "distinct colour"
    assert part.cards[0].link == "palettes"
    assert "only 1 colour in all" in part.sections[0].lead
    assert "#c81e3c" in page
    assert len(page) < 100_000


def test_a_tiny_image_without_ssim_map_and_known_size() -> None:
    dataset = photograph(china(100), ("kmeans", "median_cut"), 4, sweep=(), kind="", attrs={"original_png_bytes": None})
    assert np.isnan(dataset.ssim).all()
    part, page = shown(dataset)
    assert [card.label for card in part.cards] == ["distinct colours"]
    titles = [figure.title for figure in figures_of(section(part, "fidelity").blocks)]
    assert titles == ["Mean squared error: lower is better", "Time"]
    assert "smaller than the window of SSIM" in section(part, "fidelity").lead
    assert [one.text for one in section(part, "colours").blocks if isinstance(one, Text)] != []
    assert "fmnist-dask[map]" in page
    assert "nan" not in re.sub(r"<script.*?</script>|<style.*?</style>|data:[^\"]*", "", page, flags=re.S).lower()


@pytest.mark.slow
def test_a_sweep_of_one_number_and_more_colours_than_there_are() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 10:] = (250, 200, 10)
    image[5:] += 3
    part, _ = shown(photograph(image, ("kmeans", "median_cut"), 16, sweep=(32,)))
    assert [one.heading for one in section(part, "fidelity").blocks if isinstance(one, Grid)] == [""]
    rows = section(part, "palettes").blocks[0].rows
    assert rows[0].note == "4 of 16 colours in use"
    assert "only 4 colours in all" in part.sections[0].lead


def test_names_are_escaped_and_larger_photographs_say_what_is_shown() -> None:
    evil = "<script>alert(1)</script>"
    dataset = photograph(china(2), ("kmeans", evil), 4, sweep=(), points=300, step=2)
    part, page = shown(dataset)
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "pictures/quantize-%3Cscript%3E" in page
    assert "of each 2 × 2 pixels one is shown" in compare_of(part).original.caption


@pytest.mark.slow
def test_large_photographs_have_no_files_of_every_number(photo: xr.Dataset) -> None:
    part, _ = shown(photo.assign_attrs(n_pixels=2**27))
    methods, numbers = (versions for _, versions in compare_of(part).groups)
    assert all(version.link for version in methods)
    assert not any(version.link for version in numbers)


@pytest.mark.slow
def test_binned_colours_say_so(photo: xr.Dataset) -> None:
    part, _ = shown(photo.assign_attrs(bits=6))
    assert part.cards[0].note.startswith("binned to 6 bits a channel")
    assert all("binned to 6 bits a channel" in one.basis for one in part.sections)


def test_pictures_keep_to_their_bytes() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    palettes = [rng.integers(0, 256, (size, 3), dtype=np.uint8) for size in (2, 256)]
    few = [painted(rng.integers(0, len(one), (300, 400)).astype(np.uint8), one) for one in palettes]
    exact = packed(image, few, 10**7)
    assert [one.exact for one in exact.pictures[1:]] == [True, True]
    total = sum(len(one.uri) for one in exact.pictures)
    lossy = packed(image, few, int(0.8 * total))
    # What takes least stays as it is.
    assert lossy.pictures[1] == exact.pictures[1]
    assert not lossy.pictures[2].exact
    assert (lossy.height, lossy.width) == (300, 400)
    small = packed(image, few, total // 12)
    assert sum(len(one.uri) for one in small.pictures) <= total // 12
    assert (small.height, small.width) in [(150, 200), (75, 100)]
    assert packed(image[:1, :1], [image[:1, :1]], 10).pictures
