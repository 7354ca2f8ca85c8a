"""UMAP in the report: the map, coloured by class and by each clustering."""

from __future__ import annotations

import xarray

from fmnist_dask.report.page import Contribution
from fmnist_dask.workflow.figures._landmark_map import Method, landmark_map
from fmnist_dask.workflow.registry import ReportContext


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Where images lie."""
    method = Method("UMAP", "umap", f"{int(dataset.attrs['n_neighbors'])} neighbours of each, itself among them")
    return Contribution(sections=(landmark_map(dataset, context, method),))
