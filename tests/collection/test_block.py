"""A block reads what is asked for, once."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ArrayCollection

from fmnist_dask.collection.block import Block
from fmnist_dask.collection.masked import MaskedImages
from fmnist_dask.passes.through import Pixels, mapped


def block_of(split, start=100):
    """(block, names read): four rows or more, of the given splits."""
    n, read = len(split), []
    arrays = {
        "image": np.arange(n * 6, dtype=np.uint8).reshape(n, 2, 3),
        "label": np.arange(n, dtype=np.int16),
        "split": np.array(split, dtype=np.int8),
    }

    def load(name):
        read.append(name)
        return arrays[name]

    return Block(np.arange(start, start + n), load), read


def test_nothing_is_read_before_it_is_asked_for():
    block, read = block_of([0, 0, 1, 1])
    assert (len(block), read) == (4, [])


def test_each_array_is_read_once():
    block, read = block_of([0, 0, 1, 1])
    for _ in range(2):
        assert block.image is block.array("image")
        assert block.label.tolist() == [0, 1, 2, 3]
        assert block.select(1).label.tolist() == [2, 3]
    assert read == ["image", "label", "split"]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=20), st.integers(0, 3))
def test_selected_rows_are_those_of_the_split(split, wanted):
    block, _ = block_of(split)
    inside = np.array(split) == wanted
    chosen = block.select(wanted)
    assert chosen.rows.tolist() == (100 + np.flatnonzero(inside)).tolist()
    assert (chosen.image == block.image[inside]).all()
    assert (chosen.split == wanted).all()
    assert len(chosen) == inside.sum()


@pytest.mark.parametrize(("split", "view"), [([1, 1, 1], True), ([0, 1, 1], True), ([1, 0, 1], False)])
def test_consecutive_rows_are_selected_without_a_copy(split, view):
    block, _ = block_of(split)
    assert np.shares_memory(block.select(1).image, block.image) is view


def test_the_whole_is_selected_as_itself():
    block, read = block_of([1, 1])
    assert block.select(None) is block
    assert read == []
    assert block.select(1) is block


def test_a_selection_is_made_once():
    block, _ = block_of([0, 1, 0])
    assert block.select(0) is block.select(0)
    assert block.select(0).image is block.select(0).image


def test_work_on_a_block_is_shared_by_key():
    block, _ = block_of([0, 0])
    made = []
    assert block.memo("key", lambda: made.append(1) or "value") == "value"
    assert block.memo("key", lambda: made.append(2) or "other") == "value"
    assert block.memo(("key", 1), lambda: made.append(3) or "third") == "third"
    assert made == [1, 3]


def made_of(block, chosen, seen):
    """References to arrays of a block, of some of its rows, and of those seen otherwise."""
    names = [(block, "image"), (chosen, "image"), (seen, "features"), (seen.since(4), "features")]
    found = [weakref.ref(one.features if name == "features" else one.array(name)) for one, name in names]
    found += [weakref.ref(one) for one in (block, chosen, seen)]
    return found


@pytest.mark.parametrize("by", [Pixels(), None])
def test_forgotten_blocks_leave_no_memory_to_the_garbage_collector(by):
    """Blocks of a chunk are 17 MB each: they would pile up until Python happens to look for cycles."""
    image = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
    source = ArrayCollection(image, chunk_rows=10)
    source.split[:] = np.arange(10) % 2
    source.missing_pixels = 0
    gc.collect()
    gc.disable()
    try:
        block = source.block(0, 10) if by else MaskedImages(source, "", "1", source, 0.5).block(0, 10)
        chosen = block.select(1)
        references = made_of(block, chosen, mapped(chosen, by or Pixels()))
        block.forget()
        with pytest.raises(RuntimeError, match="let go of"):
            block.array("image")
        del block, chosen
        assert [reference() for reference in references if reference() is not None] == []
    finally:
        gc.enable()
