"""Colour quantization beside scikit-learn, Pillow and scikit-image, on scikit-learn's two photographs.

``python -m tests.benchmarks.quantize sweep methods ssim large``: parts, of which the last takes a quarter of an hour.
Both sides begin with pixels in memory (``large``: ours with a Zarr store on disk, on two workers) and end with
pictures.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import load_sample_image
from sklearn.metrics import pairwise_distances_argmin
from sklearn.mixture import GaussianMixture

from fmnist_dask.collection.lines import Lines
from fmnist_dask.collection.raster_writing import store_raster
from fmnist_dask.collection.sources.photographs import photograph_of
from fmnist_dask.kernels.colours import Colours, count_colours, looked_up, table_of
from fmnist_dask.kernels.quantizers import Method, Palette, Prepared, Recipe, choose
from fmnist_dask.kernels.similarity import fixed_point, mean_of, n_windows, similarity_sums
from fmnist_dask.models.quantize import QuantizeOptions, quantize
from fmnist_dask.passes.local import drive
from tests.benchmarks.common import arguments, median_seconds, show, two_workers

NUMBERS = (2, 4, 8, 16, 32, 64, 128, 256)
STUDY = Recipe(noise=1e-3, typical="median")
PARTS = ("sweep", "methods", "ssim", "large")


def main() -> None:
    """The parts that are asked for; all but the longest by default."""
    parser = arguments(__doc__, fashion=False)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS[:-1]))
    parser.add_argument("--whole", action="store_true", help="sweep the photographs as they are, too: ten minutes")
    parser.add_argument("--most", type=int, default=256, help="colours to which scikit-learn goes in the part large")
    parser.add_argument("--megapixels", type=int, default=24)
    given = parser.parse_args()
    for part in given.parts:
        {"sweep": sweep, "methods": methods, "ssim": similarity, "large": large}[part](given)


def photographs(whole: bool = True) -> dict[str, np.ndarray]:
    """Both photographs, at 200 × 300 and as they are."""
    found = {}
    for name, size in itertools.product(("china", "flower"), ((200, 300), None) if whole else ((200, 300),)):
        image = Image.fromarray(load_sample_image(f"{name}.jpg"))
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        found[f"{name}, {pixels.shape[0]} × {pixels.shape[1]}"] = pixels
    return found


def ssim(image: np.ndarray, other: np.ndarray) -> float:
    """As scikit-image computes it."""
    return float(structural_similarity(image, other, channel_axis=-1, data_range=255))


def mse(image: np.ndarray, other: np.ndarray) -> float:
    """Of a value, in levels²."""
    return float(np.square(image.astype(np.int32) - other).mean())


def painted(pixels: np.ndarray, colours: Colours, palette: Palette) -> np.ndarray:
    """The picture in the colours of a palette."""
    flat = pixels.reshape(-1, 3)
    return palette.colours[looked_up(flat, colours.bits, table_of(colours, palette.labels))].reshape(pixels.shape)


def our_sweep(pixels: np.ndarray) -> list[np.ndarray]:
    """Pictures of all numbers of colours, by two threads."""
    colours = count_colours(pixels.reshape(-1, 3), 1 << 20)
    prepared = Prepared.of(colours)
    # Made once, not by each thread.
    prepared.cells, prepared.search, prepared.other_trees  # noqa: B018
    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(choose, prepared, "kmeans", k, Recipe()) for k in reversed(NUMBERS)]
        return [painted(pixels, colours, one.result()) for one in reversed(work)]


def their_picture(pixels: np.ndarray, k: int, starts: Any) -> np.ndarray:
    """By scikit-learn's k-means."""
    points = pixels.reshape(-1, 3).astype(np.float32)
    model = KMeans(k, n_init=starts, random_state=0).fit(points)
    return np.rint(model.cluster_centers_).astype(np.uint8)[model.labels_].reshape(pixels.shape)


def sweep(given: Any) -> None:
    """2 to 256 colours by k-means."""
    for name, pixels in photographs(given.whole).items():
        swept(name, pixels, given.repeats)


