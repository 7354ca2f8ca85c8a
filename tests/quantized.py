"""Results with the schema of the step ``quantize``, made with scikit-learn and Pillow. Importable by test modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image
from scipy.ndimage import uniform_filter
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from sklearn.cluster import AgglomerativeClustering, MiniBatchKMeans
from sklearn.datasets import load_sample_image
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from fmnist_dask.collection.thumbnails import png

METHODS = ("kmeans", "gaussian_mixture", "agglomerative", "median_cut")
WINDOW = 7


def china(step: int = 1) -> np.ndarray:
    """A real photograph, every ``step``-th pixel of it."""
    return np.ascontiguousarray(load_sample_image("china.jpg")[::step, ::step])


@threadpool_limits.wrap(limits=1)  # many threads on few rows only wait for each other
def palette_of(pixels: np.ndarray, method: str, colours: int, seed: int = 0) -> np.ndarray:
    """Up to so many colours for pixels of shape (m, channel), padded with black."""
    rng = np.random.default_rng(seed)
    distinct = np.unique(pixels, axis=0)
    few = min(colours, len(distinct))
    sample = pixels[rng.choice(len(pixels), min(len(pixels), 2000), replace=False)].astype(np.float64)
    few = min(few, len(np.unique(sample, axis=0)))
    if method == "median_cut" and pixels.shape[1] == 3:
        table = Image.fromarray(pixels[None]).quantize(few, Image.Quantize.MEDIANCUT).getpalette()
        found = np.array(table, np.float64).reshape(-1, 3)[:few]
    elif method == "gaussian_mixture":
        labels = GaussianMixture(few, random_state=0, reg_covar=1.0).fit_predict(sample)
        found = np.array([np.median(sample[labels == one], axis=0) for one in np.unique(labels)])
    elif method == "agglomerative":
        labels = AgglomerativeClustering(few).fit_predict(sample) if few > 1 else np.zeros(len(sample), int)
        found = np.array([sample[labels == one].mean(axis=0) for one in range(few)])
    else:
        found = MiniBatchKMeans(few, n_init=1, random_state=0).fit(sample).cluster_centers_
    palette = np.zeros((colours, pixels.shape[1]), np.uint8)
    palette[: len(found)] = np.rint(found)
    return palette


def mapped(pixels: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The palette by frequency, its shares, and each pixel's position in it."""
    nearest = cKDTree(palette.astype(np.float64)).query(pixels.astype(np.float64))[1]
    counts = np.bincount(nearest, minlength=len(palette))
    order = np.argsort(-counts, kind="stable")
    return palette[order], counts[order] / len(pixels), np.argsort(order)[nearest].astype(np.uint8)


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over channels and windows; NaN for images smaller than a window."""
    if min(first.shape[:2]) < WINDOW:
        return float("nan")
    scores = []
    for at in range(first.shape[2]):
        x, y = first[..., at].astype(np.float64), second[..., at].astype(np.float64)
        mx, my = uniform_filter(x, WINDOW), uniform_filter(y, WINDOW)
        vx, vy = uniform_filter(x * x, WINDOW) - mx**2, uniform_filter(y * y, WINDOW) - my**2
        both = uniform_filter(x * y, WINDOW) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        scores.append((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(scores))


def _scored(image: np.ndarray, made: np.ndarray) -> tuple[float, float, int]:
    flat = made[..., 0] if made.shape[-1] == 1 else made
    error = ((image.astype(np.float64) - made) ** 2).mean()
    return ssim(image, made), float(error), len(png(np.ascontiguousarray(flat)))


def _matched(palettes: np.ndarray) -> np.ndarray:
    """A number for each colour of each palette: near colours have the same."""
    match = [np.arange(palettes.shape[1])]
    first = palettes[0].astype(np.float64)
    for other in palettes[1:]:
        cost = ((other[:, None].astype(np.float64) - first) ** 2).sum(axis=2)
        match.append(linear_sum_assignment(cost)[1])
    return np.array(match, np.uint8)


def _colour_map(pixels: np.ndarray, palettes: np.ndarray, match: np.ndarray, points: int, kind: str) -> dict[str, Any]:
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    chosen = np.sort(np.random.default_rng(0).choice(len(colours), min(points, len(colours)), replace=False))
    colours, counts = colours[chosen], counts[chosen]
    data: dict[str, Any] = {"map_color": (("point", "channel"), colours), "map_count": ("point", counts)}
    labels = [match[at][mapped_to(colours, palette)] for at, palette in enumerate(palettes)]
    data["map_label"] = (("method", "point"), np.array(labels, np.uint8))
    data["map_match"] = (("method", "color"), match)
    if kind:
        # No map of a method, but a plane of colours: lightness apart from the rest.
        values = colours.astype(np.float64)
        place = np.stack([values[:, 0] - values[:, -1], values.sum(axis=1)], axis=1).astype(np.float32)
        data["map_place"] = (("point", "axis"), place)
    return data


def mapped_to(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Positions of the nearest colours of a palette."""
    return cKDTree(palette.astype(np.float64)).query(colours.astype(np.float64))[1]


