"""What the figure builders share: what a result rests on, and text variables of a dataset."""

from __future__ import annotations

import numpy as np
import xarray

from fmnist_dask.report.words import basis
from fmnist_dask.typing import AnyArray
from fmnist_dask.workflow.registry import ReportContext
from fmnist_dask.workflow.steps._names import UNLABELLED

__all__ = ["UNLABELLED", "context_basis", "is_labelled", "names", "shown_names", "texts", "values"]


def context_basis(context: ReportContext, note: str = "", exact: bool = True, inexact: str = "sampled") -> str:
    """What a step's figures rest on."""
    return basis(context.n_used, context.n_total, context.split, exact, note, inexact)


def texts(dataset: xarray.Dataset, name: str) -> list[str]:
    """A text variable; one without values may have come back as numbers."""
    return [str(value) for value in values(dataset, name)]


def values(dataset: xarray.Dataset, name: str) -> AnyArray:
    """A variable in memory."""
    return np.asarray(dataset[name].values)


def names(dataset: xarray.Dataset, dimension: str) -> list[str]:
    """Names along a dimension; empty where there is none."""
    return [str(value) for value in dataset[dimension].values] if dimension in dataset.coords else []


def shown_names(classes: list[str]) -> list[str]:
    """What figures call the classes; without labels, there is one group of all images."""
    return classes if is_labelled(classes) else ["all images" for _ in classes]


def is_labelled(classes: list[str]) -> bool:
    """Whether there is any class beside the one of unknown labels."""
    return any(name != UNLABELLED for name in classes)
