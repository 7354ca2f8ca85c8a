"""Data sets by name: data directory, cache, download."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from dataclasses import replace

import numpy as np
import pytest
from support import random_images, write_idx_set

from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.sources.named import DATA_SETS, cache_directory
from fmnist_dask.errors import SourceError

#: Nothing listens there.
NOWHERE = "http://127.0.0.1:9/"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """(data directory, cache), both empty."""
    monkeypatch.setenv("FMNIST_DASK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data", cache_directory()


@pytest.fixture
def server(tmp_path):
    """A real server of a small data set; its ``asked`` lists the paths that were asked for."""
    served = write_idx_set(tmp_path / "served", 30, 9)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=served)) as running:
        running.asked = []
        running.address = f"http://127.0.0.1:{running.server_port}/"
        running.files = {
            path.name: "md5:" + hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(served.iterdir())
        }
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def published(monkeypatch):
    """Say where ``mnist`` is published, and with which checksums."""

    def publish(mirrors, files=None):
        changed = replace(DATA_SETS["mnist"], mirrors=mirrors, files=files or DATA_SETS["mnist"].files)
        monkeypatch.setitem(DATA_SETS, "mnist", changed)

    return publish


def test_the_data_directory_comes_first(places, published):
    published((NOWHERE,))
    data, cache = places
    write_idx_set(cache / "mnist", 5, 2)
    write_idx_set(data / "mnist", 7, 3)
    source = open_source("mnist")
    assert (source.n, source.name, source.class_names) == (10, "mnist", tuple("0123456789"))
    assert source.location == str(data / "mnist")


@pytest.mark.parametrize("data_variable", [True, False])
def test_the_cache_comes_next(places, published, monkeypatch, data_variable):
    published((NOWHERE,))
    if not data_variable:
        monkeypatch.delenv("FMNIST_DASK_DATA")
    write_idx_set(places[1] / "mnist", 5, 2)
    assert open_source("mnist").n == 7


def test_an_incomplete_set_is_passed_over(places, published):
    published((NOWHERE,))
    data, cache = places
    (write_idx_set(data / "mnist", 7, 3) / "t10k-labels-idx1-ubyte.gz").unlink()
    write_idx_set(cache / "mnist", 5, 2)
    assert open_source("mnist").n == 7


def test_a_download_is_checked_and_kept(places, published, server):
    published((server.address,), server.files)
    source = open_source("mnist")
    assert source.splits == {"train": 30, "test": 9}
    image = np.concatenate(
        [rows.image for part in (0, 1) for rows in source.read(part, 0, source.partitions[part].rows, 99)]
    )
    assert (image == random_images(39, (6, 5), seed=11)).all()
    assert sorted(server.asked) == sorted(f"/{name}" for name in server.files)
    assert source.location == str(places[1] / "mnist")
    open_source("mnist")
    assert len(server.asked) == 4  # the cache served the second time


def test_the_next_mirror_is_asked_where_one_fails(places, published, server):
    published((NOWHERE, server.address), server.files)
    assert open_source("mnist").n == 39


def test_a_wrong_checksum_is_refused(places, published, server):
    name = "train-labels-idx1-ubyte.gz"
    published((server.address,), {**server.files, name: "md5:" + "0" * 32})
    with pytest.raises(SourceError, match=rf"(?i)could not be downloaded:\n(.|\n)*{server.address}.*hash"):
        open_source("mnist")
    assert not (places[1] / "mnist" / name).exists()


def test_without_a_network_the_ways_out_are_named(places, published):
    published((NOWHERE,))
    with pytest.raises(SourceError) as caught:
        open_source("mnist")
    message = str(caught.value)
    for part in ("mnist (12 MB)", NOWHERE, "FMNIST_DASK_DATA", "mnist/", str(places[1] / "mnist"), "--source garments"):
        assert part in message
