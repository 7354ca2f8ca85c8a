"""The blocks that sections of a page are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from bokeh.models.ui import UIElement

from fmnist_dask.report.picture_blocks import Compare, Paint, PaletteRow, Palettes, Picture, Tone, Version

__all__ = [
    "Block", "Compare", "Facts", "Figure", "Gallery", "Grid", "Mosaic", "Paint", "PaletteRow", "Palettes", "Picture",
    "Plate", "Profile", "Profiles", "Swatch", "Switch", "Table", "Text", "Tile", "Tone", "Version", "compares_of",
    "figures_of", "switches_of",
]  # fmt: skip


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str
    tone: Tone = "neutral"


@dataclass(frozen=True)
class Swatch:
    """A colour of a figure, and what it stands for."""

    colour: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A Bokeh model with a title above and a note below it.

    Attributes
    ----------
    legend
        Colours and their meaning, beside the figure or, on narrow pages, above it. Unlike a legend of Bokeh's it
        wraps, and can be read without seeing the figure.
    zoomable
        A map that the page's script moves, and whose groups its legend shows and hides; see
        :func:`fmnist_dask.report.figures.plane.plane_map`.
    """

    kind: ClassVar[str] = "figure"
    model: UIElement
    title: str = ""
    caption: str = ""
    legend: tuple[Swatch, ...] = ()
    zoomable: bool = False


@dataclass(frozen=True)
class Grid:
    """Figures side by side, as many in a row as there is room for.

    Attributes
    ----------
    min_width
        Least width of a figure, in CSS pixels; narrower pages get fewer columns.
    """

    kind: ClassVar[str] = "grid"
    figures: tuple[Figure, ...]
    min_width: int = 320
    heading: str = ""


@dataclass(frozen=True)
class Tile:
    """Pictures that belong together: one, or the members of a pair."""

    pictures: tuple[Picture, ...]
    badge: str = ""
    tone: Tone = "neutral"


@dataclass(frozen=True)
class Gallery:
    """Tiles side by side; those after the first ``visible`` unfold on a click."""

    kind: ClassVar[str] = "gallery"
    tiles: tuple[Tile, ...]
    heading: str = ""
    note: str = ""
    visible: int = 24


@dataclass(frozen=True)
class Mosaic:
    """A row of pictures for each name."""

    kind: ClassVar[str] = "mosaic"
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]


@dataclass(frozen=True)
class Table:
    """Text cells; columns but the first ``text_columns`` hold numbers and stand to the right.

    Attributes
    ----------
    bold
        (row, column) of the cells that stand out.
    """

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    caption: str = ""
    bold: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]
    heading: str = ""


@dataclass(frozen=True)
class Profile:
    """A group of images: what it is like on the whole, facts, and rows of its members.

    Attributes
    ----------
    picture
        The group in one picture.
    lines
        Facts.
    strips
        Rows of pictures, each with a label.
    """

    name: str
    picture: Picture | None
    lines: tuple[str, ...]
    strips: tuple[tuple[str, tuple[Picture, ...]], ...] = ()


@dataclass(frozen=True)
class Profiles:
    """Groups one below the other; those after the first ``visible`` unfold on a click."""

    kind: ClassVar[str] = "profiles"
    profiles: tuple[Profile, ...]
    visible: int = 24


@dataclass(frozen=True)
class Switch:
    """Blocks of which one choice is shown at a time, the first at the start.

    Radio inputs and style sheets do it, without a script of the page's own.

    Attributes
    ----------
    label
        What is chosen.
    choices
        Names and what they show.
    """

    kind: ClassVar[str] = "switch"
    label: str
    choices: tuple[tuple[str, tuple[Block, ...]], ...]


@dataclass(frozen=True)
class Plate:
    """A large picture, as wide as the page lets it be.

    Attributes
    ----------
    picture
        Its caption stands below.
    legend
        Colours and their meaning, above it.
    link
        Relative path of a file that shows it larger; empty for none.
    link_text
        What the link says.
    """

    kind: ClassVar[str] = "plate"
    picture: Picture
    legend: tuple[Swatch, ...] = ()
    link: str = ""
    link_text: str = ""


Block = Text | Figure | Grid | Gallery | Mosaic | Table | Facts | Profiles | Switch | Plate | Compare | Palettes


def figures_of(blocks: Iterable[Block]) -> Iterator[Figure]:
    """Every figure of some blocks, in order."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Grid):
            yield from block.figures
        elif isinstance(block, Switch):
            for _, inner in block.choices:
                yield from figures_of(inner)


def switches_of(blocks: Iterable[Block]) -> Iterator[Switch]:
    """Every switch of some blocks, in order."""
    for block in blocks:
        if isinstance(block, Switch):
            yield block
            for _, inner in block.choices:
                yield from switches_of(inner)


def compares_of(blocks: Iterable[Block]) -> Iterator[Compare]:
    """Every comparison of some blocks, in order."""
    for block in blocks:
        if isinstance(block, Compare):
            yield block
        elif isinstance(block, Switch):
            for _, inner in block.choices:
                yield from compares_of(inner)
