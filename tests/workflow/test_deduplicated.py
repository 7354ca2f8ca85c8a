"""Steps that work on a collection without its copies: as if those had been dropped when it was made."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from source_files import written
from support import random_images

import fmnist_dask
from fmnist_dask.errors import WorkflowError

STEPS = {
    "look": {"uses": "pixel_stats"},
    "parts": {"uses": "pca", "with": {"n_components": 3}},
}


@pytest.fixture
def source(tmp_path):
    """Images with copies within splits and across them, some with other labels."""
    images, rng = random_images(700, (6, 6), 300, seed=4), np.random.default_rng(1)
    labels = rng.integers(0, 3, 700)
    splits = {"train": (images[:500], labels[:500]), "test": (images[500:], labels[500:])}
    return str(written("npz", tmp_path / "some", splits))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def carry_out(name, source, steps):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "source": source, "steps": steps}))
        return fmnist_dask.run(path)

    return carry_out


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", pytest.param("all", marks=pytest.mark.slow)])
def test_steps_find_what_they_would_find_without_the_copies(run, source, split):
    seen = {name: {**spec, "on": "once", "split": split} for name, spec in STEPS.items()}
    # Features of images without copies are those of no copies.
    seen["groups"] = {"uses": "kmeans", "on": "parts", "split": split, "with": {"n_clusters": 3}}
    viewed = run("viewed", source, {"once": {"uses": "deduplicated"}, **seen})
    plain = {name: {**spec, "split": split} for name, spec in STEPS.items()}
    dropped = run("dropped", {"path": source, "drop_duplicates": True}, plain)
    kept = viewed["once"]["kept"].values
    assert 300 < kept.sum() < 650
    assert viewed.manifest["steps"]["once"]["metrics"]["kept"] == dropped.manifest["source"]["splits"]
    for name in ("mean", "std", "quantiles", "minimum", "maximum"):
        if name in dropped["look"]:
            np.testing.assert_array_equal(viewed["look"][name], dropped["look"][name])
    assert "mean" in dropped["look"]
    assert viewed.manifest["steps"]["look"]["n_used"] == dropped.manifest["steps"]["look"]["n_used"]
    wanted = kept if split == "all" else kept & (np.arange(len(kept)) < 500)
    np.testing.assert_array_equal(viewed["groups"]["labels"].values >= 0, wanted)
    assert viewed["groups"]["size"].sum() == viewed.manifest["steps"]["groups"]["n_used"] == wanted.sum()
    np.testing.assert_allclose(
        viewed["parts"]["explained_variance"], dropped["parts"]["explained_variance"], rtol=1e-12
    )
    assert "Without copies" in (viewed.path / "report.html").read_text()


@pytest.mark.slow
def test_the_first_of_equal_images_of_all_splits_is_kept_if_wanted(run, source):
    found = run("across", source, {"once": {"uses": "deduplicated", "with": {"across_splits": True}}})["once"]
    images, labels = random_images(700, (6, 6), 300, seed=4), np.random.default_rng(1).integers(0, 3, 700)
    seen, kept = set(), []
    for image, label in zip(images, labels, strict=True):
        kept.append((image.tobytes(), label) not in seen)
        seen.add((image.tobytes(), label))
    # Splits stand in the order of the collection, train first.
    np.testing.assert_array_equal(found["kept"].values, kept)
    assert found["n_kept"].values.sum() == sum(kept)


def test_what_cannot_work_on_a_choice_of_images_says_so(run, source):
    steps = {"once": {"uses": "deduplicated"}, "copies": {"uses": "duplicates", "on": "once"}}
    with pytest.raises(WorkflowError, match='duplicates works on all images of a split only, not on "once"'):
        run("wrong", source, steps)
    steps = {"copies": {"uses": "duplicates"}, "look": {"uses": "pca", "on": "copies"}}
    with pytest.raises(WorkflowError, match="neither features nor images"):
        run("wrong", source, steps)
