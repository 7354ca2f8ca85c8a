"""What is in each cluster, for all ways to cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray

from fmnist_dask.report.page import (
    ORDER_CLUSTERS,
    Block,
    Card,
    Picture,
    Profile,
    Profiles,
    Section,
)
from fmnist_dask.report.pictures import brightness_picture, picture
from fmnist_dask.report.words import count, share
from fmnist_dask.typing import AnyArray, IntArray
from fmnist_dask.workflow.figures._composition import purity_sentence
from fmnist_dask.workflow.figures._text import UNLABELLED, context_basis, is_labelled, names, values
from fmnist_dask.workflow.registry import ReportContext

#: Clusters shown: before the fold, and at all; the largest.
FEW_CLUSTERS, MOST_CLUSTERS = 12, 60
#: Pictures of members on the whole page: with more clusters, fewer of each.
MOST_MEMBERS = 480
CARD_PICTURES = 4


@dataclass(frozen=True)
class ClusterTable:
    """What the sections share.

    Attributes
    ----------
    order
        Clusters, the largest first; empty ones last.
    composition : int64 array, shape (clusters, classes)
        ``None`` where nothing is labelled.
    on
        What the clusters are of, in words.
    exact
        Whether the method is; what clusters hold is counted exactly anyway.
    """

    size: IntArray
    order: list[int]
    classes: list[str]
    composition: IntArray | None
    on: str
    exact: bool = True

    @classmethod
    def of(cls, dataset: xarray.Dataset, by: str = "") -> ClusterTable:
        """Read the small variables; ``by`` what other method than k-means."""
        size = values(dataset, "size").astype(np.int64)
        classes = names(dataset, "class")
        labelled = "composition" in dataset and is_labelled(classes)
        return cls(
            size=size,
            order=np.argsort(-size, kind="stable").tolist(),
            classes=classes,
            composition=values(dataset, "composition").astype(np.int64) if labelled else None,
            on=clustered(dataset) + (by and f" by {by}"),
            exact=bool(dataset.attrs.get("exact", 1)),
        )

    @property
    def held(self) -> list[int]:
        """Clusters that have images, the largest first."""
        return [at for at in self.order if self.size[at]]


def card(dataset: xarray.Dataset, table: ClusterTable) -> Card:
    if table.composition is not None:
        note = purity_sentence(table.classes, table.composition, table.size)
    else:
        note = _sizes_sentence(table)
    return Card(
        value=count(len(table.size)),
        label=f"cluster{'' if len(table.size) == 1 else 's'} of {table.on}",
        note=note,
        pictures=tuple(_mean(dataset, table, at) for at in table.held[:CARD_PICTURES]),
        link="clusters",
        order=80,
    )


def clustered(dataset: xarray.Dataset) -> str:
    """What the clusters are of, in words."""
    on = str(dataset.attrs.get("space") or dataset.attrs.get("on") or "pixels")
    return {"pixels": "pixels", "embedding": "the embedding"}.get(on, f"the codes of {on}")


def _sizes_sentence(table: ClusterTable) -> str:
    held = table.size[table.held]
    if not len(held):
        return "No cluster has images."
    if len(table.size) == 1:
        return f"The only cluster has all images, {int(held[0]):,}."
    empty = len(table.size) - len(held)
    text = (
        f"The largest has {count(int(held[0]), 'image')} ({share(int(held[0]), int(held.sum()))}), the smallest "
        f"{int(held[-1]):,}."
        if len(held) > 1
        else f"One cluster has all images, {int(held[0]):,}."
    )
    return text + (f" {count(empty, 'cluster')} {'is' if empty == 1 else 'are'} empty." if empty else "")


def _mean(dataset: xarray.Dataset, table: ClusterTable, at: int) -> Picture:
    alt = f"mean image of cluster {at}, {count(int(table.size[at]), 'image')}"
    return brightness_picture(dataset["mean_image"][at].values.astype(np.float64), alt)


def clusters_section(dataset: xarray.Dataset, table: ClusterTable, context: ReportContext) -> Section:
    shown = table.held[:MOST_CLUSTERS]
    each = max(2, MOST_MEMBERS // max(1, 2 * len(shown)))
    profiles = tuple(_profile(dataset, table, context, at, each) for at in shown)
    blocks: list[Block] = [Profiles(profiles, visible=FEW_CLUSTERS)]
    lead = _sizes_sentence(table)
    if len(shown) < len(table.held):
        lead += f" The {len(shown)} largest of {len(table.held):,} are shown."
    lead += " The image in front is the mean of its cluster."
    if "nearest_image" in dataset:
        lead += " Nearest to the centre are typical members; those farthest from it fit least."
        if any(shown.tone == "warn" for p in profiles for _, strip in p.strips for shown in strip):
            lead += " Framed: of another class than more than half of the cluster."
    return Section(
        title=f"Clusters of {table.on}",
        short="Clusters",
        anchor="clusters",
        lead=lead,
        basis=context_basis(context, exact=table.exact, inexact="approximate method"),
        blocks=tuple(blocks),
        order=ORDER_CLUSTERS,
    )


def _profile(dataset: xarray.Dataset, table: ClusterTable, context: ReportContext, at: int, each: int) -> Profile:
    size = int(table.size[at])
    lines = [f"{count(size, 'image')}, {share(size, int(table.size.sum()))} of all"]
    major = None
    if table.composition is not None:
        counts = table.composition[at]
        frequent = [which for which in np.argsort(-counts, kind="stable")[:3].tolist() if counts[which]]
        lines.append(", ".join(f"{share(int(counts[which]), size)} {table.classes[which]}" for which in frequent))
        major = table.classes[frequent[0]] if frequent and 2 * counts[frequent[0]] > size else None
    inertia = float(dataset["inertia_of_cluster"].values[at]) if "inertia_of_cluster" in dataset else np.nan
    if np.isfinite(inertia):
        lines.append(f"mean squared distance to the centre {inertia / size:.4g}")
    strips = []
    for kind, label in (("nearest", "nearest to the centre"), ("farthest", "farthest from it")):
        pictures = _members(dataset, context, kind, at, each, major)
        if pictures:
            strips.append((label, pictures))
    return Profile(f"Cluster {at}", _mean(dataset, table, at), tuple(lines), tuple(strips))


def _members(
    dataset: xarray.Dataset, context: ReportContext, kind: str, at: int, each: int, major: str | None
) -> tuple[Picture, ...]:
    """Nearest or farthest images of a cluster, which say row, class and distance."""
    if f"{kind}_image" not in dataset:
        return ()
    rows: AnyArray = dataset[f"{kind}_row"][at, :each].values
    labels, distances = (dataset[f"{kind}_{name}"][at, :each].values for name in ("label", "distance"))
    images: AnyArray = dataset[f"{kind}_image"][at, :each].values
    found = []
    for row, label, distance, image in zip(rows.tolist(), labels.tolist(), distances.tolist(), images, strict=True):
        if row < 0:
            continue
        name = context.class_names[label] if 0 <= label < len(context.class_names) else UNLABELLED
        told = f"{name}, row {row:,}" if context.class_names else f"row {row:,}"
        shown = picture(image, told + (f", distance {distance:.3g}" if np.isfinite(distance) else ""))
        other = major is not None and name not in (major, UNLABELLED)
        found.append(Picture(shown.uri, shown.alt, tone="warn" if other else "neutral"))
    return tuple(found)
