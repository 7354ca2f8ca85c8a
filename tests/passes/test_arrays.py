"""Passes over arrays: blocks, threads, and what becomes of BLAS's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import SlowSum, assert_same
from threadpoolctl import threadpool_info, threadpool_limits

from fmnist_dask.passes.arrays import ArrayEngine, ArrayFeatures, FeatureTable
from fmnist_dask.passes.blas import one_blas_thread
from fmnist_dask.passes.dask_arrays import DaskArrayEngine, _aligned, _task_rows, apply_rows, sample_rows
from fmnist_dask.passes.parameters import grid_scale
from fmnist_dask.passes.protocol import Call, Column, Readable, Scan, Tasks, Variable
from fmnist_dask.passes.reductions.moments import Moments
from fmnist_dask.passes.reductions.subset import RandomSubset
from fmnist_dask.passes.rows import Coordinates


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads() -> Any:
    with threadpool_limits(2, user_api="blas"):
        yield


def test_one_thread_while_anyone_is_inside(two_threads: None) -> None:
    """Threads that leave earlier than others, or that did not set the limit, do not lift it."""
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def stay(number: int) -> set[int]:
        with one_blas_thread():
            inside.wait(10)
            leave[number].wait(10)
            return blas_threads()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(stay, 0), pool.submit(stay, 1)
        inside.wait(10)
        leave[0].set()
        assert first.result() == {1}
        assert blas_threads() == {1}
        leave[1].set()
        assert second.result() == {1}
    assert blas_threads() == {2}


def test_the_limit_ends_with_an_error(two_threads: None) -> None:
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert blas_threads() == {2}


def both(values: np.ndarray, chunks: int) -> list[Any]:
    """The same array for both engines: (source, engine) each."""
    lazy = DaskArrayEngine(da.from_array(values, chunks=(chunks, -1)))
    return [(ArrayFeatures.of(values), ArrayEngine(2)), (lazy.table, lazy)]


@pytest.mark.parametrize("chunks", [50, 700, 5000])
def test_engines_know_absolute_rows_and_count_what_they_do(chunks: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5000, 300), dtype=np.uint8)
    scan = Scan({"moments": Moments(), "subset": RandomSubset(40, 5000, 3)})
    found = []
    with dask.config.set(scheduler="threads"):
        for source, engine in both(values, chunks):
            found.append(engine.scan(source, {"": scan})[""])
            assert engine.statistics.passes == 1
            assert engine.statistics.bytes_read == values.nbytes
            assert engine.tasks(Tasks("sums", (Call(np.sum), Call(np.max)), shared=values)) == [values.sum(), 255]
            assert engine.tasks(Tasks("sums", (Call(max, (3, 4)),))) == [4]
    assert_same(*found)
    np.testing.assert_array_equal(found[0]["moments"]["sum"], values.sum(axis=0))
    np.testing.assert_array_equal(found[0]["subset"]["features"], values[found[0]["subset"]["row"]])


@dataclass(frozen=True)
class Nothing(Column):
    def variables(self, source: Readable) -> dict[str, Variable]:
        return {}

    def compute(self, block: Any) -> dict[str, Any]:
        return {}


def test_columns_and_images_are_not_there() -> None:
    source = ArrayFeatures.of(np.zeros((3, 2)))
    with pytest.raises(NotImplementedError, match="columns"):
        ArrayEngine().scan(source, {"": Scan(columns={"nothing": Nothing()})})
    with pytest.raises(KeyError):
        ArrayEngine().scan(source, {"": Scan({"sum": SlowSum()})})
    with pytest.raises(NotImplementedError, match="not in this process"):
        FeatureTable(3, 2, "float64").block(0, 3)


@pytest.mark.parametrize("d", [1, 30, 784, 5000, 300_000])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_blocks_are_whole_panels(d: int, dtype: str) -> None:
    table = FeatureTable(10**6, d, dtype)
    assert table.chunk_rows % 256 == 0
    assert table.chunk_rows * d * np.dtype(dtype).itemsize <= 4 * 2**20 or table.chunk_rows == 256


@given(chunks=st.lists(st.integers(0, 2000), min_size=1, max_size=12))
def test_chunks_are_moved_to_multiples_of_256(chunks: list[int]) -> None:
    near = _aligned(chunks)
    assert sum(near) == sum(chunks)
    ends, before = np.cumsum(near), np.cumsum(chunks)
    assert (ends[:-1] % 256 == 0).all()
    assert all(np.abs(before - end).min() <= 128 for end in ends)


def test_chunks_that_are_fit_for_tasks_stay() -> None:
    assert _task_rows(da.zeros((60_000, 784), chunks=(20_480, 784), dtype="u1")) == (20_480, 20_480, 19_040)
    tiny = _task_rows(da.zeros((60_000, 784), chunks=(100, 784), dtype="u1"))
    assert set(tiny[:-1]) == {5376}  # 4 MiB
    huge = _task_rows(da.zeros((10**7, 784), chunks=-1, dtype="u1"))
    assert max(huge) * 784 <= 65 * 2**20


def test_empty_chunks() -> None:
    values = np.random.default_rng(0).random((700, 6))
    array = da.concatenate([da.zeros((0, 6)), da.from_array(values, chunks=300), da.zeros((0, 6))])
    function = Coordinates(values.mean(axis=0), np.eye(6)[:, :2])
    with dask.config.set(scheduler="sync"):
        found = apply_rows(function, array)
        assert found.chunks == (array.chunks[0], (2,))
        np.testing.assert_array_equal(found, function(values))
        engine = DaskArrayEngine(sample_rows(array, "float64"))
        subset = engine.scan(engine.table, {"": Scan({"all": RandomSubset(700, 700, 0)})})[""]["all"]
    np.testing.assert_array_equal(subset["features"], values)


@pytest.mark.parametrize("bound", [1e-320, 1e-200, 3.0, 2.0**61, 1e290])
def test_sums_on_a_grid_do_not_overflow(bound: float) -> None:
    scale = grid_scale(bound)
    assert np.log2(scale) == round(np.log2(scale))
    assert bound * scale <= 2.0**61
