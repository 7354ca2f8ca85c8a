"""A quantization in the report: the pictures, their palettes, how good they are, and the colours themselves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import xarray

from fmnist_dask.report.figures.amounts import Amount, line_by_colours, method_bars
from fmnist_dask.report.page import (
    ORDER_FIDELITY,
    ORDER_QUANTIZED,
    Block,
    Card,
    Contribution,
    Figure,
    Grid,
    Section,
    Table,
)
from fmnist_dask.report.words import count, share, size
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.figures._quantized import Quantized, Scores, score
from fmnist_dask.workflow.figures._quantized_colours import colour_section
from fmnist_dask.workflow.figures._quantized_pictures import palette_section, picture_section
from fmnist_dask.workflow.registry import ReportContext

#: Twice as many colours that add less than this to SSIM hardly show.
FLAT = 0.02
SSIM = Amount("SSIM (1: the same)", "0.0000", most=1.0)
SECONDS = Amount("seconds", "0,0.00")


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Pictures, palettes, scores, colours."""
    found = Quantized.read(dataset)
    sections = (
        picture_section(found, context),
        palette_section(found, context),
        _fidelity(found, context),
        colour_section(found, context),
    )
    kept = tuple(section for section in sections if section is not None)
    return Contribution(cards=_cards(found, {section.anchor for section in kept}), sections=kept)


def _cards(found: Quantized, anchors: set[str]) -> tuple[Card, ...]:
    attrs = found.dataset.attrs
    bits = int(attrs.get("bits") or 8)
    how = "counted exactly" if bits >= 8 else f"binned to {bits} bits a channel"
    nouns = ("distinct level of grey", "distinct levels of grey") if found.grey else ("distinct colour",) * 2
    label = nouns[0] if found.n_distinct == 1 else nouns[1] if found.grey else "distinct colours"
    pixels = count(int(attrs["n_pixels"]), "pixel")
    at = "colours" if "colours" in anchors else "palettes"
    cards = [
        Card(count(found.n_distinct), label, note=f"{how} in {pixels}", link=at, order=ORDER_QUANTIZED),
    ]
    scores, best = found.scores(), found.best()
    if best is not None:
        others = len(found.methods) - 1
        label = "best SSIM" if others else "SSIM"
        note = f"{found.names[best]}, {found.colours}; 1 would be the original itself"
        cards.append(Card(f"{scores.ssim[best]:.3f}", label, note=note, link="fidelity", order=ORDER_QUANTIZED + 1))
    card = _saved(found, scores, best or 0)
    return (*cards, card) if card else tuple(cards)


def _saved(found: Quantized, scores: Scores, at: int) -> Card | None:
    """How much smaller the picture of one method is as PNG; ``None`` where that is not known."""
    before, after = found.dataset.attrs.get("original_png_bytes"), float(scores.png_bytes[at])
    if not before or not np.isfinite(after):
        return None
    before = float(before)
    by = f"with {found.colours} by {found.names[at]}"
    if after >= before:
        note = f"as PNG {by}, no less than the original's {size(before)}"
        return Card(size(after), "no bytes saved", note=note, link="fidelity", order=ORDER_QUANTIZED + 2)
    note = f"{size(after)} {by}, {size(before)} before"
    return Card(share(before - after, before), "smaller as PNG", note=note, link="fidelity", order=ORDER_QUANTIZED + 2)


def _fidelity(found: Quantized, context: ReportContext) -> Section:
    """Scores by method and by number of colours."""
    scores = found.scores()
    blocks: list[Block] = []
    if len(found.methods) > 1:
        blocks.append(Grid(tuple(_method_figures(found, scores)), min_width=330))
    best = found.best()
    bold = frozenset({(best, 1)}) if best is not None and len(found.methods) > 1 else frozenset()
    blocks.append(_table("method", found.names, scores, _caption(found), bold))
    if len(found.sweep):
        swept = found.sweep_scores()
        if len(found.sweep) > 1:
            heading = f"By number of {found.unit} ({found.swept})" if found.swept else f"By number of {found.unit}"
            blocks.append(Grid(tuple(_sweep_figures(found, swept)), min_width=330, heading=heading))
        blocks.append(_table(found.unit, [f"{number:,}" for number in found.sweep.tolist()], swept))
    return Section(
        title="How good the pictures are",
        short="How good",
        anchor="fidelity",
        lead=_lead(found, scores),
        basis=found.basis(context.n_used, context.split),
        blocks=tuple(blocks),
        order=ORDER_FIDELITY,
    )


