"""What clusters of any rule hold: classes, mean image, nearest and farthest images; and whose each sample is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.nearest import nearest_bytes, pixel_sums, squared_distances
from fmnist_dask.passes.parameters import ArrayParameter, SetsParameter
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.passes.reductions.clusters import label_bytes, nearest_distances, nearest_labels
from fmnist_dask.passes.reductions.images import Ranked, merge_ranked_by, rank_rows, thumbnail_bytes
from fmnist_dask.passes.through import FeatureMap, Pixels, mapped
from fmnist_dask.typing import AnyArray

State = dict[str, Any]


class Labelling(Protocol):
    """Whose each sample is, by a rule other than the nearest centre: a frozen dataclass."""

    def labels(self, block: Block) -> AnyArray:
        """Cluster of each sample of a block, int32."""

    def work_bytes(self, rows: int) -> int:
        """Memory of what is worked out for some rows."""


@dataclass(frozen=True)
class NearestCentre:
    """A labelling: the nearest centre of one of several sets.

    Attributes
    ----------
    position
        Which set.
    """

    centres: SetsParameter
    position: int = 0

    def labels(self, block: Block) -> AnyArray:
        """Cluster of each sample of a block, int32."""
        found: AnyArray = nearest_labels(block, self.centres)[:, self.position]
        return found

    def work_bytes(self, rows: int) -> int:
        """Memory of what is worked out for some rows."""
        k, d = self.centres.centres.values.shape
        return nearest_bytes(rows, d, k, len(self.centres))


@dataclass(frozen=True)
class GroupedCentres:
    """A labelling: the group that the nearest of many centres belongs to.

    Attributes
    ----------
    groups
        Group of each centre, int32.
    """

    centres: SetsParameter
    groups: ArrayParameter

    def labels(self, block: Block) -> AnyArray:
        """Group of each sample of a block, int32."""
        found: AnyArray = self.groups.values[nearest_labels(block, self.centres)[:, 0]]
        return found

    def work_bytes(self, rows: int) -> int:
        """Memory of what is worked out for some rows."""
        k, d = self.centres.centres.values.shape
        return nearest_bytes(rows, d, k, 1)


@dataclass(frozen=True)
class MappedCentres:
    """A labelling: the nearest centre, seen through a map, or among pixels."""

    map: FeatureMap | Pixels
    centres: SetsParameter

    def labels(self, block: Block) -> AnyArray:
        """Cluster of each sample of a block, int32."""
        found: AnyArray = nearest_labels(mapped(block, self.map), self.centres)[:, 0]
        return found

    def work_bytes(self, rows: int) -> int:
        """Memory of what is worked out for some rows."""
        k, d = self.centres.centres.values.shape
        seen = rows * d if isinstance(self.map, Pixels) else self.map.work_bytes(rows)
        return seen + nearest_bytes(rows, d, k, 1)


def labels_by(block: Block, labelling: Labelling) -> AnyArray:
    """Cluster of each sample by a rule, found once for all that ask."""
    return block.memo(("labelling", labelling), lambda: labelling.labels(block))


def _own_labels(block: Block, parameter: SetsParameter, labelling: Labelling | None) -> AnyArray:
    """Cluster of each sample: of the nearest centre unless a rule says otherwise."""
    if labelling is None:
        return nearest_labels(block, parameter)[:, 0]
    return labels_by(block, labelling)


def _own_distances(block: Block, parameter: SetsParameter, labelling: Labelling | None) -> AnyArray:
    """Squared distance to the centre of the own cluster."""
    if labelling is None:
        return nearest_distances(block, parameter)
    labels = _own_labels(block, parameter, labelling)
    return block.memo(
        ("own distance", parameter, labelling), lambda: squared_distances(block.features, parameter.sets, labels)
    )


def _own_bytes(rows: int, parameter: SetsParameter, labelling: Labelling | None, source: Readable) -> int:
    if labelling is None:
        return label_bytes(rows, parameter, source)
    return labelling.work_bytes(rows) + 40 * rows


@dataclass(frozen=True)
class ClusterMembers(Reduction):
    """What the clusters of one set of centres hold: classes, mean image, the nearest and the farthest images.

    The result has ``composition`` (cluster, 1 + classes: first those that are not labelled), ``pixel_sum`` (cluster,
    pixels; int64), ``squares`` (cluster; sum of squared distances), and ``nearest``,
    ``farthest``: ``{cluster: {"key", "row", "image"}}`` with keys that are squared distances, negated for
    the farthest.

    Attributes
    ----------
    classes
        Classes of the collection.
    examples
        Images of each list.
    scale
        Squared distances count as ``round(d² * scale)``, so that they add up to the same in any order.
    labelling
        Whose samples are; by default that of the nearest centre.
    """

    centres: SetsParameter
    classes: int
    examples: int
    scale: float
    labelling: Labelling | None = None

    def initial(self, source: Readable) -> State:
        """Zeros."""
        k = self.centres.size
        return {
            "squares": np.zeros(k, dtype=np.int64),
            "composition": np.zeros((k, 1 + self.classes), dtype=np.int64),
            "pixel_sum": np.zeros((k, source.image_bytes), dtype=np.int64),
            "nearest": {},
            "farthest": {},
        }

    def chunk(self, state: State, block: Block) -> State:
        """Assign, count, rank."""
        k = self.centres.size
        labels = _own_labels(block, self.centres, self.labelling)
        distances = _own_distances(block, self.centres, self.labelling)
        known = np.clip(block.label.astype(np.int64) + 1, 0, self.classes)
        flat = labels * (1 + self.classes) + known
        counts = np.bincount(flat, minlength=k * (1 + self.classes))
        near: dict[Any, Ranked] = {}
        far: dict[Any, Ranked] = {}
        for cluster in np.unique(labels).tolist() if self.examples else []:
            members = np.flatnonzero(labels == cluster)
            near[cluster] = rank_rows(distances, block, members, self.examples)
            far[cluster] = rank_rows(-distances, block, members, self.examples)
        squares = np.zeros(k, dtype=np.int64)
        np.add.at(squares, labels, np.rint(distances * self.scale).astype(np.int64))
        found = {
            "squares": squares,
            "composition": counts.reshape(k, 1 + self.classes),
            "pixel_sum": pixel_sums(block.image.reshape(len(block), -1), labels[:, None].astype(np.int64), k),
            "nearest": near,
            "farthest": far,
        }
        return self.combine(state, found)

    def combine(self, left: State, right: State) -> State:
        """Add, and keep the best of both."""
        for name in ("squares", "composition", "pixel_sum"):
            left[name] += right[name]
        return {
            **left,
            "nearest": merge_ranked_by(left["nearest"], right["nearest"], self.examples),
            "farthest": merge_ranked_by(left["farthest"], right["farthest"], self.examples),
        }

    def aggregate(self, state: State, source: Readable) -> State:
        """Squared distances as floats."""
        return {**state, "squares": state["squares"] / self.scale}

    def state_bytes(self, source: Readable) -> int:
        """Sums and thumbnails."""
        examples = 2 * self.examples * (thumbnail_bytes(source) + 24)
        return self.centres.size * (8 * (source.image_bytes + 1 + self.classes) + examples)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels, distances, sums of one block, and chosen images before they are reduced."""
        sums = 12 * self.centres.size * source.image_bytes
        images = 0 if source.feature_dtype == "uint8" else rows * source.image_bytes
        return _own_bytes(rows, self.centres, self.labelling, source) + 40 * rows + sums + images


@dataclass(frozen=True)
class Assignment(Column):
    """Cluster of each sample (``labels``, −1 outside of the split) and distance to its centre (``distance``).

    Attributes
    ----------
    unit
        Length that counts as 1: 255 for pixels, so that distances are those of images scaled to [0, 1].
    labelling
        Whose samples are; by default that of the nearest centre.
    """

    centres: SetsParameter
    unit: float = 1.0
    labelling: Labelling | None = None

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Both."""
        return {
            "labels": Variable("int32", attrs=(("long_name", "cluster"),), fill_value=-1),
            "distance": Variable("float32", attrs=(("long_name", "distance to the centre"),), fill_value=float("nan")),
        }

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Assign and measure."""
        return {
            "labels": _own_labels(block, self.centres, self.labelling),
            "distance": (np.sqrt(_own_distances(block, self.centres, self.labelling)) / self.unit).astype(np.float32),
        }

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Labels and distances."""
        return _own_bytes(rows, self.centres, self.labelling, source) + 40 * rows
