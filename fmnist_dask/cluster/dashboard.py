"""A page of runs in Dask's own dashboard: preloaded by the schedulers that we start."""

from __future__ import annotations

from typing import Any


def dask_setup(scheduler: Any) -> None:
    """Add the page, where this version of distributed has a place for it."""
