"""The packages that benchmarks compare with: which are there, and what brings those that are not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil

#: Distribution → module, and the extra of ours that brings it; none for what ours needs anyway.
PEERS = {
    "scikit-learn": ("sklearn", ""),
    "NumPy": ("numpy", ""),
    "SciPy": ("scipy", ""),
    "dask-ml": ("dask_ml", ""),
    "openTSNE": ("openTSNE", ""),
    "Pillow": ("PIL", ""),
    "faiss-cpu": ("faiss", "bench"),
    "h2o": ("h2o", "bench"),
    "lapx": ("lap", "bench"),
    "scikit-image": ("skimage", "bench"),
    "umap-learn": ("umap", "bench"),
}


def version(peer: str) -> str:
    """The installed version; empty where there is none."""
    try:
        return importlib.metadata.version(peer)
    except importlib.metadata.PackageNotFoundError:
        return ""


def why_missing(peer: str) -> str | None:
    """What to do about a peer that cannot be used; ``None`` where it can."""
    module, extra = PEERS[peer]
    if importlib.util.find_spec(module) is None:
        remedy = f"the extra {extra} brings it (uv run --extra {extra} …)" if extra else f"pip install {peer}"
        return f"{peer} is not installed: {remedy}" + (", and it needs Java" if peer == "h2o" else "")
    if peer == "h2o" and shutil.which("java") is None:
        return "h2o is installed, but it needs Java, and there is no java on the path"
    return None
