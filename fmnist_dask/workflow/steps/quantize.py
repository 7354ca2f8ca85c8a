"""``quantize``: few colours in place of many, by several methods, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.colours import BITS
from fmnist_dask.kernels.quantizers import Method, Recipe, Space
from fmnist_dask.models.colour_map import FEWEST, colour_map, map_bytes
from fmnist_dask.models.quantize import (
    METHODS,
    QuantizeModel,
    QuantizeOptions,
    check_channels,
    choosing_bytes,
    looking_up,
    quantize,
)
from fmnist_dask.models.quantize_each import quantize_each
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Reduction
from fmnist_dask.passes.reductions.colours import (
    ColourCounts,
    Counted,
    PaletteImage,
    Preview,
    channels_of,
)
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, is_installed, step
from fmnist_dask.workflow.steps._quantize import (
    dataset_of,
    dataset_of_each,
    exactness,
    metrics_of,
    metrics_of_each,
    pictures_of,
    preview_step,
)
from fmnist_dask.workflow.steps._seconds import palette_seconds, umap_epochs, umap_seconds

#: Images of a collection that the report shows.
EXAMPLES = 12


def _libraries(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """What decides the result: packages of extras where they are used."""
    mapped = parameters["palette"] != "each" and _is_mapped(parameters["map"])
    return (
        "numpy",
        "scipy",
        "numba",
        "pillow",
        *(("umap-learn",) if mapped else ()),
        *(("scikit-image",) if parameters["space"] == "lab" else ()),
    )


def _options(
    n_colors: int, methods: tuple[Method, ...], sweep: tuple[int, ...], exact_colors: int, recipe: Recipe
) -> QuantizeOptions:
    return QuantizeOptions(n_colors, tuple(dict.fromkeys(methods)), tuple(sorted(set(sweep))), recipe, exact_colors)


def _foresees(
    data: StepInput,
    *,
    n_colors: int,
    methods: tuple[Method, ...],
    sweep: tuple[int, ...],
    exact_colors: int,
    palette: str,
    map: str,
    map_colors: int,
    n_neighbors: int,
    **rest: Any,
) -> Iterator[Foreseen]:
    """Palettes of as many colours as are counted at most, the pass that looks them up, and a map of some."""
    lines = is_photograph(data)
    channels = channels_of(data.source, lines)
    most = min(exact_colors, data.source.n * data.source.image_bytes // channels, 256**channels)
    names = _options(n_colors, methods, sweep, exact_colors, Recipe()).wanted
    held = most * (4 + 8 * (2 + 2 * channels)) + 24 * most
    if palette == "each":
        return  # all in the first pass
    seconds = palette_seconds(most)
    yield Foreseen("merge tree", None, 1, choosing_bytes(most), held, seconds=seconds)
    yield Foreseen("palettes", None, len(names), choosing_bytes(most), held, seconds=seconds)
    # Of 8 bits the table of all colours is largest: few distinct ones are told apart however many pixels there are.
    codes = np.linspace(0, 256**channels - 1, most).astype(np.uint32)
    counted = Counted(ArrayParameter(codes), BITS, channels)
    images = tuple(
        PaletteImage(name, ArrayParameter(np.zeros(most, np.uint8)), ArrayParameter(np.zeros((k, channels), np.uint8)))
        for name, _, k in names
    )
    yield Foreseen("look-up and comparison", looking_up(counted, images, data.split, lines, files=lines))
    shown = min(most, map_colors)
    if _is_mapped(map) and shown >= FEWEST:
        yield Foreseen("UMAP", None, 1, *map_bytes(shown, channels, n_neighbors), late=True, here=True,
                       seconds=umap_seconds(shown, umap_epochs(shown), n_neighbors))  # fmt: skip


def _is_mapped(map: str) -> bool:
    """Whether colours are placed by UMAP, of a shared palette."""
    return map == "umap" or (map == "auto" and is_installed("umap-learn"))


def is_photograph(data: StepInput) -> bool:
    """Whether the samples are the lines of one photograph."""
    return getattr(data.source, "row_dim", "sample") == "y"


@step(
    "quantize",
    figures="fmnist_dask.workflow.figures.quantize:figures",
    libraries=_libraries,
    extra={"umap-learn": "map", "scikit-image": "lab"},
    accepts=("photograph", "images"),
    foresees=_foresees,
)
def quantize_step(
    data: StepInput,
    *,
    n_colors: Annotated[int, pydantic.Field(ge=2, le=256)] = 8,
    methods: Annotated[tuple[Method, ...], pydantic.Field(min_length=1)] = METHODS,
    palette: Literal["shared", "each"] = "shared",
    sweep: tuple[Annotated[int, pydantic.Field(ge=2, le=256)], ...] = (),
    space: Space = "rgb",
    mixture_color: Literal["mean", "median"] = "mean",
    mixture_noise: Annotated[float, pydantic.Field(ge=0.001, le=64)] = 4.0,
    exact_colors: Annotated[int, pydantic.Field(ge=4096, le=16_777_216)] = 262_144,
    map: Literal["auto", "umap", "none"] = "auto",
    map_colors: Annotated[int, pydantic.Field(ge=5, le=100_000)] = 4000,
    n_neighbors: Annotated[int, pydantic.Field(ge=2, le=1000)] = 20,
) -> Algorithm[StepResult]:
    """Put few colours in place of many: a palette for a photograph, for all images or for each, by several methods.

    Distinct colours are counted in one pass, palettes are chosen of these, and a second pass looks every pixel up and
    compares the result with the original, exactly: mean squared error, and structural similarity as scikit-image
    computes it. Of grey images, k-means finds the best palette that there is.

    Parameters
    ----------
    n_colors
        Colours of each method's palette; fewer where there are fewer.
    methods
        kmeans, gaussian_mixture, agglomerative (Ward's hierarchy of all distinct colours), median_cut (Pillow's).
    palette
        shared: one for all images. each: one for each image of a collection; without a map and a sweep.
    sweep
        Numbers of colours that k-means is asked for besides, with shared palettes, for instance [2, 4, 8, 16].
    space
        Where distances are measured: rgb, or lab (CIELAB; needs fmnist-dask[lab]).
    mixture_color
        Colour of a mixture's component: mean or median of the pixels that are most likely its.
    mixture_noise
        Standard deviation that is added to the components of a mixture, in levels, so that none of them takes the noise
        of a flat area for a colour; 0.001 for none.
    exact_colors
        Up to so many distinct colours are told apart; where there are more, they are binned, as finely as this allows.
    map
        A plane of distinct colours by UMAP (needs fmnist-dask[map]); auto: where that is installed.
    map_colors
        Colours on it, drawn at random where there are more.
    n_neighbors
        Neighbours of each that count on the map.
    """
    lines = is_photograph(data)
    channels = channels_of(data.source, lines)
    check_channels(channels)
    recipe = Recipe(space, mixture_noise, mixture_color)
    options = _options(n_colors, methods, sweep, exact_colors, recipe)
    if not data.n:
        raise UsageError(f"the split {data.split} has no images", "choose another split")
    if palette == "each":
        return (yield from _each(data, options, lines, map))
    besides: dict[str, Reduction] = (
        {"preview": Preview(preview_step(data.source), channels)} if lines else _examples(data)
    )
    model: QuantizeModel = yield from quantize(data.source, options, data.split, lines, besides, files=lines)
    plane = yield from colour_map(model.colours, model.points, map_colors, n_neighbors, data.seed, _is_mapped(map))
    n = data.source.n * data.source.image_bytes // channels if lines else data.n
    return StepResult(
        dataset=dataset_of(data, options, model, plane, lines),
        metrics=metrics_of(options, model),
        exact=exactness(model.colours),
        n_used=n,
        n_total=n if lines else data.source.n,
        columns={f"index_{name}": chosen.index for name, chosen in model.palettes.items() if chosen.index is not None},
        pictures=pictures_of(data.source, model) if lines else {},
    )


def _examples(data: StepInput) -> dict[str, Reduction]:
    return {"examples": RandomSubset(min(EXAMPLES, data.n), data.n, data.seed)}


def _each(data: StepInput, options: QuantizeOptions, lines: bool, plane: str) -> Algorithm[StepResult]:
    """Palettes of single images."""
    if lines:
        raise UsageError("palette is each, and the source is one photograph, which has one", "use palette: shared")
    if plane == "umap":
        raise UsageError("maps of colours are of shared palettes, and palette is each", "leave map out")
    if options.sweep:
        raise UsageError(
            "the sweep over numbers of colours is of one palette for all images, and palette is each",
            "leave sweep out, or use palette: shared",
        )
    counts = ColourCounts(options.exact_colors, channels_of(data.source, False))
    model = yield from quantize_each(data.source, options, data.split, {"colours": counts, **_examples(data)})
    return StepResult(
        dataset=dataset_of_each(data, options, model),
        metrics=metrics_of_each(options, model),
        exact=exactness(model.extra["colours"]),
        n_used=data.n,
        n_total=data.source.n,
        columns=model.columns,
        image_tables={
            "palettes": {
                f"_{key}_{name}": model.columns[f"{key}_{name}"] for name in model.ssim for key in ("ssim", "mse")
            }
        },
    )
