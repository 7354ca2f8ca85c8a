"""The book as a Markdown table and as one HTML page, which is made as the reports of runs are."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, FixedTicker, Span
from bokeh.plotting import figure

from fmnist_dask.report.blocks import Facts, Figure, Swatch, Table, Text
from fmnist_dask.report.figures.style import FONT, INK, MUTED, WARN_COLOUR, add_hover, chart
from fmnist_dask.report.page import Banner, Block, Card, Page, Section, render
from tests.benchmarks.book import Book, Told
from tests.benchmarks.rows import Row, Side, shown

LESS_COLOUR, BASE_COLOUR = "#0072B2", "#7A7A7A"
#: Letters of a line beside a bar, so that the narrowest pages have it whole.
LETTERS = 52
#: Pixels of a line of text, a bar, the space below it, and the name of a chapter.
LINE, BAR, SPACE, HEADING = 15, 12, 12, 26
MOST_BARS = 120
#: Reports of runs keep a table's cells on one line; here words are long, and numbers are to stay in sight.
WRAPPED = "<style>td:first-child { white-space: normal; overflow-wrap: anywhere }</style>"


def markdown(book: Book) -> str:
    """All rows as one table, like the README's."""
    told = [f"# Benchmarks, {book.date[:10]}", "", _where(book), ""]
    told += ["| what | ours | other | ratio | found |", "|---|---|---|---|---|"]
    for chapter in book.chapters:
        told += [f"| **{_cell(chapter.name)}**: {_cell(chapter.title)} | | | | |"] if chapter.rows else []
        for row in chapter.rows:
            told.append(f"| {' | '.join(map(_cell, _texts(row)))} |")
    told += [f"\n{one.name}: {why}." for one in book.chapters for why in one.missing]
    told += [f"\n{one.name} failed: {one.error}" for one in book.failed]
    return "\n".join(told) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _where(book: Book) -> str:
    machine = book.machine
    return (
        f"Size {book.size}, {book.data}; {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['os']}, Python {machine['python']}, "
        f"BLAS {', '.join(machine['blas'])}. Both sides in one run on the same data; medians. "
        "A ratio below 1: ours takes less."
    )


def _other(side: Side) -> str:
    return " ".join(filter(None, (side.name, side.version, side.by)))


def _texts(row: Row) -> tuple[str, str, str, str, str]:
    """What, ours, other, ratio, found."""
    agrees = {None: "", True: "same result", False: "NOT THE SAME RESULT"}[row.agrees]
    found = "; ".join(filter(None, (agrees, row.remark)))
    other = f"{_other(row.other)}: {shown(row.other.value, row.unit)}"
    return row.what, shown(row.ours.value, row.unit), other, f"{row.ratio:.3g}", found


def html(book: Book) -> str:
    """One page that needs nothing else."""
    rows = [row for row in book.rows if row.peer and _drawable(row)]
    bases = [row for row in book.rows if not row.peer and _drawable(row)]
    drawn, lead = (rows, "other packages") if rows else (bases, "ours under other conditions")
    sections = [_chart_section(drawn[:MOST_BARS], lead, len(drawn))] if drawn else []
    sections += [_chapter_section(chapter, 10 + at) for at, chapter in enumerate(book.chapters)]
    sections.append(_machine_section(book))
    banners = tuple(Banner(f"The chapter {one.name} failed", one.error) for one in book.failed)
    faster = sum(row.ratio < 1 for row in rows)
    differ = sum(row.agrees is False for row in book.rows)
    cards = [
        Card(str(len(rows)), "comparisons with other packages", note=f"Ours takes less in {faster} of them."),
        Card(str(len(bases)), "beside ours under other conditions", note="Growth, overhead, parts of a whole."),
        Card(str(differ), "different results", "warn" if differ else "good", "Where both sides should have the same."),
    ]
    page = Page("Benchmarks", _where(book), (book.date[:10], book.size), banners, (), tuple(cards), tuple(sections))
    return render(page).replace("</head>", f"{WRAPPED}</head>", 1)


def _drawable(row: Row) -> bool:
    return math.isfinite(row.ratio) and row.ratio > 0


