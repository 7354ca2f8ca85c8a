"""How like the original images look in the colours of palettes: squared errors and structural similarity, exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.kernels.similarity import (
    WINDOW,
    fixed_point,
    mean_of,
    n_windows,
    rounded,
    similarities,
    similarity_sums,
    squared_errors,
)
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.passes.reductions.colours import Counted, PaletteImage, pixels_of, plane_of

#: Lines on both sides of a seam that windows across it need.
SEAM = WINDOW - 1
#: Bits after the point of sums over images.
IMAGE_BITS = 30


@dataclass(frozen=True)
class PhotographFit(Reduction):
    """Squared error and mean structural similarity of a photograph in the colours of palettes, exact.

    Each line is read once: a state keeps the first and the last lines of its part, and windows that reach over the seam
    of two parts are looked at where these are merged. The result maps names of palettes to ``{"mse", "ssim"}``.
    """

    counted: Counted
    images: tuple[PaletteImage, ...]

    def initial(self, source: Readable) -> dict[str, Any]:
        """No lines."""
        zeros = np.zeros(len(self.images), dtype=np.int64)
        nothing = np.zeros((0, source.image_shape[0], self.counted.channels), dtype=np.uint8)
        bits = fixed_point(n_windows(source.n, source.image_shape[0], self.counted.channels))
        return {"head": nothing, "tail": nothing, "rows": 0, "error": zeros, "similar": zeros.copy(), "bits": bits}

    def chunk(self, state: dict[str, Any], block: Block) -> dict[str, Any]:
        """Compare the lines of a block, and merge."""
        pixels = pixels_of(block, self.counted.channels, True)
        places = self.counted.of_block(block, True)
        error, similar = np.zeros_like(state["error"]), np.zeros_like(state["similar"])
        for at, image in enumerate(self.images):
            index, palette = image.index(places), image.colours.values
            error[at] = squared_errors(pixels, index, palette)
            similar[at] = similarity_sums(pixels, index, palette, state["bits"])
        ends = {"head": pixels[:SEAM].copy(), "tail": pixels[-SEAM:].copy(), "rows": len(pixels)}
        return self.combine(state, {**ends, "error": error, "similar": similar, "bits": state["bits"]})

    def combine(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        """Add up, and compare the windows across the seam."""
        if not left["rows"] or not right["rows"]:
            return right if right["rows"] else left
        seam = np.concatenate([left["tail"], right["head"]])
        similar = left["similar"] + right["similar"]
        if len(seam) >= WINDOW:
            places = self.counted.few_places(seam)
            for at, image in enumerate(self.images):
                similar[at] += similarity_sums(seam, image.index(places), image.colours.values, left["bits"])
        return {
            "head": left["head"] if left["rows"] >= SEAM else np.concatenate([left["head"], right["head"]])[:SEAM],
            "tail": right["tail"] if right["rows"] >= SEAM else np.concatenate([left["tail"], right["tail"]])[-SEAM:],
            "rows": left["rows"] + right["rows"],
            "error": left["error"] + right["error"],
            "similar": similar,
            "bits": left["bits"],
        }

    def aggregate(self, state: dict[str, Any], source: Readable) -> dict[str, dict[str, float]]:
        """Means."""
        width, channels = source.image_shape[0], self.counted.channels
        windows = n_windows(state["rows"], width, channels)
        values = max(state["rows"] * width * channels, 1)
        return {
            image.name: {
                "mse": int(state["error"][at]) / values,
                "ssim": mean_of(int(state["similar"][at]), windows, state["bits"]),
            }
            for at, image in enumerate(self.images)
        }

    def state_bytes(self, source: Readable) -> int:
        """Lines at both ends."""
        return 4096 + 2 * SEAM * source.image_bytes + 16 * len(self.images)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Places, entries of one palette, and sums of a line of windows."""
        pixels = rows * source.image_bytes // self.counted.channels
        return self.counted.place_bytes(pixels) + pixels + 64 * source.image_bytes


@dataclass(frozen=True)
class ImagesFit(Reduction):
    """Squared error and mean structural similarity of images in the colours of palettes, the mean over all images.

    The result maps names of palettes to ``{"mse", "ssim"}``.
    """

    counted: Counted
    images: tuple[PaletteImage, ...]

    def initial(self, source: Readable) -> dict[str, Any]:
        """No images."""
        zeros = np.zeros(len(self.images), dtype=np.int64)
        return {"rows": 0, "error": zeros, "similar": zeros.copy()}

    def chunk(self, state: dict[str, Any], block: Block) -> dict[str, Any]:
        """Compare the images of a block."""
        channels = self.counted.channels
        pixels = pixels_of(block, channels, False)
        places = self.counted.of_block(block, False)
        for at, image in enumerate(self.images):
            index, palette = image.index(places), image.colours.values
            n, height, width, _ = pixels.shape
            state["error"][at] += squared_errors(
                pixels.reshape(n * height, width, channels), index.reshape(n * height, width), palette
            )
            state["similar"][at] += rounded(np.nan_to_num(similarities(pixels, index, palette[None])), 30)
        state["rows"] += len(block)
        return state

    def combine(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        """Add up."""
        return {name: left[name] + right[name] for name in left}

    def aggregate(self, state: dict[str, Any], source: Readable) -> dict[str, dict[str, float]]:
        """Means."""
        height, width = plane_of(source, False)
        images = state["rows"] if n_windows(height, width, 1) else 0
        values = max(state["rows"] * source.image_bytes, 1)
        return {
            image.name: {
                "mse": int(state["error"][at]) / values,
                "ssim": mean_of(int(state["similar"][at]), images, IMAGE_BITS),
            }
            for at, image in enumerate(self.images)
        }

    def state_bytes(self, source: Readable) -> int:
        """Two sums of each palette."""
        return 1024 + 16 * len(self.images)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Places, and entries of one palette."""
        pixels = rows * source.image_bytes // self.counted.channels
        return self.counted.place_bytes(pixels) + 2 * pixels
