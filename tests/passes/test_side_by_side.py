"""Algorithms run side by side within one: their passes are shared, their models those they have alone."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from support import SlowSum, collection_of, image_reads

from fmnist_dask.models.kmeans import kmeans
from fmnist_dask.models.kmeans_starts import KMeansOptions
from fmnist_dask.passes.local import LocalEngine, drive
from fmnist_dask.passes.protocol import Call, Scan, Tasks
from fmnist_dask.passes.reductions.census import Census
from fmnist_dask.passes.reductions.moments import Moments
from fmnist_dask.passes.together import together


def scans(count, split="all"):
    """Moments, so many times over; each answer is added to what is returned."""
    found = []
    for number in range(count):
        answer = yield Scan({"moments": Moments()}, split=split, known={"number": float(number)})
        found.append(float(answer["moments"]["sum"].sum()))
    return found


def requests_of(algorithm, source):
    """All requests of an algorithm, and its model."""
    engine, asked, answer = LocalEngine(), [], None
    while True:
        try:
            request = algorithm.send(answer)
        except StopIteration as end:
            return asked, end.value
        asked.append(request)
        answer = engine.tasks(request) if isinstance(request, Tasks) else engine.scan(source, {"": request})[""]


def test_passes_are_those_of_the_slowest():
    source = collection_of(60, chunk_rows=10)
    engine = LocalEngine()
    models = drive(together({"a": scans(3), "none": scans(0), "b": scans(5)}, source), source, engine)
    assert engine.statistics.passes == 5
    assert image_reads(source) == 5 * list(range(0, 60, 10))
    total = float(source.read("image", 0, 60).sum())
    assert models == {"a": [total] * 3, "none": [], "b": [total] * 5}
    assert list(models) == ["a", "none", "b"]


def test_splits_do_not_mix():
    source = collection_of(60, chunk_rows=10)
    engine = LocalEngine()
    models = drive(
        together({"train": scans(2, "train"), "test": scans(2, "test"), "all": scans(1)}, source), source, engine
    )
    inside = source.read("split", 0, 60) == 0
    image = source.read("image", 0, 60)
    assert models["train"] == [float(image[inside].sum())] * 2
    assert models["test"] == [float(image[~inside].sum())] * 2
    assert engine.statistics.passes == 5


def test_requests_say_whose_they_are():
    source = collection_of(20)
    (first, *_), _ = requests_of(together({"a": scans(1), "b": scans(1)}, source), source)
    assert list(first.reductions) == ["a/moments", "b/moments"]
    assert dict(first.known) == {"number, a": 0.0, "number, b": 0.0}


def calls(name, numbers, shared=None, late=False, then=0):
    made = tuple(Call(operator.mul, (number, 2) if shared is None else (number,)) for number in numbers)
    values = yield Tasks(name, made, 10 * len(numbers), shared=shared, late=late)
    yield from scans(then)
    return values


def test_tasks_of_a_kind_are_one_request_and_go_before_scans():
    source = collection_of(20)
    shared = np.arange(3)
    parts = {
        "a": calls("double", [1, 2]),
        "b": scans(1),
        "c": calls("double", [5], then=1),
        "d": calls("other", [7]),
        "e": calls("scaled", [2], shared),
        "f": calls("scaled", [3], shared),
        "g": calls("scaled", [4], np.arange(3)),
        "late": calls("late", [9], late=True),
    }
    asked, models = requests_of(together(parts, source), source)
    kinds = [request.name if isinstance(request, Tasks) else "scan" for request in asked]
    assert kinds == ["double", "other", "scaled", "scaled", "scan", "late"]
    assert [len(request.calls) for request in asked if isinstance(request, Tasks)] == [3, 1, 2, 1, 1]
    assert asked[0].task_bytes == 20
    assert (models["a"], models["c"], models["d"], models["late"]) == ([2, 4], [10], [14], [18])
    assert models["f"][0].tolist() == [0, 3, 6]
    assert models["g"][0].tolist() == [0, 4, 8]


def test_states_too_large_together_take_passes_of_their_own():
    source = collection_of(60, chunk_rows=10)

    def census(seed):
        return (yield Scan({"sum": SlowSum(float(seed) / 1e9), "census": Census()}))["census"]

    one = SlowSum(0.0).state_bytes(source) + Census().state_bytes(source)
    for most, passes in ((0, 3), (one, 3), (10 * one, 1)):
        engine = LocalEngine()
        drive(together({str(seed): census(seed) for seed in range(3)}, source, most), source, engine)
        assert engine.statistics.passes == passes
    # Equal ones cost nothing more.
    engine = LocalEngine()
    drive(
        together({str(number): scans(1) for number in range(9)}, source, Moments().state_bytes(source)), source, engine
    )
    assert engine.statistics.passes == 1


def test_one_that_fails_ends_all_and_lets_go_of_the_others():
    closed = []

    def patient():
        try:
            yield from scans(9)
        finally:
            closed.append(True)

    def broken():
        yield from scans(1)
        raise ValueError("no")

    source = collection_of(20)
    engine = LocalEngine()
    with pytest.raises(ValueError, match="no"):
        drive(together({"patient": patient(), "broken": broken()}, source), source, engine)
    assert closed == [True]
    assert engine.statistics.passes == 1


def test_k_means_side_by_side_are_what_they_are_alone():
    source = collection_of(300, (4, 4), 64)
    options = {f"{k}": KMeansOptions(k, n_init=3) for k in (2, 5, 9)}
    engine = LocalEngine()
    models = drive(together({name: kmeans(source, 300, one) for name, one in options.items()}, source), source, engine)
    passes = []
    for name, one in options.items():
        alone = LocalEngine()
        model = drive(kmeans(source, 300, one), source, alone)
        np.testing.assert_array_equal(models[name].centres, model.centres)
        passes.append(alone.statistics.passes)
    assert max(passes) <= engine.statistics.passes <= max(passes) + 1 < sum(passes)
