"""The account of a pass on real worker processes: shares of the workers' time, and the peak of their memory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from distributed.spill import SpillBuffer
from support import Sized, SlowSum, array_source, stored

from fmnist_dask.passes.account import SHARES, PassAccount, Work
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.kept import Since
from fmnist_dask.passes.ledger import MOST_LEDGERS, measured, name_of, take_ledger, task_of
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.passes.probe import spilled_bytes, take_spilled
from fmnist_dask.passes.protocol import Call, Reduction, Scan, Tasks
from fmnist_dask.passes.reductions.properties import ContentHash
from fmnist_dask.passes.through import Pixels, scan_through

N = 3000
MB = 2**20


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stored(array_source(N), tmp_path_factory.mktemp("stores") / "images.zarr", 256)


@pytest.fixture
def engine(cluster, tmp_path):
    return DistributedEngine(cluster.client, cluster.workers, tmp_path)


@dataclasses.dataclass(frozen=True)
class Large(Reduction):
    """Counts rows; takes much memory for a moment with one of its blocks."""

    size: int

    def initial(self, source):
        return 0

    def chunk(self, state, block):
        if block.rows[0] == 0:
            assert np.ones(self.size, np.uint8).sum() > 0
        return state + len(block)

    def combine(self, left, right):
        return left + right

    def state_bytes(self, source):
        return 8

    def task_bytes(self, source, rows):
        return self.size


def check_shares(account: PassAccount) -> None:
    assert set(account.shares) == set(SHARES)
    assert all(0 <= share <= 1 for share in account.shares.values())
    assert sum(account.shares.values()) == pytest.approx(1)
    assert sum(account.spent.values()) == pytest.approx(account.seconds * account.threads)


def test_what_lies_inside_a_measured_block_counts_for_itself():
    with task_of("nested"):
        with measured("outer"):
            time.sleep(0.02)
            with measured("inner"):
                time.sleep(0.05)
        time.sleep(0.03)
    ledger = take_ledger("nested", 0)
    seconds = ledger.by_kind()
    assert 0.02 <= seconds["outer"] < 0.05 <= seconds["inner"]
    assert seconds["other"] >= 0.03
    assert ledger.tasks == 1
    assert take_ledger("nested", 0).by_kind() == {}


def test_threads_do_not_lose_each_others_time():
    def work():
        for _ in range(50):
            with task_of("many"), measured("kernel", "Some"):
                time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger = take_ledger("many", 0)
    assert ledger.tasks == 200
    assert ledger.by_kernel()["Some"] >= 0.2


def test_outside_of_tasks_nothing_is_measured_and_ledgers_that_nobody_takes_are_few():
    with measured("kernel"):
        pass
    for number in range(3 * MOST_LEDGERS):
        with task_of(f"pass {number}"):
            pass
    assert take_ledger("pass 0", 0).tasks == 0
    assert take_ledger(f"pass {3 * MOST_LEDGERS - 1}", 0).tasks == 1


def test_a_peak_that_another_run_has_asked_for_counts_for_both():
    with task_of("mine"):
        assert take_ledger("theirs", 500).peak_bytes == 500
    assert take_ledger("mine", 300).peak_bytes == 500


def test_what_was_spilled_is_told_once(tmp_path):
    worker = SimpleNamespace(address="tcp://here:1", data=SpillBuffer(str(tmp_path), target=1000))
    assert take_spilled(worker) == 0
    worker.data["array"] = np.arange(5000)
    assert spilled_bytes(worker) > 40_000
    assert take_spilled(worker) == spilled_bytes(worker)
    assert take_spilled(worker) == 0


def test_reductions_around_others_count_as_the_inner_ones():
    seen = scan_through(Scan({"a": Since(Sized(), 3)}, {"b": ContentHash()}), Pixels())
    assert name_of(seen.reductions["a"]) == "Sized"
    assert name_of(seen.columns["b"]) == "ContentHash"


def test_shares_of_a_pass_add_up(cluster, tmp_path, store):
    told = []
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path, keep=told.append)
    engine.scan(store, {"one": Scan({"sum": SlowSum(0.02)}, {"hash": ContentHash()}), "two": Scan({"n": Sized()})})
    account = engine.book.last
    assert told == [account]
    check_shares(account)
    work = account.work
    assert (work.number, work.steps, work.rows) == (1, ("one", "two"), N)
    assert work.title == "SlowSum+Sized+ContentHash"
    assert (work.chunks, work.bytes_read) == (12, N * 30)
    assert work.tasks == engine.statistics.tasks
    spent = account.spent
    assert spent["decode"] > 0.001
    assert 12 * 0.02 <= spent["kernel"] == pytest.approx(sum(account.kernels.values()))
    assert account.kernels["SlowSum"] > 12 * 0.02 > account.kernels["Sized"]
    assert spent["columns"] > 0.001
    assert spent["combine"] > 0
    assert spent["calls"] == 0
    assert 0 < account.scheduler_seconds < 10
    assert account.threads == 2
    assert account.seconds * 2 > spent["kernel"]


def test_reading_ahead_is_not_counted_twice(engine, store):
    slow = Scan({"sum": SlowSum(0.02)})
    ahead = dataclasses.replace(engine.workers, memory_limit=None, count=1, threads=1)
    reader = DistributedEngine(engine.client, ahead, engine.scratch)
    reader.scan(store, {"": slow})
    account = reader.book.last
    check_shares(account)
    assert account.ahead_seconds > 0.001
    # Reductions take far longer than reading, which goes on beside them: waiting for it takes next to nothing.
    assert account.spent["decode"] == pytest.approx(account.wait_seconds, abs=0.01)


def test_calls_have_an_account_of_their_own(engine):
    engine.tasks(Tasks("sleep a little", tuple(Call(time.sleep, (0.05,)) for _ in range(4)), step="some step"))
    account = engine.book.last
    check_shares(account)
    assert (account.work.number, account.work.steps, account.work.title) == (None, ("some step",), "sleep a little")
    assert 0.2 <= account.spent["calls"] < 0.4
    assert account.spent["kernel"] == account.spent["decode"] == 0
    assert account.work.planned_worker_bytes >= engine.workers.baseline


def test_a_peak_is_seen_in_the_pass_that_has_it_and_not_in_the_next(engine, store, cluster):
    small = Scan({"n": Sized()})
    engine.scan(store, {"": small})
    before = engine.book.last.peak_worker_bytes
    assert engine.scan(store, {"": Scan({"n": Large(150 * MB)})}) == {"": {"n": N}}
    during = engine.book.last
    engine.scan(store, {"": small})
    after = engine.book.last.peak_worker_bytes
    assert during.peak_worker_bytes > before + 130 * MB
    assert during.peak_worker_bytes <= during.work.planned_worker_bytes * 1.25
    assert after < during.peak_worker_bytes - 130 * MB
    # Measuring anew does not forget what a worker has needed.
    assert engine.book.peak_worker_bytes == during.peak_worker_bytes
    assert max(state["peak_bytes"] for state in cluster.worker_states().values()) >= during.peak_worker_bytes


def metered(client) -> dict[str, float]:
    """Seconds of tasks by what Dask's fine metrics call them, on all workers."""

    def digests(dask_worker):
        return [(key[-2], value) for key, value in dask_worker.digests_total.items() if key[0] == "execute"]

    seconds: dict[str, float] = {}
    for told in client.run(digests).values():
        for label, value in told:
            seconds[label] = seconds.get(label, 0.0) + value
    return seconds


