"""One process at a time writes into a directory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from fmnist_dask.collection import lease
from fmnist_dask.collection.lease import Lease
from fmnist_dask.errors import RunError

HOLD = """
import sys, time
from pathlib import Path
from fmnist_dask.collection.lease import Lease
with Lease(Path(sys.argv[1]), "an ingest"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lease of ``tmp_path``."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def leave(directory, age=0.0, **content):
    """Leave a lease in a directory, last renewed ``age`` seconds ago."""
    path = directory / ".lease"
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_lease_is_there_while_held_and_gone_afterwards(tmp_path):
    place = tmp_path / "a" / "b"
    with Lease(place, "a run"):
        held = json.loads((place / ".lease").read_text())
        assert (held["pid"], held["host"]) == (os.getpid(), socket.gethostname())
    assert list(place.iterdir()) == []


def test_an_error_inside_releases_it(tmp_path):
    with pytest.raises(ZeroDivisionError), Lease(tmp_path, "a run"):
        1 / 0  # noqa: B018
    assert not (tmp_path / ".lease").exists()


def test_it_can_be_taken_again(tmp_path):
    for _ in range(3):
        with Lease(tmp_path, "a run"):
            assert (tmp_path / ".lease").exists()


def test_a_second_holder_is_refused_while_the_first_lives(tmp_path, holder):
    with pytest.raises(RunError) as caught, Lease(tmp_path, "an ingest"):
        pass
    message = str(caught.value)
    for part in (
        str(tmp_path),
        f"process {holder.pid}",
        socket.gethostname(),
        "an ingest",
        "remedy: wait until",
    ):
        assert part in message
    assert json.loads((tmp_path / ".lease").read_text())["pid"] == holder.pid


def test_the_lease_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    with Lease(tmp_path, "a run"):
        assert json.loads((tmp_path / ".lease").read_text())["pid"] == os.getpid()


def test_a_later_process_with_the_same_number_is_not_the_holder(tmp_path):
    started = psutil.Process().create_time()
    leave(tmp_path, host=socket.gethostname(), pid=os.getpid(), started=started - 1000)
    with Lease(tmp_path, "a run"):
        assert json.loads((tmp_path / ".lease").read_text())["started"] == started


def test_a_silent_process_of_this_host_keeps_its_lease(tmp_path, holder):
    os.utime(tmp_path / ".lease", (0, 0))  # its heartbeat says nothing here: the process itself is seen
    with pytest.raises(RunError, match="is in use"), Lease(tmp_path, "a run"):
        pass


def test_a_fresh_lease_of_another_host_is_respected(tmp_path):
    path = leave(tmp_path, age=lease.EXPIRY - 20, host="elsewhere", pid=1, started=5.0)
    with pytest.raises(RunError, match="process 1 on elsewhere"), Lease(tmp_path, "a run"):
        pass
    assert path.exists()


def test_a_lease_of_another_host_is_void_after_a_minute_of_silence(tmp_path):
    leave(tmp_path, age=lease.EXPIRY + 5, host="elsewhere", pid=1, started=5.0)
    with Lease(tmp_path, "a run"):
        assert json.loads((tmp_path / ".lease").read_text())["host"] == socket.gethostname()


@pytest.mark.parametrize("content", ["", '{"host": "else'])
def test_a_lease_cut_off_in_writing_is_void(tmp_path, content):
    (tmp_path / ".lease").write_text(content)
    with Lease(tmp_path, "a run"):
        assert json.loads((tmp_path / ".lease").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("attempt", range(20))
def test_one_of_many_takes_a_void_lease(tmp_path, attempt):
    leave(tmp_path, host=socket.gethostname(), pid=2**22 + 1, started=1.0)
    barrier, holding, refused = threading.Barrier(6), [], []

    def take():
        barrier.wait()
        try:
            with Lease(tmp_path, "a run"):
                holding.append(1)
                deadline = time.monotonic() + 5
                while len(refused) < 5 and time.monotonic() < deadline:
                    time.sleep(0.001)
        except RunError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(holding), len(refused)) == (1, 5)


def test_a_lease_is_renewed_while_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    with Lease(tmp_path, "a run"):
        path = tmp_path / ".lease"
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < time.time() - 60:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_lease_that_another_has_taken_since_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.02)
    with Lease(tmp_path, "a run"):
        path = leave(tmp_path, host="elsewhere", pid=1, started=5.0)  # as after a minute without a sign of life
        os.utime(path, (0, 0))
        time.sleep(0.2)
        assert path.stat().st_mtime == 0
    assert json.loads(path.read_text())["host"] == "elsewhere"


def test_a_lease_is_handed_over_without_a_gap(tmp_path):
    with Lease(tmp_path, "a run") as held:
        # It waits for a line, and asks then.
        waiting = HOLD.replace("with Lease", "sys.stdin.readline()\nwith Lease")
        heir = subprocess.Popen(
            [sys.executable, "-c", waiting, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        held.hand_over(heir.pid)
    with heir:
        holder = lease.holder_of(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.handed_over) == (heir.pid, True)
        with pytest.raises(RunError, match=f"process {heir.pid}"), Lease(tmp_path, "a run"):
            pass
        assert heir.stdin is not None
        assert heir.stdout is not None
        print(file=heir.stdin, flush=True)
        assert heir.stdout.readline() == "held\n"
        holder = lease.holder_of(tmp_path)
        assert holder is not None
        assert (holder.pid, holder.handed_over) == (heir.pid, False)
        heir.kill()
    with Lease(tmp_path, "a run"):
        pass


def test_a_lease_handed_to_a_process_that_is_gone_is_void(tmp_path):
    with Lease(tmp_path, "a run") as held:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        held.hand_over(gone.pid)
    with Lease(tmp_path, "a run"):
        assert json.loads((tmp_path / ".lease").read_text())["pid"] == os.getpid()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=rf"cannot create the directory {tmp_path}/file/x(.|\n)*remedy"):
        Lease(tmp_path / "file" / "x", "a run").__enter__()
