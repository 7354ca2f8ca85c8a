"""Sources that need no files: garments and digits."""

from __future__ import annotations

import numpy as np
import pytest
from support import stored

from fmnist_dask.collection.sources.digits import Digits
from fmnist_dask.collection.sources.garments import Garments
from fmnist_dask.errors import UsageError
from fmnist_dask.kernels import garments


def joined(source, partition, start, stop, batch_rows):
    batches = list(source.read(partition, start, stop, batch_rows))
    assert max(len(rows.image) for rows in batches) <= batch_rows
    return {
        "image": np.concatenate([rows.image for rows in batches]),
        "label": np.concatenate([rows.label for rows in batches]),
        "source_name": np.concatenate([rows.source_name for rows in batches]),
        **{name: np.concatenate([rows.extra[name] for rows in batches]) for name in batches[0].extra},
    }


@pytest.mark.parametrize(("partition", "start", "stop"), [(0, 0, 600), (0, 123, 300), (1, 0, 100), (1, 40, 60)])
def test_garments_are_the_rows_of_the_kernel(partition, start, stop):
    source = Garments({"n": 700, "seed": 3})
    found = joined(source, partition, start, stop, 77)
    rows = np.arange(start, stop) + (600 if partition else 0)
    flags, origin = garments.planted(3, rows)
    assert (found["image"] == garments.draw(3, rows)).all()
    assert (found["label"] == garments.labels(3, rows)).all()
    assert (found["source_name"] == rows).all()
    assert (found["planted"] == flags).all()
    assert (found["planted_origin"] == origin).all()


def test_six_of_seven_garments_are_for_training():
    source = Garments()
    assert source.splits == {"train": 60_000, "test": 10_000}
    assert (source.image_shape, source.synthetic) == ((28, 28), True)
    assert source.class_names == garments.CLASS_NAMES
    assert source.provenance()["synthetic"] is True


def test_a_single_garment_is_for_training():
    assert Garments({"n": 1}).splits == {"train": 1}


def test_a_store_of_garments_holds_what_was_planted(tmp_path):
    found = stored(Garments({"n": 1400}), tmp_path / "x.zarr")
    flags, origin = garments.planted(0, np.arange(1400))
    assert found.extra_arrays == ("planted", "planted_origin")
    assert (found.read("planted", 0, 1400) == flags).all()
    assert (found.read("planted_origin", 0, 1400) == origin).all()
    meanings = found.to_xarray()["planted"].attrs
    assert (
        dict(zip(meanings["flag_meanings"].split(), meanings["flag_masks"], strict=True)) == garments.PLANTED_MEANINGS
    )
    copies = np.flatnonzero(flags & garments.EXACT_DUPLICATE)
    image = found.read("image", 0, 1400)
    assert len(copies) > 5
    assert (image[copies] == image[origin[copies]]).all()


def test_number_and_seed_make_another_source():
    prints = {
        Garments(options).fingerprint for options in ({}, {"seed": 1}, {"n": 69_999}, {"seed": "0", "n": "70000"})
    }
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"n": 0}, ["n=0", "below 1", "at least one"]),
        ({"n": -5}, ["n=-5"]),
        ({"seed": -1}, ["seed=-1", "negative", "0 or more"]),
        ({"n": "many"}, ["n='many'", "whole number", "70000"]),
        ({"n": 1.5}, ["n=1.5", "whole number", "70000"]),
        ({"n": True}, ["n=True", "whole number", "70000"]),
        ({"n": None}, ["n=None", "whole number", "70000"]),
        ({"n": float("inf")}, ["n=inf", "whole number", "70000"]),
        ({"sede": 1}, ['no option "sede"', 'did you mean "seed"', "Valid: n, seed"]),
    ],
)
def test_wrong_options_are_refused(options, parts):
    with pytest.raises(UsageError) as caught:
        Garments(options)
    for part in parts:
        assert part in str(caught.value)


def test_digits_are_scikit_learns_spread_to_255():
    from sklearn.datasets import load_digits

    bunch, source = load_digits(), Digits()
    found = joined(source, 0, 0, source.n, 500)
    assert (found["image"] == np.round(bunch.images / 16 * 255)).all()
    assert (found["label"] == bunch.target).all()
    assert (found["image"].min(), found["image"].max()) == (0, 255)
    assert (source.splits, source.class_names) == ({"all": 1797}, tuple("0123456789"))
    assert (joined(source, 0, 1000, 1003, 2)["image"] == found["image"][1000:1003]).all()


def test_digits_have_no_options():
    with pytest.raises(UsageError, match='the source digits has no option "n"'):
        Digits({"n": 3})
