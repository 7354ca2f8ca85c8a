"""Rows of the collection: their images, labels and planted faults."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fmnist_dask.kernels.counter_random import random_bits, random_fields, uniform
from fmnist_dask.kernels.garments.panel import draw_panel

CLASS_NAMES: tuple[str, ...] = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
HEIGHT = WIDTH = 28

# Changes when any drawn byte does; part of the source's identity.
VERSION = 1

EXACT_DUPLICATE = 1
NEAR_DUPLICATE = 2
WRONG_LABEL = 4
FADED = 8
PLANTED_MEANINGS: dict[str, int] = {
    "exact_duplicate": EXACT_DUPLICATE,
    "near_duplicate": NEAR_DUPLICATE,
    "wrong_label": WRONG_LABEL,
    "faded": FADED,
}

# Rows before this one are never planted, so the search for an unplanted origin always ends.
FIRST_PLANTABLE_ROW = 100
EXACT_DUPLICATE_RATE = 0.01
NEAR_DUPLICATE_RATE = 0.005
WRONG_LABEL_RATE = 0.01
FADED_RATE = 0.001
CONFLICTING_LABEL_RATE = 0.1  # of the exact duplicates

_PANEL_ROWS = 192
# Leaves grey levels 0 to 10, well below the contrast of any ordinary picture.
_FADED_DIVISOR = 24
_CLASS_COUNT = len(CLASS_NAMES)

# Random streams; the drawing modules read their own from 1000 on.
_STREAM_CLASS = 1
_STREAM_KIND = 2
_STREAM_ORIGIN = 3
_STREAM_CONFLICT = 4
_STREAM_OTHER_LABEL = 5
_STREAM_NEAR_SHIFT = 6
_STREAM_NEAR_NOISE = 10_000


def _as_rows(rows: ArrayLike) -> NDArray[np.int64]:
    """Row indices as a one-dimensional int64 array, checked."""
    indices = np.asarray(rows)
    if indices.size == 0:
        return np.zeros(0, dtype=np.int64)
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"rows must be a one-dimensional integer array, got {indices.dtype} {indices.shape}")
    if indices.min() < 0:
        raise ValueError("rows must not be negative")
    return indices.astype(np.int64)


def _true_classes(seed: int, rows: NDArray[np.int64]) -> NDArray[np.int16]:
    """Class each row is drawn from: a hashed permutation of 0-9 within each block of ten rows."""
    members = (rows // _CLASS_COUNT * _CLASS_COUNT)[:, None] + np.arange(_CLASS_COUNT)
    member_bits = random_bits(seed, members, _STREAM_CLASS)
    own_bits = random_bits(seed, rows, _STREAM_CLASS)
    # The rank of a row's word among the ten words of its block; ties would go by position.
    before = (member_bits < own_bits[:, None]) | ((member_bits == own_bits[:, None]) & (members < rows[:, None]))
    return np.asarray(before.sum(axis=1), dtype=np.int16)


def _planted_kinds(seed: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Exclusive kind of fault of each row (one bit or 0), before label conflicts are added."""
    chance = uniform(seed, rows, _STREAM_KIND)
    thresholds = np.cumsum([EXACT_DUPLICATE_RATE, NEAR_DUPLICATE_RATE, WRONG_LABEL_RATE, FADED_RATE])
    kinds = np.array([EXACT_DUPLICATE, NEAR_DUPLICATE, WRONG_LABEL, FADED, 0], dtype=np.uint8)
    found = kinds[np.searchsorted(thresholds, chance, side="right")]
    found[rows < FIRST_PLANTABLE_ROW] = 0
    return found


