"""A quantization's pictures beside the original, and its palettes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import xarray

from fmnist_dask.collection.thumbnails import contact_sheet
from fmnist_dask.report.blocks import Block, Compare, PaletteRow, Palettes, Picture, Switch, Version
from fmnist_dask.report.few_colours import Packed, packed, painted
from fmnist_dask.report.page import ORDER_PALETTES, ORDER_QUANTIZED, Section
from fmnist_dask.report.pictures import picture
from fmnist_dask.report.words import count, listing
from fmnist_dask.typing import FloatArray, UInt8Array
from fmnist_dask.workflow.figures._quantized import Quantized
from fmnist_dask.workflow.figures._text import values
from fmnist_dask.workflow.registry import ReportContext
from fmnist_dask.workflow.steps._quantize import FILE_PIXELS

#: Bytes of all pictures, as addresses.
BUDGET = 3_600_000
#: Pixels of the sheet of a collection's examples, and examples on it; of those, how many show palettes of their own.
SHEET_PIXELS, MOST_EXAMPLES, MOST_OWN = 1_200_000, 60, 12
#: Width over height of that sheet, roughly.
SHEET_RATIO = 1.8


@dataclass(frozen=True)
class _Made:
    """Pictures of one size: the original, one by each method, and one for each number of colours."""

    original: UInt8Array
    by_method: list[UInt8Array]
    by_number: list[UInt8Array]


def picture_section(found: Quantized, context: ReportContext) -> Section:
    """The original and what became of it."""
    made = _of_photograph(found) if found.photograph else _of_examples(found)
    images, original = ("image", "the original is") if found.photograph else ("images", "the originals are")
    lead = f"The {images} in {found.colours} by {listing(found.names)}"
    if made.by_number:
        lead += f", and in {int(found.sweep[0]):,} to {found.several(int(found.sweep[-1]))}"
    if found.n_distinct < found.asked:
        have = "It has" if found.photograph else "They have"
        lead += f". {have} only {found.several(found.n_distinct)} in all"
    return Section(
        title=f"The {images} in {found.colours}",
        short="Few colours",
        anchor="quantized",
        lead=f"{lead}. Move the divider: {original} on its left.",
        basis=found.basis(context.n_used, context.split),
        blocks=(_compare(found, made, context),),
        order=ORDER_QUANTIZED,
    )


def _of_photograph(found: Quantized) -> _Made:
    dataset = found.dataset
    by_method = _painted(dataset, "preview_index", values(dataset, "palette"))
    by_number = []
    if "sweep_preview_index" in dataset and len(found.sweep):
        by_number = _painted(dataset, "sweep_preview_index", values(dataset, "sweep_palette"))
    return _Made(_bare(values(dataset, "preview")), by_method, by_number)


def _painted(dataset: xarray.Dataset, name: str, palettes: UInt8Array) -> list[UInt8Array]:
    return [painted(index, palette) for index, palette in zip(values(dataset, name), palettes, strict=True)]


def _bare(image: UInt8Array) -> UInt8Array:
    """Grey images without an axis of channels."""
    return image[..., 0] if image.shape[-1] == 1 else image


def _of_examples(found: Quantized) -> _Made:
    """Examples side by side."""
    dataset = found.dataset
    image = values(dataset, "example_image")
    height, width = image.shape[1:3]
    few = _laid_out(found)
    columns = _columns(few, np.sqrt(few * SHEET_RATIO * height / width))

    def laid(examples: UInt8Array) -> UInt8Array:
        return contact_sheet(_bare(examples[:few]), columns, gap=max(1, min(height, width) // 16))

    index = values(dataset, "example_index")
    by_method = []
    for at in range(len(found.methods)):
        if found.each:
            palettes = values(dataset, "example_palette")[at]
            each = [painted(one, palette) for one, palette in zip(index[at][:few], palettes[:few], strict=True)]
            by_method.append(laid(np.stack(each)))
        else:
            by_method.append(laid(painted(index[at], values(dataset, "palette")[at])))
    return _Made(laid(image), by_method, [])


def _laid_out(found: Quantized) -> int:
    """How many examples there is room for."""
    count, height, width = found.dataset["example_image"].shape[:3]
    return max(1, min(count, MOST_EXAMPLES, SHEET_PIXELS // (height * width)))


def _columns(count: int, wanted: float) -> int:
    """About so many, preferably such that the last line is full."""
    near = range(max(1, round(wanted) - 1), min(count, round(wanted) + 2) + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - wanted)), default=count)


def _compare(found: Quantized, made: _Made, context: ReportContext) -> Compare:
    """All pictures within their bytes."""
    known = packed(made.original, [*made.by_method, *made.by_number], BUDGET)
    original, *others = known.pictures
    images = "the photograph" if found.photograph else "some of the images"
    scores = found.scores()
    many = found.colours
    by_method = []
    for at, name in enumerate(found.names):
        told = (*scores.told(at), *_losses(others[at]))
        shown = Picture(others[at].uri, f"{images} in {many} by {name}", told)
        by_method.append(Version(name, f"{name}, {many}", shown, _link(found, context, found.methods[at])))
    by_number = []
    scores = found.sweep_scores()
    for at, number in enumerate(found.sweep.tolist() if made.by_number else []):
        pack = others[len(by_method) + at]
        many = found.several(number)
        shown = Picture(pack.uri, f"{images} in {many}", (*scores.told(at), *_losses(pack)))
        title = f"{many}, {found.swept}" if found.swept else many
        # Files of large photographs are those of the methods alone.
        small = int(found.dataset.attrs["n_pixels"]) <= FILE_PIXELS
        link = _link(found, context, f"{number}-colors") if small else ""
        by_number.append(Version(f"{number:,}", title, shown, link))
    groups = [(f"{found.colours} by", tuple(by_method))]
    if by_number:
        by = f"{found.unit} by {found.swept}" if found.swept else f"number of {found.unit}"
        groups.append((by, tuple(by_number)))
    caption = _size_of(found, made.original.shape[1] / known.width)
    return Compare(
        original=Picture(original.uri, f"{images}, the original", (*caption, *_losses(original))),
        width=known.width,
        height=known.height,
        groups=tuple(groups),
        link_text="Full size (PNG)",
    )


def _size_of(found: Quantized, reduced: float) -> tuple[str, ...]:
    """How large the original is, and which of its pixels are shown."""
    dataset = found.dataset
    if not found.photograph:
        return (count(_laid_out(found), "example"),)
    size = f"{int(dataset.attrs['width']):,} × {int(dataset.attrs['height']):,} pixels"
    step = round(int(dataset["preview"].attrs.get("step") or 1) * reduced)
    return (size, f"of each {step} × {step} pixels one is shown") if step > 1 else (size,)


def _losses(pack: Packed) -> tuple[str, ...]:
    return () if pack.exact else ("shown here packed with small losses",)


def _link(found: Quantized, context: ReportContext, name: str) -> str:
    """Of a file in full size; there are none of collections."""
    return quote(f"pictures/{context.name}-{name}.png") if found.photograph else ""


def palette_section(found: Quantized, context: ReportContext) -> Section | None:
    """The palettes, each as wide as its colours are frequent."""
    blocks: list[Block] = []
    if found.each:
        blocks.append(_own_palettes(found))
    elif "palette" in found.dataset:
        blocks.append(Palettes(_method_rows(found)))
    if "sweep_palette" in found.dataset and len(found.sweep):
        by = f"By number of {found.unit} ({found.swept})" if found.swept else f"By number of {found.unit}"
        blocks.append(Palettes(_sweep_rows(found), heading=by, folded=True))
    if not blocks:
        return None
    whose = "each image's" if found.each else "the"
    return Section(
        title="The palettes",
        short="Palettes",
        anchor="palettes",
        lead=f"Each part of a bar is as wide as its colour's share of {whose} pixels, the most frequent one first.",
        basis=found.basis(context.n_used, context.split),
        blocks=tuple(blocks),
        order=ORDER_PALETTES,
    )


def _method_rows(found: Quantized) -> tuple[PaletteRow, ...]:
    palettes, shares = values(found.dataset, "palette"), values(found.dataset, "share").astype(np.float64)
    return tuple(
        PaletteRow(name, found.paints(palette, share), _unused(found, share, found.asked))
        for name, palette, share in zip(found.names, palettes, shares, strict=True)
    )


def _sweep_rows(found: Quantized) -> tuple[PaletteRow, ...]:
    palettes = values(found.dataset, "sweep_palette")
    shares = values(found.dataset, "sweep_share").astype(np.float64)
    return tuple(
        PaletteRow(found.several(number), found.paints(palette, share), _unused(found, share, number))
        for number, palette, share in zip(found.sweep.tolist(), palettes, shares, strict=True)
    )


def _unused(found: Quantized, share: FloatArray, asked: int) -> str:
    used = int((share > 0).sum())
    return f"{used:,} of {found.several(asked)} in use" if used < asked else ""


def _own_palettes(found: Quantized) -> Block:
    """Of each example by each method: shares of its own pixels."""
    dataset = found.dataset
    image, index = values(dataset, "example_image"), values(dataset, "example_index")
    palettes = values(dataset, "example_palette")
    few = min(len(image), MOST_OWN)
    samples = values(dataset, "example_sample").tolist() if "example_sample" in dataset else []
    choices: list[tuple[str, Sequence[PaletteRow]]] = []
    for at, name in enumerate(found.names):
        rows = []
        for example in range(few):
            palette = palettes[at, example]
            counts = np.bincount(index[at, example].reshape(-1), minlength=len(palette))[: len(palette)]
            share: FloatArray = counts / max(1, counts.sum())
            order = np.argsort(-share, kind="stable")
            paints = found.paints(palette[order], share[order])
            own = picture(_bare(image[example]), f"example {example + 1}")
            told = [f"row {samples[example]:,}"] if samples else []
            told += [unused] if (unused := _unused(found, share, found.asked)) else []
            rows.append(PaletteRow(f"example {example + 1}", paints, " · ".join(told), own))
        choices.append((name, rows))
    return Switch("Palettes by", tuple((name, (Palettes(tuple(rows)),)) for name, rows in choices))