def _table(
    head: str, names: Sequence[str], scores: Scores, caption: str = "", bold: frozenset[tuple[int, int]] = frozenset()
) -> Table:
    """All scores that any of the pictures has; SSIM and error always."""
    columns = ("SSIM", "MSE", "PNG size", "time")
    held = [True, True, _known(scores.png_bytes), _known(scores.seconds)]
    rows = tuple((name, *itertools.compress(scores.cells(at), held)) for at, name in enumerate(names))
    return Table((head, *itertools.compress(columns, held)), rows, caption=caption, bold=bold)


def _lead(found: Quantized, scores: Scores) -> str:
    best = found.best()
    if best is None:
        what = "image is" if found.photograph else "images are"
        return f"The {what} smaller than the window of SSIM: there is only the mean squared error."
    known = np.isfinite(scores.ssim)
    worst = int(np.nanargmin(scores.ssim))
    highest, lowest = score(scores.ssim[best]), score(scores.ssim[worst])
    told = f"With {found.colours}, {found.names[best]} comes to SSIM {highest}"
    if known.sum() > 1 and highest != lowest:
        told = (
            f"With {found.colours}, {found.names[best]} comes closest to the original (SSIM {highest}), and "
            f"{found.names[worst]} stays farthest from it ({lowest})"
        )
    return f"{told}. {_flattens(found)}".strip()


def _flattens(found: Quantized) -> str:
    """From how many colours on more of them hardly show."""
    ssim = found.sweep_scores().ssim
    if len(ssim) < 3 or not np.isfinite(ssim).all():
        return ""
    gains = np.diff(ssim)
    late = np.flatnonzero(gains >= FLAT)
    at = int(late[-1]) + 1 if len(late) else 0
    if at >= len(ssim) - 1:
        return f"More {found.unit} still help where the sweep ends, at {int(found.sweep[-1]):,}."
    return f"From {found.several(int(found.sweep[at]))} on, the next number of them adds less than {FLAT} to SSIM."


def _caption(found: Quantized) -> str:
    before = found.dataset.attrs.get("original_png_bytes")
    original = f" The original takes {size(float(before))} as PNG." if before else ""
    return (
        "SSIM compares brightness, contrast and structure in small windows (1: the same). The mean squared error (MSE) "
        f"is of all channels of all pixels, values from 0 to 255.{original}"
    )


def _known(values: FloatArray) -> bool:
    return bool(np.isfinite(values).any())


def _method_figures(found: Quantized, scores: Scores) -> list[Figure]:
    cells = list(zip(*(scores.cells(at) for at in range(len(found.methods))), strict=True))
    drawn: Sequence[tuple[str, FloatArray, Sequence[str], Amount]] = (
        ("SSIM: higher is better", scores.ssim, cells[0], SSIM),
        (
            "Mean squared error: lower is better",
            scores.mse,
            cells[1],
            Amount("MSE (values from 0 to 255)", "0.000"),
        ),
        ("Time", scores.seconds, cells[3], SECONDS),
    )
    return [
        Figure(method_bars(found.names, values, written, amount), title)
        for title, values, written, amount in drawn
        if _known(values)
    ]


def _sweep_figures(found: Quantized, scores: Scores) -> list[Figure]:
    largest = np.nanmax(scores.png_bytes, initial=0)
    unit, scale = next((name, by) for name, by in (("MB", 1e6), ("kB", 1e3), ("bytes", 1)) if largest >= by or by == 1)
    before = found.dataset.attrs.get("original_png_bytes")
    # A line far above the others would press them flat.
    level = ("original", float(before) / scale) if before and float(before) <= 3 * largest else None
    drawn = (
        ("SSIM: higher is better", scores.ssim, SSIM),
        ("PNG size", scores.png_bytes / scale, Amount(f"PNG size ({unit})", "0,0.0", level=level)),
        ("Time", scores.seconds, SECONDS),
    )
    return [
        Figure(line_by_colours(found.sweep, values, amount, found.unit), title)
        for title, values, amount in drawn
        if _known(values)
    ]
