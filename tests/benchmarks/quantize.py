"""Colour quantization beside scikit-learn, Pillow and scikit-image, on scikit-learn's two photographs.

``python -m tests.benchmarks.quantize sweep methods ssim large``: parts, of which the last takes a quarter of an hour,
and is left out by default.
Both sides begin with pixels in memory (``large``: ours with a Zarr store on disk, on two workers) and end with
pictures.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
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
from tests.benchmarks.rows import Row, beside_peer, once, timed
from tests.benchmarks.settings import Options, Settings, alone

STUDY = Recipe(noise=1e-3, typical="median")
PARTS = ("sweep", "methods", "ssim", "large")


@dataclass(frozen=True)
class QuantizeBenchmark(Options):
    """Parts and sizes.

    Attributes
    ----------
    most
        Colours to which scikit-learn goes in the part ``large``.
    height
        Of the small photographs, which are half as wide again.
    """

    parts: tuple[str, ...] = field(default=PARTS[:-1], metadata={"choices": PARTS, "help": f"parts: {PARTS}"})
    whole: bool = field(default=False, metadata={"help": "sweep the photographs as they are, too: ten minutes"})
    most: int = 256
    megapixels: float = 24.0
    numbers: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256)
    height: int = 200


BY_SIZE = {
    "tiny": QuantizeBenchmark(1, PARTS, megapixels=0.05, numbers=(2, 8), height=24),
    "usual": QuantizeBenchmark(),
    "large": QuantizeBenchmark(parts=PARTS, whole=True),
}


def chapter(settings: Settings, options: QuantizeBenchmark) -> Iterator[Row]:
    """The parts that are asked for; all but the longest by default."""
    if not settings.has("scikit-image"):
        return
    for part in options.parts:
        yield from {"sweep": sweep, "methods": methods, "ssim": similarity, "large": large}[part](settings, options)


def photographs(height: int, whole: bool) -> dict[str, np.ndarray]:
    """Both photographs, at 200 × 300 and as they are."""
    found, small = {}, (height, height * 3 // 2)
    for name, size in itertools.product(("china", "flower"), (small, None) if whole else (small,)):
        image = Image.fromarray(load_sample_image(f"{name}.jpg"))
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        found[f"{name}, {pixels.shape[0]} × {pixels.shape[1]}"] = pixels
    return found


def ssim(image: np.ndarray, other: np.ndarray) -> float:
    """As scikit-image computes it."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(image, other, channel_axis=-1, data_range=255))


def mse(image: np.ndarray, other: np.ndarray) -> float:
    """Of a value, in levels²."""
    return float(np.square(image.astype(np.int32) - other).mean())


def painted(pixels: np.ndarray, colours: Colours, palette: Palette) -> np.ndarray:
    """The picture in the colours of a palette."""
    flat = pixels.reshape(-1, 3)
    return palette.colours[looked_up(flat, colours.bits, table_of(colours, palette.labels))].reshape(pixels.shape)


def our_sweep(pixels: np.ndarray, numbers: tuple[int, ...]) -> list[np.ndarray]:
    """Pictures of all numbers of colours, by two threads."""
    colours = count_colours(pixels.reshape(-1, 3), 1 << 20)
    prepared = Prepared.of(colours)
    # Made once, not by each thread.
    prepared.cells, prepared.search, prepared.other_trees  # noqa: B018
    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(choose, prepared, "kmeans", k, Recipe()) for k in reversed(numbers)]
        return [painted(pixels, colours, one.result()) for one in reversed(work)]


def their_picture(pixels: np.ndarray, k: int, starts: Any) -> np.ndarray:
    """By scikit-learn's k-means."""
    points = pixels.reshape(-1, 3).astype(np.float32)
    model = KMeans(k, n_init=starts, random_state=0).fit(points)
    return np.rint(model.cluster_centers_).astype(np.uint8)[model.labels_].reshape(pixels.shape)


def sweep(settings: Settings, options: QuantizeBenchmark) -> Iterator[Row]:
    """2 to 256 colours by k-means."""
    for name, pixels in photographs(options.height, options.whole).items():
        yield swept(name, pixels, options)


