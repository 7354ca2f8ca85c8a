"""Passes on real worker processes: the answers of the local engine, also when a worker dies."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from support import (
    Sized,
    SlowSum,
    array_source,
    assert_same,
    content_groups,
    die,
    everything,
    refuse,
    stored,
    values_of,
)

from fmnist_dask.errors import ClusterError, MemoryLimitError, SourceError
from fmnist_dask.models.duplicates import find_duplicates
from fmnist_dask.passes.columns import ColumnOnDisk
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.probe import resident_bytes
from fmnist_dask.passes.protocol import Call, Scan, Tasks
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.sizing import TASKS_PER_THREAD

N = 3000
CHUNKS = (256, 512, 1280)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same images in stores of three chunk lengths."""
    root = tmp_path_factory.mktemp("stores")
    return {rows: stored(array_source(N), root / f"{rows}.zarr", rows) for rows in CHUNKS}


@pytest.fixture(scope="module")
def wanted():
    return everything(array_source(N).image)


@pytest.fixture(scope="module")
def expected(stores, wanted):
    """What the local engine finds in one task."""
    return values_of(LocalEngine(1).scan(stores[256], {"": wanted})[""])


@pytest.fixture
def engine(cluster, tmp_path):
    return DistributedEngine(cluster.client, cluster.workers, tmp_path)


@pytest.fixture(scope="module")
def single(start_cluster):
    """A cluster of one worker, which tests may kill."""
    with start_cluster(1) as connection:
        yield connection


