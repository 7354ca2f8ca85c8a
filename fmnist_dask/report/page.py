"""What a page holds, and how it becomes one HTML file that needs nothing else: no network, no other files."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import jinja2
from bokeh.document import Document
from bokeh.embed import components
from bokeh.models.ui import UIElement
from bokeh.resources import Resources
from markupsafe import Markup

from fmnist_dask.report.blocks import (
    Block,
    Compare,
    Facts,
    Figure,
    Gallery,
    Grid,
    Mosaic,
    Paint,
    PaletteRow,
    Palettes,
    Picture,
    Plate,
    Profile,
    Profiles,
    Swatch,
    Switch,
    Table,
    Text,
    Tile,
    Tone,
    Version,
    compares_of,
    figures_of,
    switches_of,
)

__all__ = [
    "Banner", "Block", "Card", "Compare", "Contribution", "Facts", "Figure", "Gallery", "Grid", "Mosaic", "Page",
    "Paint", "PaletteRow", "Palettes", "Picture", "Plate", "Profile", "Profiles", "Section", "Swatch", "Switch",
    "Table", "Text", "Tile", "Version", "assemble", "render",
]  # fmt: skip

PERCENT = re.compile(r"(?<=\d) %")
#: Places of sections on the page: steps that build later sections take numbers between or above these.
ORDER_CLASSES, ORDER_SIZES, ORDER_SAMPLE = 100, 110, 120
ORDER_PIXELS, ORDER_SPLITS, ORDER_VALUES, ORDER_TABLE = 200, 210, 220, 230
ORDER_PROPERTIES, ORDER_LISTED, ORDER_DUPLICATES = 300, 310, 320
ORDER_COMPARISON, ORDER_DIRECTIONS, ORDER_MAP, ORDER_GRID = 390, 400, 410, 415
ORDER_CLUSTERS, ORDER_COMPOSITION, ORDER_SILHOUETTE, ORDER_CONVERGENCE = 430, 440, 445, 450
ORDER_QUANTIZED, ORDER_PALETTES, ORDER_FIDELITY, ORDER_COLOURS = 460, 462, 464, 466
ORDER_DEFAULT, ORDER_PERFORMANCE, ORDER_PROVENANCE = 500, 890, 900


@dataclass(frozen=True)
class Card:
    """A headline number.

    Attributes
    ----------
    value, label, note
        The number, what it counts, and one sentence.
    tone
        ``good`` for what was looked for and not found, ``warn`` for what should be looked at.
    pictures
        A few of the images that the number counts.
    link
        Anchor of the section that says more.
    """

    value: str
    label: str
    tone: Tone = "neutral"
    note: str = ""
    pictures: tuple[Picture, ...] = ()
    link: str = ""
    order: int = ORDER_DEFAULT


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    anchor
        Its address on the page: lower-case letters, digits, hyphens.
    lead
        One sentence: what was found, or what to look for.
    basis
        What it rests on; see :func:`fmnist_dask.report.words.basis`.
    order
        Sections stand in this order.
    short
        Title for the table of contents.
    """

    title: str
    anchor: str
    blocks: tuple[Block, ...]
    lead: str = ""
    basis: str = ""
    order: int = ORDER_DEFAULT
    short: str = ""

    @property
    def short_title(self) -> str:
        """What the table of contents calls it."""
        return self.short or self.title


