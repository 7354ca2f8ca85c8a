"""The processes of a cluster and the most memory that each has held: scheduler, nannies, and the driver itself."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fmnist_dask.passes.probe import resident_bytes

if TYPE_CHECKING:
    from distributed import Client


def driver_process() -> dict[str, Any]:
    """The process that this is called in."""
    return {
        "role": "driver",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "peak_bytes": resident_bytes(peak=True),
    }


def other_processes(client: Client) -> list[dict[str, Any]]:
    """The scheduler, and nannies that are processes of their own; those that do not tell are left out.

    The scheduler of a ``LocalCluster`` is a part of the driver's process (``in_driver``), and so are its nannies.
    """
    here = (socket.gethostname(), os.getpid())
    found: list[dict[str, Any]] = []
    with contextlib.suppress(Exception):  # whatever a scheduler that is gone, or does not take functions, comes to
        told = client.run_on_scheduler(_memory_of_process())
        in_driver = (told["host"], told["pid"]) == here
        found.append({"role": "scheduler", "address": client.scheduler.address, **told, "in_driver": in_driver})
    taken = {here, *((entry["host"], entry["pid"]) for entry in found)}
    with contextlib.suppress(Exception):
        for told in client.run(_memory_of_process(), nanny=True, on_error="ignore").values():
            if (told["host"], told["pid"]) not in taken:  # one process may watch over several workers
                taken.add((told["host"], told["pid"]))
                found.append({"role": "nanny", **told})
    return found


def _memory_of_process() -> Callable[[], dict[str, Any]]:
    """Asks a process for its memory and its processor time; goes out by value, for it may lack this package."""

    def memory_of_process() -> dict[str, Any]:
        import os
        import resource
        import socket
        import sys
        import time

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        try:
            with open("/proc/self/status", encoding="ascii") as status:
                peak = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        except (OSError, StopIteration):
            pass
        # The functions that arrive are called in the thread of the event loop.
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "peak_bytes": peak,
            "loop_seconds": round(time.thread_time(), 3),
        }

    return memory_of_process
