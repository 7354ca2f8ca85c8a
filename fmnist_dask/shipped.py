"""Where the shipped workflows and cluster files are: in the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped_directory(name: str) -> Path:
    """Directory of shipped files: ``workflows`` or ``cluster-configs``."""
    packaged = PACKAGE / "_shipped" / name
    return packaged if packaged.is_dir() else PACKAGE.parent / name
