"""Pictures of a page, comparisons of pictures, and palettes of colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fmnist_dask.report.words import share

Tone = Literal["neutral", "good", "warn"]


@dataclass(frozen=True)
class Picture:
    """A small picture.

    Attributes
    ----------
    uri
        ``data:`` address.
    alt
        What it shows, in words.
    caption
        Lines below it.
    tone
        ``warn`` frames it.
    """

    uri: str
    alt: str
    caption: tuple[str, ...] = ()
    tone: Tone = "neutral"


@dataclass(frozen=True)
class Version:
    """What became of a picture.

    Attributes
    ----------
    name
        On the button that chooses it.
    title
        On the picture, and before the lines of its caption.
    link
        Relative path of a file that shows it in full size; empty for none.
    """

    name: str
    title: str
    picture: Picture
    link: str = ""


@dataclass(frozen=True)
class Compare:
    """A picture and what became of it, one over the other with a divider to move, or all side by side.

    Each picture stands on the page once, however it is looked at. A script of the page's own moves the divider; radio
    inputs and style sheets do the rest.

    Attributes
    ----------
    original
        Shown on the left of the divider.
    width, height
        Of the pictures, in pixels.
    groups
        Rows of choices: what is asked, and the versions to choose from. The first of all is shown at the start.
    link_text
        What the links of the versions say.
    """

    kind: ClassVar[str] = "compare"
    original: Picture
    width: int
    height: int
    groups: tuple[tuple[str, tuple[Version, ...]], ...]
    link_text: str = ""

    @property
    def versions(self) -> tuple[Version, ...]:
        """All versions, in order."""
        return tuple(version for _, versions in self.groups for version in versions)


@dataclass(frozen=True)
class Paint:
    """A colour of a palette.

    Attributes
    ----------
    colour
        ``#rrggbb``.
    share
        How much of the whole has it, from 0 to 1.
    """

    colour: str
    share: float

    @property
    def percent(self) -> str:
        """The share in percent."""
        return share(self.share, 1)

    @property
    def ink(self) -> str:
        """Black or white: the one that can be read on the colour."""
        light = [int(self.colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        # Relative luminance as WCAG 2 has it; from 0.179 on, the contrast to black is the larger one.
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in light]
        return "#000" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 else "#fff"


@dataclass(frozen=True)
class PaletteRow:
    """A palette as a bar whose parts are as wide as the colours' shares.

    Attributes
    ----------
    picture
        An image that the palette is of, beside the bar.
    """

    name: str
    paints: tuple[Paint, ...]
    note: str = ""
    picture: Picture | None = None


@dataclass(frozen=True)
class Palettes:
    """Palettes one below the other, with the code and the share of each colour.

    Attributes
    ----------
    folded
        Whether names stand beside the bars, and codes and shares unfold on a click.
    written
        Otherwise, codes and shares of up to so many colours stand below a bar, and more unfold.
    """

    kind: ClassVar[str] = "palettes"
    rows: tuple[PaletteRow, ...]
    heading: str = ""
    note: str = ""
    folded: bool = False
    written: int = 16
