"""States on disk: what goes in comes out, and a damaged file counts for nothing."""

from __future__ import annotations

import collections
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fmnist_dask.passes.encoding import (
    NotEncodableError,
    encode,
    is_whole,
    read_outline,
    read_value,
    write_encoded,
    write_value,
)

dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.byte_string_dtypes(),
    hnp.datetime64_dtypes(),
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
keys = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    arrays,
    arrays.map(lambda a: a.T),
    arrays.filter(lambda a: a.size).map(lambda a: a.flat[0]),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(keys, inner)),
    max_leaves=8,
)


def assert_equal(left: Any, right: Any) -> None:
    """Same types, same bytes, same order of arrays and keys."""
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert (left.dtype.str, left.shape) == (right.dtype.str, right.shape)
        assert left.flags.f_contiguous == right.flags.f_contiguous or left.size == 0
        assert left.tobytes() == right.tobytes()
        assert right.flags.writeable
    elif isinstance(left, np.generic):
        assert (left.dtype.str, left.tobytes()) == (right.dtype.str, right.tobytes())
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other)
    elif isinstance(left, float):
        assert math.copysign(1, left) == math.copysign(1, right) or math.isnan(left)
        assert left == right or (math.isnan(left) and math.isnan(right))
    else:
        assert left == right


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=150)
@given(values)
def test_what_is_written_is_read(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "value"
    write_value(path, value)
    assert_equal(value, read_value(path))
    assert is_whole(path)
    assert [file.name for file in tmp_path.iterdir()] == ["value"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "value"
    write_value(path, {"a": np.arange(70), "b": [None, "words", np.float32(2)], (1, "c"): b"bytes"})
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|not a file"):
        read_value(path)


@pytest.mark.parametrize("cut", [0, 5, 25, 200, -1])
def test_a_file_cut_short_is_not_whole(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "value"
    write_value(path, np.zeros(1000))
    path.write_bytes(path.read_bytes()[:cut])
    assert not is_whole(path)
    assert not is_whole(tmp_path / "nothing")


def test_large_arrays_go_through_as_they_are(tmp_path: Path) -> None:
    value = {"large": np.arange(10**6).reshape(1000, 1000).T, "small": np.arange(3), "strided": np.arange(10**6)[::7]}
    write_value(tmp_path / "value", value)
    read = read_value(tmp_path / "value")
    for name in value:
        np.testing.assert_array_equal(read[name], value[name])
    assert read["large"].flags.f_contiguous
    read["small"] += 1  # arrays of one file do not share bytes
    assert read["large"][0, 0] == 0


def test_the_outline_has_everything_but_arrays(tmp_path: Path) -> None:
    write_value(tmp_path / "value", {"places": {"a": ("x", 3)}, "array": np.zeros(5), "scalar": np.int64(4)})
    assert read_outline(tmp_path / "value") == {"places": {"a": ("x", 3)}, "array": None, "scalar": None}


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        collections.Counter("abc"),
        collections.namedtuple("Pair", "a b")(1, 2),
        np.array([object()]),
        np.ma.masked_array([1]),
        np.zeros(2, dtype=[("a", int)]),
        [10**5000],
        1j,
    ],
)
def test_what_would_not_come_back_as_it_was_is_refused(value: Any) -> None:
    with pytest.raises(NotEncodableError):
        encode({"value": [value]})


def test_a_copy_does_not_change_with_the_value(tmp_path: Path) -> None:
    array = np.zeros(4)
    encoded = encode([array], copy=True)
    array += 1
    write_encoded(tmp_path / "value", encoded)
    assert read_value(tmp_path / "value")[0].tolist() == [0] * 4


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*paths: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        write_value(tmp_path / "value", [1])
    assert list(tmp_path.iterdir()) == []
