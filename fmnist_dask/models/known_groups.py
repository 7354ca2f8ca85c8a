"""Groups of equal images that were found before a collection grew: what is left to be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_dask.typing import AnyArray, IntArray


@dataclass
class KnownGroups:
    """Groups that were found among the first rows of a collection before it grew.

    Attributes
    ----------
    n
        Rows among which they were found.
    rows, groups : int64 arrays
        As in :class:`Duplicates`.
    examples
        ``row`` and ``image`` of some members.
    """

    n: int
    rows: IntArray
    groups: IntArray
    examples: dict[str, AnyArray]


def members_to_compare(rows: IntArray, groups: IntArray, known: KnownGroups | None) -> IntArray:
    """Positions of the members of proposed groups whose bytes are to be compared.

    All of them; or, of a group whose old members were found to be equal before, one of these with all new ones.

    Parameters
    ----------
    rows, groups : int64 arrays, shape (members,)
        Groups that equal hashes propose, sorted by group, then row.
    """
    if known is None or not len(rows):
        return np.arange(len(rows))
    names, inverse = np.unique(groups, return_inverse=True)
    old = rows < known.n
    n_old, n_new = np.bincount(inverse, old, len(names)), np.bincount(inverse, ~old, len(names))
    before = _groups_before(rows, known)
    lowest, highest = np.full(len(names), np.iinfo(np.int64).max), np.full(len(names), -1)
    np.minimum.at(lowest, inverse[old], before[old])
    np.maximum.at(highest, inverse[old], before[old])
    settled = (n_old == 1) | ((n_old > 1) & (lowest == highest) & (lowest >= 0))
    first_old = np.zeros(len(rows), dtype=bool)
    first_old[np.flatnonzero(old)[np.unique(inverse[old], return_index=True)[1]]] = True
    of_settled = (first_old | ~old) & (n_new > 0)[inverse]
    result: IntArray = np.flatnonzero(np.where(settled[inverse], of_settled, True))
    return result


def _groups_before(rows: IntArray, known: KnownGroups) -> IntArray:
    """The known group of each row; −1 where it was alone."""
    if not len(known.rows):
        return np.full(len(rows), -1, dtype=np.int64)
    order = np.argsort(known.rows)
    at = np.minimum(np.searchsorted(known.rows[order], rows), len(order) - 1)
    found: IntArray = np.where(known.rows[order][at] == rows, known.groups[order][at], -1)
    return found


def examples_of_both(
    found: dict[str, AnyArray], wanted: tuple[int, ...], known: KnownGroups | None
) -> dict[str, AnyArray]:
    """Images that were asked for, in row order: some just read, some from before."""
    if known is None:
        return found
    inside = np.isin(known.examples["row"], wanted)
    if not inside.any():
        return found
    both = {name: np.concatenate([found[name], known.examples[name][inside]]) for name in ("row", "image")}
    order = np.argsort(both["row"], kind="stable")
    return {name: values[order] for name, values in both.items()}
