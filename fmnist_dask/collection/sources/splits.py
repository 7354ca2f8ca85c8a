"""Which split a file belongs to, by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

#: What folders and files of splits are called, in any case of letters, and the split's name.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "t10k": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
}
#: Split of files without one, beside others that have one.
OTHER = "other"


def split_of(path: str) -> str | None:
    """The split that a file's name or one of its folders names, the nearest first; ``None`` if none does.

    Examples
    --------
    >>> split_of("data/train-00000-of-00002.parquet"), split_of("fashion-mnist_test.csv"), split_of("images.npy")
    ('train', 'test', None)
    """
    for part in reversed(PurePosixPath(path).parts):
        for word in re.split(r"[^a-z0-9]+", part.lower()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return None


def splits_of(paths: Sequence[str]) -> list[str]:
    """The split of each file; ``all`` if no name says any."""
    found = [split_of(path) for path in paths]
    rest = OTHER if any(found) else "all"
    return [split or rest for split in found]


def in_order(names: Sequence[str]) -> list[str]:
    """Distinct splits, ``train`` first."""
    return sorted(set(names), key=lambda name: (name != "train", name))


def ordered(paths: Sequence[str]) -> list[tuple[str, int]]:
    """Split and position of each file: ``train`` first, those of one split together, by name."""
    splits = splits_of(paths)
    order = in_order(splits)
    return [(splits[at], at) for at in sorted(range(len(paths)), key=lambda at: (order.index(splits[at]), paths[at]))]
