"""Clusters that speak TLS: with the certificates a run works, without them nobody gets in."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import threading
from pathlib import Path

import pytest

from fmnist_dask import run
from fmnist_dask.cluster.config import ClusterConfig, load_cluster
from fmnist_dask.cluster.connect import connect, dask_settings, start
from fmnist_dask.errors import ClusterError

FILES = "security: {ca-file: cert.pem, cert: cert.pem, key: key.pem}\n"


def write_certificate(directory: Path) -> None:
    """A self-signed certificate that is its own authority, as in Dask's documentation."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fmnist-dask")])
    today = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(encoded)


def refused(config: ClusterConfig) -> str:
    with pytest.raises(ClusterError) as caught, connect(config):
        pass
    return str(caught.value)


@pytest.mark.slow
def test_who_has_the_certificates_gets_in_and_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr("fmnist_dask.cluster.connect.CONNECT_TIMEOUT", 15)
    other = tmp_path / "other"
    other.mkdir()
    for directory in (tmp_path, other):
        write_certificate(directory)
    (tmp_path / "cluster.yaml").write_text(
        "module: fmnist_dask.cluster.processes\nclass: ProcessCluster\nscale: 1\n"
        'kwargs: {memory-limit: 1GiB, dashboard-address: "127.0.0.1:0"}\n' + FILES
    )
    config = load_cluster(tmp_path / "cluster.yaml")
    with dask_settings(config), contextlib.closing(start(config)) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        (tmp_path / "existing.yaml").write_text(f"address: {address}\n{FILES}")
        (other / "existing.yaml").write_text(f"address: {address}\n{FILES}")
        monkeypatch.chdir(tmp_path)
        made = run("explore", source_options={"n": 600}, only=["duplicates"], cluster="existing.yaml", out="run")
        assert made.status == "SUCCEEDED"
        # The key is in no file of the run.
        secret = (tmp_path / "key.pem").read_text().splitlines()[1]
        assert not any(secret in path.read_text("latin-1") for path in made.path.rglob("*") if path.is_file())
        assert "TLS (security:" in refused(load_cluster(address))
        monkeypatch.setattr("fmnist_dask.cluster.connect.CONNECT_TIMEOUT", 3)
        assert "no scheduler answers" in refused(load_cluster(address.replace("tls://", "tcp://")))
        assert "no scheduler answers" in refused(load_cluster(other / "existing.yaml"))


def test_files_that_are_not_there_are_named(tmp_path):
    (tmp_path / "cluster.yaml").write_text(f"address: tls://127.0.0.1:9\n{FILES}")
    assert f"no file {tmp_path / 'cert.pem'}" in refused(load_cluster(tmp_path / "cluster.yaml"))


def test_who_cannot_connect_leaves_no_thread_behind(monkeypatch):
    monkeypatch.setattr("fmnist_dask.cluster.connect.CONNECT_TIMEOUT", 1)
    before = set(threading.enumerate())
    assert "no scheduler answers" in refused(load_cluster("tcp://127.0.0.1:9"))
    assert [thread.name for thread in set(threading.enumerate()) - before if "loop" in thread.name.lower()] == []