@dataclass(frozen=True)
class Contribution:
    """What one step adds to a page.

    Attributes
    ----------
    hero
        Pictures for the band below the title; the first contribution that has some gives them.
    """

    cards: tuple[Card, ...] = ()
    sections: tuple[Section, ...] = ()
    hero: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Banner:
    """A message across the page: a run that failed, a result that cannot be shown."""

    title: str
    text: str = ""
    tone: Tone = "warn"


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    source: str = ""
    badges: tuple[str, ...] = ()
    banners: tuple[Banner, ...] = ()
    hero: tuple[Picture, ...] = ()
    cards: tuple[Card, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: str = ""


def assemble(page: Page, contributions: dict[str, Contribution]) -> Page:
    """Put the parts of named steps into a page, in order; anchors that two steps share get the step's name."""
    cards, hero = list(page.cards), page.hero
    # Section and its place.
    sections = [(section, (section.order, 0, section.order)) for section in page.sections]
    taken = {section.anchor for section in page.sections}
    for position, (name, part) in enumerate(contributions.items()):
        renamed = {s.anchor: f"{s.anchor}-{_slug(name)}" for s in part.sections if s.anchor in taken}
        for section in part.sections:
            if section.anchor in renamed:
                title = f"{section.title} ({name})"
                section = replace(
                    section, anchor=renamed[section.anchor], title=title, short=f"{section.short_title} ({name})"
                )
            # A second step of a kind does not mix its sections with those of the first: they follow, all together.
            last = max(other.order for other in part.sections)
            place = (last, 1 + position, section.order) if renamed else (section.order, 0, section.order)
            sections.append((section, place))
        cards += [replace(card, link=renamed.get(card.link, card.link)) for card in part.cards]
        taken |= {section.anchor for section, _ in sections}
        hero = hero or part.hero
    cards = [card if card.link in taken else replace(card, link="") for card in cards]
    return replace(
        page,
        hero=hero,
        cards=tuple(sorted(cards, key=lambda card: card.order)),
        sections=tuple(section for section, _ in sorted(sections, key=lambda found: found[1])),
    )


def render(page: Page) -> str:
    """The page as HTML."""
    figures = [figure for section in page.sections for figure in figures_of(section.blocks)]
    switches = [switch for section in page.sections for switch in switches_of(section.blocks)]
    compares = [compare for section in page.sections for compare in compares_of(section.blocks)]
    script, divs = _embed([figure.model for figure in figures])
    plots = {id(figure): div for figure, div in zip(figures, divs, strict=True)}
    groups = {id(switch): f"switch-{position}" for position, switch in enumerate(switches)}
    groups |= {id(compare): f"compare-{position}" for position, compare in enumerate(compares)}
    return _template().render(
        page=page,
        resources=_bokeh_script() if figures else Markup(""),
        script=script,
        zoom=_own_script("zoom.js") if any(figure.zoomable for figure in figures) else Markup(""),
        compare=_own_script("compare.js") if compares else Markup(""),
        plot=lambda figure: plots[id(figure)],
        group=lambda block: groups[id(block)],
        most_choices=max((len(switch.choices) for switch in switches), default=0),
        most_versions=max((len(compare.versions) for compare in compares), default=0),
    )


def _embed(models: list[UIElement]) -> tuple[Markup, list[Markup]]:
    """One script for all models, and a place for each.

    Bokeh escapes what it puts into script and places, so both are HTML already.
    """
    if not models:
        return Markup(""), []
    document = Document()
    # Bokeh looks through all models again after each root unless told to wait: 36 figures took 2.7 s, now 0.5 s.
    with document.models.freeze():
        for model in models:
            document.add_root(model)
    script, divs = components(tuple(models))
    return Markup(script), [Markup(div) for div in divs]  # noqa: S704


@functools.cache
def _bokeh_script() -> Markup:
    # Only the core: no tables, widgets, WebGL or TeX, which would more than double the file.
    return Markup(Resources(mode="inline", components=["bokeh"]).render())  # noqa: S704


@functools.cache
def _own_script(name: str) -> Markup:
    text = resources.files("fmnist_dask.report").joinpath(name).read_text(encoding="utf-8")
    return Markup(f"<script>\n{text}</script>")  # noqa: S704


@functools.cache
def _template() -> jinja2.Template:
    text = resources.files("fmnist_dask.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_keep_together,
    )
    return environment.from_string(text)


def _keep_together(value: Any) -> Any:
    """A text whose percent signs stay on the line of their number; markup as it is."""
    return PERCENT.sub("\N{NO-BREAK SPACE}%", value) if type(value) is str else value


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower())
