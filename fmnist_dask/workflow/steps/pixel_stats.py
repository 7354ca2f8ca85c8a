"""``pixel_stats``: exact statistics of each pixel over all images, by class and by split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pydantic

from fmnist_dask.models.pixel_passes import foreseen_passes
from fmnist_dask.models.pixel_stats import GroupedStatistics, PixelStatistics, pixel_statistics
from fmnist_dask.passes.protocol import Algorithm
from fmnist_dask.workflow.foreseen import Foreseen
from fmnist_dask.workflow.registry import StepInput, StepResult, step

Probability = Annotated[float, pydantic.Field(ge=0, le=1)]
UNITS = {"units": "pixel value, 0 to 255"}


def _foresees(data: StepInput, *, by: str | None, quantiles: tuple[float, ...], **others: Any) -> Iterator[Foreseen]:
    """Passes after the first, where histograms of every pixel are too large for one."""
    scans = foreseen_passes(data.source, data.split_code, by == "label", len(quantiles))
    for number, scan in enumerate(scans[1:], 2):
        yield Foreseen(f"pixel values, pass {number} of {len(scans)}", scan)


@step(
    "pixel_stats",
    figures="fmnist_dask.workflow.figures.pixel_stats:figures",
    accepts=("images",),
    foresees=_foresees,
)
def pixel_stats(
    data: StepInput,
    *,
    by: Literal["label"] | None = "label",
    quantiles: Annotated[tuple[Probability, ...], pydantic.Field(min_length=1, max_length=32)] = (0.25, 0.5, 0.75),
) -> Algorithm[StepResult]:
    """Mean, standard deviation, quantiles and extremes of each pixel, exact, by counting integers.

    Parameters
    ----------
    by
        ``label`` for statistics of each class, null for none.
    quantiles
        Probabilities of the quantiles.
    """
    statistics = yield from pixel_statistics(data.source, data.split_code, quantiles, by)
    mean, std = statistics.overall.overall()
    return StepResult(
        dataset=_dataset(statistics, data, quantiles),
        metrics={"mean": mean / 255, "std": std / 255},
        exact=True,
        n_used=statistics.overall.n,
        n_total=data.source.n,
    )


def _dataset(statistics: GroupedStatistics, data: StepInput, probabilities: tuple[float, ...]) -> Any:
    import xarray as xr

    image = ("y", "x", "channel")[: len(data.source.image_shape)]
    coords: dict[str, Any] = {"quantile": list(probabilities)}
    variables = _variables([statistics.overall], "", (), image)
    if statistics.by_class:
        variables |= _variables(list(statistics.by_class.values()), "class_", ("class",), image)
        coords["class"] = [data.source.class_names[label] for label in statistics.by_class]
    if statistics.by_split:
        variables |= _variables(list(statistics.by_split.values()), "split_", ("split",), image)
        coords["split"] = list(statistics.by_split)
    return xr.Dataset(variables, coords=coords, attrs={"split": data.split})


def _variables(
    groups: list[PixelStatistics], prefix: str, dims: tuple[str, ...], image: tuple[str, ...]
) -> dict[str, Any]:
    import numpy as np

    def gather(name: str) -> Any:
        values = np.stack([getattr(group, name) for group in groups])
        return values if dims else values[0]

    plain = {name: ((*dims, *image), gather(name), UNITS) for name in ("mean", "std", "minimum", "maximum")}
    variables: dict[str, Any] = {f"{prefix}{name}": value for name, value in plain.items()}
    variables[f"{prefix}quantiles"] = ((*dims, "quantile", *image), gather("quantiles"), UNITS)
    variables[f"{prefix}histogram"] = ((*dims, "value"), gather("histogram"), {"long_name": "pixels of each value"})
    variables[f"{prefix}n"] = (dims, gather("n"), {"long_name": "images"})
    return variables
