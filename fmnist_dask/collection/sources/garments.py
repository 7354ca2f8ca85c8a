"""``garments``: ten classes of drawn garments, of any number, with planted facts. Embedded; needs no download."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np

from fmnist_dask.collection.sources.base import Partition, Rows, Source, take_options
from fmnist_dask.errors import UsageError
from fmnist_dask.kernels import garments

#: Drawing makes temporaries of up to this size (measured: 12 MB).
SCRATCH_BYTES = 16 * 2**20


class Garments(Source):
    """Fashion-like 28×28 images drawn from (seed, row) alone; six of seven rows are the train split.

    Options: ``n`` (default 70,000), ``seed`` (default 0).
    """

    kind = "garments (embedded generator)"
    location = "embedded"
    description = "Synthetic garments, drawn by fmnist-dask, with planted duplicates, leaks and wrong labels."
    synthetic = True
    image_shape = (garments.HEIGHT, garments.WIDTH)
    class_names = garments.CLASS_NAMES
    extra_arrays = MappingProxyType(
        {
            "planted": (
                np.uint8,
                {
                    "long_name": "facts planted in the synthetic images",
                    "flag_masks": list(garments.PLANTED_MEANINGS.values()),
                    "flag_meanings": " ".join(garments.PLANTED_MEANINGS),
                },
            ),
            "planted_origin": (np.int64, {"long_name": "row that a planted copy repeats, -1 where it is none"}),
        }
    )

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        taken = take_options("garments", options or {}, n=(int, 70_000), seed=(int, 0))
        if taken["n"] < 1:
            raise UsageError(f"source option n={taken['n']} is below 1", "ask for at least one image")
        if taken["seed"] < 0:
            raise UsageError(f"source option seed={taken['seed']} is negative", "use a seed of 0 or more")
        self.seed, size = taken["seed"], taken["n"]
        self.name = "garments"
        train = max(1, size * 6 // 7)
        parts = [Partition("train", train), Partition("test", size - train)]
        self.partitions = tuple(part for part in parts if part.rows)

    def identity(self) -> dict[str, Any]:
        """Seed, number of rows and the drawing's version."""
        return {"seed": self.seed, "n": self.n, "version": garments.VERSION}

    def read_bytes(self) -> int:
        """Temporaries of the drawing."""
        return SCRATCH_BYTES

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Draw rows; see :meth:`Source.read`."""
        offset = sum(part.rows for part in self.partitions[:partition])
        for at in range(start, stop, batch_rows):
            rows = np.arange(offset + at, offset + min(stop, at + batch_rows), dtype=np.int64)
            flags, origin = garments.planted(self.seed, rows)
            yield Rows(
                image=garments.draw(self.seed, rows),
                label=garments.labels(self.seed, rows),
                source_name=rows,
                extra={"planted": flags, "planted_origin": origin},
            )