@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_two_workers_find_what_the_local_engine_finds(engine, stores, wanted, expected, chunk_rows):
    result = values_of(engine.scan(stores[chunk_rows], {"": wanted})[""])
    assert_same(result, expected)
    chunks = -(-N // chunk_rows)
    assert engine.statistics.passes == 1
    assert engine.statistics.chunks_read == chunks
    assert engine.statistics.bytes_read == N * 30
    assert engine.statistics.tasks == min(chunks, TASKS_PER_THREAD * 2)


@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_one_worker_finds_what_the_local_engine_finds(single, tmp_path, stores, wanted, expected, chunk_rows):
    engine = DistributedEngine(single.client, single.workers, tmp_path)
    assert_same(values_of(engine.scan(stores[chunk_rows], {"": wanted})[""]), expected)


def test_a_split_alone(engine, stores, wanted):
    scan = Scan(wanted.reductions, wanted.columns, "test")
    found, local = (values_of(e.scan(stores[256], {"": scan})[""]) for e in (engine, LocalEngine()))
    assert_same(found, local)


def test_columns_have_the_chunks_of_the_collection(engine, stores, wanted, tmp_path):
    import zarr

    written = engine.scan(stores[512], {"": wanted})[""]["hash"]["content_hash"]
    assert isinstance(written, ColumnOnDisk)
    array = zarr.open_array(written.path, mode="r")
    assert (array.shape, array.chunks, array.dtype) == ((N, 2), (512, 2), np.uint64)
    assert written.path.startswith(str(tmp_path))


def test_chunks_that_nobody_wants_are_not_read(engine, stores):
    result = engine.scan(stores[256], {"": Scan({"a": ImagesAt((300, 2999)), "b": Sized(low=300, high=301)})})[""]
    assert result["a"]["row"].tolist() == [300, 2999]
    assert result["b"] == 256
    assert engine.statistics.chunks_read == 2
    engine.scan(stores[256], {"": Scan({"a": ImagesAt(())})})
    assert (engine.statistics.passes, engine.statistics.chunks_read) == (1, 2)


def test_an_algorithm_of_passes_and_tasks(engine, stores):
    found = drive(find_duplicates(stores[256]), stores[256], engine)
    groups = [rows for rows in content_groups(array_source(N).image).values() if len(rows) > 1]
    assert found.rows.tolist() == [row for rows in sorted(groups) for row in rows]
    assert found.n_groups == len(groups)
    assert engine.statistics.passes == 1


def test_progress_grows_to_the_total(engine, stores):
    told = []
    engine.scan(stores[256], {"": Scan({"sum": SlowSum(0.12)})}, told.append)
    assert len(told) > 4  # tasks tell of their chunks before they end
    for field in ("done", "chunks_done", "seconds"):
        values = [getattr(progress, field) for progress in told]
        assert values == sorted(values), field
    assert (told[-1].done, told[-1].total) == (N, N)
    assert (told[-1].chunks_done, told[-1].chunks_total) == (12, 12)
    assert {progress.unit for progress in told} == {"images"}


def test_calls_run_on_workers_and_return_in_order(engine):
    told = []
    calls = tuple(Call(pow, (2, power), weight=power) for power in (5, 1, 3))
    assert engine.tasks(Tasks("powers of two", calls), told.append) == [32, 2, 8]
    assert [progress.done for progress in told][-1] == 9
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert os.getpid() not in engine.tasks(Tasks("who", (Call(os.getpid),)))


def test_an_error_in_a_call_reaches_the_caller_as_it_was(engine):
    with pytest.raises(SourceError, match="no good\n  remedy: another"):
        engine.tasks(Tasks("refuse", (Call(refuse, ("no good", "another")), Call(pow, (2, 3)))))


def test_what_does_not_fit_is_refused_before_anything_runs(engine, stores):
    with pytest.raises(MemoryLimitError, match=r"needs [\d,]+ MiB a worker.*workers have 1,024 MiB"):
        engine.scan(stores[256], {"": Scan({"huge": Sized(2**30)})})
    with pytest.raises(MemoryLimitError, match="each call of 'huge'"):
        engine.tasks(Tasks("huge", (Call(pow, (1, 1)),), task_bytes=2**30))
    assert engine.statistics.tasks == 0
    assert engine.planned_worker_bytes == engine.workers.baseline


@pytest.fixture(scope="module")
def worked(start_cluster, stores, wanted, tmp_path_factory):
    """A cluster of its own that has run a pass: what other tests let the shared one compute does not count."""
    with start_cluster(2) as connection:
        engine = DistributedEngine(connection.client, connection.workers, tmp_path_factory.mktemp("columns"))
        engine.scan(stores[256], {"": wanted})
        yield connection


def test_workers_import_nothing_heavy(worked):
    for modules in worked.client.run(lambda: sorted(sys.modules)).values():
        heavy = {"xarray", "pandas", "sklearn", "dask.array", "dask.dataframe", "bokeh", "pyarrow", "matplotlib"}
        assert heavy & set(modules) == set()
        rooms = {name.split(".")[1] for name in modules if name.startswith("fmnist_dask.")}
        assert rooms <= {"kernels", "collection", "passes", "models", "errors", "typing"}
        assert "fmnist_dask.passes.worker" in modules


def test_a_worker_is_small_again_after_a_pass(worked):
    for pid, resident in worked.client.run(lambda: (os.getpid(), resident_bytes())).values():
        assert pid != os.getpid()
        assert resident < 200 * 2**20


def kill_a_worker_when(client, condition):
    """Kill one worker process as soon as the condition holds; in a thread."""

    def watch():
        while not condition():
            time.sleep(0.02)
        pid = next(iter(client.run(os.getpid).values()))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    killed: list[int] = []
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return killed, thread


@pytest.mark.slow
def test_a_worker_killed_in_a_pass_changes_nothing(single, tmp_path, stores, wanted, expected):
    engine, told = DistributedEngine(single.client, single.workers, tmp_path), []
    scan = Scan({**wanted.reductions, "slow": SlowSum(0.15)}, wanted.columns)
    killed, thread = kill_a_worker_when(single.client, lambda: told and told[-1].done >= N // 3)
    result = values_of(engine.scan(stores[256], {"": scan}, told.append)[""])
    thread.join(20)
    assert killed
    assert killed[0] not in single.client.run(os.getpid).values()
    slow = result.pop("slow")
    assert slow.tolist() == [N, int(array_source(N).image.sum(dtype=np.int64))]
    assert_same(result, expected)
    assert engine.statistics.chunks_read == 12
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert done[-1] == N


def test_a_call_that_kills_its_workers_ends_in_an_error_with_a_remedy(single, tmp_path, monkeypatch):
    engine = DistributedEngine(single.client, single.workers, tmp_path)
    monkeypatch.setattr(single.client.cluster.scheduler, "allowed_failures", 0)  # by default a call may kill three
    with pytest.raises(ClusterError, match=r"workers died 1 times(.|\n)*remedy: give workers a larger memory_limit"):
        engine.tasks(Tasks("die", (Call(die),)))


def test_progress_callbacks_may_ask_the_scheduler(engine, stores):
    """They are called while tasks end and tell; were that in the client's event loop, it would wait for itself."""
    seen = []

    def ask(progress):
        seen.append(len(engine.client.scheduler_info(n_workers=-1)["workers"]))

    for _ in range(3):
        engine.scan(stores[256], {"": Scan({"slow": SlowSum(0.02)})}, progress=ask)
    assert len(seen) >= 3
    assert set(seen) == {engine.workers.count}
