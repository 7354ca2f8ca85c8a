"""``deduplicated``: the collection without copies, for other steps to work on (``on``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_dask.models.duplicates import surplus_rows
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.workflow.registry import StepInput, StepResult, step


@step(
    "deduplicated",
    figures="fmnist_dask.workflow.figures.deduplicated:figures",
    libraries=("numpy", "xxhash"),
    gives=("images",),
)
def deduplicated(data: StepInput, *, across_splits: bool = False) -> Algorithm[StepResult]:
    """Keep the first of each group of equal images with equal labels; other steps may work on what is kept.

    Parameters
    ----------
    across_splits
        Whether an image of one split counts as a copy of the same image of an earlier one. Otherwise each split keeps
        its own, as the source option ``drop_duplicates`` does.
    """
    import xarray as xr

    source = data.source
    gone = yield from surplus_rows(source, np.zeros(0, dtype=np.int64), across_splits)
    kept = np.ones(source.n, dtype=bool)
    kept[gone] = False
    names = list(source.splits)
    counts = _by_split(data, kept)
    left, dropped = ({name: int(counts[at, side]) for at, name in enumerate(names)} for side in (1, 0))
    dataset = xr.Dataset(
        {
            "kept": ("sample", kept, {"long_name": "whether the image is kept"}),
            "n_kept": ("split", [left[name] for name in names], {"long_name": "images kept"}),
            "n_dropped": ("split", [dropped[name] for name in names], {"long_name": "copies left out"}),
        },
        coords={"split": names},
        attrs={"across_splits": int(across_splits)},
    )
    return StepResult(
        dataset=dataset,
        metrics={"n_kept": int(kept.sum()), "n_dropped": len(gone), "kept": left, "dropped": dropped},
        exact=True,
        n_used=source.n,
        n_total=source.n,
        images="kept",
    )


def _by_split(data: StepInput, kept: Any) -> Any:
    """Images of each split that are left out and kept."""
    source = data.source
    totals = np.zeros((len(source.splits), 2), dtype=np.int64)
    for start in range(0, source.n, source.chunk_rows):
        stop = min(start + source.chunk_rows, source.n)
        np.add.at(totals, (source.read("split", start, stop), kept[start:stop].astype(np.int64)), 1)
    return totals
