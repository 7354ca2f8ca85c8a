"""The engine without Dask: what it reads, counts and tells."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Sized, collection_of, everything, image_reads

from fmnist_dask.errors import UsageError
from fmnist_dask.passes.local import ArrayCollection, LocalEngine, drive
from fmnist_dask.passes.protocol import Call, Scan, Tasks
from fmnist_dask.passes.reductions.census import Census
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.reductions.moments import Moments


@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 9))
def test_a_fused_pass_reads_each_image_once_in_order(n, chunk_rows, n_tasks):
    source = collection_of(n, chunk_rows=chunk_rows)
    engine = LocalEngine(n_tasks)
    wanted = everything(source.image)
    other = Scan({"census": Census(), "at": ImagesAt((0,))}, split="train")
    engine.scan(source, {"a": wanted, "b": wanted, "c": other})
    assert image_reads(source) == list(range(0, n, chunk_rows))
    assert source.reads.count(("label", 0)) == 1
    assert engine.statistics.passes == 1
    assert engine.statistics.chunks_read == -(-n // chunk_rows)
    assert engine.statistics.bytes_read == n * source.image_bytes
    assert engine.statistics.tasks == min(n_tasks, -(-n // chunk_rows))


def test_chunks_that_nobody_wants_are_not_read():
    source = collection_of(50, chunk_rows=10)
    engine = LocalEngine()
    result = engine.scan(source, {"": Scan({"a": ImagesAt((12, 44)), "b": Sized(low=44, high=45)})})[""]
    assert image_reads(source) == [10, 40]
    assert (result["a"]["image"] == source.image[[12, 44]]).all()
    assert result["b"] == 10  # the chunk that it wants, not the one that only the other wants
    assert engine.statistics.bytes_read == 20 * source.image_bytes


def test_a_pass_that_nothing_wants_reads_nothing_and_does_not_count():
    source = collection_of(50)
    engine = LocalEngine()
    result = engine.scan(source, {"": Scan({"a": ImagesAt(()), "b": Sized(high=0)})})[""]
    assert source.reads == []
    assert result["a"]["image"].shape == (0, 5, 4)
    assert result["b"] == 0
    assert engine.statistics.passes == 0


def test_a_split_without_rows_gives_empty_results():
    source = ArrayCollection(np.zeros((9, 2, 2), np.uint8), split_names=("train", "test"))
    assert LocalEngine().scan(source, {"": Scan({"c": Census()}, split="test")})[""]["c"].sum() == 0


def test_a_scan_tells_of_its_progress():
    source, told = collection_of(50, chunk_rows=10), []
    LocalEngine(2).scan(source, {"": Scan({"c": Census()})}, told.append)
    assert [(p.done, p.total, p.chunks_done, p.chunks_total) for p in told] == [
        (done, 50, done // 10, 5) for done in (10, 20, 30, 40, 50)
    ]
    assert {p.unit for p in told} == {"images"}


def test_tasks_return_their_values_in_order_and_tell_of_their_weights():
    engine, told = LocalEngine(), []
    calls = tuple(Call(pow, (2, power), weight=power) for power in (3, 1, 4))
    assert engine.tasks(Tasks("powers", calls, unit="rows"), told.append) == [8, 2, 16]
    assert [(p.done, p.total, p.unit) for p in told] == [(3, 8, "rows"), (4, 8, "rows"), (8, 8, "rows")]
    assert engine.statistics.tasks == 3
    assert engine.statistics.passes == 0


def test_an_algorithm_receives_the_answer_of_each_request():
    def algorithm():
        census = (yield Scan({"census": Census()}))["census"]
        squares = yield Tasks("squares", (Call(pow, (int(census.sum()), 2)),))
        return squares[0]

    assert drive(algorithm(), collection_of(12)) == 144


@pytest.mark.parametrize(
    ("image", "found"),
    [(np.zeros((3, 4, 4)), "float64"), (np.zeros((3, 4), np.uint8), r"\(3, 4\)"), (np.zeros(3, np.uint8), r"\(3,\)")],
)
def test_arrays_of_another_kind_are_refused(image, found):
    with pytest.raises(UsageError, match=rf"{found}(.|\n)*uint8 of shape \(n, y, x"):
        ArrayCollection(image)


def test_blocks_are_freed_without_waiting_for_the_garbage_collector():
    """A block of a split refers back to the block that it is a part of."""
    alive, most = [], []

    class Watched(ArrayCollection):
        def block(self, start, stop):
            block = super().block(start, stop)
            most.append(sum(reference() is not None for reference in alive))
            alive.append(weakref.ref(block))
            return block

    plain = collection_of(50, chunk_rows=10)
    source = Watched(**{field.name: getattr(plain, field.name) for field in fields(ArrayCollection)})
    gc.collect()
    gc.disable()
    try:
        LocalEngine(1).scan(source, {"": Scan({"moments": Moments()}, split="train")})
    finally:
        gc.enable()
    assert len(most) > 3
    assert max(most) == 0
