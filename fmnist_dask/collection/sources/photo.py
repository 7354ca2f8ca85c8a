"""One photograph: what its sources have in common, and a file of any image format, which is decoded as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from fmnist_dask.collection.sources.canvas import UnreadableError
from fmnist_dask.collection.sources.decoding import decode, quiet, read_header
from fmnist_dask.collection.sources.described import Described
from fmnist_dask.collection.sources.encoded import DECODING_BYTES
from fmnist_dask.collection.sources.files import Files
from fmnist_dask.collection.sources.image_options import take_image_options
from fmnist_dask.errors import SourceError, UsageError
from fmnist_dask.typing import UInt8Array


class PhotoSource(Described):
    """A photograph that is to become a raster collection. Small and picklable; workers call :meth:`lines`.

    Attributes
    ----------
    image_shape
        (y, x) or (y, x, channel).
    original_size
        Height and width of what was given, before options.
    in_bands
        Whether some lines can be had without the rest.
    """

    kind = "photograph"
    image_shape: tuple[int, ...]
    original_size: tuple[int, int]
    in_bands: bool = False

    @abstractmethod
    def lines(self, start: int, stop: int) -> UInt8Array:
        """Lines ``start`` to ``stop``, shape (line, x) or (line, x, channel); all of them where there are no bands."""

    def read_bytes(self, lines: int) -> int:
        """Memory that :meth:`lines` needs for so many, beyond what it returns."""
        return 0

    @property
    def n_channels(self) -> int:
        """Values of a pixel."""
        return self.image_shape[2] if len(self.image_shape) == 3 else 1

    @property
    def splits(self) -> dict[str, int]:
        """Lines of the one split."""
        return {"all": self.image_shape[0]}

    def identity_beside(self) -> dict[str, Any]:
        """Where it lies, and the shape that it becomes."""
        return {"path": self.location, "shape": list(self.image_shape)}


class Photo(PhotoSource):
    """A photograph in a file that Pillow decodes.

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
        self.description = "One photograph"
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
        self.original_size = header.height, header.width
        self._pixels = max(header.height * header.width, self.canvas.height * self.canvas.width)
        # When the file is looked at anew, what it was when its header was read is what counts.
        self.fingerprint  # noqa: B018

    def identity(self) -> dict[str, Any]:
        """Time and size of the file, and what its pixels become."""
        info = self.files.walk()
        stamps = [[item.stamp, item.size] for item in info]
        return {"files": stamps, "canvas": repr(self.canvas)}

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

    def lines(self, start: int, stop: int) -> UInt8Array:
        """Decode the file; lines ``start`` to ``stop`` of it."""
        try:
            with quiet():
                return decode(self._content(), self.canvas)[0][start:stop]
        except UnreadableError as error:
            raise self._unreadable(error) from error

    def read_bytes(self, lines: int) -> int:
        """The file, the decoder's image of it, and the canvas, however many lines are taken."""
        return 2 * self.size + DECODING_BYTES * self._pixels + self.canvas.height * self.canvas.width * self.n_channels
