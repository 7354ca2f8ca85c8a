"""The same analysis as ``explore`` by a straightforward in-memory script: IDX files in, figures and HTML out.

Usage: ``python -m tests.benchmarks.numpy_script DIRECTORY OUT.html [structure]``; with ``structure`` also the PCA and
the KMeans of scikit-learn.
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


def main(directory: Path, out: Path, structure: bool = False) -> None:
    """Read, hash, describe, draw."""
    image = np.concatenate(
        [read(directory / f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28) for name in ("train", "t10k")]
    )
    label = np.concatenate([read(directory / f"{name}-labels-idx1-ubyte.gz", 8) for name in ("train", "t10k")])
    n = len(read(directory / "train-labels-idx1-ubyte.gz", 8))
    groups = collections.defaultdict(list)
    for row, one in enumerate(image):
        groups[hashlib.md5(one.tobytes()).digest()].append(row)
    copies = [rows for rows in groups.values() if len(rows) > 1]
    train, classes = image[:n], label[:n]
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
                                       "sharpness": sharpness, "blank": blank},
         find_structure(image, train, classes) if structure else [])  # fmt: skip


def find_structure(image: np.ndarray, train: np.ndarray, classes: np.ndarray) -> list:
    """PCA 50, KMeans 10 from ten starts, and their figures."""
    from bokeh.palettes import Category10
    from bokeh.plotting import figure
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    flat = train.reshape(len(train), -1).astype(np.float32) / 255
    pca = PCA(50).fit(flat)
    codes = pca.transform(image.reshape(len(image), -1) / 255)
    clusters = KMeans(10, n_init=10, random_state=0).fit(flat)
    table = np.zeros((10, 10), int)
    np.add.at(table, (clusters.labels_, classes), 1)
    distance = np.sqrt(((flat - clusters.cluster_centers_[clusters.labels_]) ** 2).sum(axis=1))
    nearest = {k: np.flatnonzero(clusters.labels_ == k) for k in range(10)}
    nearest = {k: rows[np.argsort(distance[rows])[:12]] for k, rows in nearest.items()}
    scores = (normalized_mutual_info_score(classes, clusters.labels_), adjusted_rand_score(classes, clusters.labels_))
    scatter = figure(title=f"inertia {clusters.inertia_:.1f}, NMI and ARI {scores}", width=700, height=500)
    colours = np.array(Category10[10])[clusters.labels_]
    scatter.scatter(codes[: len(train), 0], codes[: len(train), 1], size=2, color=colours)
    scree = figure(title="explained variance", width=300, height=300)
    scree.line(np.arange(50), pca.explained_variance_ratio_.cumsum())
    heatmap = figure(title="composition", width=300, height=300)
    heatmap.image([table], x=0, y=0, dw=10, dh=10)
    plots = [scatter, scree, heatmap]
    for values in [*pca.components_[:24], *clusters.cluster_centers_, *(train[rows[0]] for rows in nearest.values())]:
        plot = figure(width=100, height=100)
        plot.image([values.reshape(28, 28)[::-1]], x=0, y=0, dw=28, dh=28)
        plots.append(plot)
    return plots


def draw(out: Path, copies: int, summaries: dict, properties: dict, more: list) -> None:
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
    plots += more
    out.write_text(file_html(gridplot(plots, ncols=6), INLINE, f"{copies} groups of copies"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["structure"])
