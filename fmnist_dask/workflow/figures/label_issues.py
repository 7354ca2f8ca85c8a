"""Labels that are probably wrong in the report: candidates beside their neighbours, which classes they are of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import xarray

from fmnist_dask.report.figures.confusion import pairs_heatmap, precision_recall
from fmnist_dask.report.page import (
    ORDER_DUPLICATES,
    Block,
    Card,
    Contribution,
    Figure,
    Grid,
    Picture,
    Profile,
    Profiles,
    Section,
)
from fmnist_dask.report.pictures import picture
from fmnist_dask.report.words import count, listing, share
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.figures._text import context_basis, names, values
from fmnist_dask.workflow.registry import ReportContext

ORDER_LABELS = ORDER_DUPLICATES + 10
#: Candidates before the fold; classes that the heatmap shows.
FEW_CANDIDATES, MOST_CLASSES = 8, 40
CARD_PICTURES = 4


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Whose labels their neighbours doubt."""
    return Contribution(cards=(_card(dataset, context),), sections=(_section(dataset, context),))


def _card(dataset: xarray.Dataset, context: ReportContext) -> Card:
    candidates = int(context.metrics["n_candidates"])
    classes, images = names(dataset, "class"), values(dataset, "candidate_image")
    labels = values(dataset, "candidate_label")
    pictures = tuple(
        picture(image, f"labelled {classes[label]}")
        for image, label in zip(images[:CARD_PICTURES], labels.tolist(), strict=False)
    )
    return Card(
        value=count(candidates),
        label=f"doubtful label{'' if candidates == 1 else 's'}",
        tone="warn" if candidates else "good",
        note=f"{share(candidates, context.n_used)} of the labelled images: their neighbours carry another label."
        if candidates
        else "No label stands out among those of its neighbours.",
        pictures=pictures,
        link="label-issues",
        order=55,
    )


def _section(dataset: xarray.Dataset, context: ReportContext) -> Section:
    profiles = tuple(_profile(dataset, at) for at in range(dataset.sizes["candidate"]))
    blocks: list[Block] = [Profiles(profiles, visible=FEW_CANDIDATES)] if profiles else []
    charts = []
    if values(dataset, "confusion").any():
        charts.append(_confusion(dataset))
    if "recall" in dataset and len(dataset["recall"]) and context.metrics.get("precision") is not None:
        charts.append(_curve(dataset, context))
    if charts:
        blocks.append(Grid(tuple(charts), min_width=440))
    return Section(
        title="Labels that may be wrong",
        short="Doubtful labels",
        anchor="label-issues",
        lead=_lead(dataset, context),
        basis=context_basis(context),
        blocks=tuple(blocks),
        order=ORDER_LABELS,
    )


def _profile(dataset: xarray.Dataset, at: int) -> Profile:
    """One candidate, and its neighbours; framed are those of another class."""
    classes = names(dataset, "class")
    row, label, suggested = (int(dataset[f"candidate_{name}"][at]) for name in ("sample", "label", "suggested"))
    part, score = (float(dataset[f"candidate_{name}"][at]) for name in ("share", "score"))
    lines = [
        f"neighbours say {classes[suggested]}",
        f"{100 * part:.0f} % carry another label",
        f"score {score:.2f}, row {row:,}",
    ]
    if "candidate_wrong" in dataset:
        lines.append("known to be wrong" if bool(dataset["candidate_wrong"][at]) else "known to be right")
    face = picture(values(dataset, "candidate_image")[at], f"row {row:,}, labelled {classes[label]}")
    strip, told = _neighbours(dataset, at, label, classes)
    strips = ((f"nearest neighbours: {told}", strip),) if strip else ()
    return Profile(f"Labelled {classes[label]}", face, tuple(lines), strips)