def planted(seed: int, rows: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Faults planted in the rows, the ground truth for detectors.

    Parameters
    ----------
    seed : int
        Seed of the collection.
    rows : array_like of int, shape (n,)
        Row indices.

    Returns
    -------
    flags : numpy.ndarray of uint8, shape (n,)
        Bit mask of `PLANTED_MEANINGS`; 0 for an ordinary row.  The kinds exclude each other, except
        that an exact duplicate whose label differs from its origin's also carries the wrong_label bit.
    origin : numpy.ndarray of int64, shape (n,)
        The earlier, unplanted row that a duplicate copies, or -1.
    """
    indices = _as_rows(rows)
    flags = _planted_kinds(seed, indices)
    origin = np.full(indices.shape, -1, dtype=np.int64)

    copies = np.flatnonzero(flags & (EXACT_DUPLICATE | NEAR_DUPLICATE))
    copy_rows = indices[copies]
    candidates = np.floor(uniform(seed, copy_rows, _STREAM_ORIGIN) * copy_rows).astype(np.int64)
    moving = np.flatnonzero(_planted_kinds(seed, candidates))
    while moving.size:
        candidates[moving] -= 1
        moving = moving[_planted_kinds(seed, candidates[moving]) != 0]
    origin[copies] = candidates

    conflicting = (flags == EXACT_DUPLICATE) & (uniform(seed, indices, _STREAM_CONFLICT) < CONFLICTING_LABEL_RATE)
    flags[conflicting] |= WRONG_LABEL
    return flags, origin


def labels(seed: int, rows: ArrayLike) -> NDArray[np.int16]:
    """Recorded labels: the class drawn, except where a wrong label is planted.

    Parameters
    ----------
    seed : int
        Seed of the collection.
    rows : array_like of int, shape (n,)
        Row indices.

    Returns
    -------
    numpy.ndarray of int16, shape (n,)
        Indices into `CLASS_NAMES`.
    """
    indices = _as_rows(rows)
    flags, origin = planted(seed, indices)
    recorded = _true_classes(seed, np.where(origin >= 0, origin, indices))
    step = 1 + np.floor(uniform(seed, indices, _STREAM_OTHER_LABEL) * (_CLASS_COUNT - 1)).astype(np.int16)
    other = (recorded + step) % _CLASS_COUNT
    return np.where(flags & WRONG_LABEL, other, recorded).astype(np.int16)


def _disturb_copies(seed: int, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn exact copies into near duplicates: slight noise, and a shift by one pixel in half of them.

    The noise is also added to the shifted ones; two copies of one origin with the same shift
    would otherwise be equal.
    """
    noise = random_fields(seed, rows, _STREAM_NEAR_NOISE, HEIGHT * WIDTH, 8).T.reshape(images.shape)
    noise = np.floor(noise * np.float32(7 / 256)).astype(np.int16) - 3
    disturbed = np.where(images > 0, np.clip(images + noise, 1, 255), 0).astype(np.uint8)
    direction = np.floor(uniform(seed, rows, _STREAM_NEAR_SHIFT) * 8).astype(np.int64)
    padded = np.pad(disturbed, ((0, 0), (1, 1), (1, 1)))
    for code, (down, right) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        chosen = direction == code
        disturbed[chosen] = padded[chosen, 1 - down : 1 - down + HEIGHT, 1 - right : 1 - right + WIDTH]
    return disturbed


def draw(seed: int, rows: ArrayLike) -> NDArray[np.uint8]:
    """Draw the images of some rows.

    Parameters
    ----------
    seed : int
        Seed of the collection.
    rows : array_like of int, shape (n,)
        Row indices, any order, repeats allowed.

    Returns
    -------
    numpy.ndarray of uint8, shape (n, 28, 28)
        Grey levels, 0 is the black background.
    """
    indices = _as_rows(rows)
    flags, origin = planted(seed, indices)
    sources = np.where(origin >= 0, origin, indices)
    images = np.empty((indices.size, HEIGHT, WIDTH), dtype=np.uint8)

    # One class at a time, in panels small enough for their temporaries to stay in the cache.
    classes = _true_classes(seed, sources)
    for class_index in range(_CLASS_COUNT):
        members = np.flatnonzero(classes == class_index)
        for start in range(0, members.size, _PANEL_ROWS):
            panel = members[start : start + _PANEL_ROWS]
            images[panel] = draw_panel(seed, sources[panel], class_index)

    near = np.flatnonzero(flags & NEAR_DUPLICATE)
    images[near] = _disturb_copies(seed, indices[near], images[near])
    images[(flags & FADED) != 0] //= _FADED_DIVISOR
    return images
