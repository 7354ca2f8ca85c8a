"""Long passes in segments: what is saved is used again, and changes no result."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_steps import Breaks, Sorted, Weighed
from support import array_source, assert_same, everything, some_slow, stored, values_of

from fmnist_dask.errors import SourceError
from fmnist_dask.passes import columns, segments
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.segments import SegmentStore, cut_segments

N, ROWS = 7680, 256
CHUNKS = N // ROWS


@st.composite
def cuts(draw):
    """Tasks around ranges that are done."""
    edges = sorted(draw(st.sets(st.integers(0, 60), max_size=12)))
    spans = [(a, b) for a, b in itertools.pairwise(edges) if draw(st.booleans())]
    tasks, task = [], []
    for chunk in range(60):
        if any(a <= chunk < b for a, b in spans):
            tasks, task = [*tasks, task] if task else tasks, []
            continue
        task = [*task, chunk]
        if draw(st.booleans()):
            tasks, task = [*tasks, task], []
    return [*tasks, task] if task else tasks, spans


@given(cuts(), st.integers(1, 8), st.integers(0, 4))
def test_segments_hold_every_task_once_and_in_order(cut, chunk_bytes, state_bytes):
    tasks, spans = cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "SEGMENT_BYTES", 10)
        parts = cut_segments(tasks, spans, chunk_bytes, state_bytes, 2)
    assert list(itertools.chain(*(part.tasks for part in parts))) == list(range(len(tasks)))
    assert [part.span for part in parts if not part.tasks] == spans
    for one, other in itertools.pairwise(parts):
        assert one.span[1] <= other.span[0]
    for part in parts:
        if part.tasks:
            chunks = [chunk for number in part.tasks for chunk in tasks[number]]
            assert part.span == (chunks[0], chunks[-1] + 1)
            if part.saved:
                assert len(chunks) * chunk_bytes >= max(20, 64 * state_bytes)
    if len(parts) == 1 and not spans:
        assert not parts[0].saved


def test_small_passes_save_nothing():
    (part,) = cut_segments([[0, 1], [2]], [], 10**6, 100, 2)
    assert part == segments.Part((0, 1), (0, 3), saved=False)


def test_ranges_count_where_all_that_is_needed_is_there(tmp_path):
    one, two = (SegmentStore(str(tmp_path), keys, 1) for keys in (("a", "column"), ("a",)))
    one.save((0, 4), [np.arange(3)])
    one.save((4, 8), [np.arange(4)])
    two.save((8, 9), [1])
    two.save((8, 12), [2])
    assert one.spans() == [(0, 4), (4, 8)]
    assert two.spans() == [(0, 4), (4, 8), (8, 12)]  # of ranges that overlap the longest
    assert one.load((4, 8))[0].tolist() == [0, 1, 2, 3]
    file = tmp_path / "a" / "4-8.states"
    file.write_bytes(file.read_bytes()[:-1])
    assert one.spans() == [(0, 4)]
    (tmp_path / "a" / "x-y.states").touch()
    one.discard()
    assert (one.spans(), two.spans()) == ([], [])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stored(array_source(N), tmp_path_factory.mktemp("segments") / "store.zarr", ROWS)


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 3 * ROWS * 30)
    monkeypatch.setattr(segments, "INPUT_PER_SAVED_STATE", 0)


@pytest.fixture
def engine_of(cluster, tmp_path, small_segments):
    """Makes an engine of a driver that begins."""
    return lambda: DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns", tmp_path / "segments")


def break_at(engine, store, scan, row, path):
    """A pass that ends in an error at a row; everything before has been saved as far as segments go."""
    stone = path / "stone"
    stone.touch()
    breaking = Scan({**scan.reductions, "stone": Breaks(row, str(stone))}, scan.columns, scan.split)
    with pytest.raises(SourceError, match="stumbled"):
        engine.scan(store, {"": breaking})
    stone.unlink()
    return breaking


@pytest.mark.parametrize("split", some_slow(["test"], ["all"]))
def test_a_pass_goes_on_from_its_segments(engine_of, store, tmp_path, split):
    wanted = everything(array_source(N).image)
    wanted = Scan(wanted.reductions, wanted.columns, split)
    expected = values_of(LocalEngine(1).scan(store, {"": wanted})[""])
    scan = break_at(engine_of(), store, wanted, 6400, tmp_path)
    engine, told = engine_of(), []
    outcome = engine.run_pass(store, {"": scan}, told.append)
    found = values_of(outcome.answers()[""])
    assert found.pop("stone") == N - (0 if split == "all" else 2 * N // 3)
    assert_same(found, expected)
    statistics = engine.statistics
    assert statistics.chunks_resumed >= 6
    assert statistics.chunks_read + statistics.chunks_resumed == CHUNKS
    assert (statistics.passes, statistics.bytes_read) == (1, statistics.chunks_read * ROWS * 30)
    assert told[0].done == told[0].resumed == statistics.chunks_resumed * ROWS
    assert told[0].rate == 0
    assert (told[-1].done, told[-1].chunks_done) == (N, CHUNKS)
    outcome.discard()
    assert not list((tmp_path / "segments").iterdir())


@pytest.mark.slow
def test_segments_serve_another_company(engine_of, store, tmp_path):
    """Steps that were published in between are gone from the pass; new ones find nothing saved of theirs."""
    both = Scan({"a": Weighed(7), "b": Weighed(8)}, {"c": Sorted(3)})
    break_at(engine_of(), store, both, 6400, tmp_path)
    engine = engine_of()
    alone = engine.scan(store, {"": Scan({"a": Weighed(7)}, {"c": Sorted(3)})})[""]
    assert engine.statistics.chunks_resumed >= 6
    expected = LocalEngine().scan(store, {"": both})[""]
    assert alone["a"]["sum"].tolist() == expected["a"]["sum"].tolist()
    assert alone["c"]["sum"][0:N].tolist() == expected["c"]["sum"].tolist()
    other = engine_of()
    other.scan(store, {"": Scan({"a": Weighed(7), "new": Weighed(9)})})
    assert (other.statistics.chunks_resumed, other.statistics.chunks_read) == (0, CHUNKS)


@pytest.mark.slow
def test_rows_of_a_column_that_is_gone_are_written_again(engine_of, store, tmp_path):
    scan = Scan({"a": Weighed(7)}, {"c": Sorted(3)})
    break_at(engine_of(), store, scan, 6400, tmp_path)
    shutil.rmtree(tmp_path / "columns")
    engine = engine_of()
    found = engine.scan(store, {"": scan})[""]
    assert engine.statistics.chunks_resumed == 0
    assert found["c"]["sum"][0:N].tolist() == LocalEngine().scan(store, {"": scan})[""]["c"]["sum"].tolist()


def test_a_damaged_segment_is_read_again(engine_of, store, tmp_path):
    scan = Scan({"a": Weighed(7)}, {"c": Sorted(3)})
    break_at(engine_of(), store, scan, 6400, tmp_path)
    for file in (tmp_path / "segments").glob("*/*.states"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1  # as long as it was
        file.write_bytes(content)
    found = engine_of().scan(store, {"": scan})[""]
    assert found["a"]["sum"].tolist() == LocalEngine().scan(store, {"": scan})[""]["a"]["sum"].tolist()


def test_without_a_directory_nothing_is_saved(cluster, store, tmp_path, small_segments):
    engine = DistributedEngine(cluster.client, cluster.workers, tmp_path / "columns")
    found = engine.scan(store, {"": Scan({"a": Weighed(7)})})[""]
    assert found["a"]["rows"] == N
    assert [file.name for file in Path(tmp_path).iterdir()] == []


def test_ranges_that_another_release_has_saved_are_not_used(engine_of, store, tmp_path, monkeypatch):
    scan = Scan({"a": Weighed(7)}, {"c": Sorted(3)})
    break_at(engine_of(), store, scan, 6400, tmp_path)
    for module in (segments, columns):
        monkeypatch.setattr(module, "code_stamp", lambda: "another")
    engine = engine_of()
    engine.scan(store, {"": scan})
    assert (engine.statistics.chunks_resumed, engine.statistics.chunks_read) == (0, CHUNKS)
