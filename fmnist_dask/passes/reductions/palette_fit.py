"""How like the original images look in the colours of palettes, and how large their files are: exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.kernels.palette_png import PIECE_LINES, depth_of, file_bytes, pieces_bytes, plain_bytes
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
from fmnist_dask.typing import IntArray

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


@dataclass(frozen=True)
class FileBytes(Reduction):
    """Sizes of PNG files of a photograph: in the colours of palettes, and, under the name ``""``, of the original.

    Those of the files that :func:`fmnist_dask.kernels.palette_png.palette_png` makes, to the byte. Bands begin where a
    piece of a file does.
    """

    counted: Counted
    images: tuple[PaletteImage, ...]

    def initial(self, source: Readable) -> IntArray:
        """Nothing."""
        return np.zeros(len(self.images) + 1, dtype=np.int64)

    def chunk(self, state: IntArray, block: Block) -> IntArray:
        """Deflate the lines of a block, and forget them."""
        if block.rows[0] % PIECE_LINES:
            raise FmnistDaskError(f"a band begins at line {block.rows[0]}", f"take bands of {PIECE_LINES} lines")
        places = self.counted.of_block(block, True)
        for at, image in enumerate(self.images):
            state[at] += pieces_bytes(image.index(places), depth_of(len(image.colours.values)))
        state[-1] += plain_bytes(pixels_of(block, self.counted.channels, True))
        return state

    def combine(self, left: IntArray, right: IntArray) -> IntArray:
        """Add up."""
        left += right
        return left

    def aggregate(self, state: IntArray, source: Readable) -> dict[str, int]:
        """With what is around the pieces."""
        palettes = {image.name: image.colours.values for image in self.images}
        return {
            name: file_bytes(int(size), palettes.get(name)) for name, size in zip([*palettes, ""], state, strict=True)
        }

    def state_bytes(self, source: Readable) -> int:
        """A sum for each."""
        return 256 + 8 * (len(self.images) + 1)

    def task_bytes(self, source: Readable, rows: int) -> int:
        """Places, entries of one palette, and a piece: differences, bytes, and what they are deflated to."""
        pixels = rows * source.image_bytes // self.counted.channels
        return self.counted.place_bytes(pixels) + pixels + 3 * PIECE_LINES * source.image_bytes
