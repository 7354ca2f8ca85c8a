"""Telling the cluster's dashboard how far a run is, and the run that somebody wants it to stop."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from fmnist_dask.cluster.topics import RUN_TOPIC
from fmnist_dask.workflow.rundir import RunDirectory
from fmnist_dask.workflow.story import Story

if TYPE_CHECKING:
    from distributed import Client

#: Seconds between two snapshots.
INTERVAL = 1.0
#: Seconds after which a snapshot is told again though nothing has changed.
SIGN_OF_LIFE = 5.0
#: Seconds between two looks for a request to stop.
STOP_INTERVAL = 0.5


@contextlib.contextmanager
def told_to_dashboard(run: RunDirectory, story: Story, client: Client) -> Iterator[None]:
    """Log a full snapshot of the run to the scheduler: every second while anything changes, else every few seconds."""
    # Runs of several people may have one name.
    where = hashlib.sha256(f"{socket.gethostname()} {run.path}".encode()).hexdigest()[:6]
    topic = f"{RUN_TOPIC}{run.path.name}@{where}"
    done = threading.Event()
    last: list[Any] = [None, 0.0]
    lock = threading.Lock()

    def tell(status: str | None = None) -> None:
        with lock, contextlib.suppress(Exception):  # the dashboard is not worth a run
            snapshot, moment = story.snapshot(run.manifest), time.monotonic()
            snapshot["status"] = status or snapshot["status"]
            if snapshot != last[0] or moment - last[1] >= SIGN_OF_LIFE:
                client.log_event(topic, snapshot)
                last[:] = snapshot, moment

    def work() -> None:
        while not done.wait(INTERVAL):
            tell()

    thread = threading.Thread(target=work, name="dashboard", daemon=True)
    thread.start()
    status = "FAILED"
    try:
        yield
        failed = any(step["status"] == "FAILED" for step in run.manifest["steps"].values())
        status = "FAILED" if failed else "SUCCEEDED"
    except KeyboardInterrupt:
        status = "STOPPED"
        raise
    finally:
        done.set()
        thread.join()
        # The report is written when the cluster, which may be the run's own, is gone: these are the last words here.
        tell(status)


@contextlib.contextmanager
def stoppable(run: RunDirectory) -> Iterator[None]:
    """Interrupt the block, as Ctrl-C would, when a request to stop is found in the run's directory, or at SIGTERM.

    Batch systems send that before the time of a job is over, and machines before they go down. Only where the block
    runs in the main thread: Python interrupts no other.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    run.stop_request.unlink(missing_ok=True)
    done = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def watch() -> None:
        while not done.wait(STOP_INTERVAL):
            if run.stop_request.exists():
                if not done.is_set():
                    # Not SIGINT, which shells have processes in the background ignore; the handler is below.
                    signal.pthread_kill(main, signal.SIGTERM)
                return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
        done.set()
        thread.join()
        run.stop_request.unlink(missing_ok=True)
