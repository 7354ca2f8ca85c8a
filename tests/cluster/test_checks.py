"""Workers that cannot do the work are found before it begins, with a remedy."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fmnist_dask
from fmnist_dask.cluster.checks import _check
from fmnist_dask.cluster.config import load_cluster
from fmnist_dask.cluster.connect import connect
from fmnist_dask.cluster.inspection import inspect_worker
from fmnist_dask.errors import ClusterError
from fmnist_dask.passes.late_workers import late_workers_prepared
from fmnist_dask.passes.probe import is_prepared

#: A worker that cannot import the package.
WITHOUT = "import sys; sys.modules['fmnist_dask'] = None; "
WORKER = "from distributed.cli.dask_worker import main; main()"


@contextlib.contextmanager
def cluster(tmp_path: Path, code: str = "", environment: dict[str, str] | None = None, directory: Path | None = None):
    """A scheduler and one worker; the latter runs some code first."""
    file = tmp_path / "scheduler.json"
    common = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    here = [f"--scheduler-file={file}", "--no-dashboard"]
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host=127.0.0.1", "--port=0", *here], **common
    )
    options = ["--no-nanny", "--nthreads=1", "--memory-limit=1GiB", f"--local-directory={tmp_path}"]
    worker = subprocess.Popen(
        [sys.executable, "-c", code + WORKER, *here, *options],
        env={**os.environ, **(environment or {})},
        cwd=directory or tmp_path,
        **common,
    )
    try:
        while not file.exists() or not file.stat().st_size:
            assert scheduler.poll() is None
            time.sleep(0.05)
        config = tmp_path / "cluster.yaml"
        config.write_text(f"scheduler-file: {file}\n")
        yield load_cluster(config), json.loads(file.read_text())["address"]
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait()


def refusal(config, *directories):
    with pytest.raises(ClusterError) as caught, connect(config, directories=directories):
        pass
    return str(caught.value)


def test_a_worker_without_the_package(tmp_path):
    with cluster(tmp_path, WITHOUT) as (config, _):
        said = refusal(config)
    assert "cannot import fmnist_dask" in said
    assert sys.executable in said
    assert f"install fmnist-dask {fmnist_dask.__version__}" in said


@pytest.mark.parametrize("change", ["version", "code"])
def test_a_worker_with_another_package(tmp_path, change):
    other = tmp_path / "other"
    shutil.copytree(
        Path(fmnist_dask.__file__).parent, other / "fmnist_dask", ignore=shutil.ignore_patterns("__pycache__")
    )
    if change == "version":
        init = other / "fmnist_dask" / "__init__.py"
        text = init.read_text()
        assert fmnist_dask.__version__ in text
        init.write_text(text.replace(fmnist_dask.__version__, "0.0.9"))
    else:
        with open(other / "fmnist_dask" / "kernels" / "gram.py", "a") as file:
            file.write("# changed\n")
    first = f"import sys; sys.path.insert(0, {str(other)!r}); "
    with cluster(tmp_path, first) as (config, _):
        said = refusal(config)
    assert ("0.0.9" if change == "version" else f"(in {other / 'fmnist_dask'})") in said
    assert "remedy: install" in said


@pytest.mark.slow
def test_a_directory_that_workers_do_not_see(tmp_path):
    """A worker whose root is elsewhere: what is at a path here is not there."""
    seen = tmp_path / "seen"
    seen.mkdir()
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    # The worker's open() is not ours: it finds nothing below that directory, as on another host.
    code = (
        "import builtins; real = builtins.open\n"
        f"def elsewhere(name, *rest, **more):\n"
        f"    if str(name).startswith({str(hidden)!r}): raise FileNotFoundError(name)\n"
        "    return real(name, *rest, **more)\n"
        "builtins.open = elsewhere\n"
    )
    with cluster(tmp_path, code) as (config, _):
        with connect(config, directories=[seen]):
            pass
        said = refusal(config, seen, hidden)
        assert list(hidden.iterdir()) == list(seen.iterdir()) == []
    assert f"does not see {hidden}" in said
    assert "--store, --out" in said


def test_another_python_is_named():
    mine = inspect_worker("fmnist_dask", {})
    with pytest.raises(ClusterError, match=r"has Python 3\.10, this process 3\."):
        _check("tcp://node:1", {**mine, "python": "3.10"}, mine)


def test_a_worker_that_has_died_meanwhile_is_none_of_our_business():
    _check("tcp://node:1", OSError("gone"), inspect_worker("fmnist_dask", {}))


@pytest.mark.slow
def test_a_worker_that_comes_late_is_made_ready_or_sent_away(tmp_path):
    with (
        cluster(tmp_path) as (config, address),
        connect(config) as connection,
        late_workers_prepared(connection.client, False),
    ):
        client = connection.client
        other = tmp_path / "other"
        shutil.copytree(Path(fmnist_dask.__file__).parent, other / "fmnist_dask")
        with open(other / "fmnist_dask" / "kernels" / "gram.py", "a") as file:
            file.write("# changed\n")
        options = [address, "--no-nanny", "--no-dashboard", "--nthreads=1", f"--local-directory={tmp_path}"]
        first = f"import sys; sys.path.insert(0, {str(other)!r}); "
        begun = {
            name: subprocess.Popen(
                [sys.executable, "-c", code + WORKER, *options, f"--name={name}"],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, code in (("same", ""), ("changed", first), ("without", WITHOUT))
        }
        try:
            for name in ("changed", "without"):
                _, said = begun[name].communicate(timeout=60)
                assert ("this worker ends" if name == "changed" else "fmnist_dask") in said
            client.wait_for_workers(2, timeout=30)
            names = {worker["name"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}
            assert "same" in names
            assert not names & {"changed", "without"}
            assert all(client.run(is_prepared).values())
        finally:
            for process in begun.values():
                process.kill()
                process.communicate()