def swept(name: str, pixels: np.ndarray, repeats: int) -> None:
    """Of one photograph."""
    our_sweep(pixels)  # compiled by now
    ours, _ = median_seconds(lambda: our_sweep(pixels), repeats)
    theirs, _ = median_seconds(lambda: [their_picture(pixels, k, "auto") for k in NUMBERS], repeats)
    one = [their_picture(pixels, k, "auto") for k in NUMBERS]
    ten = [their_picture(pixels, k, 10) for k in NUMBERS]
    mine = our_sweep(pixels)
    show(
        f"2, 4, … 256 colours, {name}",
        [
            ("ours", ours, f"{ours / theirs:.2f} × the time"),
            ("scikit-learn, one start each", theirs, f"{theirs / ours:.1f} × ours"),
        ],
    )
    for title, measure in (("SSIM", ssim), ("MSE", mse)):
        rows = {"ours": mine, "one start": one, "best of ten": ten}
        for who, pictures in rows.items():
            print(f"  {title} {who:<14}" + " ".join(f"{measure(pixels, other):8.3f}" for other in pictures))
    ratios = [mse(pixels, a) / mse(pixels, b) for a, b in zip(mine, ten, strict=True)]
    print("  MSE, ours / best of ten " + " ".join(f"{ratio:8.4f}" for ratio in ratios), flush=True)


def methods(given: Any) -> None:
    """8 colours by each method."""
    for name, pixels in photographs().items():
        compared(name, pixels, given.repeats)


def compared(name: str, pixels: np.ndarray, repeats: int) -> None:
    """Of one photograph."""
    flat = pixels.reshape(-1, 3)
    rows: list[tuple[str, float, str]] = []

    def ours(method: Method, recipe: Recipe) -> np.ndarray:
        colours = count_colours(flat, 1 << 20)
        return painted(pixels, colours, choose(Prepared.of(colours), method, 8, recipe))

    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours, k-means": lambda: ours("kmeans", Recipe()),
        "scikit-learn, k-means, ten starts": lambda: their_picture(pixels, 8, 10),
        "ours, agglomerative, all pixels": lambda: ours("agglomerative", Recipe()),
        "scikit-learn, agglomerative, 10,000 pixels": lambda: their_hierarchy(flat),
        "ours, mixture": lambda: ours("gaussian_mixture", Recipe()),
        "ours, mixture, the study's way": lambda: ours("gaussian_mixture", STUDY),
        "scikit-learn, mixture, medians": lambda: their_mixture(flat, np.median),
        "scikit-learn, mixture, means": lambda: their_mixture(flat, np.mean),
        "Pillow, median cut": lambda: np.asarray(Image.fromarray(pixels).quantize(8, dither=0).convert("RGB")),
    }
    for what, work in ways.items():
        picture = work().reshape(pixels.shape)
        seconds, _ = median_seconds(work, repeats)
        rows.append((what, seconds, f"SSIM {ssim(pixels, picture):.4f}, MSE {mse(pixels, picture):7.1f}"))
    show(f"8 colours, {name}", rows)


def their_hierarchy(flat: np.ndarray) -> np.ndarray:
    """Of 10,000 pixels at random; all others get the nearest mean."""
    points = flat.astype(np.float64)
    some = points[np.random.default_rng(0).permutation(len(points))[:10_000]]
    labels = AgglomerativeClustering(8).fit(some).labels_
    means = np.stack([some[labels == cluster].mean(axis=0) for cluster in range(8)])
    return np.rint(means).astype(np.uint8)[pairwise_distances_argmin(points, means)]


def their_mixture(flat: np.ndarray, typical: Any) -> np.ndarray:
    """Full covariances, as by default."""
    points = flat.astype(np.float64)
    labels = GaussianMixture(8, random_state=0).fit(points).predict(points)
    return np.stack([np.rint(typical(points[labels == c], axis=0)) for c in range(8)]).astype(np.uint8)[labels]


