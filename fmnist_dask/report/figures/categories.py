"""Colours of categories: classes, clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray

#: Twelve colours found by search: the smallest difference (CIEDE2000) between any two of them, and to white and grey,
#: is 13.8, also as people see them who lack red or green cones (simulated after Machado et al. 2009). In Matplotlib's
#: ten colours it is 1.3.
CATEGORY_COLOURS = (
    "#5000dc", "#285028", "#dcc800", "#dc2864", "#8c0064", "#288c78", "#50dcb4", "#8c6400", "#dc8c64", "#a064a0",
    "#008cf0", "#00c8f0",
)  # fmt: skip
#: Of categories without a colour of their own, and of what belongs to no category.
REST_COLOUR, NONE_COLOUR = "#7f8a95", "#b9c1c9"


def coloured(sizes: Sequence[int] | AnyArray) -> list[int]:
    """Positions of the categories that get a colour of their own: all of them, or the largest of many."""
    most = len(CATEGORY_COLOURS)
    if len(sizes) <= most:
        return list(range(len(sizes)))
    largest: list[int] = np.argsort(-np.asarray(sizes), kind="stable")[:most].tolist()
    return sorted(largest)


def category_colours(sizes: Sequence[int] | AnyArray) -> list[str]:
    """A colour for each category, by its position; grey for those beyond the largest of many."""
    own = {position: CATEGORY_COLOURS[rank] for rank, position in enumerate(coloured(sizes))}
    return [own.get(position, REST_COLOUR) for position in range(len(sizes))]


def linear_rgb(colours: Sequence[str]) -> FloatArray:
    """Colours as amounts of light, in which they mix as paints of light do; shape (colours, 3), 0 to 1."""
    table = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours], dtype=np.float64) / 255
    light: FloatArray = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    return light.reshape(-1, 3)


def from_linear_rgb(light: FloatArray) -> AnyArray:
    """Amounts of light as uint8 colours."""
    clipped = np.clip(light, 0.0, 1.0)
    curve = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    result: AnyArray = np.rint(curve * 255).astype(np.uint8)
    return result
