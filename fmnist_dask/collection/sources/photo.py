"""One photograph: a file of any image format that is decoded as a whole and stored in tiles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.decoding import SUFFIXES, decode, quiet, read_header
from fmnist_dask.collection.sources.encoded import DECODING_BYTES
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.image_options import take_image_options
from fmnist_dask.errors import SourceError, UsageError
from fmnist_dask.typing import UInt8Array


class Photo:
    """A photograph that is to become a raster collection. Small and picklable.

    Parameters
    ----------
    files
        The file.
    options
        Source options: ``mode`` (gray, rgb or keep), ``size`` with ``fit``, ``background``, ``max_pixels``.

    Raises
    ------
    SourceError
        It cannot be read.
    """

    kind = "photograph"

    def __init__(self, files: Files, options: Mapping[str, Any] | None = None) -> None:
        rest = dict(options or {})
        self.image = take_image_options(self.kind, rest)
        if rest:
            raise UsageError(
                f'the source {self.kind} has no option "{next(iter(rest))}"',
                "it has: mode, size, fit, background, max_pixels",
            )
        self.files = files
        self.location = files.root
        self.name = PurePosixPath(files.name).stem
        info = files.walk()
        if not info:
            raise SourceError(f"no photograph at {self.location}: nothing is there", "check the path")
        self.size = info[0].size
        try:
            with quiet():
                header = read_header(self._content(), self.image.max_pixels)
        except UnreadableError as error:
            raise self._unreadable(error) from error
        self.canvas = self.image.canvas([header])
        self.image_shape = self.canvas.shape
        self._pixels = max(header.height * header.width, self.canvas.height * self.canvas.width)
        identity = {"stamp": info[0].stamp, "size": self.size, "path": self.location, "canvas": repr(self.canvas)}
        self.fingerprint = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()

    @property
    def n_channels(self) -> int:
        """Values of a pixel."""
        return self.image_shape[2] if len(self.image_shape) == 3 else 1

    def _content(self) -> bytes:
        (content,) = self.files.read([""], [self.size])
        if isinstance(content, UnreadableError):
            raise content
        return content

    def _unreadable(self, error: UnreadableError) -> SourceError:
        return SourceError(
            f"the photograph {self.location} cannot be read: {error}",
            "check that it is an image; a larger one may be allowed with the source option max_pixels",
        )

    def decode(self) -> tuple[UInt8Array, tuple[int, int]]:
        """Pixels of shape (y, x) or (y, x, channel), and the (height, width) of the file's own."""
        try:
            with quiet():
                return decode(self._content(), self.canvas)
        except UnreadableError as error:
            raise self._unreadable(error) from error

    def read_bytes(self) -> int:
        """Memory of :meth:`decode`."""
        return (
            2 * self.size + DECODING_BYTES * self._pixels + 2 * self.canvas.height * self.canvas.width * self.n_channels
        )

    def provenance(self) -> dict[str, Any]:
        """What manifests say of it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "path": self.location,
            "description": f"The photograph {self.location}.",
            "synthetic": False,
            "fingerprint": self.fingerprint,
        }


def photo_of(spec: str | Path | Mapping[str, Any], options: Mapping[str, Any] | None = None) -> Photo | None:
    """The photograph that a source is: an image file, or a mapping with ``photo``; ``None`` for other sources."""
    rest = dict(options or {})
    if isinstance(spec, Mapping):
        if "photo" not in spec:
            return None
        given = {**spec, **rest}
        return Photo(Files.at(str(given.pop("photo"))), given)
    files = Files.at(str(spec))
    if PurePosixPath(files.root).suffix.lower() not in SUFFIXES or files.is_directory():
        return None
    return Photo(files, rest)
