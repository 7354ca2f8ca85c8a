"""Whether values are missing whatever the class of their image is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fmnist_dask.typing import FloatArray


@dataclass(frozen=True)
class Missingness:
    """A test of values being missing completely at random, against the classes.

    Attributes
    ----------
    share : float64 array, shape (classes,)
        Of the values of a class, that are missing; NaN without images.
    p_share
        Probability of shares that differ as much, by chance: analysis of variance of the values that images lack.
    p_feature
        Of a feature that depends as much on the class: the least of Pearson's chi-squared tests, times their number.
    largest
        Of any feature and class, the largest difference of its missing share from that in all images.
    """

    share: FloatArray
    p_share: float
    p_feature: float
    largest: float

    @property
    def p_value(self) -> float:
        """Of both tests."""
        return min(1.0, 2 * min(self.p_share, self.p_feature))


def missingness(classes: dict[str, Any], labelled: bool = True) -> Missingness | None:
    """Test what :class:`~fmnist_dask.passes.reductions.classes.ClassMoments` gathered.

    Parameters
    ----------
    labelled
        Leave out images without a class (the last row).

    Returns
    -------
    Missingness or ``None``
        ``None`` where there are not two classes, or nothing is missing.
    """
    from scipy import stats

    last = len(classes["images"]) - 1 if labelled else len(classes["images"])
    images = classes["images"][:last].astype(np.float64)
    used = images > 0
    d = classes["count"].shape[1]
    missing = classes["missing"][:last].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = missing / (images * d)
    n, groups = images[used].sum(), int(used.sum())
    if groups < 2 or not missing.sum() or n <= groups:
        return None
    mean = missing[used] / images[used]
    between = float((images[used] * np.square(mean - missing.sum() / n)).sum())
    within = float((classes["missing_square"][:last][used] - missing[used] * mean).sum())
    if within > 1e-9 * max(float(classes["missing_square"][:last].sum()), 1.0):
        p_share = float(stats.f.sf(between / (groups - 1) / (within / (n - groups)), groups - 1, n - groups))
    else:
        p_share = 1.0 if between <= 1e-9 * n else 0.0
    lacks = images[used, None] - classes["count"][:last][used]
    rate = lacks.sum(axis=0) / n
    varies = (rate > 0) & (rate < 1)
    if not varies.any():
        return Missingness(share, p_share, 1.0, 0.0)
    expected = images[used, None] * rate[varies]
    squares = (np.square(lacks[:, varies] - expected) / (expected * (1 - rate[varies]))).sum(axis=0)
    p_feature = min(1.0, float(stats.chi2.sf(squares.max(), groups - 1)) * int(varies.sum()))
    largest = float(np.abs(lacks / images[used, None] - rate).max())
    return Missingness(share, p_share, p_feature, largest)
