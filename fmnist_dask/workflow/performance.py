"""Dask's own report of what its workers did during a run, kept beside the run's report."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fmnist_dask.collection.files import write_atomic
from fmnist_dask.workflow.rundir import RunDirectory

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

#: Seconds that the scheduler gets to make it.
TIMEOUT = 30


@contextlib.contextmanager
def performance_kept(run: RunDirectory, client: Client) -> Iterator[None]:
    """Keep what :class:`distributed.performance_report` makes of the time of the block, as ``performance.html``.

    That class looks for a client by itself and finds the last one that was made, which may be another run's; and its
    page would load scripts from elsewhere. A run does not fail for want of this page.
    """
    begun, count = time.time(), 0
    with _not_worth_a_run():
        # By value: the scheduler may lack this package.
        count = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.monitor.count)
        client.get_task_stream(start=0, stop=0)  # the scheduler remembers tasks from now on
    yield
    with _not_worth_a_run():
        if client.status == "running":
            page = client.sync(
                client.scheduler.performance_report,
                start=begun,
                last_count=count,
                code="",
                mode="inline",
                callback_timeout=TIMEOUT,
            )
            write_atomic(run.performance, page)


@contextlib.contextmanager
def _not_worth_a_run() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever another version of distributed, or a scheduler that is gone, comes to
        logger.debug("no performance report: %s", error)
