"""A lease: one process at a time may write into a directory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from fmnist_dask.collection.files import make_directory, read_json, write_json
from fmnist_dask.collection.place import is_local, reaching
from fmnist_dask.errors import InUseError, RunError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: Seconds between two signs of life, and seconds of silence after which a lease on another host is void.
HEARTBEAT = 5.0
EXPIRY = 60.0
#: The file's name.
LEASE = ".lease"


class Lease:
    """Holds ``directory/.lease`` while the ``with`` block runs, renewing it every few seconds.

    A lease is void when its process on this host is gone, or when its holder on another host has been silent for a
    minute. One that another has taken since, as void, is left alone.

    Raises
    ------
    InUseError
        Another live process holds the lease.
    """

    def __init__(self, directory: Path, purpose: str) -> None:
        self.directory = directory
        self.path = directory / LEASE
        self.purpose = purpose
        #: Tells this lease from any other, also of the same process.
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lease:
        make_directory(self.directory)
        with _alone_with(self.directory):
            self._take()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_renewal()
        with reaching(self.path):
            if self._is_ours():
                self.path.unlink(missing_ok=True)

    def hand_over(self, pid: int) -> None:
        """Make another process of this host the holder, which finds it to be its own when it asks for the lease.

        There is no moment in between at which anybody else could take it. Only for directories of a file system.
        """
        self._end_renewal()
        holder = {"host": socket.gethostname(), "pid": pid, "started": process_start(pid)}
        write_json(self.path, {**holder, "purpose": self.purpose, "handed_over": True})

    def _end_renewal(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _is_ours(self) -> bool:
        try:
            said = read_json(self.path)
        except json.JSONDecodeError:  # another's, being written at this moment
            return False
        return isinstance(said, dict) and said.get("token") == self._token

    def _take(self) -> None:
        for _ in range(3):
            try:
                self._create()
                return
            except FileExistsError:
                self._remove_if_void()
        raise RunError(f"cannot take the lease {self.path}", "see whether another process works there")

    def _create(self) -> None:
        """Write the file unless there is one."""
        if is_local(self.path):
            with open(self.path, "x", encoding="utf-8") as file:
                file.write(self._content())
            return
        with reaching(self.path):
            remote: Any = self.path
            remote.fs.pipe_file(remote.path, self._content().encode(), mode="create")

    def _content(self) -> str:
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid())}
        return json.dumps({**holder, "purpose": self.purpose, "token": self._token})

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                if not self._is_ours():
                    return
                if is_local(self.path):
                    os.utime(self.path)
                else:
                    self.path.write_bytes(self._content().encode())
            except FileNotFoundError:
                # the directory was removed under us; the next write will say so
                return
            except Exception as error:
                if not isinstance(error, OSError) and is_local(self.path):
                    raise
                # A file server or an object store that fails for a moment: the next sign of life may come through.

    def _remove_if_void(self) -> None:
        there = self.path.exists()
        holder = holder_of(self.directory)
        if holder is not None and not (holder.handed_over and holder.is_this_process):
            raise InUseError(
                f"{self.directory} is in use: process {holder.pid} on {holder.host} holds it ({holder.purpose})",
                "wait until it has ended, or stop it; its lease ends with it",
            )
        if there:  # or it was released meanwhile, and what is there now is another's
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, and how long ago it last gave a sign of life, in seconds.

    Attributes
    ----------
    handed_over
        Whether it was given the lease, and has not come to ask for it yet.
    """

    host: str
    pid: int
    purpose: str
    age: float
    handed_over: bool = False

    @property
    def is_this_process(self) -> bool:
        """Whether it is the process that asks."""
        return self.host == socket.gethostname() and self.pid == os.getpid()


def holder_of(directory: Path) -> Holder | None:
    """Who holds the lease of a directory; ``None`` if nobody does who is alive."""
    path = directory / LEASE
    for patience in (0.05, 0.0):
        try:
            said = read_json(path)
            age = time.time() - path.stat().st_mtime if said is not None else 0.0
            break
        except FileNotFoundError:  # released meanwhile
            return None
        except json.JSONDecodeError:  # being written at this moment
            said, age = None, 0.0
            time.sleep(patience)
    if not isinstance(said, dict):
        return None
    host, pid = str(said.get("host")), int(said.get("pid", 0))
    same_host = host == socket.gethostname()
    began = process_start(pid) if same_host else None
    alive = began is not None and began == said.get("started") if same_host else age <= EXPIRY
    if not (alive and pid):
        return None
    return Holder(host, pid, str(said.get("purpose", "unknown")), max(age, 0.0), bool(said.get("handed_over")))


@contextlib.contextmanager
def _alone_with(directory: Path) -> Iterator[None]:
    """One process of this host at a time: two that found one void lease would both remove it and take their own."""
    if fcntl is None or not is_local(directory):
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def process_start(pid: int) -> float | None:
    """When a process of this host began, which tells it from a later one with the same number; None if it is gone."""
    import psutil

    try:
        process = psutil.Process(pid) if pid > 0 else None
        # One that has ended, but that its parent has not asked about, does nothing any more.
        gone = process is None or process.status() == psutil.STATUS_ZOMBIE
        return None if gone or process is None else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
