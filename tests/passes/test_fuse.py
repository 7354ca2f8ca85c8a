"""Scans of several algorithms as one pass."""

from __future__ import annotations

import pytest
from support import Sized, collection_of

from fmnist_dask.errors import UsageError
from fmnist_dask.passes.fused import fuse
from fmnist_dask.passes.local import LocalEngine, split_code
from fmnist_dask.passes.protocol import Scan
from fmnist_dask.passes.reductions.census import Census
from fmnist_dask.passes.reductions.images import ImageSample
from fmnist_dask.passes.reductions.properties import ContentHash, ImageProperties


def fused(**scans: Scan):
    source = collection_of(20)
    return fuse(source, scans, {scan.split: split_code(source, scan.split) for scan in scans.values()})


def test_equal_reductions_of_equal_rows_are_computed_once():
    pass_, wiring = fused(
        a=Scan({"count": Census(), "sample": ImageSample(3, 0)}), b=Scan({"images": ImageSample(3, 0), "x": Census()})
    )
    assert [item for item, _ in pass_.reductions] == [Census(), ImageSample(3, 0)]
    assert wiring.reductions == {"a": {"count": 0, "sample": 1}, "b": {"images": 1, "x": 0}}


def test_other_parameters_or_another_split_make_another_reduction():
    pass_, _ = fused(
        a=Scan({"sample": ImageSample(3, 0)}),
        b=Scan({"sample": ImageSample(4, 0)}),
        c=Scan({"sample": ImageSample(3, 0)}, split="test"),
    )
    assert [(item.per_class, split) for item, split in pass_.reductions] == [(3, None), (4, None), (3, 1)]


def test_columns_are_shared_too():
    pass_, wiring = fused(
        a=Scan(columns={"p": ImageProperties()}),
        b=Scan(columns={"q": ImageProperties(), "hash": ContentHash()}),
        c=Scan(columns={"p": ImageProperties()}, split="train"),
    )
    assert pass_.columns == ((ImageProperties(), None), (ContentHash(), None), (ImageProperties(), 0))
    assert wiring.columns == {"a": {"p": 0}, "b": {"q": 0, "hash": 1}, "c": {"p": 2}}


def test_each_scan_receives_its_results_under_its_own_names():
    _, wiring = fused(
        a=Scan({"count": Census()}, {"p": ImageProperties()}),
        b=Scan({"total": Census(), "x": Sized()}, {"q": ImageProperties()}),
    )
    delivered = wiring.deliver(["census", "sized"], [{"brightness": "column"}])
    assert delivered == {
        "a": {"count": "census", "p": {"brightness": "column"}},
        "b": {"total": "census", "x": "sized", "q": {"brightness": "column"}},
    }


def test_a_pass_declares_the_sum_of_its_states_and_the_largest_of_its_temporaries():
    source = collection_of(20)
    pass_, _ = fused(a=Scan({"a": Sized(100, 30), "b": Sized(10, 700)}, {"c": ContentHash()}))
    assert pass_.state_bytes(source) == 110
    assert pass_.scratch_bytes(source, 2) == 700
    assert pass_.scratch_bytes(source, 1000) == ContentHash().task_bytes(source, 1000)
    assert pass_.title == "Sized+ContentHash"


def test_results_of_a_fused_pass_are_those_of_single_passes():
    source = collection_of(50)
    scans = {"all": Scan({"c": Census()}), "train": Scan({"c": Census()}, split="train"), "same": Scan({"d": Census()})}
    together = LocalEngine().scan(source, scans)
    for name, scan in scans.items():
        alone = LocalEngine().scan(source, {"": scan})[""]
        assert {k: v.tolist() for k, v in together[name].items()} == {k: v.tolist() for k, v in alone.items()}
    assert together["all"]["c"] is together["same"]["d"]
    assert together["train"]["c"][1].sum() == 0


def test_an_unknown_split_names_the_nearest():
    with pytest.raises(UsageError, match=r'no split "trian"\n.*did you mean "train"\? Valid: all, test, train'):
        split_code(collection_of(5), "trian")


@pytest.mark.parametrize(
    ("split", "splits", "code"), [("all", ("a", "b"), None), ("train", ("all",), None), ("b", ("a", "b"), 1)]
)
def test_split_codes(split, splits, code):
    assert split_code(collection_of(5, splits=splits), split) == code
