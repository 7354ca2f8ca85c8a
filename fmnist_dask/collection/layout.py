"""How a collection is laid out on disk: arrays, chunks, codec."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fmnist_dask.errors import UsageError

FORMAT_VERSION = 1
#: Pixels in one chunk, by default.
CHUNK_BYTES = 16 * 2**20
#: Chunks hold a multiple of this many rows, so that fixed panels of rows never straddle a chunk.
ROW_MULTIPLE = 256
MANIFEST = "manifest.json"
#: Written first: which source a store is being made from. With no manifest beside it, the store is incomplete.
INGEST = "ingest.json"
PARTS = "ingest-parts"
#: While rows are being appended: from which source, to which generation; and the directory of what is on its way.
APPEND = "append.json"
APPEND_PARTS = "append-parts"
#: Digests of panels of rows, 16 bytes each, beside the manifest that names the file.
DIGESTS = "digests-{generation}.bin"
#: Directory of states that passes have kept for the next generation.
STATES = "states"
#: Images of few pixels have names, hashes and labels too, which fill the memory before the pixels do.
MOST_CHUNK_ROWS = 1 << 17
#: The array that says which pixels are missing, where any are.
MISSING = "missing"
#: Of images of which pixels are hidden (see ``masked``): the pixels as they are, and which are hidden though known.
TRUTH = "truth"
HIDDEN = "hidden"

#: The array of the users' own vectors, where they gave some.
EMBEDDING = "embedding"

#: Arrays with one value a sample, beside the images: dtype, attributes.
SAMPLE_ARRAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "label": (np.int16, {"long_name": "class index, -1 where unknown"}),
    "split": (np.int8, {"long_name": "split"}),
    "height": (np.int32, {"long_name": "original height", "units": "pixels"}),
    "width": (np.int32, {"long_name": "original width", "units": "pixels"}),
}


def rows_per_chunk(image_shape: tuple[int, ...], chunk_bytes: int = CHUNK_BYTES) -> int:
    """Rows of one chunk: the multiple of 256 that comes nearest to ``chunk_bytes`` of pixels, 256 to 131,072."""
    image_bytes = math.prod(image_shape)
    if image_bytes < 1:
        raise UsageError(f"images of shape {image_shape} have no pixels")
    rows = max(ROW_MULTIPLE, round(chunk_bytes / image_bytes / ROW_MULTIPLE) * ROW_MULTIPLE)
    return min(rows, MOST_CHUNK_ROWS)


def image_dimensions(image_shape: tuple[int, ...]) -> tuple[str, ...]:
    """Dimension names of ``image``."""
    return ("sample", "y", "x", "channel")[: 1 + len(image_shape)]
