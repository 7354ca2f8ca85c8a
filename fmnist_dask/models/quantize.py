"""Colour quantization: colours are counted once, palettes chosen of what was counted, and pixels looked up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.colour_clusters import MergeTree
from fmnist_dask.kernels.colours import BITS, Colours
from fmnist_dask.kernels.quantizers import TREE_COLOURS, Method, Prepared, Recipe, choose, in_space
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Algorithm, Call, ColumnArray, Readable, Reduction, Scan, Tasks
from fmnist_dask.passes.reductions.colours import (
    ColourCounts,
    Counted,
    PaletteImage,
    Quantized,
    channels_of,
)
from fmnist_dask.passes.reductions.palette_fit import FileBytes, ImagesFit, PhotographFit
from fmnist_dask.typing import FloatArray, UInt8Array

METHODS: tuple[Method, ...] = ("kmeans", "gaussian_mixture", "agglomerative", "median_cut")
#: Memory of choosing a palette: for each colour, and at least.
COLOUR_BYTES, LEAST_BYTES = 250, 96 * 2**20


@dataclass(frozen=True)
class QuantizeOptions:
    """What is asked for.

    Attributes
    ----------
    n_colors
        Colours of each method's palette.
    methods
        Ways to choose it.
    sweep
        Numbers of colours that k-means is asked for besides.
    recipe
        How palettes are chosen.
    exact_colors
        Up to so many distinct colours are told apart; where there are more, they are binned in the finest way that has
        no more bins.
    """

    n_colors: int = 8
    methods: tuple[Method, ...] = METHODS
    sweep: tuple[int, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)
    exact_colors: int = 262_144

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        UsageError
            Numbers of colours that are not 1 to 256, or fewer than 8 ``exact_colors``.
        """
        for k in (self.n_colors, *self.sweep):
            if not 1 <= k <= 256:
                raise UsageError(
                    f"{k} colours are asked for", "ask for 1 to 256, which is what entries of a byte tell apart"
                )
        if self.exact_colors < 8:
            raise UsageError(f"exact_colors is {self.exact_colors}", "give 8 or more: bins of one bit a channel")

    @property
    def wanted(self) -> list[tuple[str, Method, int]]:
        """Name, method and number of colours of each palette."""
        named: list[tuple[str, Method, int]] = [(method, method, self.n_colors) for method in self.methods]
        return named + [(str(k), "kmeans", k) for k in self.sweep]


@dataclass
class ChosenPalette:
    """A palette, and how good it is.

    Attributes
    ----------
    colours : uint8 array, shape (k, channels)
        By their shares, the largest first.
    share : float64 array, shape (k,)
        Of all pixels.
    labels : uint8 array, shape (m,)
        Entry of each counted colour.
    seconds
        What choosing it took, counting left aside: one thread.
    mse
        Mean squared error of a value, in levels².
    ssim
        Mean structural similarity; NaN where images are smaller than its windows.
    index
        Entry of each pixel.
    file_bytes
        Size of the PNG file; ``None`` of collections.
    """

    name: str
    method: Method
    colours: UInt8Array
    share: FloatArray
    labels: UInt8Array
    seconds: float
    mse: float = float("nan")
    ssim: float = float("nan")
    index: ColumnArray | None = None
    file_bytes: int | None = None


@dataclass
class QuantizeModel:
    """Counted colours and palettes.

    Attributes
    ----------
    colours
        As counted.
    points : float64 array, shape (m, d)
        The same where distances were measured.
    palettes
        By name: methods, then the numbers of colours of the sweep.
    merges : float64 array, shape (m − 1, 3)
        Ward's hierarchy of the colours, or of bins of them, as ``MergeTree`` of ``kernels.colour_clusters`` has it.
    tree_seconds
        What the hierarchy took, which is part of the seconds of palettes that it was used for.
    original_bytes
        Size of a PNG file of a photograph in all its colours.
    extra
        What else was asked of the pass that counts.
    """

    colours: Colours
    points: FloatArray
    palettes: dict[str, ChosenPalette]
    merges: FloatArray
    tree_seconds: float
    original_bytes: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def quantize(
    source: Readable,
    options: QuantizeOptions,
    split: str = "all",
    lines: bool = False,
    besides: dict[str, Reduction] | None = None,
    files: bool = False,
) -> Algorithm[QuantizeModel]:
    """Choose palettes for all pixels of a split, and apply them.

    Parameters
    ----------
    lines
        Whether samples are the lines of one photograph.
    besides
        Further reductions for the pass that counts.
    files
        Whether to tell how large PNG files of a photograph are.

    Raises
    ------
    UsageError
        Pixels are neither grey levels nor red, green and blue.
    """
    channels = channels_of(source, lines)
    check_channels(channels)
    scan = Scan({"colours": ColourCounts(options.exact_colors, channels), **(besides or {})}, split=split)
    found = yield scan
    colours: Colours = found.pop("colours")
    if not len(colours):
        raise UsageError("there are no pixels to count", "choose another split")
    points, merges, tree_seconds = (
        yield Tasks(
            "merge tree",
            (Call(tree_of, (options.recipe.space,)),),
            choosing_bytes(len(colours)),
            shared=_arrays(colours),
        )
    )[0]
    # A number of colours may be asked for twice: as that of all methods, and in the sweep.
    first: dict[tuple[Method, int], str] = {}
    for name, method, k in options.wanted:
        first.setdefault((method, k), name)
    calls = tuple(Call(palette_of, (method, k, options.recipe)) for method, k in first)
    shared = (*_arrays(colours), points, merges)
    chosen = yield Tasks("palettes", calls, choosing_bytes(len(colours)), unit="palettes", shared=shared)
    made = {
        name: ChosenPalette(name, method, entries, share, labels, _seconds(method, channels, seconds, tree_seconds))
        for ((method, _), name), (entries, labels, share, seconds) in zip(first.items(), chosen, strict=True)
    }
    original = yield from apply(source, colours, list(made.values()), split, lines, files)
    palettes = {name: replace(made[first[method, k]], name=name) for name, method, k in options.wanted}
    return QuantizeModel(colours, points, palettes, merges, tree_seconds, original, found)


