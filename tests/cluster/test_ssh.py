"""Real SSH: a scheduler and workers on several addresses, each with an sshd and a working folder of its own."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")

pytestmark = [
    pytest.mark.skipif(not Path(SSHD).is_file(), reason="there is no sshd (Debian: apt-get install openssh-server)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="sshd lets others in only when it runs as root"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other loopback addresses are there on Linux only"),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOSTS[0], 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port and client key of the daemons; each node's commands begin in a folder of its own."""
    pytest.importorskip("asyncssh", reason="the extra ssh is not installed")
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port, daemons = free_port(), []
    for host in HOSTS:
        home = tmp_path / f"node-{host}"
        home.mkdir()
        config = tmp_path / f"sshd-{host}.conf"
        config.write_text(
            f"Port {port}\nListenAddress {host}\nHostKey {tmp_path / 'host'}\nPidFile {home}/sshd.pid\n"
            f"AuthorizedKeysFile {tmp_path / 'client.pub'}\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            f'ForceCommand cd {home} && exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        log = open(home / "sshd.log", "wb")  # noqa: SIM115
        daemons.append(subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log, stdin=subprocess.DEVNULL))
        log.close()
    try:
        for host, daemon in zip(HOSTS, daemons, strict=True):
            end = time.monotonic() + 10
            while True:
                assert daemon.poll() is None, (tmp_path / f"node-{host}" / "sshd.log").read_text()
                try:
                    socket.create_connection((host, port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < end
                    time.sleep(0.05)
        yield port, tmp_path / "client"
    finally:
        for daemon in daemons:
            daemon.terminate()
            daemon.wait()


@pytest.mark.slow
def test_a_workflow_runs_on_three_hosts(tmp_path: Path, nodes: tuple[int, Path]) -> None:
    port, key = nodes
    work = tmp_path / "driver"
    work.mkdir()
    (work / "ssh.yaml").write_text(
        f"""
class: SSHCluster
kwargs:
  hosts: [{", ".join(HOSTS)}]
  connect-options: {{port: {port}, known_hosts: null, client_keys: ["{key}"], username: {getpass.getuser()}}}
  scheduler-options: {{host: {HOSTS[0]}, port: 0, dashboard_address: "{HOSTS[0]}:0"}}
  worker-options: {{nthreads: 1, memory_limit: 1GiB}}
  remote-python: {sys.executable}
"""
    )
    options = ["--source-option", "n=3000", "--cluster", "ssh.yaml", "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "fmnist_dask.cli", "run", "explore", *options],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stderr
    manifest = json.loads(ran.stdout)
    assert manifest["status"] == "SUCCEEDED"
    assert manifest["cluster"]["class"] == "SSHCluster"
    assert manifest["cluster"]["workers"] == 2
    assert manifest["cluster"]["address"].startswith(f"tcp://{HOSTS[0]}:")
    for host in HOSTS[1:]:
        said = (tmp_path / f"node-{host}" / "sshd.log").read_text()
        assert "Accepted publickey" in said
    # Relative paths of the driver mean the driver's folder, on all hosts.
    assert (work / "collections").is_dir()
    assert not any((tmp_path / f"node-{host}" / "collections").exists() for host in HOSTS)


@pytest.mark.slow
def test_a_host_that_does_not_answer_is_said(tmp_path: Path) -> None:
    pytest.importorskip("asyncssh", reason="the extra ssh is not installed")
    (tmp_path / "ssh.yaml").write_text(
        f"class: SSHCluster\nkwargs: {{hosts: [127.0.0.9, 127.0.0.9], connect-options: {{port: {free_port()}}}}}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "fmnist_dask.cli", "run", "explore", "--cluster", "ssh.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 1
    assert "SSHCluster could not be started" in ran.stderr
    assert "127.0.0.9" in ran.stderr
    assert "Traceback" not in ran.stderr