def large_photograph(megapixels: int) -> np.ndarray:
    """A photograph enlarged to so many pixels, with the noise of a sensor: millions of distinct colours."""
    side = int((megapixels * 1e6 / 1.5) ** 0.5)
    image = Image.fromarray(load_sample_image("china.jpg")).resize((side * 3 // 2, side), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 2, (side, side * 3 // 2, 3)).astype(np.float32)
    return np.clip(np.rint(np.asarray(image) + noise), 0, 255).astype(np.uint8)


def similarity(given: Any) -> None:
    """SSIM of a large image with its palette picture, exact, both in memory."""
    pixels = large_photograph(given.megapixels)
    colours = count_colours(pixels.reshape(-1, 3), 262_144)
    palette = choose(Prepared.of(colours), "kmeans", 16, Recipe())
    index = looked_up(pixels.reshape(-1, 3), colours.bits, table_of(colours, palette.labels)).reshape(pixels.shape[:2])
    picture = palette.colours[index]
    windows = n_windows(*pixels.shape)
    bits = fixed_point(windows)
    halves = [slice(0, len(pixels) // 2 + 3), slice(len(pixels) // 2 - 3, len(pixels))]

    def ours(parts: list[slice]) -> float:
        with ThreadPoolExecutor(len(parts)) as pool:
            sums = pool.map(lambda part: similarity_sums(pixels[part], index[part], palette.colours, bits), parts)
            return mean_of(sum(sums), windows, bits)

    ours([slice(0, 64)])
    found = [ours([slice(0, len(pixels))]), ours(halves), ssim(pixels, picture)]
    one, _ = median_seconds(lambda: ours([slice(0, len(pixels))]), given.repeats)
    two, _ = median_seconds(lambda: ours(halves), given.repeats)
    theirs, _ = median_seconds(lambda: ssim(pixels, picture), given.repeats)
    show(
        f"SSIM of {pixels.shape[0]:,} × {pixels.shape[1]:,} pixels",
        [
            ("ours, one thread", one, f"{found[0]:.12f}; {theirs / one:.1f} × the speed"),
            ("ours, two threads", two, f"{found[1]:.12f}; {theirs / two:.1f} × the speed"),
            ("scikit-image", theirs, f"{found[2]:.12f}"),
        ],
    )


def large(given: Any) -> None:
    """2 to 256 colours of a photograph of 24 megapixels: counted, looked up and compared on two workers."""
    pixels = large_photograph(given.megapixels)
    directory: Path = given.directory
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"photograph-{given.megapixels}.npy"
    np.save(file, pixels, allow_pickle=False)
    place = directory / f"photograph-{given.megapixels}.zarr"
    shutil.rmtree(place, ignore_errors=True)
    photo = photograph_of({"photo": str(file)})
    assert photo is not None
    store_raster(photo, str(place))  # type: ignore[arg-type]
    source = Lines.open(place)
    # More distinct colours than by default: with noise there are millions.
    options = QuantizeOptions(methods=(), sweep=NUMBERS, exact_colors=1 << 20)
    models: list[Any] = []
    with two_workers(directory) as (_, engine):

        def ours() -> None:
            shutil.rmtree(directory / "columns", ignore_errors=True)
            models.append(drive(quantize(source, options, lines=True), source, engine))

        ours()
        seconds, _ = median_seconds(ours, given.repeats)
        palettes = models[-1].palettes.values()
        scores = [(one.ssim, one.mse) for one in palettes]
    print(f"ours: {seconds:.1f} s", flush=True)
    print(f"{len(models[-1].colours):,} colours or bins of {models[-1].colours.bits} bits a channel")
    rows = [("ours, from Zarr, SSIM of all included", seconds, " ".join(f"{one[0]:.4f}" for one in scores))]
    total, found = 0.0, []
    for k in [k for k in NUMBERS if k <= given.most]:
        begun = time.perf_counter()
        picture = their_picture(pixels, k, "auto")
        one = time.perf_counter() - begun
        total += one
        found.append((ssim(pixels, picture), mse(pixels, picture)))
        print(f"  scikit-learn, {k} colours: {one:.1f} s", flush=True)
    rows.append(
        (f"scikit-learn, in memory, to {given.most}, without SSIM", total, " ".join(f"{one[0]:.4f}" for one in found))
    )
    show(f"2, 4, … 256 colours, {pixels.shape[0]:,} × {pixels.shape[1]:,}", rows)
    print(f"  {total / seconds:.1f} × the speed")
    print("  MSE ours " + " ".join(f"{one[1]:9.3f}" for one in scores))
    print("  theirs   " + " ".join(f"{one[1]:9.3f}" for one in found))
    os.unlink(file)


if __name__ == "__main__":
    main()
