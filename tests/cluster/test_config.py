"""Cluster files: what is taken, and what is said of those that are wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fmnist_dask.cluster.classes import KNOWN_CLASSES, argument_names, find_class
from fmnist_dask.cluster.config import load_cluster, worker_count
from fmnist_dask.cluster.connect import connect, start
from fmnist_dask.errors import ClusterError, UsageError
from fmnist_dask.shipped import shipped_directory
from fmnist_dask.workflow.plan_workers import worker_offer

SHIPPED = sorted(path.stem for path in shipped_directory("cluster-configs").glob("*.yaml"))


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "cluster.yaml"
        path.write_text(text)
        return path

    return write


def test_there_is_a_file_for_each_kind():
    kinds = ["existing", "gateway", "kubernetes", "local", "local-processes", "slurm", "ssh"]
    assert kinds == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_valid_and_need_no_trust(name):
    config = load_cluster(name)
    assert config.running == (name == "existing")
    assert config.running or config.qualified_class in KNOWN_CLASSES
    assert worker_count(config) >= 1


@pytest.mark.parametrize("name", ["local", "local-processes", "ssh"])
def test_classes_take_what_shipped_files_give(name):
    config = load_cluster(name)
    names = argument_names(find_class(config.module, config.class_name)) if name != "ssh" else None
    from distributed import SSHCluster

    names = names or argument_names(SSHCluster)
    assert names is not None
    assert set(config.kwargs) <= names


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("clas: LocalCluster", ['unknown key "clas"', 'did you mean "class"']),
        ("scale: -1", ["scale: -1", "1 or more"]),
        ("scale: many", ["scale: 'many'", "auto"]),
        ("adapt: {minimum: 4, maximum: 2}", ["maximum 2 is less than minimum 4"]),
        ("adapt: {minimum: 4}", ['"adapt.maximum" is missing']),
        ("adapt: {minimum: 0, maximum: 2}", ["greater than 0"]),
        ("security: {ca-file: a, cert: b}", ['"security.key" is missing']),
        ("security: {ca: a}", ["security"]),
        ("version: 2", ["version"]),
        ("- a list", ["a cluster file is a mapping"]),
        ("kwargs: {memory_limit: much}", ["'much' is no number of bytes"]),
        ("a: [", ["cannot read the cluster file"]),
        ("module: dask_jobqueue\nclass: SLURMCluster", ["scale: auto", "run elsewhere", "say how many"]),
    ],
)
def test_wrong_files_are_refused_in_words(written, text, parts):
    with pytest.raises(UsageError) as caught:
        load_cluster(written(text))
    for part in parts:
        assert part in str(caught.value)


def test_a_class_that_is_not_known_needs_trust(written):
    path = written("module: subprocess\nclass: Popen\nargs: [true]\nscale: 1")
    with pytest.raises(ClusterError, match=r"subprocess\.Popen"):
        load_cluster(path)
    assert load_cluster(path, trust=True).qualified_class == "subprocess.Popen"


def test_hyphens_and_underscores_are_the_same_but_not_in_names_of_the_users(written):
    path = written(
        "module: dask.distributed\nclass: SSHCluster\nscheduler-file: null\n"
        "kwargs: {hosts: [a, b, c], worker-options: {local-directory: /tmp, env: {A-B: 1}}}"
    )
    config = load_cluster(path)
    assert config.kwargs["worker_options"] == {"local_directory": "/tmp", "env": {"A-B": 1}}
    assert worker_count(config) == 2


def test_files_are_named_relative_to_the_cluster_file(written):
    path = written("scheduler-file: here.json\nsecurity: {ca-file: ca.pem, cert: c.pem, key: k.pem}")
    config = load_cluster(path)
    assert config.scheduler_file == str(path.parent.resolve() / "here.json")
    assert config.security is not None
    assert config.security.ca_file == str(path.parent.resolve() / "ca.pem")


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ("{n_worker: 2}", ['LocalCluster takes no "n_worker"', 'did you mean "n_workers"']),
        ("{threads-per-workers: 2}", ['did you mean "threads_per_worker"']),
    ],
)
def test_arguments_that_a_class_does_not_take_are_named(written, kwargs, parts):
    config = load_cluster(written(f"kwargs: {kwargs}"))
    with pytest.raises(UsageError) as caught:
        start(config)
    for part in (*parts, "cluster.yaml"):
        assert part in str(caught.value)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "dask_gateway" else found(name, *rest)
    )
    with pytest.raises(ClusterError) as caught:
        start(load_cluster("gateway"))
    assert "dask_gateway" in str(caught.value)
    assert 'pip install "fmnist-dask[gateway]"' in str(caught.value)


def test_no_scheduler_and_no_scheduler_file_are_said_at_once(written, monkeypatch):
    monkeypatch.setattr("fmnist_dask.cluster.connect.CONNECT_TIMEOUT", 1)
    with (
        pytest.raises(ClusterError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"),
        connect(load_cluster("tcp://127.0.0.1:9")),
    ):
        pass
    path = written("scheduler-file: nowhere.json")
    with pytest.raises(ClusterError, match=r"no scheduler file .*nowhere\.json"), connect(load_cluster(path)):
        pass


@pytest.mark.slow
def test_workers_come_and_go_with_the_work(written):
    path = written(
        'kwargs: {threads_per_worker: 1, memory_limit: 1GiB, dashboard_address: "127.0.0.1:0"}\n'
        "adapt: {minimum: 1, maximum: 2}\n"
    )
    with connect(load_cluster(path)) as connection:
        assert connection.workers.count == 1
        futures = connection.client.map(time.sleep, [0.3] * 20, pure=False)
        end = time.monotonic() + 30
        while len(connection.client.scheduler_info(n_workers=-1)["workers"]) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        connection.client.gather(futures)


@pytest.mark.parametrize(
    ("name", "offer"),
    [
        ("local", (1, "auto")),
        ("local-processes", (1, "auto")),
        ("ssh", (1, "4GiB")),
        ("slurm", (1, 4 * 10**9)),
        ("kubernetes", (1, "2Gi")),
    ],
)
def test_plans_know_what_workers_of_each_kind_offer(name, offer):
    assert worker_offer(load_cluster(name)) == offer
