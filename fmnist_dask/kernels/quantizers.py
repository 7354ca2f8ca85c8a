"""Ways to choose a palette for counted colours, and the entry of it that each colour gets."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fmnist_dask.errors import UsageError
from fmnist_dask.kernels.colour_clusters import (
    SEARCH_POINTS,
    Cells,
    MergeTree,
    means_of,
    optimal_grey,
    polished,
    searched,
)
from fmnist_dask.kernels.colours import Colours
from fmnist_dask.kernels.weighted_mixture import fitted_mixture
from fmnist_dask.typing import AnyArray, FloatArray, UInt8Array

Method = Literal["kmeans", "gaussian_mixture", "agglomerative", "median_cut"]
Space = Literal["rgb", "lab"]
#: Colours that hierarchies are built of, and mixtures fitted to; where there are more, they are binned.
TREE_COLOURS, MIXTURE_COLOURS = 262_144, 32_768
#: Up to so many clusters k-means begins from several trees, or from two.
FEW, SOME = 16, 64
#: Bits a channel of the bins whose trees those are, besides that of all colours.
OTHER_BITS = (5, 4, 6)
#: With more of them, clusters are split and merged among all colours at last.
LAST_ROUNDS = (16, 64)
#: Pixels that Pillow is given: weights of more are scaled down.
PILLOW_PIXELS = 1 << 22


@dataclass(frozen=True)
class Recipe:
    """How palettes are chosen.

    Attributes
    ----------
    space
        Where distances are measured: ``rgb``, or CIELAB (``lab``), in which they are more like what people see.
    noise
        Standard deviation of a pixel that is none of its component's, in levels (``lab``: in units of L*): what is
        added to the spread of components of a mixture, so that none of them takes the noise of a flat area for a colour
        of its own.
    typical
        Colour of a mixture's component: ``mean`` or ``median`` of the pixels that are most likely its.
    """

    space: Space = "rgb"
    noise: float = 4.0
    typical: Literal["mean", "median"] = "mean"


@dataclass(frozen=True)
class Palette:
    """Colours in place of many.

    Attributes
    ----------
    colours : uint8 array, shape (k, channels)
        By the share of pixels, the largest first.
    labels : uint8 array, shape (m,)
        Entry of each of the counted colours.
    share : float64 array, shape (k,)
        Of all pixels.
    """

    colours: UInt8Array
    labels: UInt8Array
    share: FloatArray


@dataclass(frozen=True)
class Prepared:
    """Counted colours as methods take them.

    Attributes
    ----------
    colours
        As counted.
    points : float64 array, shape (m, d)
        In the space where distances are measured.
    coarse
        Colours of the tree: the same, or binned.
    tree
        Ward's hierarchy of these: palettes of any size, and where k-means begins.
    """

    colours: Colours
    points: FloatArray
    coarse: Colours
    tree: MergeTree

    @classmethod
    def of(cls, colours: Colours, space: Space = "rgb", tree_colours: int = TREE_COLOURS) -> Prepared:
        """Convert colours, and build the hierarchy.

        Raises
        ------
        UsageError
            CIELAB without the package that knows it.
        """
        points = in_space(colours.points, space)
        coarse = colours.within(tree_colours)
        bottom = points if coarse is colours else in_space(coarse.points, space)
        return cls(colours, points, coarse, MergeTree.of(bottom, coarse.weight))

    @functools.cached_property
    def cells(self) -> Cells:
        """All colours, in cells."""
        return Cells.of(self.points, self.colours.weight)

    @functools.cached_property
    def other_trees(self) -> list[MergeTree]:
        """Hierarchies of coarser bins: other places for k-means to begin at."""
        found = []
        for bits in OTHER_BITS:
            if bits < self.coarse.bits:
                few = self.colours.coarser(bits)
                found.append(MergeTree.of(_binned(self, few), few.weight))
        return found

    @functools.cached_property
    def search(self) -> Cells:
        """Few enough bins of them to look for centres among."""
        few = self.colours.within(SEARCH_POINTS)
        if few is self.colours:
            return self.cells
        return Cells.of(_binned(self, few), few.weight)


def in_space(colours: FloatArray, space: Space) -> FloatArray:
    """Colours of shape (m, channels), 0 to 255, in a space; grey levels stay what they are."""
    if space == "rgb" or colours.shape[1] == 1:
        return colours
    try:
        from skimage.color import rgb2lab
    except ImportError as error:
        raise UsageError(
            "CIELAB needs scikit-image, which is not installed", "install the extra: pip install 'fmnist-dask[lab]'"
        ) from error
    found: FloatArray = rgb2lab(colours / 255.0)
    return found


def choose(prepared: Prepared, method: Method, k: int, recipe: Recipe) -> Palette:
    """A palette of at most ``k`` colours, 1 to 256; of fewer where there are no more distinct ones."""
    k = min(k, len(prepared.colours))
    if method == "median_cut":
        return _median_cut(prepared.colours, k)
    if len(prepared.colours) <= k:
        labels: AnyArray = np.arange(len(prepared.colours))
    elif method == "agglomerative":
        labels = _agglomerative(prepared, k)
    elif method == "kmeans":
        labels = _kmeans(prepared, k)
    else:
        labels = _mixture(prepared, k, recipe)
        if recipe.typical == "median":
            return _ordered(prepared.colours, labels, _medians(prepared.colours, labels))
    return _ordered(prepared.colours, labels)


def _kmeans(prepared: Prepared, k: int) -> AnyArray:
    """k-means begun from Ward's tree; of grey levels the best clusters that there are."""
    colours = prepared.colours
    if colours.channels == 1:
        weight = np.zeros(1 << colours.bits)
        weight[colours.code] = colours.weight
        labels: AnyArray = optimal_grey(weight, k)[-1][colours.code]
        return labels
    cells = prepared.cells
    centres = searched(prepared.search, prepared.tree.means(k))
    # Where to begin: with few clusters a bad choice of one matters more, and another search costs less.
    others = prepared.other_trees[: 3 if k <= FEW else 1 if k <= SOME else 0]
    if others:
        starts = [centres, *(searched(prepared.search, tree.means(k)) for tree in others if len(tree.points) >= k)]
        centres = min((polished(cells, start) for start in starts), key=cells.inertia)
    else:
        centres = polished(cells, searched(cells, centres, LAST_ROUNDS))
    found = np.empty(len(colours), dtype=np.int32)
    found[cells.order] = cells.labels(centres)
    return found