def photograph(
    image: np.ndarray,
    methods: Sequence[str] = METHODS,
    n_colors: int = 8,
    sweep: Sequence[int] = (2, 4, 8, 16, 32, 64, 128, 256),
    kind: str = "umap",
    points: int = 5000,
    step: int = 1,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """As the step returns it of an image of shape (y, x, channel)."""
    height, width, channels = image.shape
    pixels = image.reshape(-1, channels)
    rows: dict[str, list[Any]] = {}
    tries = [("", method, n_colors) for method in methods] + [("sweep_", "kmeans", number) for number in sweep]
    for prefix, method, number in tries:
        palette, share, index = mapped(pixels, palette_of(pixels, method, number))
        scores = _scored(image, palette[index].reshape(image.shape))
        room = max([n_colors] if not prefix else sweep) - number
        found = {
            "palette": np.pad(palette, ((0, room), (0, 0))),
            "share": np.pad(share, (0, room)),
            "preview_index": index.reshape(height, width)[::step, ::step],
            **dict(zip(("ssim", "mse", "png_bytes"), scores, strict=True)),
            "seconds": 0.2 + number / 40 + len(method) / 10,
        }
        for name, value in found.items():
            rows.setdefault(prefix + name, []).append(value)
    preview = ("preview_y", "preview_x")
    data: dict[str, Any] = {"preview": ((*preview, "channel"), image[::step, ::step], {"step": step})}
    for prefix, along, color in (("", "method", "color"), ("sweep_", "sweep", "sweep_color")):
        if prefix + "palette" not in rows:
            continue
        data |= {
            prefix + name: (along, np.array(rows[prefix + name])) for name in ("ssim", "mse", "png_bytes", "seconds")
        }
        data[prefix + "palette"] = ((along, color, "channel"), np.array(rows[prefix + "palette"]))
        data[prefix + "share"] = ((along, color), np.array(rows[prefix + "share"]))
        data[prefix + "preview_index"] = ((along, *preview), np.array(rows[prefix + "preview_index"]))
    palettes = np.array(rows["palette"])
    data |= _colour_map(pixels, palettes, _matched(palettes), points, kind)
    coords: dict[str, Any] = {"method": list(methods)}
    if sweep:
        coords["sweep_colors"] = ("sweep", np.array(sweep))
    bare = image[..., 0] if channels == 1 else image
    known = {
        "kind": "photograph", "height": height, "width": width, "n_pixels": len(pixels),
        "n_distinct": len(np.unique(pixels, axis=0)), "bits": 8, "space": "gray" if channels == 1 else "rgb",
        "n_colors": n_colors, "split": "all", "map": kind, "map_neighbors": 20, "palette_scope": "shared",
        "original_png_bytes": len(png(np.ascontiguousarray(bare))), **(attrs or {}),
    }  # fmt: skip
    return xr.Dataset(data, coords=coords, attrs={name: value for name, value in known.items() if value is not None})


def collection(images: np.ndarray, scope: str = "shared", examples: int = 12, n_colors: int = 8) -> xr.Dataset:
    """As the step returns it of images of shape (n, y, x, channel), without a sweep."""
    methods = METHODS[:2]
    pixels = images.reshape(-1, images.shape[-1])
    shown = images[:examples]
    tall = images.reshape(-1, *images.shape[2:])
    whole = photograph(tall, methods, n_colors, sweep=(), points=600)
    dims = ("example", "y", "x")
    index, own = [], []
    for at, method in enumerate(methods):
        palettes = [
            whole["palette"].values[at] if scope == "shared" else palette_of(one.reshape(-1, 3), method, n_colors)
            for one in shown
        ]
        index.append([mapped_to(one.reshape(-1, 3), palette).reshape(one.shape[:2])
                      for one, palette in zip(shown, palettes, strict=True)])  # fmt: skip
        own.append(palettes)
    dropped = ["preview", "preview_index"] + ["palette", "share", "map_label", "map_match"] * (scope == "each")
    found = whole.drop_vars(dropped).assign(
        example_image=((*dims, "channel"), shown),
        example_index=(("method", *dims), np.array(index, np.uint8)),
    )
    if scope == "each":
        found = found.assign(example_palette=(("method", "example", "color", "channel"), np.array(own)))
    known = {"kind": "collection", "height": images.shape[1], "width": images.shape[2], "palette_scope": scope}
    return found.assign_attrs(n_pixels=len(pixels), **known)
