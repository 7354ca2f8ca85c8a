"""Verification of groups of images that have equal hashes: by bytes, and by 256-bit digests of them."""

from __future__ import annotations

import hashlib

import numpy as np

from fmnist_dask.collection.block import Block
from fmnist_dask.passes.protocol import Readable, Reduction
from fmnist_dask.typing import AnyArray, IntArray

#: Images compared at a time, and their bytes, to bound the temporaries.
PANEL = 1024
PANEL_BYTES = 2**22
#: Open groups: number of the group, members seen, a digest of their bytes; and groups found to differ.
Groups = dict[str, AnyArray]
#: Bytes of BLAKE2b digests. No two contents of one digest are known, nor will any be found by chance: among 10⁹ images
#: two would have one with a probability of 10⁻⁵⁹.
DIGEST_BYTES = 32
#: Bytes of an open group.
GROUP_BYTES = 2 * 8 + DIGEST_BYTES
#: Parts of the rows in which open groups are counted.
WINDOWS = 128


class VerifyGroups(Reduction):
    """Compare all members of each group with each other; the result is the sorted array of groups that are not equal.

    Members that are read together are compared byte for byte, others by BLAKE2b digests of 256 bits, so that a group
    takes 48 bytes however large its images are, and only until its last member has been seen.

    Parameters
    ----------
    rows : int64 array, shape (members,)
        Rows, sorted.
    groups : int64 array, shape (members,)
        Number of each row's group, 0 to the number of groups − 1.
    """

    def __init__(self, rows: IntArray, groups: IntArray) -> None:
        self.rows = rows
        self.groups = groups
        self.sizes = np.bincount(groups)

    def initial(self, source: Readable) -> Groups:
        """No group is open."""
        return {
            "group": np.zeros(0, np.int64),
            "seen": np.zeros(0, np.int64),
            "digest": np.zeros((0, DIGEST_BYTES), np.uint8),
            "different": np.zeros(0, np.int64),
        }

    def chunk(self, state: Groups, block: Block) -> Groups:
        """Compare the members that stand in this block."""
        low, high = np.searchsorted(self.rows, [block.rows[0], block.rows[-1] + 1])
        if low == high:
            return state
        index = np.searchsorted(block.rows, self.rows[low:high])
        index = np.minimum(index, len(block) - 1)
        present = block.rows[index] == self.rows[low:high]  # a split may have been selected
        index, groups = index[present], self.groups[low:high][present]
        pixels = block.image.reshape(len(block), -1)
        size = _panel(pixels.shape[1])
        for at in range(0, len(index), size):
            members = pixels[index[at : at + size]]
            state = self.combine(state, self._one_each(groups[at : at + size], members))
        return state

    def _one_each(self, groups: IntArray, members: AnyArray) -> Groups:
        number, first, inverse, seen = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
        differs = (members != members[first][inverse]).any(axis=1)
        return {
            "group": number,
            "seen": seen.astype(np.int64),
            "digest": _digests(members[first]),
            "different": np.unique(groups[differs]),
        }

    def combine(self, left: Groups, right: Groups) -> Groups:
        """Compare groups that both have open, and close those that are complete."""
        common, at_left, at_right = np.intersect1d(left["group"], right["group"], return_indices=True)
        differs = (left["digest"][at_left] != right["digest"][at_right]).any(axis=1)
        seen_left = left["seen"].copy()
        seen_left[at_left] += right["seen"][at_right]
        new = np.ones(len(right["group"]), dtype=bool)
        new[at_right] = False
        group = np.concatenate([left["group"], right["group"][new]])
        seen = np.concatenate([seen_left, right["seen"][new]])
        is_open = seen < self.sizes[group]
        left_open, right_open = is_open[: len(left["group"])], is_open[len(left["group"]) :]
        digest = np.concatenate([left["digest"][left_open], right["digest"][new][right_open]])
        order = np.argsort(group[is_open])
        different = np.unique(np.concatenate([left["different"], right["different"], common[differs]]))
        return {
            "group": group[is_open][order],
            "seen": seen[is_open][order],
            "digest": digest[order],
            "different": different,
        }

    def aggregate(self, state: Groups, source: Readable) -> IntArray:
        """Groups whose members are not all equal."""
        return state["different"]

    def state_bytes(self, source: Readable) -> int:
        """One digest for each group that is open."""
        return self._most_open(source.n) * GROUP_BYTES

    def _most_open(self, n: int) -> int:
        """Groups of which consecutive rows, any of n, can have some members but not all: hardly ever all groups.

        Such a group has two members, one next to the other among its own, of which only one lies there.
        """
        order = np.argsort(self.groups, kind="stable")  # rows are sorted
        same = self.groups[order][1:] == self.groups[order][:-1]
        ends = self.rows[order] * WINDOWS // max(n, 1)
        left, right = ends[:-1][same], ends[1:][same]
        pairs = np.zeros((WINDOWS + 1, WINDOWS + 1), np.int64)  # that begin, and end, before each window
        pairs[1:, 1:] = np.bincount(left * WINDOWS + right, minlength=WINDOWS**2).reshape(WINDOWS, WINDOWS)
        pairs = pairs.cumsum(axis=0).cumsum(axis=1)
        begin, end = pairs[:, -1], pairs[-1]
        # Of windows a to b: begun there, ended there, less twice what did both (none ends before it begins).
        both = end[None, :] - pairs[:, :]
        one = (begin[None, :] - begin[:, None]) + (end[None, :] - end[:, None]) - 2 * both
        within = np.bincount(left, minlength=WINDOWS) + np.bincount(right, minlength=WINDOWS)
        most = int(np.triu(one).max()) + 2 * int(within.max())  # where rows begin and end amid windows
        return min(most, len(self.sizes))

    def part_bytes(self, source: Readable, rows: int) -> int:
        """One digest for each member there; no window holds more than two that begin at multiples of its length."""
        windows = np.searchsorted(self.rows, np.arange(0, source.n + 2 * rows, rows))
        members = int((windows[2:] - windows[:-2]).max(initial=0))
        return min(members, len(self.sizes)) * GROUP_BYTES

    def task_bytes(self, source: Readable, rows: int) -> int:
        """A panel and its comparison; a new state beside the one that it takes the place of."""
        return 3 * _panel(source.image_bytes) * source.image_bytes + self.part_bytes(source, rows)

    def wants(self, start: int, stop: int) -> bool:
        """Whether a member lies there."""
        low, high = np.searchsorted(self.rows, [start, stop])
        return bool(high > low)


def _panel(image_bytes: int) -> int:
    return max(1, min(PANEL, PANEL_BYTES // image_bytes))


def _digests(images: AnyArray) -> AnyArray:
    """Digests of rows of bytes, shape (m, 32)."""
    joined = b"".join(hashlib.blake2b(image, digest_size=DIGEST_BYTES).digest() for image in images)
    return np.frombuffer(joined, np.uint8).reshape(len(images), DIGEST_BYTES)