def _binned(prepared: Prepared, few: Colours) -> FloatArray:
    """Mean places of the colours of each bin."""
    colours = prepared.colours
    places = np.searchsorted(few.code, _codes_in(colours, few.bits))
    return means_of(prepared.points, colours.weight, places, len(few))


def _codes_in(colours: Colours, bits: int) -> AnyArray:
    codes: AnyArray = np.zeros(len(colours), dtype=np.uint32)
    for channel in range(colours.channels):
        value = colours.code >> np.uint32(colours.bits * (colours.channels - 1 - channel))
        value = value & np.uint32((1 << colours.bits) - 1)
        codes = codes << np.uint32(bits) | value >> np.uint32(colours.bits - bits)
    return codes


def _agglomerative(prepared: Prepared, k: int) -> AnyArray:
    """Means of Ward's clusters; each colour gets the nearest of them."""
    cells = prepared.cells
    found = np.empty(len(prepared.points), dtype=np.int32)
    found[cells.order] = cells.labels(prepared.tree.means(k))
    return found


def _mixture(prepared: Prepared, k: int, recipe: Recipe) -> AnyArray:
    """The most likely component of each colour, of a mixture begun from k-means."""
    start = _kmeans(prepared, k)
    few = prepared.colours.within(MIXTURE_COLOURS)
    points, weight, labels = prepared.points, prepared.colours.weight, start
    if few is not prepared.colours:
        places = np.searchsorted(few.code, _codes_in(prepared.colours, few.bits))
        # A bin begins in the cluster of its first colour.
        first = np.unique(places, return_index=True)[1]
        points, weight, labels = _binned(prepared, few), few.weight, start[first]
    mixture = fitted_mixture(points, weight, labels, recipe.noise**2)
    return mixture.labels(prepared.points)


def _medians(colours: Colours, labels: AnyArray) -> FloatArray:
    """Median of each channel of the pixels of each cluster, shape (k, channels)."""
    points, weight, k = colours.points, colours.weight, int(labels.max()) + 1
    found = np.zeros((k, points.shape[1]))
    for channel in range(points.shape[1]):
        order = np.lexsort((points[:, channel], labels))
        inside, values, running = labels[order], points[order, channel], np.cumsum(weight[order])
        mass = np.bincount(labels, weight, k)
        before = np.concatenate([[0.0], np.cumsum(mass)[:-1]])
        for cluster in range(k):
            own = slice(int(np.searchsorted(inside, cluster)), int(np.searchsorted(inside, cluster, "right")))
            if own.start < own.stop:
                # The two pixels in the middle, which are one for odd numbers.
                ranks = before[cluster] + np.array([np.ceil(mass[cluster] / 2), np.floor(mass[cluster] / 2) + 1])
                at = np.minimum(np.searchsorted(running[own], ranks), own.stop - own.start - 1)
                found[cluster, channel] = values[own][at].mean()
    return found


def _median_cut(colours: Colours, k: int) -> Palette:
    """Pillow's median cut (Heckbert 1982), which looks at how often colours occur, not at where."""
    from PIL import Image

    values = np.rint(colours.points).astype(np.uint8)
    share = min(1.0, PILLOW_PIXELS / colours.n_pixels)
    times = np.maximum(np.rint(colours.weight * share), 1).astype(np.int64)
    line = np.repeat(values if values.shape[1] == 3 else values.repeat(3, axis=1), times, axis=0)
    found = Image.fromarray(line[None]).quantize(k, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    entries = np.asarray(found.getpalette(), dtype=np.float64).reshape(-1, 3)[:, : values.shape[1]]
    first = np.concatenate([[0], np.cumsum(times)[:-1]])
    return _ordered(colours, np.asarray(found)[0][first].astype(np.int64), entries)


def _ordered(colours: Colours, labels: AnyArray, entries: FloatArray | None = None) -> Palette:
    """The palette by shares, without entries that no colour has; by default of the means of their pixels."""
    k = int(labels.max()) + 1
    mass = np.bincount(labels, colours.weight, k)
    if entries is None:
        entries = means_of(colours.points, colours.weight, labels, k)
    order = np.argsort(-mass, kind="stable")[: int((mass > 0).sum())]
    rank = np.zeros(k, dtype=np.uint8)
    rank[order] = np.arange(len(order))
    return Palette(np.rint(entries[order]).astype(np.uint8), rank[labels], mass[order] / mass.sum())
