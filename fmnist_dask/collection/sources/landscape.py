"""``landscape``: a drawn photograph of any size, for photographs that are bigger than memory. Embedded."""

from __future__ import annotations

from typing import Any

from fmnist_dask.collection.sources.base import take_options
from fmnist_dask.collection.sources.image_options import parse_size
from fmnist_dask.collection.sources.photo import PhotoSource
from fmnist_dask.errors import UsageError
from fmnist_dask.typing import UInt8Array

#: Longest side.
MOST_SIDE = 200_000
#: Height and width if none are given.
DEFAULT_SIZE = (1200, 1800)
#: Memory of the rows of noise that lie behind one column.
COLUMN_BYTES = 512


class Landscape(PhotoSource):
    """Sky, hills, a lake and flowers, each pixel drawn from (seed, y, x) alone, so that any tiles have the same bytes.

    Options: ``size`` (height x width, up to 200000x200000; default 1200x1800), ``seed`` (default 0).
    """

    location = "embedded"
    description = "A synthetic landscape, drawn by fmnist-dask"
    synthetic = True
    in_bands = True
    name = "landscape"

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        rest = dict(options or {})
        size = rest.pop("size", None)
        self.seed: int = take_options("landscape (beside size)", rest, seed=(int, 0))["seed"]
        if self.seed < 0:
            raise UsageError(f"source option seed={self.seed} is negative", "use a seed of 0 or more")
        try:
            self.original_size = DEFAULT_SIZE if size is None else parse_size(size, MOST_SIDE)
        except (TypeError, ValueError):
            raise UsageError(
                f"source option size={size!r} of landscape is no size from 1x1 to {MOST_SIDE}x{MOST_SIDE}",
                "give height x width in pixels, for instance size=4000x6000",
            ) from None
        self.image_shape = (*self.original_size, 3)

    def identity(self) -> dict[str, Any]:
        """Seed and the drawing's version; the size is known."""
        from fmnist_dask.kernels.landscape import VERSION

        return {"seed": self.seed, "version": VERSION}

    def lines(self, start: int, stop: int) -> UInt8Array:
        """Draw lines ``start`` to ``stop``."""
        from fmnist_dask.kernels.landscape import draw
        from fmnist_dask.kernels.lean import without_scipy_linalg

        with without_scipy_linalg():
            return draw(self.seed, self.original_size, (start, stop), (0, self.original_size[1]))

    def read_bytes(self, lines: int) -> int:
        """Rows of noise, and what compiled code takes."""
        return 64 * 2**20 + COLUMN_BYTES * self.original_size[1]