def check_channels(channels: int) -> None:
    """Refuse what is no colour.

    Raises
    ------
    UsageError
        Another number than 1 or 3.
    """
    if channels not in (1, 3):
        raise UsageError(
            f"pixels have {channels} channels, and colours are grey levels (1) or red, green and blue (3)",
            "lay transparency over a background with the source option mode=rgb (or mode=gray), not mode=keep",
        )


def _seconds(method: Method, channels: int, seconds: float, tree_seconds: float) -> float:
    """Time of a method, with that of the hierarchy where it begins from one."""
    uses_tree = method == "agglomerative" or (method != "median_cut" and channels == 3)
    return seconds + tree_seconds if uses_tree else seconds


def apply(
    source: Readable, colours: Colours, palettes: list[ChosenPalette], split: str, lines: bool, files: bool
) -> Algorithm[int | None]:
    """Look up every pixel in one pass, and compare the results with the images; fills the palettes in.

    The result is the size of the original's PNG file, where ``files`` asks for sizes.
    """
    images = tuple(
        PaletteImage(chosen.name, ArrayParameter(chosen.labels), ArrayParameter(chosen.colours)) for chosen in palettes
    )
    found = yield looking_up(Counted.of(colours), images, split, lines, files)
    sizes: dict[str, int] = found.get("files", {})
    for chosen in palettes:
        chosen.mse, chosen.ssim = (found["fit"][chosen.name][key] for key in ("mse", "ssim"))
        (chosen.index,) = found[f"index/{chosen.name}"].values()
        chosen.file_bytes = sizes.get(chosen.name)
    return sizes.get("")


def looking_up(counted: Counted, images: tuple[PaletteImage, ...], split: str, lines: bool, files: bool) -> Scan:
    """The pass that looks every pixel up."""
    wanted: dict[str, Reduction] = {"fit": PhotographFit(counted, images) if lines else ImagesFit(counted, images)}
    if files:
        wanted["files"] = FileBytes(counted, images)
    return Scan(wanted, {f"index/{image.name}": Quantized(counted, image, lines) for image in images}, split)


def choosing_bytes(m: int) -> int:
    """Memory of choosing a palette for so many colours."""
    return LEAST_BYTES + COLOUR_BYTES * m


def _arrays(colours: Colours) -> tuple[Any, ...]:
    return colours.code, colours.count, colours.bits, colours.channels


def tree_of(shared: tuple[Any, ...], space: Any) -> tuple[FloatArray, FloatArray, float]:
    """Counted colours in a space, Ward's hierarchy of them, and the seconds that it took."""
    _warm(Recipe(space), methods=())
    started = time.perf_counter()
    prepared = Prepared.of(Colours(*shared), space)
    return prepared.points, prepared.tree.merges, time.perf_counter() - started


def palette_of(
    shared: tuple[Any, ...], method: Method, k: int, recipe: Recipe
) -> tuple[UInt8Array, UInt8Array, FloatArray, float]:
    """A palette, the entry of each counted colour, shares, and the seconds that it took."""
    code, count, bits, channels, points, merges = shared
    _warm(recipe, (method,), channels)
    started = time.perf_counter()
    colours = Colours(code, count, bits, channels)
    coarse = colours.within(TREE_COLOURS)
    bottom = points if coarse is colours else in_space(coarse.points, recipe.space)
    prepared = Prepared(colours, points, coarse, MergeTree(bottom, coarse.weight, merges))
    found = choose(prepared, method, k, recipe)
    return found.colours, found.labels, found.share, time.perf_counter() - started


def _warm(recipe: Recipe, methods: tuple[Method, ...], channels: int = 3) -> None:
    """Compile or load what is to be timed, with a few colours."""
    code = np.arange(0, 256, 8, dtype=np.uint32)
    values = np.stack([code >> np.uint32(BITS * (channels - 1 - c)) & np.uint32(255) for c in range(channels)], axis=1)
    count = np.concatenate([np.ones((len(code), 1)), values], axis=1).astype(np.int64)
    prepared = Prepared.of(Colours(code, count, BITS, channels), recipe.space)
    for method in methods:
        choose(prepared, method, 3, recipe)
