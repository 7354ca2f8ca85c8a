"""Sources of encoded images (PNG, JPEG, …): what folders, Parquet files and tar shards have in common."""

from __future__ import annotations

import collections
import itertools
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fmnist_dask.collection.sources.base import Rows, Source
from fmnist_dask.collection.sources.canvas import CHANNELS, Canvas, Header, MixedError, UnreadableError
from fmnist_dask.collection.sources.decoding import Strip, quiet, read_header
from fmnist_dask.collection.sources.files import writable
from fmnist_dask.collection.sources.image_options import ImageOptions
from fmnist_dask.errors import SourceError

#: Headers looked at before ingest begins, evenly spread, to find size and colour.
PROBED = 256
#: Headers looked at to show how sizes are distributed where they differ.
SURVEYED = 5000
#: Memory of decoding, in bytes for each pixel of the largest image: decoded, with its colours changed, resized.
DECODING_BYTES = 12


class Item(NamedTuple):
    """One encoded image.

    Attributes
    ----------
    name
        Name in its source.
    data
        The encoded bytes; ``None`` where they could not be read.
    label
        Class index, −1 where unknown.
    reason
        Why it could not be read.
    """

    name: str
    data: bytes | None
    label: int = -1
    reason: str = ""


class EncodedSource(Source):
    """Decodes items onto one canvas; those that cannot be decoded are quarantined.

    Subclasses set partitions and class names, then call :meth:`_look`.
    """

    named_rows = True
    costly = True
    image: ImageOptions
    canvas: Canvas
    largest: int
    #: Bytes of the encoded images held at a time.
    encoded: int = 0

    @abstractmethod
    def items(self, partition: int, start: int, stop: int) -> Iterator[Item]:
        """Items ``start`` to ``stop`` of a partition, in order."""

    @abstractmethod
    def sample(self, count: int) -> Iterator[Item]:
        """About ``count`` items, spread evenly over the source."""

    def _look(self) -> None:
        """Find the canvas from a sample of headers.

        Raises
        ------
        SourceError
            None of them can be read; sizes differ and no option says what to do then.
        """
        headers, reasons = self._headers(PROBED)
        if not headers:
            name, reason = next(iter(reasons.items()), ("", "there is nothing"))
            raise SourceError(
                f"none of {len(reasons):,} images of {self.location} that were looked at can be read; "
                f"the first, {name}: {reason}",
                "check that this is the right place",
            )
        try:
            self.canvas = self.image.canvas(headers)
        except MixedError:
            raise self._mixed_sizes() from None
        self.image_shape = self.canvas.shape
        self.largest = max(header.height * header.width for header in headers)

    def _headers(self, count: int) -> tuple[list[Header], dict[str, str]]:
        """Headers of a sample, and names and reasons of what cannot be read."""
        headers, reasons = [], {}
        with quiet():
            for item in self.sample(count):
                try:
                    if item.data is None:
                        raise UnreadableError(item.reason)
                    headers.append(read_header(item.data, self.image.max_pixels))
                except UnreadableError as error:
                    reasons[item.name] = str(error)
        return headers, reasons

    def _mixed_sizes(self) -> SourceError:
        headers, _ = self._headers(SURVEYED)
        sizes = collections.Counter((header.height, header.width) for header in headers)
        shown = ", ".join(f"{height}×{width}: {count:,}" for (height, width), count in sizes.most_common(6))
        more = f", and {len(sizes) - 6} more sizes" if len(sizes) > 6 else ""
        typical = "x".join(str(round(float(side))) for side in np.median([*sizes.elements()], axis=0))
        return SourceError(
            f"the images of {self.location} are not of one size (height × width: images"
            f"{f' of {len(headers):,} looked at' if len(headers) < self.n else ''}): {shown}{more}",
            f"bring them to one size with the source options size (height x width, for instance size={typical}) and "
            "fit (pad, crop or stretch), or give a source that holds one size only",
        )

    def _mixed(self, item: Item, error: MixedError) -> SourceError:
        """What a decoder has met that the sample of headers did not show."""
        assert item.data is not None
        header = read_header(item.data, self.image.max_pixels)
        if self.canvas.fit is None and (header.height, header.width) != (self.canvas.height, self.canvas.width):
            return self._mixed_sizes()
        kinds = {1: "grey", 2: "grey with transparency", 3: "in colour", 4: "in colour with transparency"}
        return SourceError(
            f"{item.name} of {self.location} is {kinds[CHANNELS[header.mode]]}, the images looked at first are "
            f"{kinds[CHANNELS[self.canvas.mode]]}",
            "say what all are to be with the source option mode=rgb or mode=gray",
        )

    def read(self, partition: int, start: int, stop: int, batch_rows: int) -> Iterator[Rows]:
        """Decode items; see :meth:`Source.read`."""
        items = self.items(partition, start, stop)
        for first in range(start, stop, batch_rows):
            yield self._decoded(items, min(batch_rows, stop - first))

    def _decoded(self, items: Iterator[Item], count: int) -> Rows:
        """The next items, decoded one by one: encoded they may be far larger than on the canvas."""
        image = np.empty((count, *self.canvas.shape), dtype=np.uint8)
        names = np.empty(count, dtype=object)
        labels: list[int] = []
        sizes: list[tuple[int, int]] = []
        rejected: dict[int, str] = {}
        length = Strip.length(self.canvas)
        with quiet():
            for first in range(0, count, length):
                strip = Strip(self.canvas, min(length, count - first))
                for at, item in enumerate(itertools.islice(items, strip.count)):
                    row = first + at
                    names[row] = item.name if item.name.isascii() else writable(item.name)
                    labels.append(item.label)
                    size = (0, 0)
                    try:
                        if item.data is None:
                            raise UnreadableError(item.reason)
                        size = strip.put(at, item.data)
                    except UnreadableError as error:
                        rejected[row] = writable(str(error))
                        self._fail_on(item.name, str(error))
                    except MixedError as error:
                        raise self._mixed(item, error) from error
                    sizes.append(size)
                image[first : first + strip.count] = strip.pixels()
        label = np.array(labels, dtype=np.int16) if self.class_names else None
        return Rows(image, label, names, size=np.array(sizes, dtype=np.int32), rejected=rejected)

    def _fail_on(self, name: str, reason: str) -> None:
        if self.image.on_error == "fail":
            raise SourceError(
                f"{name} of {self.location} cannot be read: {reason}",
                "remove or replace it, or set the source option on_error=quarantine to go on without it",
            )

    def read_bytes(self) -> int:
        """The largest image on its way to the canvas, and its encoded bytes."""
        pixels = max(self.largest, self.canvas.height * self.canvas.width)
        return DECODING_BYTES * pixels + 2 * self.encoded + (1 << 20)

    def image_identity(self) -> dict[str, Any]:
        """The options that decide pixels."""
        options = self.image
        return {
            "mode": options.mode,
            "size": options.size,
            "fit": options.fit,
            "background": options.background,
            "max_pixels": options.max_pixels,
            "on_error": options.on_error,
        }
