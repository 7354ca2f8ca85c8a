"""The same analysis as ``explore`` by a straightforward in-memory NumPy script: IDX files in, figures and HTML out.

Usage: ``python -m tests.benchmarks.numpy_script DIRECTORY OUT.html``
"""

from __future__ import annotations

import collections
import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np


def read(path: Path, header: int) -> np.ndarray:
    """Values of an IDX file."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def main(directory: Path, out: Path) -> None:
    """Read, hash, describe, draw."""
    image = np.concatenate(
        [read(directory / f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28) for name in ("train", "t10k")]
    )
    label = np.concatenate([read(directory / f"{name}-labels-idx1-ubyte.gz", 8) for name in ("train", "t10k")])
    groups = collections.defaultdict(list)
    for row, one in enumerate(image):
        groups[hashlib.md5(one.tobytes()).digest()].append(row)
    copies = [rows for rows in groups.values() if len(rows) > 1]
    train, classes = image[:60_000], label[:60_000]
    summaries = {}
    for name, part in {"all": train, **{str(k): train[classes == k] for k in range(10)}}.items():
        quartiles = np.quantile(part, [0, 0.25, 0.5, 0.75, 1], axis=0)
        summaries[name] = (part.mean(axis=0), part.std(axis=0), quartiles, np.bincount(part.ravel(), minlength=256))
    flat = image.reshape(len(image), -1)
    brightness, contrast = flat.mean(axis=1) / 255, flat.std(axis=1) / 255
    ordered = np.sort(flat, axis=1)
    distinct = 1 + (np.diff(ordered, axis=1) > 0).sum(axis=1)
    wide = image.astype(np.float32) / 255
    laplacian = (
        wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:] - 4 * wide[:, 1:-1, 1:-1]
    )
    sharpness = laplacian.std(axis=(1, 2))
    blank = (flat == 0).mean(axis=1)
    draw(out, len(copies), summaries, {"brightness": brightness, "contrast": contrast, "distinct": distinct,
                                       "sharpness": sharpness, "blank": blank})  # fmt: skip


def draw(out: Path, copies: int, summaries: dict, properties: dict) -> None:
    """Heatmaps and histograms as one Bokeh page."""
    from bokeh.embed import file_html
    from bokeh.layouts import gridplot
    from bokeh.plotting import figure
    from bokeh.resources import INLINE

    plots = []
    for name, (mean, _, quartiles, counts) in summaries.items():
        for title, values in ((f"mean {name}", mean), (f"median {name}", quartiles[2])):
            plot = figure(title=title, width=150, height=150)
            plot.image([values[::-1]], x=0, y=0, dw=28, dh=28)
            plots.append(plot)
        plot = figure(title=f"values {name}", width=150, height=150)
        plot.vbar(x=np.arange(256), top=counts, width=1)
        plots.append(plot)
    for name, values in properties.items():
        counts, edges = np.histogram(values, 50)
        plot = figure(title=name, width=150, height=150)
        plot.quad(left=edges[:-1], right=edges[1:], top=counts, bottom=0)
        plots.append(plot)
    out.write_text(file_html(gridplot(plots, ncols=6), INLINE, f"{copies} groups of copies"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
