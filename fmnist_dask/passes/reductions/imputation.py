"""Filled-in pixels: how good they are, against their truth and against simpler ways; and the images that have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.layout import HIDDEN, MISSING, TRUTH
from fmnist_dask.kernels.low_rank import Filled, fill, neighbour_mean
from fmnist_dask.kernels.projection import panels
from fmnist_dask.passes.parameters import ArrayParameter
from fmnist_dask.passes.protocol import Column, Readable, Reduction, Variable
from fmnist_dask.passes.reductions.codes import cells_of
from fmnist_dask.passes.reductions.low_rank import ModelParameter
from fmnist_dask.passes.reductions.pairs import MASK_ROOMS, observed_features
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.typing import AnyArray, BoolArray, IntArray

State = dict[str, Any]
#: Errors count as whole multiples of this part of the range of pixels, squared ones of that of its square.
STEPS = 2.0**34
#: Simpler ways to fill in, after the model at each rank.
BASELINES = ("mean of the pixel", "mean of the pixel in its class", "mean of four neighbours")
#: Errors are counted by how many deviations large they are, in steps of this, up to so many steps.
RATIO_STEP, RATIO_STEPS = 0.01, 1000


class AnyImputer(Protocol):
    """Something that fills in rows."""

    @property
    def model(self) -> ModelParameter:
        """What gives the codes."""

    @property
    def error_scale(self) -> ArrayParameter:
        """Standard deviation of each feature about what the others say of it."""

    def work_bytes(self) -> int:
        """Memory of one panel."""

    def __call__(self, features: AnyArray, observed: BoolArray) -> Filled:
        """Fill rows in."""


@dataclass(frozen=True)
class Imputer:
    """A model, and what is needed to judge its errors."""

    model: ModelParameter
    error_scale: ArrayParameter

    def work_bytes(self) -> int:
        """Memory of one panel."""
        return self.model.work_bytes()

    def __call__(self, features: AnyArray, observed: BoolArray) -> Filled:
        """Fill rows in."""
        return fill(self.model.model, features, observed, self.error_scale.values)


@dataclass(frozen=True)
class ImputationScores(Reduction):
    """Errors at hidden pixels, in parts of their range, of models and of baselines.

    Attributes
    ----------
    imputers
        Models of ascending ranks; the last is the one whose deviations are checked, and which observed pixels are
        compared with.
    mean
        Of each pixel, shape (d,).
    class_mean
        Of each pixel in each class, the last for images without one, shape (classes + 1, d).
    """

    imputers: tuple[AnyImputer, ...]
    mean: ArrayParameter
    class_mean: ArrayParameter

    @property
    def methods(self) -> int:
        """Models and baselines."""
        return len(self.imputers) + len(BASELINES)

    def initial(self, source: Readable) -> State:
        """Zeros."""
        methods, d, classes = self.methods, source.n_features, len(source.class_names) + 1
        return {
            "square": np.zeros((methods, d), np.int64),
            "absolute": np.zeros((methods, d), np.int64),
            "class_square": np.zeros((methods, classes), np.int64),
            "count": np.zeros(d, np.int64),
            "class_count": np.zeros(classes, np.int64),
            "ratio": np.zeros(RATIO_STEPS, np.int64),
            "hidden_ratio": np.zeros(RATIO_STEPS, np.int64),
            "observed_square": np.zeros(1, np.int64),
            "observed_count": np.zeros(1, np.int64),
        }

    def chunk(self, state: State, block: Block) -> State:
        """Add one block."""
        features, there = block.features, observed_features(block)
        d = features.shape[1]
        labels = np.where(block.label < 0, len(self.class_mean.values) - 1, block.label)
        truth, hidden = block.array(TRUTH).reshape(-1, d), block.array(HIDDEN).reshape(len(block), -1)
        hidden = np.repeat(hidden, d // hidden.shape[1], axis=1) if len(block) else hidden
        height, width = block.image.shape[1:3]
        shape = (height, width, d // (height * width))
        for part in panels(block.rows):
            x, o, h = features[part], there[part], hidden[part]
            exact = truth[part].astype(np.float32)
            for at, imputer in enumerate(self.imputers):
                filled = imputer(x, o)
                self._add(state, at, filled.values - exact, h, labels[part])
            # Of the last one, the largest.
            error = np.abs(filled.values - exact)
            deviation = deviation_of(filled, self.imputers[-1])
            # Whole numbers are meant: half of one is no error.
            state["hidden_ratio"] += _by_size((np.maximum(error - 0.5, 0) / deviation)[h])
            judged = o & ~np.isnan(filled.ratios)
            expected = filled.contrast[:, None] * np.maximum(self.imputers[-1].error_scale.values, np.float32(1e-3))
            state["ratio"] += _by_size(np.maximum(np.abs(filled.ratios) - 0.5 / expected, 0)[judged])
            state["observed_square"] += _counted(np.square(error / 255)[o]).sum()
            state["observed_count"] += int(o.sum())
            first = len(self.imputers)
            self._add(state, first, self.mean.values - exact, h, labels[part])
            self._add(state, first + 1, self.class_mean.values[labels[part]] - exact, h, labels[part])
            image = x.astype(np.float32).reshape(-1, *shape)
            pixels = o.reshape(image.shape)[..., 0]
            near = neighbour_mean(image, pixels, self.mean.values.reshape(shape)).reshape(len(x), d)
            self._add(state, first + 2, near - exact, h, labels[part])
            state["count"] += h.sum(axis=0)
            state["class_count"] += np.bincount(labels[part], h.sum(axis=1), len(self.class_mean.values)).astype(int)
        return state

    def _add(self, state: State, method: int, error: AnyArray, hidden: BoolArray, labels: IntArray) -> None:
        error = np.where(hidden, error / 255, 0)
        square = _counted(np.square(error))
        state["square"][method] += square.sum(axis=0)
        state["absolute"][method] += _counted(np.abs(error)).sum(axis=0)
        np.add.at(state["class_square"][method], labels, square.sum(axis=1))

    def combine(self, left: State, right: State) -> State:
        """Add."""
        return {name: left[name] + right[name] for name in left}

    def aggregate(self, state: State, source: Readable) -> Any:
        """Errors as floats."""
        wide = ("square", "absolute", "class_square", "observed_square")
        return {name: values / STEPS if name in wide else values for name, values in state.items()}

    def state_bytes(self, source: Readable) -> int:
        """A few integers a feature and method."""
        return 16 * (self.methods + 1) * (source.n_features + len(source.class_names) + 3)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """What is true, and two rooms more for which pixels are hidden; panels of one method."""
        work = max(imputer.work_bytes() for imputer in self.imputers)
        return (MASK_ROOMS + 1) * rows * source.n_features + work + 256 * 64 * source.n_features


def deviation_of(filled: Filled, imputer: AnyImputer) -> AnyArray:
    """What is expected of the error of each value, at least a thousandth of a step of brightness."""
    if filled.deviation is not None:
        return np.maximum(filled.deviation, np.float32(1e-3))
    found: AnyArray = filled.contrast[:, None] * np.maximum(imputer.error_scale.values, np.float32(1e-3))
    return found


def _by_size(ratios: AnyArray) -> IntArray:
    """How many are of each size."""
    steps = np.minimum(ratios / np.float32(RATIO_STEP), RATIO_STEPS - 1).astype(np.int64)
    return np.bincount(steps, minlength=RATIO_STEPS)


def interval_of(counts: IntArray, share: float) -> float:
    """Deviations within which a share of the errors that were counted lies; 0 of none."""
    together = np.cumsum(counts)
    return float((np.searchsorted(together, share * together[-1]) + 1) * RATIO_STEP) if together[-1] else 0.0


def covered(counts: IntArray, interval: float) -> float:
    """Share of the errors that lie within so many deviations."""
    return float(counts[: round(interval / RATIO_STEP)].sum() / max(int(counts.sum()), 1))


def _counted(values: AnyArray) -> IntArray:
    return np.rint(values.astype(np.float64) * STEPS).astype(np.int64)


@dataclass(frozen=True)
class Imputed(Column):
    """Codes of each image, its cell in their first plane, and the image with its missing pixels filled in.

    Attributes
    ----------
    imputer
        The model.
    edges, cells
        Of the plane; see :class:`~fmnist_dask.passes.reductions.codes.Codes`. ``None`` for no plane.
    images
        Whether filled images are written, and what their errors are expected to be, as ``contrast``.
    dtype
        Of filled images: ``uint8``, or ``float32`` for what is expected of missing pixels as it is.
    """

    imputer: AnyImputer
    edges: ArrayParameter | None = None
    cells: int = 0
    images: bool = False
    dtype: str = "uint8"

    def variables(self, source: Readable) -> dict[str, Variable]:
        """Codes, label, plane, images."""
        k = len(self.imputer.model.factors.values)
        found = {
            "codes": Variable("float32", (k,), ("component",), fill_value=float("nan"), compress=False),
            "label": Variable("int16", attrs=(("long_name", "class"),), fill_value=-1),
        }
        if self.edges is not None:
            attrs = (("long_name", "cell of the first two components"), ("cells", self.cells))
            found["plane"] = Variable("uint16", (2,), ("axis",), attrs)
        if self.images:
            dims = ("y", "x", "channel")[: len(source.image_shape)]
            found["imputed"] = Variable(self.dtype, source.image_shape, dims, (("long_name", "pixels, filled in"),))
            about = (("long_name", "errors of the image's filled-in pixels, as a multiple of error_scale"),)
            found["contrast"] = Variable("float32", attrs=about, fill_value=float("nan"))
        return found

    def compute(self, block: Block) -> Mapping[str, AnyArray]:
        """Fill in."""
        features, there = block.features, observed_features(block)
        codes = np.empty((len(features), len(self.imputer.model.factors.values)), np.float32)
        contrast = np.empty(len(features), np.float32)
        images = features.astype(self.dtype) if self.images else features
        for part in panels(block.rows):
            filled = self.imputer(features[part], there[part])
            codes[part], contrast[part] = filled.codes, filled.contrast
            if self.images:
                values = filled.values if self.dtype == "float32" else np.rint(filled.values).astype(np.uint8)
                images[part] = np.where(there[part], features[part], values)
        found: dict[str, AnyArray] = {"codes": codes, "label": block.label}
        if self.edges is not None:
            found["plane"] = cells_of(codes[:, :2].astype(np.float64), self.edges.values, self.cells)
        if self.images:
            found |= {"imputed": images.reshape(block.image.shape), "contrast": contrast}
        return found

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Codes twice, which features are there, filled images, and panels."""
        k = len(self.imputer.model.factors.values)
        d = source.n_features
        rooms = MASK_ROOMS + 2 * np.dtype(self.dtype).itemsize * self.images
        return rows * (12 * k + rooms * d + 64) + self.imputer.work_bytes() + 256 * 24 * d


@dataclass(frozen=True)
class MaskedSubset(RandomSubset):
    """A random subset of images with all they have: as they are (``truth``), and which pixels are ``missing``."""

    def beside(self, block: Block, index: IntArray) -> State:
        """Pixels as they are, and which are missing."""
        return {"truth": block.array(TRUTH)[index], "missing": block.array(MISSING)[index]}

    def state_bytes(self, source: Readable) -> int:
        """Three times the images."""
        return 3 * super().state_bytes(source)

    def part_bytes(self, source: Readable, rows: int) -> int:
        """Three times the images."""
        return 3 * super().part_bytes(source, rows)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """What a block has beside its images."""
        return super().task_bytes(source, rows) + MASK_ROOMS * rows * source.n_features

    def kept_as(self) -> Any:
        """Nothing is kept of images that are seen through a mask."""
        return None