def _chart_section(rows: Sequence[Row], beside: str, total: int) -> Section:
    legend = (
        Swatch(LESS_COLOUR, "ours takes less"),
        Swatch(WARN_COLOUR, "ours takes more"),
    )
    caption = f"The first {len(rows)} of {total} rows." if len(rows) < total else ""
    return Section(
        f"Ours beside {beside}",
        "chart",
        (Figure(ratio_bars(rows), caption=caption, legend=legend),),
        lead="Ratio of ours to the other, of time where nothing else is said. Left of the line at 1, ours takes less.",
        order=0,
        short="Chart",
    )


def ratio_bars(rows: Sequence[Row]) -> figure:
    """A bar for each row on a logarithmic axis, from 1, under its words; chapters apart.

    Words stand above bars and not beside the axis, where long ones would leave no room on narrow pages.
    """
    bars: dict[str, list[Any]] = {name: [] for name in ("y", "left", "right", "colour", "ratio", "what", "other")}
    words: dict[str, list[Any]] = {name: [] for name in ("y", "text", "colour", "style")}
    y, before = 0.0, ""
    for row in rows:
        if row.chapter != before:
            y, before = y + HEADING, row.chapter
            _add(words, y=y - 6, text=row.chapter, colour=INK, style="bold")
        lines = textwrap.wrap(f"{row.what} / {_other(row.other)}", LETTERS) or [""]
        for line in lines:
            y += LINE
            _add(words, y=y - 3, text=line, colour=MUTED, style="normal")
        colour = LESS_COLOUR if row.ratio < 1 else WARN_COLOUR
        ends = {"left": min(1.0, row.ratio), "right": max(1.0, row.ratio)}
        _add(bars, y=y + BAR / 2, colour=colour, ratio=f"{row.ratio:.3g}", what=row.what, other=_texts(row)[2], **ends)
        y += BAR + SPACE
    low = min([0.5, *bars["left"]]) / 3
    high = max([2.0, *bars["right"]]) * 3
    plot = chart(
        round(y) + 60, "ratio (log)", "", x_axis_type="log", x_range=(low, high), y_range=(y, 0), min_border_left=4
    )
    plot.yaxis.visible, plot.ygrid.visible = False, False
    ticks = [10.0**at for at in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    plot.xaxis.ticker = plot.xgrid.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {tick: f"{tick:g}" for tick in ticks}
    plot.add_layout(Span(location=1, dimension="height", line_color=INK, level="underlay"))
    source = ColumnDataSource(bars)
    drawn = plot.hbar("y", BAR, "right", left="left", color="colour", source=source)
    style = {"text_font": value(FONT), "text_font_size": "12px"}
    plot.text("right", "y", "ratio", x_offset=4, text_baseline="middle", text_color=INK, source=source, **style)
    for weight in ("bold", "normal"):
        chosen = [at for at, one in enumerate(words["style"]) if one == weight]
        some = ColumnDataSource({name: [values[at] for at in chosen] for name, values in words.items()})
        plot.text(low, "y", "text", x_offset=2, text_color="colour", text_font_style=weight, source=some, **style)
    add_hover(plot, [("what", "@what"), ("other", "@other"), ("ratio", "@ratio")], [drawn])
    return plot


def _add(columns: dict[str, list[Any]], **values: Any) -> None:
    for name, one in values.items():
        columns[name].append(one)


def _chapter_section(chapter: Told, order: int) -> Section:
    blocks: list[Block] = []
    if chapter.rows:
        cells = []
        for row in chapter.rows:
            what, ours, _, ratio, found = _texts(row)
            words = f"{what}, beside {_other(row.other)}{f': {found}' if found else ''}"
            cells.append((words, ours, shown(row.other.value, row.unit), ratio))
        blocks.append(Table(("what", "ours", "other", "ratio"), tuple(cells)))
    blocks += [Text(f"Left out: {why}.", "warn") for why in chapter.missing]
    return Section(
        chapter.name.replace("_", " "), chapter.name.replace("_", "-"), tuple(blocks), f"{chapter.title}.", order=order
    )


def _machine_section(book: Book) -> Section:
    machine = book.machine | {"memory": f"{book.machine['memory_bytes'] / 2**30:.1f} GiB"}
    facts = tuple((name, str(value)) for name, value in machine.items() if name not in ("memory_bytes", "blas"))
    facts += (("BLAS", ", ".join(book.machine["blas"])), ("date", book.date), ("data", book.data))
    return Section(
        "Machine and versions",
        "machine",
        (Facts(facts, "Machine"), Facts(tuple(book.versions.items()), "Versions")),
        order=900,
        short="Machine",
    )
