"""What the step ``quantize`` leaves behind: its dataset, metrics, and PNG files."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from fmnist_dask.kernels.colours import BITS, Colours
from fmnist_dask.kernels.palette_png import palette_png
from fmnist_dask.models.colour_map import ColourMap, chosen_colours
from fmnist_dask.models.palette_sets import matched_entries, nested_palettes
from fmnist_dask.models.quantize import ChosenPalette, QuantizeModel, QuantizeOptions
from fmnist_dask.models.quantize_each import OwnPalettesModel
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.reductions.colours import Counted
from fmnist_dask.typing import AnyArray, IntArray, UInt8Array
from fmnist_dask.workflow.registry import StepInput

#: Pixels of the preview that the report shows, and its longest side.
PREVIEW_PIXELS, PREVIEW_SIDE = 1_200_000, 4000
#: Photographs of more pixels get files of the methods' palettes alone, not of every number of colours.
FILE_PIXELS = 1 << 26
#: Distinct colours that the report shows of collections with palettes of single images.
SAMPLE = 4000


def preview_step(source: Readable) -> int:
    """Every how-manieth pixel the preview shows."""
    height, width = source.n, source.image_shape[0]
    return max(1, math.ceil(math.sqrt(height * width / PREVIEW_PIXELS)), math.ceil(max(height, width) / PREVIEW_SIDE))


def pictures_of(source: Readable, model: QuantizeModel) -> dict[str, Callable[[BinaryIO], None]]:
    """Name → what writes the PNG file, piece by piece."""
    width = source.image_shape[0]
    small = source.n * width <= FILE_PIXELS
    found = {}
    for name, chosen in model.palettes.items():
        swept = name.isdigit()
        if not swept or small:
            found[f"{name}-colors" if swept else name] = _writer(chosen, source.n, width)
    return found


def _writer(chosen: ChosenPalette, height: int, width: int) -> Callable[[BinaryIO], None]:
    index = chosen.index
    assert index is not None

    def write(file: BinaryIO) -> None:
        for part in palette_png(lambda top, bottom: index[top:bottom], height, width, chosen.colours):
            file.write(part)

    return write


def exactness(colours: Colours) -> dict[str, bool]:
    """Scores are of all pixels; colours may have been binned before they were counted."""
    return {"ssim": True, "mse": True, "n_distinct": colours.bits == BITS}


def metrics_of(options: QuantizeOptions, model: QuantizeModel) -> dict[str, Any]:
    """By method, and by number of colours; pixel values scaled to [0, 1] in ``mse``."""

    def each(value: Callable[[ChosenPalette], Any]) -> dict[str, Any]:
        return {name: value(chosen) for name, chosen in model.palettes.items()}

    return {
        "ssim": each(lambda chosen: None if math.isnan(chosen.ssim) else chosen.ssim),
        "mse": each(lambda chosen: chosen.mse / 255**2),
        "seconds": each(lambda chosen: round(chosen.seconds, 4)),
        "n_colors": each(lambda chosen: len(chosen.colours)),
        "n_distinct": len(model.colours),
        "bits": model.colours.bits,
    }


def dataset_of(
    data: StepInput,
    options: QuantizeOptions,
    model: QuantizeModel,
    plane: ColourMap,
    lines: bool,
) -> Any:
    """Palettes, how good they are, a preview or examples, and a sample of the colours."""
    import xarray as xr

    methods = [model.palettes[name] for name in options.methods]
    swept = [model.palettes[str(k)] for k in options.sweep]
    variables = {**_group(methods, options.n_colors, ("method", "color"), "")}
    coords: dict[str, Any] = {"method": list(options.methods)}
    if swept:
        variables |= _group(swept, max(options.sweep), ("sweep", "sweep_color"), "sweep_")
        variables["sweep_colors"] = ("sweep", np.array(options.sweep))
    matched = matched_entries([chosen.colours for chosen in methods])
    variables["map_match"] = (("method", "color"), _padded(matched, options.n_colors).astype(np.uint8))
    variables |= _sample(model, plane, methods, matched)
    nested = nested_palettes(model.colours, model.merges)
    variables["tree_color"] = (("node", "channel"), nested["colour"], {"long_name": "Ward's clusters: mean colours"})
    variables["tree_share"] = ("node", nested["share"], {"long_name": "share of pixels"})
    variables["tree_merger"] = (("merger", "of"), nested["merger"], {"long_name": "nodes that become the next node"})
    variables |= _preview(data, model, methods, swept) if lines else _examples(data, model, methods)
    attrs = _attrs(data, options, model.colours, lines, "shared")
    attrs |= {"map": "" if plane.place is None else "umap", "map_neighbors": plane.n_neighbors}
    if model.original_bytes is not None:
        attrs["original_png_bytes"] = model.original_bytes
    return xr.Dataset(variables, coords, attrs)


def metrics_of_each(options: QuantizeOptions, model: OwnPalettesModel) -> dict[str, Any]:
    """By method: means over all images."""
    colours = model.extra["colours"]
    return {
        "ssim": {name: None if math.isnan(value) else value for name, value in model.ssim.items()},
        "mse": {name: value / 255**2 for name, value in model.mse.items()},
        "n_distinct": len(colours),
        "bits": colours.bits,
    }


def dataset_of_each(data: StepInput, options: QuantizeOptions, model: OwnPalettesModel) -> Any:
    """How good palettes of single images are on the whole, and some images with theirs."""
    import xarray as xr

    colours, sample = model.extra["colours"], model.extra["examples"]
    rows = sample["row"].tolist()
    images = sample["features"].reshape(-1, *data.source.image_shape[:2], colours.channels)

    def picked(name: str) -> AnyArray:
        return np.stack(
            [[model.columns[f"{name}_{method}"][row : row + 1][0] for row in rows] for method in model.ssim]
        )

    dims = ("example", "y", "x")
    variables = {
        "ssim": ("method", np.array(list(model.ssim.values())), {"long_name": "structural similarity, mean of images"}),
        "mse": ("method", np.array(list(model.mse.values())), {"long_name": "mean squared error, levels²"}),
        "example_image": ((*dims, "channel"), images),
        "example_index": (("method", *dims), picked("index")),
        "example_palette": (("method", "example", "color", "channel"), picked("palette")),
        "example_sample": ("example", sample["row"]),
        **_sample_of(colours, chosen_colours(colours, SAMPLE, data.seed)),
    }
    return xr.Dataset(variables, {"method": list(model.ssim)}, _attrs(data, options, colours, False, "each"))


def _attrs(data: StepInput, options: QuantizeOptions, colours: Colours, lines: bool, scope: str) -> dict[str, Any]:
    return {
        "kind": "photograph" if lines else "collection",
        "height": data.source.n if lines else data.source.image_shape[0],
        "width": data.source.image_shape[0 if lines else 1],
        "n_pixels": colours.n_pixels,
        "n_distinct": len(colours),
        "bits": colours.bits,
        "space": "gray" if colours.channels == 1 else options.recipe.space,
        "n_colors": options.n_colors,
        "split": data.split,
        "map": "",
        "map_neighbors": 0,
        "palette_scope": scope,
        "sweep_method": "kmeans",
    }


def _padded(rows: list[AnyArray], length: int) -> AnyArray:
    found: AnyArray = np.zeros((len(rows), length, *rows[0].shape[1:]), dtype=rows[0].dtype)
    for at, row in enumerate(rows):
        found[at, : len(row)] = row
    return found


def _group(chosen: list[ChosenPalette], k: int, dims: tuple[str, str], prefix: str) -> dict[str, Any]:
    """Variables of some palettes."""
    group, colour = dims
    found: dict[str, Any] = {
        f"{prefix}palette": (
            (group, colour, "channel"),
            _padded([one.colours for one in chosen], k),
            {"long_name": "colours of the palette, by their shares"},
        ),
        f"{prefix}share": (
            (group, colour),
            _padded([one.share for one in chosen], k),
            {"long_name": "share of pixels"},
        ),
        f"{prefix}ssim": (group, np.array([one.ssim for one in chosen]), {"long_name": "structural similarity"}),
        f"{prefix}mse": (group, np.array([one.mse for one in chosen]), {"long_name": "mean squared error, levels²"}),
        f"{prefix}seconds": (group, np.array([one.seconds for one in chosen]), {"units": "s"}),
    }
    sizes = [one.file_bytes for one in chosen if one.file_bytes is not None]
    if sizes:
        found[f"{prefix}png_bytes"] = (group, np.array(sizes), {"long_name": "size as a PNG file", "units": "bytes"})
    return found


def _sample(
    model: QuantizeModel, plane: ColourMap, methods: list[ChosenPalette], matched: list[AnyArray]
) -> dict[str, Any]:
    """Some of the distinct colours, their pixels, places, and clusters of the same number in all methods."""
    row = plane.row
    labels = np.stack([numbers[one.labels[row]] for one, numbers in zip(methods, matched, strict=True)])
    found = _sample_of(model.colours, row)
    found["map_label"] = (("method", "point"), labels.astype(np.uint8))
    if plane.place is not None:
        found["map_place"] = (("point", "axis"), plane.place)
    return found


def _sample_of(colours: Colours, row: IntArray) -> dict[str, Any]:
    """Some of the distinct colours, and their pixels."""
    return {
        "map_color": (("point", "channel"), np.rint(colours.points[row]).astype(np.uint8)),
        "map_count": ("point", colours.count[row, 0]),
    }


def _preview(
    data: StepInput, model: QuantizeModel, methods: list[ChosenPalette], swept: list[ChosenPalette]
) -> dict[str, Any]:
    """Every so-manieth pixel of a photograph, and its entry of each palette."""
    preview: UInt8Array = model.extra["preview"]
    places = Counted.of(model.colours).few_places(preview)
    dims = ("preview_y", "preview_x")
    found: dict[str, Any] = {
        "preview": ((*dims, "channel"), preview, {"step": preview_step(data.source)}),
        "preview_index": (("method", *dims), np.stack([one.labels[places] for one in methods])),
    }
    if swept:
        found["sweep_preview_index"] = (("sweep", *dims), np.stack([one.labels[places] for one in swept]))
    return found


def _examples(data: StepInput, model: QuantizeModel, methods: list[ChosenPalette]) -> dict[str, Any]:
    """Some random images, and their entries of each palette."""
    sample = model.extra["examples"]
    images = sample["features"].reshape(-1, *data.source.image_shape[:2], model.colours.channels)
    places = Counted.of(model.colours).few_places(images)
    dims = ("example", "y", "x")
    return {
        "example_image": ((*dims, "channel"), images),
        "example_index": (("method", *dims), np.stack([one.labels[places] for one in methods])),
        "example_sample": ("example", sample["row"]),
    }
