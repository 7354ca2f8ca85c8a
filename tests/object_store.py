"""An S3 server of our own: moto's, in a process of its own, spoken to over HTTP."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BUCKET = "images"
SECRET = "not-to-be-seen-anywhere"
SERVER = '''
import logging, os, sys
from werkzeug.serving import run_simple
from moto.server import DomainDispatcherApplication, create_backend_app
logging.getLogger("werkzeug").setLevel(logging.ERROR)
serve = DomainDispatcherApplication(create_backend_app)
seen = 0

def app(environ, start_response):
    """Every so many requests, and all while a file is there, are answered as a busy server does."""
    global seen
    seen += 1
    if os.path.exists(sys.argv[3]) or (int(sys.argv[2]) and seen % int(sys.argv[2]) == 0):
        start_response("503 Slow Down", [("Content-Type", "application/xml")])
        return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
    return serve(environ, start_response)

run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
'''


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def s3_server(busy_every: int = 0, down: Path | None = None) -> Iterator[str]:
    """Address of a server with one empty bucket; the environment says so to this process and those it starts.

    Parameters
    ----------
    busy_every
        Every so many requests, one is refused with 503 Slow Down.
    down
        All requests are refused while this file is there.
    """
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port), str(busy_every), str(down or "")], stderr=subprocess.PIPE
    )
    address = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL_S3", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTEST")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        try:
            _wait_for(port, server)
            import s3fs

            s3fs.S3FileSystem.clear_instance_cache()
            s3fs.S3FileSystem(anon=False).mkdir(BUCKET)
            yield address
        finally:
            server.kill()
            server.wait()
            if server.stderr is not None:
                server.stderr.close()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if server.poll() is not None:
            assert server.stderr is not None
            raise RuntimeError(f"the server ended: {server.stderr.read().decode()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError("the server does not answer")
