"""Telling the cluster's dashboard how far a run is, and the run that somebody wants it to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from fmnist_dask.cluster.topics import RUN_TOPIC
from fmnist_dask.workflow.rundir import RunDirectory
from fmnist_dask.workflow.story import Story

if TYPE_CHECKING:
    from distributed import Client

#: Seconds between two snapshots.
INTERVAL = 1.0
#: Seconds between two looks for a request to stop.
STOP_INTERVAL = 0.5


@contextlib.contextmanager
def told_to_dashboard(run: RunDirectory, story: Story, client: Client) -> Iterator[Callable[[], None]]:
    """Log a full snapshot of the run to the scheduler every second, while anything changes.

    Yields
    ------
    callable
        Logs one now.
    """
    done = threading.Event()
    last: list[Any] = [None]
    lock = threading.Lock()

    def tell() -> None:
        with lock, contextlib.suppress(Exception):  # the dashboard is not worth a run
            snapshot = story.snapshot(run.manifest)
            if snapshot != last[0]:
                client.log_event(RUN_TOPIC + run.path.name, snapshot)
                last[0] = snapshot

    def work() -> None:
        while not done.wait(INTERVAL):
            tell()

    thread = threading.Thread(target=work, name="dashboard", daemon=True)
    thread.start()
    try:
        yield tell
    finally:
        done.set()
        thread.join()


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
                    signal.pthread_kill(main, signal.SIGINT)
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
