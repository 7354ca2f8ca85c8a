"""A collection as a notebook shows it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from fmnist_dask.collection.thumbnails import contact_sheet, data_uri, shrink

if TYPE_CHECKING:
    from fmnist_dask.collection.store import Collection


def collection_html(collection: Collection) -> str:
    """Shape, bytes, splits, classes and a few thumbnails, as an HTML fragment."""
    count = min(30, collection.n)
    pixels = collection.n * collection.image_bytes
    facts = {
        "images": f"{collection.n:,} of shape {' × '.join(map(str, collection.image_shape))}, uint8",
        "pixels": f"{pixels / 1e6:,.1f} MB, {collection.stored_bytes() / 1e6:,.1f} MB on disk",
        "chunks": f"{collection.n_chunks:,} of {collection.chunk_rows:,} images",
        "splits": ", ".join(f"{name}: {rows:,}" for name, rows in collection.splits.items()),
        "classes": ", ".join(collection.class_names) or "not labelled",
        "source": str(collection.source.get("description", "")),
        "path": collection.path,
    }
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items()
    )
    picture = ""
    if count:
        image = shrink(np.asarray(collection.read("image", 0, count)))
        source = data_uri(contact_sheet(image, columns=15))
        picture = (
            f"<img alt='the first {count} images' style='image-rendering:pixelated;min-width:420px' src='{source}'>"
        )
    return f"<div><b>fmnist_dask.Collection</b> {escape(collection.name)}<table>{rows}</table>{picture}</div>"
