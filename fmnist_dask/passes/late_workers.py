"""Workers that come while work goes on: those started again, and those of a cluster that grows."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from fmnist_dask.passes.identity import code_stamp
from fmnist_dask.passes.probe import is_prepared, prepare_aside

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger("distributed.worker.fmnist_dask")
#: What names of the plugin begin with: each run has its own, so that the end of one does not take another's away.
NAME = "fmnist-dask-prepared-"


class PreparedWorker(WorkerPlugin):  # type: ignore[misc]
    """Makes a worker that comes late ready for tasks, or sends it away.

    One that cannot import this class, for want of the package, fails to start.

    Parameters
    ----------
    code
        Stamp of the driver's code; a worker with another one ends.
    lean
        See :func:`~fmnist_dask.passes.probe.prepare_worker`.
    """

    def __init__(self, code: str, lean: bool) -> None:
        self.name = f"{NAME}{uuid.uuid4().hex[:8]}"
        self.code = code
        self.lean = lean

    async def setup(self, worker: Any) -> None:
        """Called by Dask when a worker starts, and of those that are there, once."""
        if code_stamp() != self.code:
            logger.error("this worker ends: its fmnist-dask, NumPy, numba or SciPy is another than that of the driver")
            worker.loop.add_callback(worker.close, reason="another fmnist-dask")
        elif not is_prepared():
            await prepare_aside(self.lean)


@contextlib.contextmanager
def late_workers_prepared(client: Client, lean: bool) -> Iterator[None]:
    """Have workers prepare themselves that come during the block."""
    plugin = PreparedWorker(code_stamp(), lean)
    try:
        client.register_plugin(plugin)
    except OSError as error:  # a worker died at this moment; those that come are told all the same
        logger.debug("a worker was not told: %s", error)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # the cluster may be gone
            if client.status == "running":
                client.unregister_worker_plugin(plugin.name)