def swept(name: str, pixels: np.ndarray, options: QuantizeBenchmark) -> Row:
    """Of one photograph."""
    numbers = options.numbers
    our_sweep(pixels, numbers)  # compiled by now
    ours = timed(lambda: our_sweep(pixels, numbers), options.repeats)
    theirs = timed(lambda: [their_picture(pixels, k, "auto") for k in numbers], options.repeats)
    one = [their_picture(pixels, k, "auto") for k in numbers]
    ten = [their_picture(pixels, k, 10) for k in numbers]
    mine = our_sweep(pixels, numbers)
    for title, measure in (("SSIM", ssim), ("MSE", mse)):
        for who, pictures in {"ours": mine, "one start": one, "best of ten": ten}.items():
            print(f"  {title} {who:<14}" + " ".join(f"{measure(pixels, other):8.3f}" for other in pictures), flush=True)

    def beside(pictures: list[np.ndarray]) -> list[float]:
        return [mse(pixels, a) / mse(pixels, b) for a, b in zip(pictures, ten, strict=True)]

    us, them = beside(mine), beside(one)
    told = f"MSE {min(us):.3f} to {max(us):.3f} of the best of ten, theirs {min(them):.3f} to {max(them):.3f}"
    what, by, n = (
        f"{numbers[0]} to {numbers[-1]} colours by k-means, {name}",
        "KMeans, one start each",
        pixels[..., 0].size,
    )
    return beside_peer(what, ours, "scikit-learn", by, theirs, n, agrees=max(us) < 1.05, remark=told)


def methods(settings: Settings, options: QuantizeBenchmark) -> Iterator[Row]:
    """8 colours by each method."""
    for name, pixels in photographs(options.height, whole=not settings.tiny).items():
        yield from compared(name, pixels, options.repeats)


def compared(name: str, pixels: np.ndarray, repeats: int) -> Iterator[Row]:
    """Of one photograph."""
    flat = pixels.reshape(-1, 3)

    def ours(method: Method, recipe: Recipe) -> np.ndarray:
        colours = count_colours(flat, 1 << 20)
        return painted(pixels, colours, choose(Prepared.of(colours), method, 8, recipe))

    def measured(work: Callable[[], np.ndarray]) -> tuple[Any, str]:
        picture = work().reshape(pixels.shape)
        return timed(work, repeats), f"SSIM {ssim(pixels, picture):.4f}, MSE {mse(pixels, picture):.1f}"

    mine = {
        "k-means": measured(lambda: ours("kmeans", Recipe())),
        "Ward's hierarchy of all pixels": measured(lambda: ours("agglomerative", Recipe())),
        "a mixture": measured(lambda: ours("gaussian_mixture", Recipe())),
        "a mixture, the study's way": measured(lambda: ours("gaussian_mixture", STUDY)),
    }
    median_cut = lambda: np.asarray(Image.fromarray(pixels).quantize(8, dither=0).convert("RGB"))  # noqa: E731
    theirs = {
        ("scikit-learn", "KMeans, ten starts"): measured(lambda: their_picture(pixels, 8, 10)),
        ("scikit-learn", "AgglomerativeClustering, 10,000 pixels"): measured(lambda: their_hierarchy(flat)),
        ("scikit-learn", "GaussianMixture, medians"): measured(lambda: their_mixture(flat, np.median)),
        ("scikit-learn", "GaussianMixture, means"): measured(lambda: their_mixture(flat, np.mean)),
        ("Pillow", "median cut"): measured(median_cut),
    }
    ways = ("k-means", "Ward's hierarchy of all pixels", "a mixture, the study's way", "a mixture", "k-means")
    for (peer, by), way in zip(theirs, ways, strict=True):
        (seconds, told), (other, told_of_them) = mine[way], theirs[peer, by]
        what, remark = f"8 colours by {way}, {name}", f"{told}; theirs {told_of_them}"
        yield beside_peer(what, seconds, peer, by, other, len(flat), remark=remark)


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


