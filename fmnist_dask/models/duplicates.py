"""Images that are equal byte for byte: within splits, across splits (leaks), and under different labels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmnist_dask.models.known_groups import KnownGroups, examples_of_both, members_to_compare
from fmnist_dask.passes.hashes import SPAN_ROWS, TABLE_BITS, HashReader, repeated_in_partition
from fmnist_dask.passes.protocol import Algorithm, Call, Readable, Scan, Tasks
from fmnist_dask.passes.reductions.census import Census
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.reductions.properties import ContentHash
from fmnist_dask.passes.reductions.verify import GROUP_BYTES, VerifyGroups
from fmnist_dask.typing import AnyArray, IntArray

#: Rows whose hashes one task sorts; more rows are partitioned by the hash's leading bits.
PARTITION_ROWS = 2_000_000
#: Bytes of groups that one verification holds; more groups are verified in further passes over their chunks.
VERIFY_BYTES = 16 * 2**20
#: Bytes of images that are fetched at a time to be told apart.
FETCH_BYTES = 32 * 2**20


@dataclass
class Duplicates:
    """Groups of equal images.

    Attributes
    ----------
    rows, groups : int64 arrays, shape (members,)
        Every image that is not alone, sorted by group, then row. A group is named by its first row.
    label : int16 array, shape (members,)
    split : int8 array, shape (members,)
    images : int64 array, shape (splits, 1 + classes)
        Images of each split and class; the first column is for unknown labels.
    examples : dict
        ``row`` and ``image`` of members of some groups, to look at.
    """

    rows: IntArray
    groups: IntArray
    label: AnyArray
    split: AnyArray
    images: IntArray
    n: int
    split_names: tuple[str, ...]
    examples: dict[str, AnyArray] = field(default_factory=dict)

    @property
    def n_groups(self) -> int:
        """Groups of two or more equal images."""
        return len(np.unique(self.groups))

    @property
    def n_unique(self) -> int:
        """Distinct images."""
        return self.n - len(self.rows) + self.n_groups

    def surplus(self) -> dict[str, int]:
        """Images beyond the first of their group, counted within each split."""
        return {
            name: int((self.split == code).sum() - len(np.unique(self.groups[self.split == code])))
            for code, name in enumerate(self.split_names)
        }

    def leaked(self) -> dict[str, int]:
        """Images of each split that also stand in another split."""
        crossing = self.crossing_groups()
        member = np.isin(self.groups, crossing)
        return {name: int((member & (self.split == code)).sum()) for code, name in enumerate(self.split_names)}

    def crossing_groups(self) -> IntArray:
        """Groups with members in two or more splits."""
        return _groups_with_several(self.groups, self.split)

    def conflicting_groups(self) -> IntArray:
        """Groups whose members carry two or more different known labels."""
        known = self.label >= 0
        return _groups_with_several(self.groups[known], self.label[known])

    def distinct(self) -> IntArray:
        """Distinct images of each split and class; same shape as ``images``."""
        cells = np.stack([self.split.astype(np.int64), self.label.astype(np.int64) + 1, self.groups], axis=1)
        surplus = np.zeros_like(self.images)
        np.add.at(surplus, (cells[:, 0], cells[:, 1]), 1)
        once = np.unique(cells, axis=0)
        np.subtract.at(surplus, (once[:, 0], once[:, 1]), 1)
        return self.images - surplus


def _groups_with_several(groups: IntArray, values: AnyArray) -> IntArray:
    pairs = np.unique(np.stack([groups, values.astype(np.int64)], axis=1), axis=0)
    names, counts = np.unique(pairs[:, 0], return_counts=True)
    return names[counts > 1]


def find_duplicates(
    source: Readable,
    split: str = "all",
    split_code: int | None = None,
    n_examples: int = 24,
    known: KnownGroups | None = None,
) -> Algorithm[Duplicates]:
    """Find groups of equal images, exactly.

    Hashes of 128 bits propose groups, the images decide: every member of a group is compared with the others while its
    chunk is read anyway, by bytes or by digests of 256 bits; see
    :class:`~fmnist_dask.passes.reductions.verify.VerifyGroups`. Hashes are sorted in partitions by their leading bits,
    so that no worker needs all of them; images are compared with one representative of their group, so that a hundred
    thousand blank images cost as many comparisons.

    Parameters
    ----------
    source
        The collection.
    split, split_code
        Look at this split only.
    n_examples
        Images of groups to bring back for a look.
    known
        What was found before rows were appended: of those groups one member is compared with new ones.
    """
    reader = HashReader(source)
    if not reader.stored:
        hashed = yield Scan(columns={"hash": ContentHash()})
        reader = HashReader(source, hashed["hash"]["content_hash"])
    parts = -(-source.n // PARTITION_ROWS)
    since = () if known is None else (known.n, np.sort(known.rows))
    found = yield Tasks(
        "find equal hashes",
        tuple(Call(repeated_in_partition, (part, parts, split_code, *since)) for part in range(parts)),
        task_bytes=min(source.n, PARTITION_ROWS) * 48 + min(source.n, SPAN_ROWS) * 32 + (1 << TABLE_BITS),
        unit="partitions",
        shared=reader,
        expected=lambda: [_expected(source.n)],
        seconds=1e-6 * min(source.n, PARTITION_ROWS),
    )
    rows, groups, label, code = (np.concatenate([part[i] for part in found]) for i in range(4))
    order = np.lexsort((rows, groups))
    rows, groups, label, code = rows[order], groups[order], label[order], code[order]
    census: IntArray | None = None
    examples: dict[str, AnyArray] = {}
    compared = members_to_compare(rows, groups, known)
    compared_rows, compared_groups = rows[compared], groups[compared]
    # Rounds: the first goes along with everybody's pass, and is the only one unless there are very many groups.
    for selected in _rounds(compared_groups):
        requests: dict[str, Any] = {"verify": _verification(compared_rows[selected], compared_groups[selected])}
        if census is None:
            wanted = _examples(rows, groups, label, code, n_examples)
            there = set() if known is None else set(known.examples["row"].tolist())
            missing = tuple(row for row in wanted if row not in there)
            requests |= {"census": Census(), "examples": ImagesAt(missing)}
        result = yield Scan(requests, split=split)
        if census is None:
            census, examples = result["census"], examples_of_both(result["examples"], wanted, known)
        names = np.unique(compared_groups[selected])
        for different in names[result["verify"]]:
            yield from _separate(rows, groups, different, source)
    assert census is not None  # there is always a first round
    alone = _alone(groups)
    order = np.lexsort((rows, groups))
    order = order[~alone[order]]
    return Duplicates(
        rows[order], groups[order], label[order], code[order], census, int(census.sum()), tuple(source.splits), examples
    )


def surplus_rows(source: Readable, ignored: IntArray, across_splits: bool = False) -> Algorithm[IntArray]:
    """Rows that repeat an earlier one of the same split and label, ascending.

    Parameters
    ----------
    ignored : int64 array
        Rows that do not count, for instance those that could not be read.
    across_splits
        Whether a row may repeat one of another split.
    """
    found = yield from find_duplicates(source, n_examples=0)
    counted = ~np.isin(found.rows, ignored)
    split = np.zeros_like(found.split) if across_splits else found.split
    keys = np.stack([found.groups, split.astype(np.int64), found.label.astype(np.int64)], axis=1)[counted]
    rows = found.rows[counted]
    # Members of a group are in the order of rows, so that the first of each key is the one that stays.
    _, first = np.unique(keys, axis=0, return_index=True)
    return np.sort(np.delete(rows, first))


def _expected(n: int) -> tuple[IntArray, IntArray, AnyArray, AnyArray]:
    """For a plan: one image in a hundred has a copy."""
    rows = np.linspace(0, n - 1, 2 * min(n // 200, 500_000), dtype=np.int64)
    groups = np.repeat(rows[: len(rows) // 2], 2)
    return rows, groups, np.zeros(len(rows), np.int16), np.zeros(len(rows), np.int8)


def _verification(rows: IntArray, groups: IntArray) -> VerifyGroups:
    by_row = np.argsort(rows)
    return VerifyGroups(rows[by_row], np.unique(groups, return_inverse=True)[1][by_row].astype(np.int64))


def _rounds(groups: IntArray) -> list[slice]:
    """Slices of the sorted members whose groups fit the budget; at least one, also for no members."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.zeros(1, np.int64)
    step = max(1, VERIFY_BYTES // GROUP_BYTES)
    edges = [int(at) for at in starts[::step]] + [len(groups)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


def _separate(rows: IntArray, groups: IntArray, name: int, source: Readable) -> Algorithm[None]:
    """Split a group whose images differ although their hashes agree; ``groups`` is changed in place."""
    members = np.flatnonzero(groups == name)
    representatives: list[tuple[int, bytes]] = []
    step = max(1, FETCH_BYTES // source.image_bytes)
    for at in range(0, len(members), step):
        part = members[at : at + step]
        fetched = (yield Scan({"images": ImagesAt(tuple(int(row) for row in rows[part]), thumbnails=False)}))["images"]
        for member, image in zip(part, fetched["image"], strict=True):
            content = image.tobytes()
            first = next((row for row, known in representatives if known == content), None)
            if first is None:
                first = int(rows[member])
                representatives.append((first, content))
            groups[member] = first


def _alone(groups: IntArray) -> AnyArray:
    names, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return counts[inverse] < 2 if len(names) else np.zeros(0, dtype=bool)


def _examples(rows: IntArray, groups: IntArray, label: AnyArray, split: AnyArray, count: int) -> tuple[int, ...]:
    """Rows worth a look: pairs with conflicting labels, leaks and plain copies in turn, the largest groups first."""
    known = label >= 0
    conflicts = _groups_with_several(groups[known], label[known])
    leaks = _groups_with_several(groups, split)
    names, counts = np.unique(groups, return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")]
    is_conflict, is_leak = np.isin(largest, conflicts), np.isin(largest, leaks)
    kinds = (largest[is_conflict], largest[is_leak & ~is_conflict], largest[~is_leak & ~is_conflict])
    order = [
        name for turn in itertools.zip_longest(*(kind[:count] for kind in kinds)) for name in turn if name is not None
    ]
    chosen: list[int] = []
    for name in order:
        members = np.flatnonzero(groups == name)
        # The pair that shows what is special: two labels, or two splits, or just two.
        first = members[0]
        other = next((m for m in members[1:] if label[m] != label[first] or split[m] != split[first]), members[1])
        chosen += [int(rows[first]), int(rows[other])]
        if len(chosen) >= count:
            break
    return tuple(sorted(chosen))
