"""The mosaic in the report: random images in the colours of their classes, and each class's mean."""

from __future__ import annotations

import numpy as np
import xarray
from bokeh.palettes import Inferno256

from fmnist_dask.collection.thumbnails import data_uri
from fmnist_dask.report.blocks import Picture, Plate
from fmnist_dask.report.figures.categories import NONE_COLOUR, category_colours
from fmnist_dask.report.figures.heatmaps import reduce_mean
from fmnist_dask.report.page import ORDER_CLASSES, Block, Contribution, Gallery, Section, Swatch, Switch, Tile
from fmnist_dask.report.pictures import brightness_picture
from fmnist_dask.report.sheets import background_of, page_uri, sheet, tinted
from fmnist_dask.report.words import count
from fmnist_dask.typing import AnyArray, FloatArray
from fmnist_dask.workflow.figures._text import UNLABELLED, context_basis, names, values
from fmnist_dask.workflow.registry import ReportContext

BUDGET = 500_000


def figures(dataset: xarray.Dataset, context: ReportContext) -> Contribution:
    """Random images and means."""
    image, cells = values(dataset, "image"), values(dataset, "cells").astype(np.int64)
    label = values(dataset, "label").astype(np.int64)
    background = background_of(image)
    of = f"{count(int((cells >= 0).sum()), 'random image')}, {cells.shape[0]} × {cells.shape[1]}"
    file = f"pictures/{context.name}"
    plain = Plate(
        Picture(page_uri(sheet(cells, image, background), BUDGET), f"mosaic of {of}", (f"{of}.",)),
        link=f"{file}-random.png",
        link_text="Print size (PNG)",
    )
    choices: list[tuple[str, tuple[Block, ...]]] = [("as they are", (plain,))]
    groups = names(dataset, "group")
    sizes = dict(zip(groups, values(dataset, "class_size").tolist(), strict=True))
    if context.class_names:
        colours = [*category_colours([sizes.get(name, 0) for name in context.class_names]), NONE_COLOUR]
        ink = tinted(image, [colours[at] for at in label.tolist()], background)
        present = [at for at in range(len(context.class_names)) if (label == at).any()]
        known = [*((context.class_names[at], colours[at]) for at in present)]
        if (label < 0).any():
            known.append((UNLABELLED, NONE_COLOUR))
        alt = f"mosaic of {of}, in the colours of classes"
        plate = Plate(
            Picture(page_uri(sheet(cells, ink, 255), BUDGET), alt, (f"{of}.",)),
            tuple(Swatch(colour, name) for name, colour in known),
            f"{file}-classes.png",
            "Print size (PNG)",
        )
        choices.insert(0, ("by class", (plate,)))
    means = values(dataset, "class_mean").astype(np.float64)
    tiles = tuple(
        Tile((_mean(mean, name, sizes[name]),)) for mean, name in zip(means, groups, strict=True) if sizes[name]
    )
    note = "The mean of each pixel over all images of the class: black 0, bright yellow 1."
    if means.ndim == 4:
        note = "The mean of each pixel over all images of the class."
    return Contribution(
        sections=(
            Section(
                title="A mosaic of random images",
                short="Mosaic",
                anchor="mosaic",
                lead="What the images are like before anything is made of them, and the mean image of each class.",
                basis=context_basis(context, "the mosaic is a random sample, means are of every image"),
                blocks=(
                    Switch("Colours", tuple(choices)),
                    Gallery(tiles, heading="Class means" if context.class_names else "Mean image", note=note),
                ),
                order=ORDER_CLASSES - 5,
            ),
        )
    )


def _mean(mean: FloatArray, name: str, size: int) -> Picture:
    """One class's mean as a heatmap; in its own colours where it has some."""
    told = (name, count(size, "image"))
    if mean.ndim == 3:
        return brightness_picture(mean / 255, f"mean of {name}", told)
    palette = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in Inferno256], np.uint8)
    small: AnyArray = np.nan_to_num(reduce_mean(mean))
    drawn = palette[np.clip(np.rint(small), 0, 255).astype(np.intp)]
    return Picture(data_uri(np.ascontiguousarray(drawn)), f"mean of {name}", told)