def large_photograph(megapixels: float) -> np.ndarray:
    """A photograph enlarged to so many pixels, with the noise of a sensor: millions of distinct colours."""
    side = int((megapixels * 1e6 / 1.5) ** 0.5)
    image = Image.fromarray(load_sample_image("china.jpg")).resize((side * 3 // 2, side), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 2, (side, side * 3 // 2, 3)).astype(np.float32)
    return np.clip(np.rint(np.asarray(image) + noise), 0, 255).astype(np.uint8)


def similarity(settings: Settings, options: QuantizeBenchmark) -> Iterator[Row]:
    """SSIM of a large image with its palette picture, exact, both in memory."""
    pixels = large_photograph(options.megapixels)
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
    ways = {"one thread": [slice(0, len(pixels))], "two threads": halves}
    found = {way: ours(parts) for way, parts in ways.items()}
    times = {way: timed(lambda parts=parts: ours(parts), options.repeats) for way, parts in ways.items()}
    expected = ssim(pixels, picture)
    theirs = timed(lambda: ssim(pixels, picture), options.repeats)
    for way, mean in found.items():
        what, told = f"SSIM of {pixels.shape[0]:,} × {pixels.shape[1]:,} pixels, {way}", f"{mean:.12f}, {expected:.12f}"
        same = abs(mean - expected) < 1e-11
        by = "structural_similarity"
        yield beside_peer(what, times[way], "scikit-image", by, theirs, index.size, agrees=same, remark=told)


def large(settings: Settings, options: QuantizeBenchmark) -> Iterator[Row]:
    """2 to 256 colours of a photograph of 24 megapixels: counted, looked up and compared on two workers."""
    pixels, numbers = large_photograph(options.megapixels), options.numbers
    directory: Path = settings.directory
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"photograph-{options.megapixels:g}.npy"
    np.save(file, pixels, allow_pickle=False)
    place = directory / f"photograph-{options.megapixels:g}.zarr"
    shutil.rmtree(place, ignore_errors=True)
    photo = photograph_of({"photo": str(file)})
    assert photo is not None
    store_raster(photo, str(place))  # type: ignore[arg-type]
    source = Lines.open(place)
    # More distinct colours than by default: with noise there are millions.
    chosen = QuantizeOptions(methods=(), sweep=numbers, exact_colors=1 << 20)
    models: list[Any] = []
    with settings.workers() as (_, engine):

        def ours() -> None:
            shutil.rmtree(directory / "columns", ignore_errors=True)
            models.append(drive(quantize(source, chosen, lines=True), source, engine))

        ours()
        seconds = timed(ours, options.repeats)
        scores = [(one.ssim, one.mse) for one in models[-1].palettes.values()]
    total, found = 0.0, []
    for k in [k for k in numbers if k <= options.most]:
        picture, took = once(lambda k=k: their_picture(pixels, k, "auto"))
        total += took
        found.append((ssim(pixels, picture), mse(pixels, picture)))
        print(f"  scikit-learn, {k} colours: {took:.1f} s", flush=True)
    told = f"{len(models[-1].colours):,} colours or bins of {models[-1].colours.bits} bits a channel; " + "; ".join(
        f"{what} {' '.join(f'{one[at]:.{digits}f}' for one in who)}"
        for what, who, at, digits in (
            ("SSIM", scores, 0, 4), ("theirs", found, 0, 4), ("MSE", scores, 1, 2), ("theirs", found, 1, 2)
        )
    )  # fmt: skip
    os.unlink(file)
    what = f"{numbers[0]} to {numbers[-1]} colours, {pixels.shape[0]:,} × {pixels.shape[1]:,}, from Zarr, SSIM included"
    by = f"KMeans, in memory, to {options.most}, without SSIM"
    yield beside_peer(what, seconds, "scikit-learn", by, total, pixels[..., 0].size, remark=told)


if __name__ == "__main__":
    alone(__doc__, chapter, BY_SIZE, "quantize")
