"""What futures come to: results, errors in this project's words, and a scheduler that is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fmnist_dask.errors import ClusterError, FmnistDaskError, LostClusterError
from fmnist_dask.passes.meter import rows_word
from fmnist_dask.passes.protocol import Readable
from fmnist_dask.passes.tasks import Failure

if TYPE_CHECKING:
    from distributed import Client, Future


def result_of(future: Future, rows_of_task: Callable[[int], str] | None = None) -> Any:
    """What a task has come to.

    Parameters
    ----------
    rows_of_task
        Words for what the task of a number reads.
    """
    from distributed.scheduler import KilledWorker

    try:
        outcome = future.result()
    except KilledWorker as error:
        task = str(error.task)
        number = task.rpartition("-")[2]
        rows = f" ({rows_of_task(int(number))})" if rows_of_task and task.startswith("read-") else ""
        raise ClusterError(
            f"workers died {error.allowed_failures + 1} times while they ran {task}{rows}: "
            "most likely they ran out of memory",
            "give workers a larger memory_limit in the cluster file, and look into their logs",
        ) from error
    if isinstance(outcome, Failure):
        raise outcome.error
    return outcome


def words_for_rows(source: Readable, chunks: Sequence[int]) -> str:
    """``chunks 3 to 5, images 6,144 to 12,287``."""
    stop = min((chunks[-1] + 1) * source.chunk_rows, source.n)
    return f"chunks {chunks[0]} to {chunks[-1]}, {rows_word(source)} {chunks[0] * source.chunk_rows:,} to {stop - 1:,}"


@contextlib.contextmanager
def noticing_loss(client: Client) -> Iterator[None]:
    """Say of errors that come of the scheduler's end that the cluster is lost."""
    from concurrent.futures import CancelledError

    from distributed.comm import CommClosedError

    cancelled = (CancelledError, asyncio.CancelledError)

    try:
        yield
    except FmnistDaskError:
        raise
    except (Exception, *cancelled) as error:
        gone = isinstance(error, (CommClosedError, *cancelled)) or client.status != "running"
        if not gone:
            raise
        raise LostClusterError(
            f"the connection to the scheduler was lost ({type(error).__name__})",
            "see whether the cluster runs, and resume",
        ) from error


@contextlib.contextmanager
def cancelled_on_error(client: Client, futures: Sequence[Future]) -> Iterator[None]:
    """Cancel what is still to be done if the block raises."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.cancel(futures)
        raise
