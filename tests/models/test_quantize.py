"""Quantization in passes: the same whatever the tiles and tasks, scores exact, defined for odd images."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity
from sklearn.datasets import load_sample_image

from fmnist_dask.collection.lines import Lines
from fmnist_dask.collection.raster import Raster
from fmnist_dask.collection.raster_writing import store_raster
from fmnist_dask.collection.sources.photographs import photograph_of
from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.colour_clusters import MergeTree
from fmnist_dask.kernels.palette_png import depth_of, file_bytes, palette_png, pieces_bytes
from fmnist_dask.kernels.quantizers import Recipe
from fmnist_dask.models.palette_sets import matched_entries, nested_palettes
from fmnist_dask.models.quantize import METHODS, QuantizeOptions, quantize
from fmnist_dask.models.quantize_each import quantize_each
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive


@dataclass(frozen=True)
class Bands(Lines):
    """Lines read in bands of any height."""

    rows: int = 64

    @property
    def chunk_rows(self):
        return self.rows


def stored(pixels, place, rows=64, **options):
    np.save(place.with_suffix(".npy"), pixels, allow_pickle=False)
    photo = photograph_of({"photo": str(place.with_suffix(".npy")), **options})
    store_raster(photo, place)
    return Bands(Raster.open(place), rows)


def quantized(source, options, tasks=3):
    return drive(quantize(source, options, lines=True), source, LocalEngine(tasks))


@pytest.fixture(scope="module")
def china():
    return np.ascontiguousarray(load_sample_image("china.jpg")[::3, ::3])


def compare(pixels, other):
    axis = -1 if pixels.ndim == 3 else None
    return structural_similarity(pixels, other, channel_axis=axis, data_range=255)


def test_scores_are_those_of_scikit_image(tmp_path, china):
    source = stored(china, tmp_path / "x.zarr")
    model = quantized(source, QuantizeOptions(sweep=(2, 32)))
    assert list(model.palettes) == [*METHODS, "2", "32"]
    for chosen in model.palettes.values():
        picture = chosen.colours[chosen.index]
        assert chosen.mse == pytest.approx(np.square(china.astype(float) - picture).mean(), rel=1e-12)
        assert chosen.ssim == pytest.approx(compare(china, picture), abs=1e-12)
        np.testing.assert_allclose(chosen.share, np.bincount(chosen.index.ravel()) / china[..., 0].size)
    assert model.palettes["2"].ssim < model.palettes["kmeans"].ssim < model.palettes["32"].ssim


@pytest.mark.slow
def test_tiles_and_tasks_do_not_matter(tmp_path, china):
    options = QuantizeOptions(n_colors=5, sweep=(3,))
    expected = None
    # Bands of less than a window, too, and tasks of one band.
    for rows, tasks in ((2, 7), (5, 40), (64, 1), (143, 3)):
        found = quantized(stored(china, tmp_path / f"{rows}.zarr", rows), options, tasks)
        seen = {
            name: (chosen.mse, chosen.ssim, chosen.colours.tobytes(), chosen.index.tobytes())
            for name, chosen in found.palettes.items()
        }
        expected = expected or seen
        assert seen == expected


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (50, 3), (6, 6), (7, 7)])
def test_small_photographs_have_scores_where_windows_fit(tmp_path, china, shape):
    pixels = china[: shape[0], 20 : 20 + shape[1]]
    model = quantized(stored(pixels, tmp_path / "x.zarr", 2), QuantizeOptions(n_colors=2))
    for chosen in model.palettes.values():
        picture = chosen.colours[chosen.index]
        assert chosen.mse == pytest.approx(np.square(pixels.astype(float) - picture).mean())
        if min(shape) >= 7:
            assert chosen.ssim == pytest.approx(compare(pixels, picture))
        else:
            assert np.isnan(chosen.ssim)


def odd_images():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    one = np.full((20, 30, 3), (9, 90, 200), np.uint8)
    three = np.zeros((20, 30, 3), np.uint8)
    three[:5], three[5:9] = (255, 0, 0), (0, 255, 0)
    return {"grey": grey, "one colour": one, "three colours": three}


@pytest.mark.parametrize("name", ["grey", "one colour", "three colours"])
@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_odd_images_have_defined_results(tmp_path, name, space):
    pixels = odd_images()[name]
    options = QuantizeOptions(n_colors=8, sweep=(2, 256), recipe=Recipe(space))
    model = quantized(stored(pixels, tmp_path / "x.zarr", 8), options)
    distinct = len(np.unique(pixels.reshape(-1, model.colours.channels), axis=0))
    assert len(model.colours) == distinct
    for key, chosen in model.palettes.items():
        k = int(key) if key.isdigit() else 8
        assert len(chosen.colours) == min(k, distinct)
        picture = chosen.colours[chosen.index].reshape(pixels.shape)
        if distinct <= k:
            assert chosen.mse == 0
            assert chosen.ssim == 1
            np.testing.assert_array_equal(picture, pixels)
    if name == "grey":
        # No other eight levels do better than those that are the best.
        assert min(model.palettes.values(), key=lambda c: (len(c.colours) != 8, c.mse)).name == "kmeans"


def image_file(tmp_path, mode):
    grey = np.linspace(0, 65535, 24 * 30).reshape(24, 30).astype(np.uint16)
    colours = load_sample_image("flower.jpg")[100:124, 200:230]
    image = {
        "palette": Image.fromarray(colours).quantize(12),
        "alpha": Image.fromarray(np.dstack([colours, np.full((24, 30), 128, np.uint8)])),
        "16 bit": Image.fromarray(grey),
        "1 bit": Image.fromarray(colours).convert("1"),
        "CMYK": Image.fromarray(colours).convert("CMYK"),
    }[mode]
    place = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(place)
    return place


@pytest.mark.parametrize(
    ("mode", "channels", "distinct"),
    [("palette", 3, 12), ("alpha", 3, None), ("16 bit", 1, 256), ("1 bit", 1, 2), ("CMYK", 3, None)],
)
def test_any_image_file_has_a_defined_result(tmp_path, mode, channels, distinct):
    photo = photograph_of(image_file(tmp_path, mode))
    store_raster(photo, tmp_path / "x.zarr")
    model = quantized(Lines.open(tmp_path / "x.zarr"), QuantizeOptions(n_colors=4))
    assert model.colours.channels == channels
    if distinct:
        assert len(model.colours) == distinct
    assert all(0 <= chosen.mse < 10_000 for chosen in model.palettes.values())


def test_transparency_as_a_channel_is_refused(tmp_path):
    photo = photograph_of(image_file(tmp_path, "alpha"), {"mode": "keep"})
    store_raster(photo, tmp_path / "x.zarr")
    with pytest.raises(UsageError, match=r"4 channels(.|\n)*mode=rgb"):
        quantized(Lines.open(tmp_path / "x.zarr"), QuantizeOptions())


def test_too_many_colours_are_binned(tmp_path, china):
    source = stored(china, tmp_path / "x.zarr")
    exact, binned = (quantized(source, QuantizeOptions(exact_colors=most)) for most in (1 << 20, 4096))
    assert exact.colours.bits == 8
    assert binned.colours.bits < 8
    assert len(binned.colours) <= 4096
    for name in ("kmeans", "agglomerative"):
        # Scores are of the pixels themselves all the same.
        chosen = binned.palettes[name]
        picture = chosen.colours[chosen.index]
        assert chosen.mse == pytest.approx(np.square(china.astype(float) - picture).mean())
        assert chosen.mse <= 1.05 * exact.palettes[name].mse


def test_a_collection_has_one_palette_for_all(china):
    images = np.stack([china[at : at + 32, at : at + 32] for at in range(0, 100, 2)])
    models = [
        drive(quantize(source, QuantizeOptions(n_colors=6)), source, LocalEngine(tasks))
        for source, tasks in ((ArrayCollection(images, chunk_rows=7), 3), (ArrayCollection(images, chunk_rows=50), 1))
    ]
    for name, chosen in models[0].palettes.items():
        picture = chosen.colours[chosen.index]
        scores = [compare(a, b) for a, b in zip(images, picture, strict=True)]
        assert chosen.ssim == pytest.approx(np.mean(scores), abs=1e-8)
        assert chosen.mse == pytest.approx(np.square(images.astype(float) - picture).mean())
        other = models[1].palettes[name]
        assert (chosen.ssim, chosen.mse) == (other.ssim, other.mse)
        np.testing.assert_array_equal(chosen.index, other.index)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_may_have_a_palette_of_its_own(china, channels):
    images = np.stack([china[at : at + 24, at : at + 24] for at in range(0, 80, 20)])
    images = images if channels == 3 else images[..., 0]
    source = ArrayCollection(images, chunk_rows=3)
    options = QuantizeOptions(n_colors=4)
    model = drive(quantize_each(source, options), source)
    shared = drive(quantize(source, options), source)
    for method in METHODS:
        index, palette = model.columns[f"index_{method}"], model.columns[f"palette_{method}"]
        picture = np.stack([colours[entries] for colours, entries in zip(palette, index, strict=True)])
        picture = picture.reshape(images.shape)
        for at in range(len(images)):
            assert model.columns[f"ssim_{method}"][at] == pytest.approx(compare(images[at], picture[at]))
            error = np.square(images[at].astype(float) - picture[at]).mean()
            assert model.columns[f"mse_{method}"][at] == pytest.approx(error)
        assert model.ssim[method] == pytest.approx(model.columns[f"ssim_{method}"].mean())
    assert model.mse["kmeans"] < shared.palettes["kmeans"].mse


def test_files_are_made_piece_by_piece(tmp_path):
    rng = np.random.default_rng(0)
    for entries in (1, 2, 3, 5, 16, 17, 256):
        palette = rng.integers(0, 256, (entries, 3), dtype=np.uint8)
        index = rng.integers(0, entries, (600, 101), dtype=np.uint8)
        content = b"".join(palette_png(lambda top, bottom, index=index: index[top:bottom], 600, 101, palette))
        image = Image.open(io.BytesIO(content))
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[index])
        assert file_bytes(pieces_bytes(index, depth_of(entries)), palette) == len(content)


def test_one_tree_has_palettes_of_every_number_of_colours(tmp_path, china):
    model = quantized(stored(china, tmp_path / "x.zarr"), QuantizeOptions(methods=("median_cut",)))
    nested = nested_palettes(model.colours, model.merges)
    assert nested["colour"].shape == (511, 3)
    tree = MergeTree(model.points, model.colours.weight, model.merges)
    left = set(range(256))
    for k in range(256, 1, -1):
        if k in (256, 100, 8, 2):
            means = np.rint(tree.means(k)).astype(np.uint8)
            assert sorted(map(tuple, nested["colour"][sorted(left)].tolist())) == sorted(map(tuple, means.tolist()))
            assert nested["share"][sorted(left)].sum() == pytest.approx(1)
        left = left - set(nested["merger"][256 - k].tolist()) | {512 - k}
    assert left == {510}


def test_entries_are_matched_between_palettes():
    first = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]], np.uint8)
    found = matched_entries(
        [first, first[[2, 0]], np.array([[190, 9, 9], [9, 9, 9], [9, 190, 0], [255] * 3], np.uint8)]
    )
    assert [numbers.tolist() for numbers in found] == [[0, 1, 2], [2, 0], [1, 0, 2, 3]]
