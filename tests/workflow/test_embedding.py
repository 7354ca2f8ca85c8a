"""Users' own vectors beside the images: ingested, appended, quarantined, worked on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from source_files import encoded, written
from support import ingested, random_images

import fmnist_dask
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import CollectionError, FmnistDaskError, SourceError, UsageError
from fmnist_dask.passes.local import LocalEngine
from fmnist_dask.workflow.ingesting import append_rows
from fmnist_dask.workflow.load import load_workflow
from fmnist_dask.workflow.plan import plan_workflow

N, WIDTH = 600, 12


@pytest.fixture
def some(tmp_path):
    """A folder of images, and vectors in three groups."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N, WIDTH)) + 8 * rng.integers(0, 3, N)[:, None]
    root = written("folder", tmp_path / "photos", {"train": (random_images(N, (6, 6)), np.arange(N) % 3)})
    np.save(tmp_path / "vectors.npy", vectors)
    return root, tmp_path / "vectors.npy", vectors.astype(np.float32)


def test_rows_of_a_file_stand_beside_the_images(tmp_path, some):
    root, file, vectors = some
    found = ingested(open_source(root, {"embedding": str(file)}), tmp_path / "x.zarr", 256)
    assert found.embedding_width == WIDTH
    np.testing.assert_array_equal(found.read("embedding", 0, N), vectors)
    assert found.to_xarray()["embedding"].dims == ("sample", "feature")
    assert Collection.open(found.path).embedding_width == WIDTH
    plain = ingested(open_source(root), tmp_path / "y.zarr", 256)
    assert plain.embedding_width == 0
    assert plain.fingerprint != found.fingerprint
    other = ingested(open_source(root, {"embedding": str(file)}), tmp_path / "z.zarr", 512)
    assert other.fingerprint == found.fingerprint


def test_a_column_of_a_parquet_file_stands_beside_the_images(tmp_path):
    images, vectors = random_images(50, (6, 6)), np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32)
    lists = [row.tolist() for row in vectors]
    lists[7], lists[30] = lists[7][:-1], None
    lists[40] = [float("nan")] * WIDTH
    table = pa.table(
        {"image": [encoded(image, "PNG") for image in images], "vector": lists, "label": np.arange(50) % 3}
    )
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=20)
    found = ingested(open_source(tmp_path / "x.parquet", {"embedding": "vector"}), tmp_path / "x.zarr", 256)
    kept = np.delete(np.arange(50), [7, 30, 40])
    assert found.n_quarantined == 3
    np.testing.assert_array_equal(found.read("embedding", 0, found.n), vectors[kept])
    np.testing.assert_array_equal(found.read("image", 0, found.n), images[kept])


@pytest.mark.slow
def test_steps_work_on_the_vectors(tmp_path, some, monkeypatch):
    root, file, vectors = some
    monkeypatch.chdir(tmp_path)
    steps = {
        "groups": {"uses": "kmeans", "on": "embedding", "with": {"n_clusters": 3}},
        "parts": {"uses": "pca", "on": "embedding", "with": {"n_components": 2}},
        "pixels": {"uses": "pca", "with": {"n_components": 2}},
    }
    path = tmp_path / "look.yaml"
    source = {"path": str(root), "embedding": str(file)}
    path.write_text(yaml.safe_dump({"name": "look", "source": source, "steps": steps}))
    before = plan_workflow(load_workflow(path))
    run = fmnist_dask.run(path)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    variance = np.linalg.svd(centred, compute_uv=False)[:2] ** 2 / (N - 1)
    np.testing.assert_allclose(run["parts"]["explained_variance"], variance, rtol=1e-5)
    labels = run["groups"]["labels"].values
    truth = np.rint(vectors.mean(axis=1) / 8).astype(int)
    assert len({(a, b) for a, b in zip(labels.tolist(), truth.tolist(), strict=True)}) == 3
    after = plan_workflow(load_workflow(path))
    assert {row["name"] for row in before["work"]} >= {"ingest", "pass 1"}
    assert "groups" in {step for row in after["work"] for step in row["steps"]}


def test_vectors_are_appended_with_their_images(tmp_path, some):
    root, file, vectors = some
    whole = open_source(root, {"embedding": str(file)})
    found = ingested(whole, tmp_path / "x.zarr", 256)
    images = random_images(30, (6, 6), seed=9)
    more = written("folder", tmp_path / "more", {"train": (images, np.arange(30) % 3)})
    np.save(tmp_path / "more.npy", vectors[:30])
    grown = append_rows(LocalEngine(), found, open_source(more, {"embedding": str(tmp_path / "more.npy")}))
    np.testing.assert_array_equal(grown.read("embedding", 0, N + 30), np.concatenate([vectors, vectors[:30]]))
    with pytest.raises(CollectionError, match="has no vectors for its images"):
        append_rows(LocalEngine(), grown, open_source(more, {"class_names": "0,1,2"}))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda place: np.save(place, np.zeros((N - 1, 4))), r"shape \(600, features\)"),
        (lambda place: np.save(place, np.zeros(N)), r"shape \(600, features\)"),
        (lambda place: np.save(place, np.full((N, 2), "x")), "give numbers"),
        (lambda place: np.save(place, np.array([None] * N), allow_pickle=True), "pickled"),
        (lambda place: place.write_bytes(b"no array"), "cannot read the embedding"),
        (lambda place: None, "nothing is there"),
    ],
)
def test_what_is_no_embedding_is_refused(tmp_path, some, make, words):
    place = tmp_path / "other.npy"
    make(place)
    with pytest.raises(SourceError, match=words):
        open_source(some[0], {"embedding": str(place)})


def test_who_gave_no_vectors_cannot_work_on_them(tmp_path, some, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "look.yaml"
    steps = {"groups": {"uses": "kmeans", "on": "embedding"}}
    path.write_text(yaml.safe_dump({"name": "look", "source": str(some[0]), "steps": steps}))
    with pytest.raises(FmnistDaskError, match=r"has no embedding(.|\n)*embedding=FILE.npy"):
        fmnist_dask.run(path)
    with pytest.raises(UsageError, match=r"is no NPY file"):
        open_source(some[0], {"embedding": "vector"})
    steps = {"look": {"uses": "pixel_stats", "on": "embedding"}}
    path.write_text(yaml.safe_dump({"name": "look", "source": str(some[0]), "steps": steps}))
    with pytest.raises(FmnistDaskError, match="works on pixels only"):
        fmnist_dask.run(path)


def test_a_file_that_has_changed_is_noticed(some):
    root, file, vectors = some
    source = open_source(root, {"embedding": str(file)})
    assert not source.has_changed()
    np.save(file, vectors[:, :5])
    assert source.has_changed()
