"""Starts of k-means for ascending numbers of clusters, each also begun from the centres found for the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmnist_dask.kernels.seeding import MOST_SWAPPED, SWAP_CANDIDATES, Fit, StartSearch, search_bytes
from fmnist_dask.typing import AnyArray


class ChainSearch(StartSearch):
    """Looks for starts of several numbers of clusters."""

    def chain(self, ks: Sequence[int], seed: int, number: int, method: str, swaps: bool = True) -> list[dict[str, Any]]:
        """The better of a start from seeds and one grown from the fit before it, for each number of clusters.

        Inertia never rises along the chain: centres are only added, and iterations and swaps gain.

        Parameters
        ----------
        ks
            Ascending.

        Returns
        -------
        list
            ``{"labels": int64 array, "inertia": float}`` each.
        """
        found, before = [], None
        for k in ks:
            generator = np.random.default_rng([seed, number, k])
            fits = [self._lloyd(self.seeds(k, generator, method))]
            if before is not None:
                fits.append(self._lloyd(self._grown(before, k, generator)))
            # Swaps take most of the time: only of the better one.
            before = min(fits, key=lambda fit: fit.inertia)
            if swaps and 1 < k <= MOST_SWAPPED:
                before = self._swap(before, generator)
            found.append({"labels": before.labels.astype(np.int64), "inertia": before.inertia * self.unit})
        return found

    def _grown(self, fit: Fit, k: int, generator: np.random.Generator) -> AnyArray:
        """The centres of a fit and more of them, one by one where they gain most, drawn as in k-means++."""
        centres = fit.centres
        nearest = np.maximum(fit.own + self.squares, 0)
        for _ in range(len(centres), k):
            candidates = self._draw(self.weights * nearest, SWAP_CANDIDATES, generator)
            distances = np.minimum(self._to(candidates), nearest)
            best = int((distances @ self.weights).argmin())
            centres = np.concatenate([centres, self.points[candidates[best]][None]])
            nearest = distances[best]
        return centres


def find_chains(
    points: AnyArray, ks: Sequence[int], seed: int, numbers: Sequence[int], method: str, swaps: bool
) -> list[list[dict[str, Any]]]:
    """Chains of the given numbers: each depends on the seed and its number alone."""
    search = ChainSearch(points)
    return [search.chain(ks, seed, number, method, swaps) for number in numbers]


def chain_bytes(m: int, p: int, ks: Sequence[int], numbers: int) -> int:
    """Memory of :func:`find_chains` beyond the points: the search, and what it has found."""
    return search_bytes(m, p, max(ks)) + 8 * m * (len(ks) * numbers + 4)
