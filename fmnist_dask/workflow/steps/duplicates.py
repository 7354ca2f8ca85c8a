"""``duplicates``: groups of equal images, leaks between splits, conflicting labels."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pydantic

from fmnist_dask.models.duplicates import Duplicates, find_duplicates
from fmnist_dask.models.known_groups import KnownGroups
from fmnist_dask.passes.kept import KeptStates
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.workflow.registry import StepInput, StepResult, step
from fmnist_dask.workflow.steps._names import class_table, label_names


@step("duplicates", figures="fmnist_dask.workflow.figures.duplicates:figures", libraries=("numpy", "xxhash"))
def duplicates(
    data: StepInput, *, examples: Annotated[int, pydantic.Field(ge=0, le=200)] = 24
) -> Algorithm[StepResult]:
    """Find images that are equal byte for byte, within and across splits.

    Parameters
    ----------
    examples
        Images of groups to show in the report.
    """
    kept = KeptStates.of(data.source)
    key = None if kept is None else kept.key_of(("duplicates", examples, data.split_code))
    known = None if kept is None or key is None else _known(*kept.value(key))
    found = yield from find_duplicates(data.source, data.split, data.split_code, examples, known)
    if kept is not None and key is not None:
        value = {"rows": found.rows, "groups": found.groups, "examples": found.examples}
        kept.save(key, value, data.source.n * data.source.image_bytes)
    return StepResult(
        dataset=_dataset(found, data),
        metrics=_metrics(found, data),
        exact=True,
        n_used=found.n,
        n_total=data.source.n,
        tables={"duplicates": {"sample": found.rows, "group": found.groups}},
    )


def _known(n: int, value: Any) -> KnownGroups | None:
    """Groups as an earlier generation has left them."""
    return KnownGroups(n, value["rows"], value["groups"], value["examples"]) if n else None


def _metrics(found: Duplicates, data: StepInput) -> dict[str, Any]:
    used = {name: True for name in data.source.splits} if data.split_code is None else {data.split: True}
    surplus = {name: count for name, count in found.surplus().items() if name in used}
    leaked = {name: count for name, count in found.leaked().items() if name in used}
    return {
        "n_unique": found.n_unique,
        "n_groups": found.n_groups,
        "surplus": surplus,
        "leaked": leaked if len(leaked) > 1 else None,
        "conflicting_labels": len(found.conflicting_groups()) if data.source.class_names else None,
    }


def _dataset(found: Duplicates, data: StepInput) -> Any:
    import xarray as xr

    classes = class_table(data.source.class_names, found.images)
    groups, sizes = np.unique(found.groups, return_counts=True)
    image = found.examples["image"]
    rows = found.examples["row"]
    at = {int(row): position for position, row in enumerate(found.rows)}
    position = np.array([at.get(int(row), -1) for row in rows], dtype=np.int64)
    kept = position >= 0
    position, rows, image = position[kept], rows[kept], image[kept]
    conflicting, crossing = found.conflicting_groups(), found.crossing_groups()
    kind = [
        "conflicting labels" if group in conflicting else "leak between splits" if group in crossing else "copies"
        for group in found.groups[position]
    ]
    split_names = list(data.source.splits)
    return xr.Dataset(
        {
            "images": (("split", "class"), found.images[:, classes.columns], {"long_name": "images"}),
            "distinct": (("split", "class"), found.distinct()[:, classes.columns], {"long_name": "distinct images"}),
            "group_first": ("group", groups, {"long_name": "first row of each group, its name"}),
            "group_size": ("group", sizes, {"long_name": "images of each group"}),
            "example_image": (("example", *("y", "x", "channel")[: image.ndim - 1]), image),
            "example_sample": ("example", rows, {"long_name": "row"}),
            "example_group": ("example", found.groups[position], {"long_name": "name of the group"}),
            "example_label": ("example", label_names(data.source.class_names, found.label[position])),
            "example_split": ("example", np.array([split_names[code] for code in found.split[position]], dtype=object)),
            "example_kind": ("example", np.array(kind, dtype=object)),
        },
        coords={"split": split_names, "class": classes.names},
    )
