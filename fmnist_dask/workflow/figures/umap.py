"""UMAP in the report: the map, coloured by class and by each clustering."""

from __future__ import annotations

import xarray

from fmnist_dask.report.page import Contribution
from fmnist_dask.workflow.figures._landmark_map import Method, landmark_map
from fmnist_dask.workflow.registry import ReportContext


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Where images lie."""
    # The image itself is among them, as umap-learn counts.
    others = int(dataset.attrs["n_neighbors"]) - 1
    method = Method("UMAP", "umap", f"{others} neighbour{'' if others == 1 else 's'} of each")
    return Contribution(sections=(landmark_map(dataset, context, method),))
