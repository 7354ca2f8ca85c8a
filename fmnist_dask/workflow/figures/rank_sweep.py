"""A rank sweep in the report: accuracy and time by rank, and which classes few codes tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray

from fmnist_dask.report.figures.ranks import RankLine, lines_by_rank
from fmnist_dask.report.page import ORDER_DIRECTIONS, Block, Card, Contribution, Figure, Grid, Section, Table
from fmnist_dask.report.words import count
from fmnist_dask.typing import FloatArray
from fmnist_dask.workflow.figures._text import context_basis, names, values
from fmnist_dask.workflow.registry import ReportContext

#: What classifiers are called.
CALLED = {"forest": "random forest", "boosting": "gradient boosting"}
#: A published sweep over Fashion-MNIST, shown beside ours: codes of H2O's GLRM, of all images, 4-fold cross-validated
#: random forest. Rank, accuracy, seconds; rank 0 are the pixels.
PUBLISHED_SOURCE = "fashion-mnist"
PUBLISHED_NAME = "published: H2O GLRM, random forest"
PUBLISHED = (
    (0, 0.88098, 3137),
    (2, 0.51341, 157),
    (4, 0.61005, 187),
    (8, 0.73393, 214),
    (16, 0.80530, 317),
    (32, 0.86116, 446),
    (64, 0.85695, 1101),
    (128, 0.86486, 997),
    (256, 0.86635, 1961),
)


@dataclass(frozen=True)
class _Way:
    """A classifier, or the published figures, by rank; what has no rank is ``raw``."""

    name: str
    ranks: list[int]
    accuracy: FloatArray
    seconds: FloatArray
    spread: FloatArray | None = None
    raw: tuple[float, float] | None = None


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Accuracy and time by rank."""
    ways = _ways(dataset)
    best = ways[0]
    lead = _lead(dataset, best)
    blocks: list[Block] = []
    if best.ranks:
        raw = " Dashed: from all values." if best.raw else ""
        blocks.append(
            Grid(
                (
                    Figure(
                        lines_by_rank([_line(way, way.accuracy, 0) for way in ways], "share told right", "0.0000"),
                        title="Accuracy by rank",
                        caption=f"Of images that the classifier was not trained on.{raw}",
                    ),
                    Figure(
                        lines_by_rank([_line(way, way.seconds, 1) for way in ways], "seconds", "0,0.0", log=True),
                        title="Time by rank",
                        caption="Of one processor, for training and predicting all folds.",
                    ),
                ),
                min_width=380,
            )
        )
    blocks += [_table(ways), _classes(dataset)]
    section = Section(
        title="What few codes tell of the class",
        short="Rank sweep",
        anchor=f"rank-sweep-{context.name}",
        lead=lead,
        basis=context_basis(context, exact=bool(dataset.attrs["whole"])),
        blocks=tuple(blocks),
        order=ORDER_DIRECTIONS + 6,
    )
    return Contribution(cards=(_card(best, section.anchor),), sections=(section,))


def _ways(dataset: xarray.Dataset) -> list[_Way]:
    ranks = values(dataset, "rank").astype(np.int64)
    accuracy, seconds = values(dataset, "accuracy").astype(np.float64), values(dataset, "seconds").astype(np.float64)
    order = np.flatnonzero(ranks > 0)
    without = np.flatnonzero(ranks == 0)
    ways = []
    for at, name in enumerate(names(dataset, "classifier")):
        mean = np.nanmean(accuracy[at], axis=1)
        raw = (float(mean[without[0]]), float(seconds[at, without[0]])) if len(without) else None
        spread = np.nanstd(accuracy[at], axis=1)[order]
        ways.append(_Way(CALLED.get(name, name), ranks[order].tolist(), mean[order], seconds[at, order], spread, raw))
    # Figures of the whole of that collection, not of a part or of others.
    if dataset.attrs["source"] == PUBLISHED_SOURCE and int(dataset.attrs["n"]) >= 60_000:
        rows = [row for row in PUBLISHED if row[0]]
        _, told, took = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
        raw = (PUBLISHED[0][1], float(PUBLISHED[0][2]))
        ways.append(_Way(PUBLISHED_NAME, [row[0] for row in rows], told, took, None, raw))
    return ways


def _line(way: _Way, shown: FloatArray, of_raw: int) -> RankLine:
    return RankLine(way.name, way.ranks, shown, way.raw[of_raw] if way.raw else None)


def _lead(dataset: xarray.Dataset, way: _Way) -> str:
    folds = int(dataset.attrs["folds"])
    lead = f"Classifiers are trained on {folds - 1} of {folds} parts of the images, and asked about the other one. "
    if way.ranks and way.raw:
        near = next((at for at, value in enumerate(way.accuracy) if value >= way.raw[0] - 0.02), None)
        if near is not None:
            lead += (
                f"With {count(way.ranks[near], 'code')} a {way.name} tells {_percent(way.accuracy[near])} right, "
                f"with all {int(dataset.attrs['n_features']):,} values {_percent(way.raw[0])}."
            )
        else:
            lead += f"All values tell {_percent(way.raw[0])} right; no number of codes here comes within 2 % of that."
    if dataset.attrs["leaky"]:
        lead += " Codes were made with factors of all images, also of those that were asked about."
    return lead.strip()


def _card(way: _Way, anchor: str) -> Card:
    told = way.accuracy if len(way.ranks) else np.array([way.raw[0] if way.raw else np.nan])
    at = int(np.argmax(told))
    label = (
        f"told right by a {way.name} on {count(way.ranks[at], 'code')}" if way.ranks else f"told right by a {way.name}"
    )
    note = f"From all values: {_percent(way.raw[0])}." if way.raw and way.ranks else ""
    return Card(value=_percent(told[at]), label=label, note=note, link=anchor, order=76)


def _table(ways: list[_Way]) -> Table:
    ranks = sorted({rank for way in ways for rank in way.ranks})
    rows = []
    for rank in ranks:
        cells: list[str] = []
        for way in ways:
            if rank not in way.ranks:
                cells += ["–", "–"]
                continue
            at = way.ranks.index(rank)
            spread = f" ± {way.spread[at]:.4f}" if way.spread is not None else ""
            cells += [f"{way.accuracy[at]:.4f}{spread}", f"{way.seconds[at]:,.1f}"]
        rows.append((str(rank), *cells))
    if any(way.raw for way in ways):
        cells = []
        for way in ways:
            cells += [f"{way.raw[0]:.4f}", f"{way.raw[1]:,.1f}"] if way.raw else ["–", "–"]
        rows.append(("all values", *cells))
    head = [text for way in ways for text in (f"{way.name}: accuracy", "seconds")]
    return Table(("rank", *head), tuple(rows), caption="Mean of the folds ± their standard deviation.")


def _classes(dataset: xarray.Dataset) -> Table:
    ranks = values(dataset, "rank").tolist()
    shown = values(dataset, "class_accuracy")[0]
    called = CALLED.get(names(dataset, "classifier")[0], names(dataset, "classifier")[0])
    head = [f"rank {rank}" if rank else "all values" for rank in ranks]
    rows = tuple(
        (name, *("–" if np.isnan(value) else _percent(value) for value in shown[:, at]))
        for at, name in enumerate(names(dataset, "class"))
    )
    return Table(("class", *head), rows, caption=f"Of the images of each class, told right by the {called}.")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
