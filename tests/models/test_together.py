"""Algorithms that run together share their reads."""

from __future__ import annotations

import dataclasses

import pytest
from support import SlowSum, assert_same, collection_of, image_reads, rechunked

from fmnist_dask.errors import MemoryLimitError, UsageError
from fmnist_dask.models.duplicates import find_duplicates
from fmnist_dask.models.image_properties import Thresholds, image_properties
from fmnist_dask.models.pixel_stats import pixel_statistics
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.protocol import Call, Scan, Tasks
from fmnist_dask.workflow.advance import Callbacks, Running, advance


def algorithms(source):
    return {
        "duplicates": find_duplicates(source),
        "pixels": pixel_statistics(source, 0, (0.5,), "label"),
        "properties": image_properties(source, "all", Thresholds(), 5, 3, 0),
    }


def run_together(source, running, engine=None):
    """(models, errors) of algorithms that begin together, and the engine that ran them."""
    models, errors, engine = {}, {}, engine or LocalEngine()
    waiting = [running]

    def more():
        begun = waiting.pop().items() if waiting else []
        return [Running(name, algorithm, source) for name, algorithm in begun]

    advance(
        engine,
        more,
        Callbacks(
            finished=lambda item, model: models.update({item.name: model}),
            failed=lambda items, error: errors.update({item.name: error for item in items}),
        ),
    )
    return models, errors, engine


@pytest.mark.parametrize("chunk_rows", [7, 16, 100])
def test_explore_reads_each_image_once(chunk_rows):
    source = collection_of(100, distinct=40, chunk_rows=chunk_rows, hashed=True)
    models, errors, engine = run_together(source, algorithms(source))
    assert errors == {}
    assert models["duplicates"].n_groups > 10
    assert image_reads(source) == list(range(0, 100, chunk_rows))
    assert engine.statistics.passes == 1
    assert engine.statistics.bytes_read == 100 * source.image_bytes


def test_hashes_that_are_not_stored_cost_one_more_pass():
    source = collection_of(100, distinct=40, chunk_rows=10)
    _, _, engine = run_together(source, algorithms(source))
    assert engine.statistics.passes == 2
    assert image_reads(source) == 2 * list(range(0, 100, 10))


def test_together_they_find_what_they_find_alone():
    source = collection_of(100, distinct=40, hashed=True)
    models, _, _ = run_together(source, algorithms(source))
    for name, algorithm in algorithms(rechunked(source, 100)).items():
        alone = drive(algorithm, rechunked(source, 100))
        if name == "pixels":
            assert_same(vars(models[name].overall), vars(alone.overall))
        else:
            assert_same(vars(models[name]), vars(alone))


def test_one_that_fails_leaves_the_others_be():
    def broken():
        yield from ()
        raise UsageError("no", "yes")

    source = collection_of(50, distinct=20, hashed=True)
    models, errors, _ = run_together(source, {"broken": broken(), **algorithms(source)})
    assert set(models) == {"duplicates", "pixels", "properties"}
    assert str(errors["broken"]) == "no\n  remedy: yes"


@dataclasses.dataclass(frozen=True)
class Broken(SlowSum):
    """A reduction that fails on a worker."""

    def chunk(self, state, block):
        raise UsageError("no", "yes")


def test_a_pass_that_fails_is_tried_for_each_alone_and_harms_only_who_is_at_fault():
    def broken():
        yield Scan({"broken": Broken()})

    source = collection_of(50, distinct=20, hashed=True)
    models, errors, _ = run_together(source, {"broken": broken(), **algorithms(source)})
    assert set(errors) == {"broken"}
    unharmed, _, _ = run_together(source, algorithms(source))
    assert_same(models["duplicates"].rows, unharmed["duplicates"].rows)
    assert_same(dataclasses.asdict(models["pixels"]), dataclasses.asdict(unharmed["pixels"]))
    assert set(models) == set(unharmed) == {"duplicates", "pixels", "properties"}


class Narrow(LocalEngine):
    """An engine whose workers hold the states of so many scans at once."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def run_pass(self, source, scans, progress=None):
        if len(scans) > self.most:
            raise MemoryLimitError(f"{len(scans)} scans at once; {self.most} fit")
        return super().run_pass(source, scans, progress)


def test_scans_too_large_together_get_passes_of_their_own():
    source = collection_of(100, distinct=40, chunk_rows=10, hashed=True)
    together, _, _ = run_together(source, algorithms(source))
    alone, errors, engine = run_together(source, algorithms(source), Narrow(1))
    assert errors == {}
    assert engine.statistics.passes == 3
    assert_same(dataclasses.asdict(together["pixels"]), dataclasses.asdict(alone["pixels"]))
    assert_same(together["duplicates"].rows, alone["duplicates"].rows)


def test_a_scan_too_large_alone_fails_alone():
    source = collection_of(50, hashed=True)
    models, errors, _ = run_together(source, algorithms(source), Narrow(0))
    assert models == {}
    assert {type(error) for error in errors.values()} == {MemoryLimitError}


def test_late_tasks_wait_for_passes_and_others_do_not():
    """Results that need a few passes are there before calls that take long begin."""
    order = []

    def call(late, name):
        yield Scan({"sum": SlowSum(0.0)})
        order.append(f"{name} asks")
        yield Tasks(name, (Call(max, (1, 2)),), late=late)
        order.append(f"{name} done")

    def passes():
        for number in range(3):
            yield Scan({"sum": SlowSum(0.0)})
            order.append(f"pass {number + 1}")

    source = collection_of(50)
    running = {"long": call(True, "long"), "short": call(False, "short"), "others": passes()}
    _, errors, _ = run_together(source, running)
    assert errors == {}
    assert order.index("short done") < order.index("pass 2") < order.index("pass 3") < order.index("long done")