def test_dask_is_told_of_the_parts_and_counts_nothing_twice(engine, store):
    before = metered(engine.client)
    engine.scan(store, {"": Scan({"sum": SlowSum(0.03)})})
    after = metered(engine.client)
    new = {label: value - before.get(label, 0.0) for label, value in after.items()}
    spent = engine.book.last.spent
    for part in ("decode", "kernel", "combine"):
        assert new[part] == pytest.approx(spent[part], rel=0.01), part
    ours = sum(value for part, value in spent.items() if part != "idle")
    # What Dask measures of the same functions itself is what is left of their time.
    assert new["thread-cpu"] + new["thread-noncpu"] < 0.2 * ours


@pytest.mark.slow
def test_a_killed_worker_does_not_break_the_account(start_cluster, store, tmp_path):
    with start_cluster(2) as connection:
        engine = DistributedEngine(connection.client, connection.workers, tmp_path)
        told = []

        def kill():
            while not (told and told[-1].done >= N // 3):
                time.sleep(0.02)
            with contextlib.suppress(ProcessLookupError):
                os.kill(next(iter(connection.client.run(os.getpid).values())), signal.SIGKILL)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        found = engine.scan(store, {"": Scan({"sum": SlowSum(0.15)})}, told.append)
        thread.join(20)
        assert found[""]["sum"][0] == N
        account = engine.book.last
        assert all(0 <= share <= 1 for share in account.shares.values())
        assert sum(account.shares.values()) == pytest.approx(1)
        assert account.peak_worker_bytes > 50 * MB
        engine.scan(store, {"": Scan({"sum": SlowSum(0.01)})})
        check_shares(engine.book.last)


def test_an_account_of_nobodys_answers_is_empty():
    account = PassAccount.of(Work(1, ("step",), "Some"), 1.5, [])
    assert account.peak_worker_bytes is None
    assert set(account.shares.values()) == {0.0}


def test_passes_in_this_process_leave_no_ledger(store):
    LocalEngine().scan(store, {"": Scan({"n": Sized()})})
    assert take_ledger("", 0).tasks == 0
