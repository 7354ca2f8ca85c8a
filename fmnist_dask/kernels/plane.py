"""A plane near all centres, in which most of them are seen to be too far away without their products with a row.

A row x, its projection y on the plane, and what is left of it, r, give bounds of the product with a centre whose
coordinates are a and whose remainder is s: ``x·c = y·a + r·s``, and ``|r·s| ≤ |r| |s|``. Centres are means, and what
they leave beyond the few directions that tell them apart is short; so y·a, which costs as many products as the plane
has dimensions, leaves a few centres of hundreds. Only their products are computed. It is the first step of a search
with lower bounds in a subspace, as in Hwang, Han and Ahn, "A Fast Nearest Neighbor Search Algorithm by Nonlinear
Embedding" (CVPR 2012), with rounding errors within the bounds: the nearest centre is never left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.typing import AnyArray, FloatArray

UNIT_ROUNDOFF = 2.0**-24
#: Fewer centres or features than these are multiplied as they are.
FEWEST_CENTRES = 64
FEWEST_FEATURES = 192
#: Dimensions of a plane are a multiple of this, which matrix products like, and at most the other.
STEP = 16
MOST_DIMENSIONS = 128
#: Turns of the power method that finds the plane; it need not be the best one.
TURNS = 3
#: A product of one row with one centre takes as long as this many of a matrix product.
SINGLE_PRODUCT = 4.0
#: Largest ``‖BᵀB − 1‖`` of a basis that bounds allow for.
LARGEST_SKEW = 1e-3


@dataclass(frozen=True)
class Plane:
    """A plane, and where centres lie relative to it.

    Attributes
    ----------
    basis : float32 array, shape (d, p)
        Nearly orthonormal columns.
    coordinates : float32 array, shape (p, k)
        Of each centre.
    remainders : float32 array, shape (k,)
        Lengths of what is left of each centre.
    rounding : float32 array, shape (k,)
        What rounding, and the basis not being quite orthonormal, may change of a product, by the length of the row.
    leakage : float
        How much longer a remainder of a row may be than computed, by the length of the row.
    skew : float
        Bound of ``‖BᵀB − 1‖``.
    """

    basis: AnyArray
    coordinates: AnyArray
    remainders: AnyArray
    rounding: AnyArray
    leakage: float
    skew: float

    @property
    def dimensions(self) -> int:
        """Of the plane."""
        return int(self.basis.shape[1])

    def worth(self, candidates: float) -> bool:
        """Whether it saves work if so many centres of a row are left."""
        d, k = self.basis.shape[0], self.coordinates.shape[1]
        return bool(self.dimensions * (d + k) + SINGLE_PRODUCT * candidates * d < d * k)


def plane_of(centres: FloatArray) -> Plane | None:
    """The plane of centres; ``None`` where there are too few of them, too few features, or numbers out of range.

    Parameters
    ----------
    centres : float64 array, shape (k, d)
    """
    k, d = centres.shape
    p = _dimensions(k, d)
    if not p:
        return None
    largest = float(np.abs(centres).max())
    if not 2.0**-30 < largest < 2.0**30:
        return None
    basis = _directions(centres, p)
    rounded = basis.astype(np.float32)
    exact = rounded.astype(np.float64)
    skew = float(np.linalg.norm(exact.T @ exact - np.eye(p)))
    if not skew < LARGEST_SKEW:
        return None
    coordinates = (centres @ exact).astype(np.float32)
    left = centres - coordinates.astype(np.float64) @ exact.T
    # Errors of float32 products: Higham, section 3.1, by the lengths of both sides.
    projecting = (d + 4) * UNIT_ROUNDOFF * np.sqrt(p)
    lengths = np.sqrt(np.einsum("kp,kp->k", coordinates, coordinates, dtype=np.float64))
    slanting = np.linalg.norm(left @ exact, axis=1)
    return Plane(
        rounded,
        np.ascontiguousarray(coordinates.T),
        (np.linalg.norm(left, axis=1) * (1 + 2.0**-20)).astype(np.float32),
        (1.02 * ((projecting + (p + 4) * UNIT_ROUNDOFF) * lengths + slanting)).astype(np.float32),
        1.02 * projecting,
        skew,
    )


def plane_bytes(k: int, d: int, rows: int) -> int:
    """Memory of a plane while it is found, and of rows in it."""
    p = _dimensions(k, d)
    return (12 * k * d + 24 * (k + d) * p + 4 * rows * p) if p else 0


def _dimensions(k: int, d: int) -> int:
    """Of a plane for so many centres and features; 0 where none is worth it."""
    if k < FEWEST_CENTRES or d < FEWEST_FEATURES:
        return 0
    return min(MOST_DIMENSIONS, STEP * max(1, round(3 * float(np.sqrt(k)) / STEP)))


def _directions(centres: FloatArray, p: int) -> FloatArray:
    """Orthonormal columns that span the directions of the largest centres and differences, roughly; (d, p)."""
    found: FloatArray = np.random.default_rng(0).standard_normal((centres.shape[1], p))
    for _ in range(TURNS):
        found, _ = np.linalg.qr(centres.T @ (centres @ found))
    return found
