"""Equal hashes of a whole collection, one partition of the hash space at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import collection_of, rechunked

from fmnist_dask.kernels.hashing import content_hashes
from fmnist_dask.passes import hashes
from fmnist_dask.passes.hashes import HashReader, repeated_in_partition, values_at


@pytest.fixture(autouse=True)
def _short_spans(monkeypatch):
    """Small collections are read in several spans, as large ones are."""
    monkeypatch.setattr(hashes, "SPAN_ROWS", 12)


def members_of(source, parts=1, split=None, since=()):
    """{row: group} over all partitions."""
    found = {}
    for part in range(parts):
        rows, groups, label, code = repeated_in_partition(HashReader(source), part, parts, split, *since)
        assert (label == source.label[rows]).all()
        assert (code == source.split[rows]).all()
        assert not found.keys() & set(rows.tolist())
        found |= dict(zip(rows.tolist(), groups.tolist(), strict=True))
    return found


def brute_force(source, split=None):
    rows_of: dict[bytes, list[int]] = {}
    for row, (high, low) in enumerate(source.extra["content_hash"]):
        if split is None or source.split[row] == split:
            rows_of.setdefault(high.tobytes() + low.tobytes(), []).append(row)
    return {row: rows[0] for rows in rows_of.values() if len(rows) > 1 for row in rows}


@given(st.integers(2, 60), st.integers(1, 20), st.integers(1, 30), st.integers(1, 3), st.data())
def test_after_an_append_the_same_is_found(n, distinct, chunk_rows, parts, data):
    source = collection_of(n, chunk_rows=chunk_rows, distinct=distinct, hashed=True)
    before, split = data.draw(st.integers(1, n)), data.draw(st.sampled_from([None, 0, 1]))
    old = collection_of(n, chunk_rows=chunk_rows, distinct=distinct, hashed=True)
    old.extra["content_hash"] = old.extra["content_hash"][:before]
    known = np.array(sorted(brute_force(old, split)), dtype=np.int64)
    assert members_of(source, parts, split, (before, known)) == brute_force(source, split)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 70), st.integers(1, 5), st.sampled_from([None, 0, 1]))
def test_repeated_hashes_of_all_partitions_equal_brute_force(n, distinct, chunk_rows, parts, split):
    source = collection_of(n, chunk_rows=chunk_rows, distinct=distinct, hashed=True)
    assert members_of(source, parts, split) == brute_force(source, split)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30), st.integers(1, 9))
def test_hashes_that_agree_in_one_half_only_are_not_equal(halves, chunk_rows):
    source = collection_of(len(halves), chunk_rows=chunk_rows)
    source.extra["content_hash"] = np.array(halves, dtype=np.uint64)
    assert members_of(source) == brute_force(source)


@pytest.mark.parametrize("half", [0, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_every_hash_belongs_to_one_partition(half, parts):
    source = collection_of(2)
    source.extra["content_hash"] = np.full((2, 2), half, dtype=np.uint64)
    assert members_of(source, parts) == {0: 0, 1: 0}


def test_a_stored_hash_is_recognized():
    assert HashReader(collection_of(5, hashed=True)).stored
    assert not HashReader(collection_of(5)).stored


def test_a_written_column_is_read_instead():
    source = collection_of(9)
    hashes = content_hashes(source.image)
    assert (HashReader(source, hashes).read(2, 5) == hashes[2:5]).all()


@given(st.lists(st.integers(0, 29), max_size=40), st.integers(1, 40))
def test_values_at_rows_in_any_order(rows, chunk_rows):
    source = rechunked(collection_of(30), chunk_rows)
    rows = np.array(rows, dtype=np.int64)
    found = values_at(source, "label", rows)
    assert found.dtype == source.label.dtype
    assert found.tolist() == source.label[rows].tolist()
    read = [start for _, start in source.reads][1:]  # the first read is for the dtype
    span = max(1, 12 // chunk_rows) * chunk_rows
    assert read == sorted({row // span * span for row in rows.tolist()})
