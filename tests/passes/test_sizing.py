"""How a pass is cut into tasks, and the memory it is given."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Sized, collection_of

from fmnist_dask.errors import MemoryLimitError
from fmnist_dask.passes.fused import fuse
from fmnist_dask.passes.local import ArrayCollection
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.verify import VerifyGroups
from fmnist_dask.passes.sizing import (
    COMBINE_BYTES,
    INPUT_PER_STATE,
    MAX_FAN_IN,
    OVERHEAD_FACTOR,
    PREFETCH_SHARE,
    TASK_OVERHEAD,
    TASKS_PER_THREAD,
    THREAD_RATE,
    Workers,
    check_memory,
    plan_pass,
)
from fmnist_dask.passes.worker import run_chunks

MIB = 2**20


@dataclasses.dataclass
class Declared:
    """A collection that is only described."""

    n: int
    chunk_rows: int = 256
    image_shape: tuple[int, ...] = (28, 28)

    @property
    def image_bytes(self) -> int:
        return self.image_shape[0] * self.image_shape[1]

    @property
    def n_features(self) -> int:
        return self.image_bytes

    @property
    def feature_dtype(self) -> str:
        return "uint8"


def plan(source, workers, *reductions):
    scan = Scan({str(number): reduction for number, reduction in enumerate(reductions)})
    return plan_pass(source, fuse(source, {"": scan}, {"all": None})[0], workers)


def cluster_of(count=2, threads=1, limit=None, usable=0.7, baseline=100 * MIB):
    return Workers(count, threads, limit, usable, baseline)


sources = st.builds(
    Declared,
    st.integers(1, 10**7),
    st.sampled_from([256, 2048, 21504]),
    st.sampled_from([(1, 1), (28, 28), (300, 200)]),
)
clusters = st.builds(cluster_of, st.integers(1, 64), st.integers(1, 8))
states = st.integers(1, 200 * MIB)


@given(sources, clusters, states)
def test_every_chunk_is_in_one_task_and_in_order(source, workers, state):
    found = plan(source, workers, Sized(state))
    assert list(itertools.chain(*found.tasks)) == list(range(-(-source.n // source.chunk_rows)))
    assert all(found.tasks)
    assert found.chunks == -(-source.n // source.chunk_rows)
    assert found.bytes_read == source.n * source.image_bytes


@given(sources, clusters, states)
def test_tasks_are_alike_in_length(source, workers, state):
    lengths = [len(task) for task in plan(source, workers, Sized(state)).tasks]
    assert max(lengths) - min(lengths) <= 1


@given(sources, clusters, states)
def test_tasks_are_as_many_as_threads_ask_for_unless_that_makes_them_small(source, workers, state):
    found = plan(source, workers, Sized(state))
    chunk_bytes = min(source.chunk_rows, source.n) * source.image_bytes
    least = max(INPUT_PER_STATE * state, int(OVERHEAD_FACTOR * TASK_OVERHEAD * workers.total_threads * THREAD_RATE))
    enough_for_threads = min(found.chunks, TASKS_PER_THREAD * workers.total_threads)
    assert len(found.tasks) >= enough_for_threads
    if len(found.tasks) > enough_for_threads:
        assert found.chunks * chunk_bytes / len(found.tasks) >= least


@given(sources, clusters, states)
def test_fan_in_is_bounded_by_memory(source, workers, state):
    fan_in = plan(source, workers, Sized(state)).fan_in
    assert 2 <= fan_in <= MAX_FAN_IN
    assert fan_in == 2 or fan_in * state <= COMBINE_BYTES


def test_a_state_of_each_level_of_the_tree_waits():
    """States too large to merge more than two at a time: 8 tasks make a tree of three levels.

    While the last is made, that of the seventh waits, that of the fifth and sixth, and that of the first four.
    """
    source, state = Declared(16 * 256, image_shape=(224, 672)), 64 * MIB
    found = plan(source, cluster_of(), Sized(state))
    assert (len(found.tasks), found.fan_in) == (8, 2)
    assert found.worker_bytes == 100 * MIB + len_of_parameters(state) + found.task_bytes + 3 * state


def len_of_parameters(state):
    return fuse(None, {"": Scan({"0": Sized(state)})}, {"all": None})[0].parameter_bytes()


@given(sources, clusters, states, st.integers(0, 100 * MIB))
def test_predicted_memory_holds_what_a_worker_must_hold(source, workers, state, scratch):
    found = plan(source, workers, Sized(state, scratch))
    block = min(source.chunk_rows, source.n) * source.image_bytes
    assert found.state_bytes == state
    assert found.task_bytes >= block * (2 if found.prefetch else 1) + state + scratch
    assert found.worker_bytes >= workers.baseline + workers.threads * found.task_bytes
    assert found.worker_bytes >= workers.baseline + found.combine_bytes
    if len(found.tasks) > 1:
        assert found.combine_bytes >= 3 * state


@given(sources, clusters, states, st.integers(64, 4096))
def test_a_pass_either_fits_or_is_refused(source, workers, state, limit):
    limited = dataclasses.replace(workers, memory_limit=limit * MIB)
    try:
        found = plan(source, limited, Sized(state))
    except MemoryLimitError:
        # Without reading ahead, which is the first to go, it would still be too much.
        unlimited = plan(source, workers, Sized(state))
        assert unlimited.worker_bytes > limited.usable * limit * MIB
        return
    assert found.worker_bytes <= limited.usable * limit * MIB
    if found.prefetch:
        assert found.worker_bytes <= PREFETCH_SHARE * limit * MIB


def test_unwanted_chunks_belong_to_no_task():
    found = plan(Declared(256 * 100), cluster_of(), Sized(low=300, high=800), Sized(low=256 * 99, high=256 * 99 + 1))
    assert list(itertools.chain(*found.tasks)) == [1, 2, 3, 99]
    assert found.bytes_read == 4 * 256 * 784


def test_nothing_wanted_is_no_task():
    found = plan(Declared(1000), cluster_of(), Sized(high=0))
    assert (found.tasks, found.bytes_read, found.chunks) == ((), 0, 0)


def test_a_verification_of_nothing_is_no_task():
    nothing = VerifyGroups(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert plan(Declared(1000), cluster_of(), nothing).tasks == ()


def test_tasks_of_scattered_chunks_hold_the_states_they_were_planned_with():
    """Members stand in every tenth chunk: a task of a few such chunks reaches over many rows."""
    rows = (np.arange(0, 20_000, 2000)[:, None] + np.arange(200)).reshape(-1)
    source = ArrayCollection(np.zeros((20_000, 1, 1), np.uint8), chunk_rows=200)
    reduction = VerifyGroups(rows, np.arange(len(rows)) % 1000)
    fused, _ = fuse(source, {"": Scan({"verify": reduction})}, {"all": None})
    found = plan_pass(source, fused, cluster_of(count=1))
    for task in found.tasks:
        (state,) = run_chunks(source, fused, task, [])
        held = sum(state[name].nbytes for name in ("group", "seen", "digest"))
        assert held <= found.task_bytes - int(1.6 * 200) - fused.scratch_bytes(source, 200)


def test_the_last_chunk_counts_as_long_as_it_is():
    found = plan(collection_of(50, chunk_rows=20), cluster_of(), Sized(low=45))
    assert found.bytes_read == 10 * 20


def test_bigger_states_make_longer_tasks():
    source = Declared(10**7)
    counts = [len(plan(source, cluster_of(), Sized(state)).tasks) for state in (MIB, 16 * MIB, 256 * MIB)]
    assert counts[0] > counts[1] > counts[2] >= 4


@pytest.mark.parametrize(("limit", "prefetch"), [(None, True), (4096 * MIB, True), (300 * MIB, False)])
def test_chunks_are_read_ahead_where_there_is_room(limit, prefetch):
    found = plan(Declared(10**6, 21504), cluster_of(limit=limit), Sized(4 * MIB))
    assert len(found.tasks[0]) > 1
    assert found.prefetch is prefetch


def test_single_chunks_are_not_read_ahead():
    assert not plan(Declared(300), cluster_of(), Sized()).prefetch


@pytest.mark.parametrize(
    ("workers", "parts"),
    [
        (
            cluster_of(limit=1024 * MIB),
            ["1,024 MiB", "100 MiB of it the idle process", "70%", "memory_limit of"],
        ),
        (cluster_of(threads=4, limit=2048 * MIB), ["2,048 MiB", "threads_per_worker: 1"]),
    ],
)
def test_a_refusal_names_need_limit_and_remedy(workers, parts):
    with pytest.raises(MemoryLimitError) as caught:
        plan(Declared(10**6), workers, Sized(900 * MIB, 10))
    message = str(caught.value)
    for part in ["a pass (Sized) needs", *parts]:
        assert part in message
    unlimited = plan(Declared(10**6), dataclasses.replace(workers, memory_limit=None), Sized(900 * MIB, 10))
    least = unlimited.worker_bytes - unlimited.task_bytes * workers.threads
    needed = float(message.split("needs ")[1].split(" MiB")[0].replace(",", "")) * MIB
    assert least < needed <= unlimited.worker_bytes + MIB


def test_the_memory_that_a_refusal_asks_for_is_enough():
    source, reduction = Declared(10**6), Sized(700 * MIB, 10)
    with pytest.raises(MemoryLimitError) as caught:
        plan(source, cluster_of(limit=512 * MIB), reduction)
    asked = int(str(caught.value).split("at least ")[1].split(" MiB")[0].replace(",", ""))
    assert plan(source, cluster_of(limit=(asked + 1) * MIB), reduction).tasks


def test_a_refusal_promises_no_source_option():
    with pytest.raises(MemoryLimitError) as caught:
        plan(Declared(10**6, 21504), cluster_of(limit=120 * MIB), Sized())
    assert "--source-option" not in str(caught.value)  # no source has one for the length of chunks


@pytest.mark.parametrize(("needed", "fits"), [(699, True), (700, True), (701, False)])
def test_the_limit_is_the_usable_share(needed, fits):
    workers = cluster_of(limit=1000 * MIB)
    if fits:
        check_memory(needed * MIB, workers, "it")
        return
    with pytest.raises(MemoryLimitError, match=r"it needs 701 MiB a worker.*1,000 MiB.*70%(.|\n)*at least 1,002 MiB"):
        check_memory(needed * MIB, workers, "it")


def test_unlimited_workers_are_never_refused():
    check_memory(10**15, cluster_of(), "it")
    assert isinstance(plan(ArrayCollection(collection_of(9).image), cluster_of(), Sized(10**12)).worker_bytes, int)
