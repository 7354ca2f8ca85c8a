"""Content hashes and their grouping."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from support import content_groups, random_images

from fmnist_dask.kernels.hashing import content_hashes, panel_digests, repeated_hashes

shapes = st.sampled_from([(2, 3), (1, 1), (2, 2, 3), (28, 28)])


@given(st.integers(1, 40), shapes, st.sampled_from([None, 1, 5]), st.integers(0, 9))
def test_images_are_equal_exactly_if_their_hashes_are(n, shape, distinct, seed):
    image = random_images(n, shape, distinct, seed)
    hashes = content_hashes(image)
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, value in enumerate(hashes.tolist()):
        groups.setdefault(tuple(value), []).append(row)
    assert list(groups.values()) == list(content_groups(image).values())


def test_hashes_are_the_published_function():
    image = random_images(3)
    expected = [xxhash.xxh3_128_intdigest(pixels.tobytes()) for pixels in image]
    assert [int(high) << 64 | int(low) for high, low in content_hashes(image)] == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[::-1][::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.pad(a, ((0, 0), (1, 0), (0, 2)))[:, 1:, :-2],
    ],
)
def test_hashes_do_not_depend_on_strides(change):
    image = random_images(9)
    assert (content_hashes(change(image)) == content_hashes(image)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_any_dtype_is_hashed_by_its_bytes(dtype):
    values = np.array([[0, 1], [1, 0], [0, 1]], dtype=dtype)
    hashes = content_hashes(values)
    assert (hashes[0] == hashes[2]).all()
    assert (hashes[0] != hashes[1]).any()


@pytest.mark.parametrize("shape", [(0, 28, 28), (0, 1)])
def test_no_images_have_no_hashes(shape):
    found = content_hashes(np.zeros(shape, np.uint8))
    assert (found.shape, found.dtype) == ((0, 2), np.uint64)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(2**64 - 3, 2**64 - 1)), max_size=40),
    st.integers(1, 1000),
    st.integers(1, 5),
)
def test_repeated_hashes_equal_a_dictionary(values, first, step):
    hashes = np.array(values, dtype=np.uint64).reshape(-1, 2)
    rows = first + step * np.arange(len(values), dtype=np.int64)
    members: dict[tuple[int, int], list[int]] = {}
    for value, row in zip(values, rows.tolist(), strict=True):
        members.setdefault(value, []).append(row)
    expected = [(group[0], row) for group in sorted(members.values()) if len(group) > 1 for row in group]
    found_rows, found_groups = repeated_hashes(hashes, rows)
    assert list(zip(found_groups.tolist(), found_rows.tolist(), strict=True)) == expected
    assert found_rows.dtype == found_groups.dtype == np.int64


@given(st.integers(0, 1500), st.lists(st.integers(0, 6), max_size=4), st.integers(0, 9))
def test_panel_digests_do_not_depend_on_chunks(n, cuts, seed):
    rng = np.random.default_rng(seed)
    hashes, label = rng.integers(0, 2**63, (n, 2), dtype=np.uint64), rng.integers(-1, 9, n).astype(np.int16)
    edges = sorted({0, n, *(cut * 256 for cut in cuts if cut * 256 < n)})
    parts = [panel_digests(low, hashes[low:high], label[low:high]) for low, high in itertools.pairwise(edges)]
    whole = panel_digests(0, hashes, label)
    assert [digest for part in parts for digest in part] == whole
    assert len(whole) == -(-n // 256)
    assert {len(digest) for digest in whole} <= {16}


@pytest.mark.parametrize(("row", "panel"), [(0, 0), (255, 0), (256, 1), (599, 2)])
@pytest.mark.parametrize("changed", [0, 1])
def test_a_change_changes_the_digest_of_its_panel(row, panel, changed):
    arrays = [np.zeros((600, 2), np.uint64), np.zeros(600, np.int16)]
    before = panel_digests(0, *arrays)
    arrays[changed][row] = 1
    after = panel_digests(0, *arrays)
    assert [at for at in range(3) if before[at] != after[at]] == [panel]


def test_panels_must_begin_at_their_rows():
    with pytest.raises(ValueError, match="start is 100, which is no multiple of 256"):
        panel_digests(100, np.zeros(3))
