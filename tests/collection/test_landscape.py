"""The source ``landscape``: options, identity, bands."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fmnist_dask.collection.raster_writing import plan_raster, store_raster
from fmnist_dask.collection.sources.photographs import photograph_of
from fmnist_dask.errors import UsageError

#: Drawing is compiled first.
pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_it_is_drawn_in_bands_of_any_height(tmp_path):
    photo = photograph_of({"name": "landscape", "size": "600x700"})
    whole = photo.lines(0, 600)
    assert whole.shape == (600, 700, 3)
    first, second = (store_raster(photo, tmp_path / f"{height}.zarr", height) for height in (64, 512))
    np.testing.assert_array_equal(first.read(), whole)
    np.testing.assert_array_equal(second.read(), whole)
    assert first.fingerprint == second.fingerprint
    assert first.source["synthetic"] is True
    assert "synthetic" in first.source["description"]


def test_options_decide_what_it_is():
    assert photograph_of("landscape").image_shape == (1200, 1800, 3)
    large = photograph_of({"name": "landscape", "size": "200000x200000", "seed": 4})
    assert large.image_shape == (200_000, 200_000, 3)
    assert large.lines(199_999, 200_000).shape == (1, 200_000, 3)
    assert photograph_of("landscape", {"size": [30, 40]}).image_shape == (30, 40, 3)
    prints = {
        photograph_of("landscape", options).fingerprint
        for options in ({}, {"seed": 1}, {"size": "100x100"}, {"size": "100x101"})
    }
    assert len(prints) == 4
    assert photograph_of("landscape").fingerprint == photograph_of({"path": "landscape", "seed": 0}).fingerprint
    assert len(pickle.dumps(large)) < 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "0x10"}, "is no size from 1x1 to 200000x200000"),
        ({"size": "200001x10"}, "is no size from"),
        ({"size": "large"}, "is no size from"),
        ({"seed": -1}, "is negative"),
        ({"seed": "x"}, "is no whole number"),
        ({"mode": "gray"}, 'has no option "mode"'),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        photograph_of("landscape", options)


def test_memory_is_declared_for_a_band(tmp_path):
    plan = plan_raster(photograph_of("landscape", {"size": "20000x20000"}), tmp_path / "x.zarr")
    assert plan.tile == (512, 512)
    assert len(plan.bands) == 40
    assert plan.task_bytes < 150 * 2**20
