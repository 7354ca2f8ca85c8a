"""What a quantization left behind, as its figures read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray

from fmnist_dask.report.blocks import Paint
from fmnist_dask.report.figures.colours import hex_codes
from fmnist_dask.report.words import count, duration, size
from fmnist_dask.typing import FloatArray, IntArray, UInt8Array
from fmnist_dask.workflow.figures._text import values

NAMES = {
    "kmeans": "k-means",
    "mini_batch_kmeans": "mini-batch k-means",
    "gaussian_mixture": "Gaussian mixture",
    "agglomerative": "agglomerative",
    "median_cut": "median cut",
    "dask-ml": "k-means by dask-ml",
}
SPACES = {"rgb": "red, green and blue", "lab": "CIELAB", "gray": "levels of grey"}
#: In captions of pictures, lines and cells of tables.
SCORES = ("ssim", "mse", "png_bytes", "seconds")


def method_name(method: str) -> str:
    """What a method is called."""
    return NAMES.get(method, method.replace("_", " "))


@dataclass(frozen=True)
class Scores:
    """Scores of pictures, one value for each; NaN where there is none."""

    ssim: FloatArray
    mse: FloatArray
    png_bytes: FloatArray
    seconds: FloatArray

    def cells(self, at: int) -> tuple[str, str, str, str]:
        """The scores of one in words."""
        return (
            score(self.ssim[at]),
            error(self.mse[at]),
            size(self.png_bytes[at]) if np.isfinite(self.png_bytes[at]) else "–",
            duration(self.seconds[at]) if np.isfinite(self.seconds[at]) else "–",
        )

    def told(self, at: int) -> tuple[str, ...]:
        """The scores of one as the lines of a caption; those that there are."""
        ssim, _, png, seconds = self.cells(at)
        lines = (f"SSIM {ssim}", f"PNG {png}", seconds)
        return tuple(line for line in lines if not line.endswith("–"))


def score(value: float) -> str:
    """An SSIM in words."""
    return f"{value:.4f}" if np.isfinite(value) else "–"


def error(value: float) -> str:
    """A mean squared error in words."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.1f}" if value >= 100 else f"{value:.4g}"


@dataclass(frozen=True)
class Quantized:
    """A quantization.

    Attributes
    ----------
    methods
        As the dataset has them.
    names
        What they are called.
    sweep : int array, shape (s,)
        Numbers of colours that were tried; empty without a sweep.
    swept
        What the method of the sweep is called; empty where it is not known.
    """

    dataset: xarray.Dataset
    methods: tuple[str, ...]
    names: tuple[str, ...]
    sweep: IntArray
    swept: str

    @classmethod
    def read(cls, dataset: xarray.Dataset) -> Quantized:
        """What a dataset says."""
        methods = tuple(str(one) for one in dataset["method"].values)
        sweep = values(dataset, "sweep_colors").astype(np.int64) if "sweep_colors" in dataset else np.zeros(0, np.int64)
        swept = str(dataset.attrs.get("sweep_method") or "")
        return cls(dataset, methods, tuple(map(method_name, methods)), sweep, method_name(swept) if swept else "")

    @property
    def photograph(self) -> bool:
        """Whether it is of one photograph, not of a collection."""
        return str(self.dataset.attrs["kind"]) == "photograph"

    @property
    def grey(self) -> bool:
        """Whether pixels have one channel."""
        return int(self.dataset.sizes.get("channel", 3)) == 1

    @property
    def asked(self) -> int:
        """Colours that were asked for."""
        return int(self.dataset.attrs["n_colors"])

    @property
    def colours(self) -> str:
        """How many colours were asked for, in words."""
        return self.several(self.asked)

    def several(self, number: int) -> str:
        """A number of colours, or of levels of grey."""
        return count(number, "level of grey", "levels of grey") if self.grey else count(number, "colour")

    @property
    def unit(self) -> str:
        """What there are few of."""
        return "levels" if self.grey else "colours"

    @property
    def n_distinct(self) -> int:
        """Distinct colours that were counted."""
        return int(self.dataset.attrs["n_distinct"])

    @property
    def each(self) -> bool:
        """Whether every image has a palette of its own."""
        return str(self.dataset.attrs.get("palette_scope") or "shared") == "each" and not self.photograph

    def scores(self) -> Scores:
        """Of the methods."""
        return self._scores("", len(self.methods))

    def sweep_scores(self) -> Scores:
        """Of the numbers of colours."""
        return self._scores("sweep_", len(self.sweep))

    def _scores(self, prefix: str, length: int) -> Scores:
        nothing = np.full(length, np.nan)
        read = (
            values(self.dataset, prefix + name).astype(np.float64) if prefix + name in self.dataset else nothing
            for name in SCORES
        )
        return Scores(*read)

    def best(self) -> int | None:
        """Position of the method with the highest SSIM."""
        ssim = self.scores().ssim
        return int(np.nanargmax(ssim)) if np.isfinite(ssim).any() else None

    def paints(self, palette: UInt8Array, share: FloatArray) -> tuple[Paint, ...]:
        """The colours of a palette that are used."""
        codes = hex_codes(palette)
        return tuple(Paint(codes[at], float(share[at])) for at in np.flatnonzero(share > 0).tolist())

    def basis(self, used: int, split: str) -> str:
        """What everything here rests on."""
        pixels = count(int(self.dataset.attrs["n_pixels"]), "pixel")
        bits = int(self.dataset.attrs.get("bits") or 8)
        how = f"{self.unit} counted exactly" if bits >= 8 else f"{self.unit} binned to {bits} bits a channel"
        if self.photograph:
            return f"all {pixels} of the photograph, {how}"
        of = "" if split == "all" else f" (split {split})"
        return f"all {pixels} of {count(used, 'image')}{of}, {how}"