def _neighbours(dataset: xarray.Dataset, at: int, label: int, classes: list[str]) -> tuple[tuple[Picture, ...], str]:
    """Pictures of the neighbours, and how many are of which class, the most frequent first."""
    rows, labels = dataset["neighbour_sample"][at].values, dataset["neighbour_label"][at].values
    distances: AnyArray = dataset["neighbour_distance"][at].values
    images: AnyArray = dataset["neighbour_image"][at].values
    found, seen = [], Counter[str]()
    for row, other, distance, image in zip(rows.tolist(), labels.tolist(), distances.tolist(), images, strict=True):
        if row < 0:
            continue
        seen[classes[other]] += 1
        shown = picture(image, f"{classes[other]}, row {row:,}, distance {distance:.3g}")
        found.append(Picture(shown.uri, shown.alt, tone="neutral" if other == label else "warn"))
    return tuple(found), listing(f"{number} {name}" for name, number in seen.most_common())


def _confusion(dataset: xarray.Dataset) -> Figure:
    classes, counts = names(dataset, "class"), values(dataset, "confusion").astype(np.int64)
    involved = counts.sum(axis=0) + counts.sum(axis=1)
    shown = np.sort(np.argsort(-involved, kind="stable")[:MOST_CLASSES])
    called = [classes[at] for at in shown]
    few = f" The {len(shown)} classes with most of them are drawn." if len(shown) < len(classes) else ""
    return Figure(
        pairs_heatmap(called, called, counts[shown][:, shown], "label", "suggested"),
        title="Candidates by their label and the one that neighbours suggest",
        caption=f"Numbers of images.{few}",
    )


def _curve(dataset: xarray.Dataset, context: ReportContext) -> Figure:
    chosen = (float(context.metrics["recall"]), float(context.metrics["precision"]))
    return Figure(
        precision_recall(values(dataset, "recall"), values(dataset, "precision"), chosen, "candidates"),
        title="Precision and recall of the ranking by score",
        caption="Recall: of the wrong labels, the share that is found. Precision: of the images found, the share whose "
        f"label is wrong. Average precision {float(context.metrics['average_precision']):.3f}.",
    )


def _lead(dataset: xarray.Dataset, context: ReportContext) -> str:
    metrics, attrs = context.metrics, dataset.attrs
    candidates, k = int(metrics["n_candidates"]), int(attrs["n_neighbors"])
    where = {"pixels": "their pixels", "embedding": "the embedding"}.get(
        str(attrs["on"]), f"the codes of {attrs['on']}"
    )
    neighbours = f"{count(k, 'nearest neighbour')} by {where}"
    parts = []
    if candidates:
        parts.append(
            f"{count(candidates, 'image')} of {context.n_used:,} ({share(candidates, context.n_used)}) "
            f"{'carries' if candidates == 1 else 'carry'} a label that the {neighbours} contradict."
        )
    else:
        parts.append(f"No label is contradicted by the image's {neighbours}.")
    if metrics.get("knn_accuracy") is not None:
        parts.append(
            f"The label that most neighbours carry is the image's own for {_percent(metrics['knn_accuracy'])}."
        )
    parts += _known(dataset, metrics)
    shown = dataset.sizes["candidate"]
    if shown:
        few = f"The {shown} most doubtful are shown" if shown < candidates else "The most doubtful come first"
        parts.append(f"{few}, beside their neighbours; framed are those of another class than the image's label.")
    return " ".join(parts)


def _known(dataset: xarray.Dataset, metrics: Any) -> list[str]:
    """What is found of the labels that are known to be wrong."""
    if "n_wrong" not in dataset:
        return []
    wrong = int(dataset["n_wrong"])
    if not wrong:
        return ["No label is known to be wrong."]
    found = round(float(metrics["recall"]) * wrong)
    text = f"Of {count(wrong, 'label')} that {'is' if wrong == 1 else 'are'} known to be wrong, {found:,} "
    text += f"{'is' if found == 1 else 'are'} among them (recall {_percent(metrics['recall'])})"
    if metrics.get("precision") is None:
        return [text + "."]
    return [f"{text}; {_percent(metrics['precision'])} of the candidates are wrong (precision)."]


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"
