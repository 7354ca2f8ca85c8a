"""Digests that tell requests apart, and find them again in another process."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plugin_steps import Sorted, Weighed, triple
from support import SlowSum

from fmnist_dask.passes.columns import ColumnOnDisk
from fmnist_dask.passes.identity import NotIdentifiableError, digest_of, digest_of_request
from fmnist_dask.passes.protocol import Call, Scan, Tasks
from fmnist_dask.passes.reductions.images import ImagesAt
from fmnist_dask.passes.reductions.verify import VerifyGroups


def verify(last: int = 9) -> VerifyGroups:
    return VerifyGroups(np.array([1, 2, last]), np.array([0, 1, 1]))


VARIANTS = [
    Scan({"a": SlowSum(1.0)}),
    Scan({"a": SlowSum(2.0)}),
    Scan({"b": SlowSum(1.0)}),
    Scan({"a": SlowSum(1.0)}, split="train"),
    Scan({"a": Weighed(1, 1.0)}),
    Scan({"a": ImagesAt((1, 2))}),
    Scan({"a": ImagesAt((1, 2), thumbnails=False)}),
    Scan({"a": ImagesAt((12,))}),
    Scan({"a": verify()}),
    Scan({"a": verify(10)}),
    Scan(columns={"a": Sorted(3)}),
    Scan(columns={"a": Sorted(4)}),
    Tasks("t", (Call(triple, (1,)),)),
    Tasks("t", (Call(triple, (1.0,)),)),
    Tasks("t", (Call(triple, (True,)),)),
    Tasks("t", (Call(pow, (1,)),)),
    Tasks("t", (Call(triple, (1,)), Call(triple, (1,)))),
    Tasks("t", (Call(triple, (1,)),), shared=ColumnOnDisk("here", 3)),
    Tasks("t", (Call(triple, (1,)),), shared=ColumnOnDisk("there", 3)),
    Tasks("t", (Call(functools.partial(triple, 2)),)),
    Tasks("t", (Call(functools.partial(triple, 3)),)),
    Tasks("t", (Call(triple, (np.zeros(2),)),)),
    Tasks("t", (Call(triple, (np.zeros((2, 1)),)),)),
    Tasks("t", (Call(triple, (np.zeros(2, np.int64),)),)),
    Tasks("t", (Call(triple, ({"a": 1, "b": 2},)),)),
    Tasks("t", (Call(triple, (np.add,)),)),
    Tasks("t", (Call(triple, (np.subtract,)),)),
    Tasks("t", (Call(triple, (frozenset("ab"),)),)),
    Tasks("t", (Call(triple, (Path("a"),)),)),
]


def digests() -> list[str]:
    return [digest_of_request(request) for request in VARIANTS]


def test_different_requests_have_different_digests() -> None:
    assert len(set(digests())) == len(VARIANTS)


def test_another_process_finds_the_same_digests() -> None:
    code = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}\n"
        "import test_identity; print(*test_identity.digests())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split() == digests()


def test_memory_and_expectations_do_not_count() -> None:
    one = Tasks("t", (Call(triple, (1,)),))
    other = Tasks("t", (Call(triple, (1,)),), task_bytes=5, expected=lambda: [1])
    assert digest_of_request(one) == digest_of_request(other)


def test_equal_contents_have_equal_digests() -> None:
    assert digest_of(verify()) == digest_of(verify())
    assert digest_of({"a": {3, 1, 2}}) == digest_of({"a": {2, 3, 1}})


@pytest.mark.parametrize("value", [lambda: 1, functools.partial(lambda: 1)])
def test_functions_without_a_name_have_no_identity(value: object) -> None:
    with pytest.raises(NotIdentifiableError):
        digest_of(("x", value))


def test_a_value_nested_too_deeply_has_no_identity() -> None:
    value: list[object] = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(NotIdentifiableError, match="deeply"):
        digest_of(value)
