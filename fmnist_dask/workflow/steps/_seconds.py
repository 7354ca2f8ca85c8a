"""How long calls take, for plans: by what their work grows with, fitted on one core of an AMD EPYC.

Plans scale them by how fast workers are (:func:`~fmnist_dask.passes.calibration.slowness`). They say within a factor of
about two what calls on ordinary images take. Passes over all images, which decide for large collections, are measured.
"""

from __future__ import annotations

import math

#: Lloyd's iterations and swaps of one start on a subset, in all, as passes over it.
START_PASSES = 60
#: Iterations of EM on a subset until it has converged.
ITERATIONS_ON_SUBSET = 60
#: Seconds of a multiplication and addition in compiled loops over few dimensions, and in matrix products.
LOOP, PRODUCT = 6e-10, 2.5e-11


def plane_seconds(m: int, d: int) -> float:
    """Directions of the largest variation of m samples."""
    return 1.3 * PRODUCT * m * d * d + 1e-10 * d**3 + 2e-9 * m * d


def starts_seconds(m: int, width: int, k: int) -> float:
    """One start of k-means among m points."""
    return START_PASSES * LOOP * m * k * (width + 4)


def chains_seconds(m: int, width: int, ks: int) -> float:
    """One chain of starts for several numbers of clusters, ``ks`` in all."""
    return 5 * starts_seconds(m, width, ks)


def em_seconds(m: int, d: int, k: int, iterations: int, full: bool = True) -> float:
    """Iterations of EM on m samples."""
    return iterations * m * k * (5e-8 + 8e-9 * d + (1e-10 * d * d if full else 0.0))


def pairs_seconds(pairs: float, d: int) -> float:
    """Distances of so many pairs of samples, and what is made of them."""
    return pairs * (PRODUCT * d + 4e-9)


def tsne_seconds(n: int, iterations: int) -> float:
    """openTSNE: below 10,000 it sums over trees, beyond it interpolates on a grid."""
    return iterations * (0.006 + 3e-6 * n if n < 10_000 else 0.02 + 1.15e-6 * n)


def umap_epochs(n: int) -> int:
    """As many as umap-learn takes where it is not told."""
    return 200 if n > 10_000 else 500


def umap_seconds(n: int, epochs: int, neighbours: int) -> float:
    """umap-learn, seeded, with what it compiles in each process."""
    return 20.0 + epochs * n * neighbours * 6e-8


def forest_seconds(n: int, width: int, trees: int, pixels: bool) -> float:
    """scikit-learn's random forest: fitting, and predicting the rest. Pixels have few values, which sort fast."""
    return (2.5e-8 if pixels else 5.6e-8) * trees * n * math.sqrt(width) * math.log2(max(n, 2))


def boosting_seconds(n: int, width: int, classes: int, iterations: int) -> float:
    """scikit-learn's gradient boosting by histograms: fitting, and predicting the rest."""
    return iterations * classes * (n * width * 5e-9 + 0.004)


def factor_seconds(n: int, d: int) -> float:
    """Factors of n samples of d values."""
    return 2 * PRODUCT * n * d * d + 1e-9 * d**3 + 4e-9 * n * d


def palette_seconds(colours: int) -> float:
    """Ward's tree of so many colours, or palettes of k-means that begin from it."""
    return 0.02 + 2e-6 * min(colours, 2**16)


def windows_rounds(cells: int) -> int:
    """Rounds of assignments in windows: each stride twice, for a few sweeps."""
    return 6 * max(2, int(math.log2(max(cells, 4)) / 2))


def ward_seconds(m: int) -> float:
    """Ward's hierarchy of m points by a matrix of distances."""
    return 1e-7 * m * m


def eigen_seconds(p: int) -> float:
    """Leading eigenvectors of a symmetric matrix of p rows."""
    return 2e-10 * p**3


def assignment_seconds(cells: int) -> float:
    """Exact assignment of as many points to cells."""
    return 6e-10 * math.pow(cells, 2.9) + 0.005
