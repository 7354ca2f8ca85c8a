"""Equal images in the report: classes with distinct images, cards for copies, leaks and conflicts, pairs to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from fmnist_dask.report.figures.bars import class_bars, count_bars
from fmnist_dask.report.page import (
    ORDER_CLASSES,
    ORDER_DUPLICATES,
    Block,
    Card,
    Contribution,
    Figure,
    Gallery,
    Picture,
    Section,
    Table,
    Text,
    Tile,
)
from fmnist_dask.report.pictures import picture
from fmnist_dask.report.words import count, listing, share
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.figures._text import UNLABELLED, context_basis, is_labelled, names, shown_names, texts, values
from fmnist_dask.workflow.registry import ReportContext

#: Classes that the bar chart shows; the table has all of them.
MOST_CLASSES = 40
#: Pictures below a card.
CARD_PICTURES = 4
KINDS = {
    "conflicting labels": "Same picture, different labels",
    "leak between splits": "Same picture in two splits",
    "copies": "Copies within a split",
}


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """What is equal in the collection."""
    pairs = _pairs(dataset)
    return Contribution(
        cards=tuple(_cards(context, pairs)),
        sections=(_classes_section(dataset, context), _pairs_section(dataset, context, pairs)),
    )


def _pairs(dataset: xarray.Dataset) -> list[tuple[str, Tile]]:
    """Kind and pictures of each example group."""
    images, rows = values(dataset, "example_image"), values(dataset, "example_sample")
    labels, splits, kinds = (texts(dataset, f"example_{name}") for name in ("label", "split", "kind"))
    group = values(dataset, "example_group")
    found = []
    for name in dict.fromkeys(group.tolist()):
        members = np.flatnonzero(group == name).tolist()
        pictures = tuple(
            picture(
                images[at],
                f"row {rows[at]}, {labels[at]}, {splits[at]}",
                (labels[at], f"{splits[at]} · row {rows[at]:,}"),
            )
            for at in members
        )
        kind = kinds[members[0]]
        crossing = len({splits[at] for at in members}) > 1
        badge = "different labels, and in two splits" if kind == "conflicting labels" and crossing else ""
        found.append((kind, Tile(pictures, badge, "warn")))
    return found


def _cards(context: ReportContext, pairs: list[tuple[str, Tile]]) -> list[Card]:
    def examples(kind: str) -> tuple[Picture, ...]:
        # Any pair within one split shows copies, whatever else is wrong with it.
        chosen = [tile for found, tile in pairs if found == kind] or [
            tile for found, tile in pairs if kind == "copies" and found == "conflicting labels" and not tile.badge
        ]
        return tuple(member for tile in chosen for member in tile.pictures)[:CARD_PICTURES]

    metrics = context.metrics
    surplus: dict[str, int] = dict(metrics.get("surplus") or {})
    cards = [
        Card(
            value=count(sum(surplus.values())),
            label="surplus copies",
            tone="warn" if sum(surplus.values()) else "good",
            note=_per_split(surplus) if sum(surplus.values()) else "No image stands twice in its split.",
            pictures=examples("copies"),
            link="duplicates",
            order=30,
        )
    ]
    leaked: dict[str, int] = dict(metrics.get("leaked") or {})
    if leaked:
        cards.append(
            Card(
                value=count(_leaks(leaked)),
                label="leaks between splits",
                tone="warn" if any(leaked.values()) else "good",
                note=_leak_sentence(leaked),
                pictures=examples("leak between splits"),
                link="duplicates",
                order=40,
            )
        )
    conflicts = metrics.get("conflicting_labels")
    if conflicts is not None:
        cards.append(
            Card(
                value=count(conflicts),
                label="conflicting labels",
                tone="warn" if conflicts else "good",
                note=f"{count(conflicts, 'group')} of equal images with different labels."
                if conflicts
                else "Equal images always have the same label.",
                pictures=examples("conflicting labels"),
                link="duplicates",
                order=50,
            )
        )
    return cards


def _per_split(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return "Equal to an earlier image."
    return listing(f"{number:,} in {name}" for name, number in counts.items() if number) + "."


def _leaks(leaked: dict[str, int]) -> int:
    """Leaked images of all splits but the first, which is the one models learn from."""
    return sum(list(leaked.values())[1:])


def _leak_sentence(leaked: dict[str, int]) -> str:
    first, *others = leaked
    if not any(leaked.values()):
        return "No image stands in two splits."
    parts = [
        f"{count(leaked[name], f'{name} image')} also stand{'s' if leaked[name] == 1 else ''}"
        for name in others
        if leaked[name]
    ]
    elsewhere = f"in {first}" if len(others) == 1 else "in another split"
    return f"{listing(parts)} {elsewhere}: scores there will be too high."


def _classes_section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    classes, splits = names(dataset, "class"), names(dataset, "split")
    images, distinct = values(dataset, "images"), values(dataset, "distinct")
    used = images.sum(axis=1) > 0  # a step that looked at one split counts nothing elsewhere
    splits = [name for name, keep in zip(splits, used, strict=True) if keep]
    images, distinct = images[used], distinct[used]
    labelled = is_labelled(classes)
    shown = np.sort(np.argsort(-images.sum(axis=0), kind="stable")[:MOST_CLASSES])
    called = [shown_names(classes)[at] for at in shown]
    blocks: list[Block] = []
    if labelled or len(splits) > 1:  # a single bar says no more than the sentence
        chart = class_bars(called, splits, images[:, shown], distinct[:, shown], "class" if labelled else "")
        of_all = f"The {len(shown)} largest of {count(len(classes), 'class', 'classes')}."
        blocks.append(Figure(chart, caption="" if len(shown) == len(classes) else of_all))
    if labelled and len(classes) <= MOST_CLASSES:
        blocks.append(_class_table(classes, splits, images, distinct, context))
    total = int(images.sum())
    plain = f"{count(total, 'image')}, {int(distinct.sum()):,} of them distinct"
    plain += f" within {'their split' if len(splits) > 1 else 'the collection'}. Nothing is labelled."
    return Section(
        title="Images in each class" if labelled else "Images and distinct images",
        short="Classes" if labelled else "Images",
        anchor="classes",
        lead=_balance(classes, images.sum(axis=0)) if labelled else plain,
        basis=context_basis(context),
        blocks=tuple(blocks),
        order=ORDER_CLASSES,
    )


def _balance(classes: list[str], images: AnyArray) -> str:
    known = [(int(number), name) for name, number in zip(classes, images, strict=True) if name != UNLABELLED]
    most, least = max(known), min(known)
    unknown = int(sum(images)) - sum(number for number, _ in known)
    rest = f" {count(unknown, 'image')} carry no label." if unknown else ""
    if most[0] == least[0]:
        return f"The classes are balanced: {count(most[0], 'image')} in each.{rest}"
    extremes = f"{least[1]} has fewest ({least[0]:,}), {most[1]} most ({most[0]:,})"
    if least[0] and most[0] / least[0] < 1.1:
        return f"The classes are nearly balanced: {extremes}.{rest}"
    times = f", {most[0] / least[0]:.1f} times as many" if least[0] else ""
    return f"The classes are not balanced: {extremes}{times}. Weigh scores by class.{rest}"


def _class_table(
    classes: list[str], splits: list[str], images: AnyArray, distinct: AnyArray, context: ReportContext
) -> Table:
    columns = ["class", "images", "distinct images", "surplus copies"]
    columns += [f"{name} images" for name in splits] if len(splits) > 1 else []
    rows = []
    surplus = (images - distinct).sum(axis=0)
    for at, name in enumerate(classes):
        own = images[:, at]
        rows.append((name, own.sum(), own.sum() - surplus[at], surplus[at], *(own if len(splits) > 1 else ())))
    # Copies under two labels are distinct in each of their classes, but surplus all the same.
    copies = (
        sum((context.metrics.get("surplus") or {}).values()) if context.metrics.get("surplus") else int(surplus.sum())
    )
    total = images.sum(axis=1)
    rows.append(("all", total.sum(), total.sum() - copies, copies, *(total if len(splits) > 1 else ())))
    caption = "Copies are counted within each split and class"
    caption += ", in the last line also those that stand in two classes." if copies != surplus.sum() else "."
    cells = tuple((str(name), *(f"{int(number):,}" for number in numbers)) for name, *numbers in rows)
    return Table(tuple(columns), cells, caption=caption)


def _pairs_section(dataset: xarray.Dataset, context: ReportContext, pairs: list[tuple[str, Tile]]) -> Section:
    sizes = values(dataset, "group_size").astype(np.int64)
    blocks: list[Block] = []
    for kind, heading in KINDS.items():
        tiles = tuple(tile for found, tile in pairs if found == kind)
        if tiles:
            blocks.append(Gallery(tiles, heading=heading))
    if len(sizes):
        blocks.append(_group_sizes(sizes))
    return Section(
        title="Equal images",
        short="Equal images",
        anchor="duplicates",
        lead=_finding(sizes, context),
        basis=context_basis(context, note="(byte for byte)"),
        blocks=tuple(blocks),
        order=ORDER_DUPLICATES,
    )


def _finding(sizes: AnyArray, context: ReportContext) -> str:
    metrics: Any = context.metrics
    if not len(sizes):
        return f"All {count(context.n_used, 'image')} are distinct: no two are the same."
    members = int(sizes.sum())
    unique = int(metrics.get("n_unique") or context.n_used - members + len(sizes))
    parts = [
        f"{count(members, 'image')} ({share(members, context.n_used)}) stand in {count(len(sizes), 'group')} of equal "
        f"images; {unique:,} are distinct."
    ]
    if any((metrics.get("leaked") or {}).values()):
        parts.append(_leak_sentence(dict(metrics["leaked"])))
    if metrics.get("conflicting_labels"):
        parts.append(
            f"{count(metrics['conflicting_labels'], 'group')} disagree about the label: at least one label is wrong."
        )
    return " ".join(parts)


def _group_sizes(sizes: AnyArray) -> Block:
    found, groups = np.unique(sizes, return_counts=True)
    if len(found) <= 3:
        parts = [
            count(
                groups, "pair" if size == 2 else f"group of {size:,}", "pairs" if size == 2 else f"groups of {size:,}"
            )
            for size, groups in zip(found.tolist(), groups.tolist(), strict=True)
        ]
        return Text(f"Groups by size: {listing(parts)}.")
    if len(found) > 12:
        largest = listing(f"{number:,}" for number in np.sort(sizes)[::-1][:3].tolist())
        return Text(f"Groups have {found[0]:,} to {found[-1]:,} images; the largest have {largest}.")
    chart = count_bars([str(number) for number in found.tolist()], groups.tolist(), "groups", "images")
    return Figure(chart, title="Groups by how many images they have")
