"""The account of every pass and every set of calls: what it read, where the time went, and how much memory it took."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fmnist_dask.passes.ledger import AHEAD, CALLS, COLUMNS, COMBINE, DECODE, KERNEL, OTHER, SEGMENTS, WAIT, shared_out
from fmnist_dask.passes.tasks import WorkerReport, end_pass

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from distributed import Client

IDLE = "idle"
#: What the time of workers' threads is shared among. Waiting for a block that is read ahead is a part of decoding, and
#: saving states of row ranges of what else goes on in Dask's tasks.
SHARES = (DECODE, KERNEL, COLUMNS, COMBINE, CALLS, OTHER, IDLE)


@dataclass(frozen=True)
class Work:
    """What workers were asked to do at once.

    Attributes
    ----------
    number
        Of the pass, from 1; ``None`` for calls, which are no pass.
    steps
        Those that share it.
    title
        What is computed, in a few words.
    rows
        Of the source; 0 for calls.
    tasks, chunks, bytes_read
        How much of each.
    planned_worker_bytes
        Predicted peak of a worker's resident memory during it.
    """

    number: int | None
    steps: tuple[str, ...]
    title: str
    rows: int = 0
    tasks: int = 0
    chunks: int = 0
    bytes_read: int = 0
    planned_worker_bytes: int = 0


@dataclass(frozen=True)
class PassAccount:
    """What some work has needed, as measured.

    Attributes
    ----------
    seconds
        From the plan to the answer of the last worker.
    threads
        Of the workers that answered.
    peak_worker_bytes
        Highest resident memory of a worker since the work before; ``None`` if none has answered.
    spilled_bytes
        Written to disk by workers for want of memory.
    spent
        Seconds of the workers' threads by :data:`SHARES`; together ``seconds`` × ``threads``.
    kernels
        Of :data:`KERNEL`, by the class of the reduction.
    ahead_seconds
        Decoding in threads beside those of tasks, which worked meanwhile: not in ``spent``.
    wait_seconds, segment_seconds
        Of ``decode``, waiting for what is read ahead; of ``other``, saving and loading states of row ranges.
    scheduler_seconds
        Processor time of the thread that runs the scheduler's event loop since the work before; ``None`` where the
        scheduler does not tell. The loop of a ``LocalCluster`` is also that of the client.
    """

    work: Work
    seconds: float
    threads: int = 0
    peak_worker_bytes: int | None = None
    spilled_bytes: int = 0
    spent: Mapping[str, float] = field(default_factory=dict)
    kernels: Mapping[str, float] = field(default_factory=dict)
    ahead_seconds: float = 0.0
    wait_seconds: float = 0.0
    segment_seconds: float = 0.0
    scheduler_seconds: float | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Parts of the workers' time, by :data:`SHARES`; they add up to 1."""
        total = sum(self.spent.values())
        return {name: self.spent.get(name, 0.0) / total if total else 0.0 for name in SHARES}

    @classmethod
    def of(
        cls, work: Work, seconds: float, reports: Iterable[WorkerReport], scheduler_seconds: float | None = None
    ) -> PassAccount:
        """From what workers tell."""
        told = list(reports)
        parts = _sums(report["seconds"] for report in told)
        spent = dict.fromkeys(SHARES, 0.0) | shared_out(parts)
        threads = sum(report["threads"] for report in told)
        # What a worker did that has died since counts as idle; clocks that differ a little do not make it negative.
        spent[IDLE] = max(0.0, seconds * threads - sum(spent.values()))
        return cls(
            work,
            seconds,
            threads,
            max((report["peak_bytes"] for report in told), default=None),
            sum(report["spilled_bytes"] for report in told),
            spent,
            kernels=_sums(report["kernels"] for report in told),
            ahead_seconds=parts.get(AHEAD, 0.0),
            wait_seconds=parts.get(WAIT, 0.0),
            segment_seconds=parts.get(SEGMENTS, 0.0),
            scheduler_seconds=scheduler_seconds,
        )


class AccountBook:
    """Enters accounts of the work of one engine.

    Parameters
    ----------
    keep
        Told of each account.
    """

    def __init__(self, client: Client, keep: Callable[[PassAccount], None] | None = None) -> None:
        self.client = client
        self.keep = keep
        #: The account of what was done last.
        self.last: PassAccount | None = None
        #: (address, pid) of each worker that has answered → highest resident memory.
        self.peaks: dict[tuple[str, int], int] = {}
        self._scheduler: float | None = None

    @property
    def peak_worker_bytes(self) -> int:
        """Highest resident memory of any worker so far."""
        return max(self.peaks.values(), default=0)

    def begin(self) -> float:
        """The moment at which some work begins."""
        if self._scheduler is None:
            with contextlib.suppress(Exception):  # what is wrong with the scheduler, the work itself will tell
                self._scheduler = self.client.sync(self._loop_seconds)
        return time.perf_counter()

    def enter(self, work: Work, token: str, began: float) -> None:
        """Have workers free what they kept for some work that is done, and enter what they tell of it.

        A worker that dies at this moment, or does not answer, is left out.

        Parameters
        ----------
        token
            Name of what its tasks shared.
        began
            As :meth:`begin` said.
        """
        reports, scheduler = self._ask(token)
        seconds = time.perf_counter() - began
        for address, report in reports.items():
            worker = (address, report["pid"])
            self.peaks[worker] = max(self.peaks.get(worker, 0), report["peak_bytes"])
        before, self._scheduler = self._scheduler, scheduler
        used = None if before is None or scheduler is None or scheduler < before else scheduler - before
        self._keep(PassAccount.of(work, seconds, reports.values(), used))

    def enter_own(self, work: Work, began: float) -> None:
        """Enter what the driver has done itself."""
        self._keep(PassAccount(work, time.perf_counter() - began))

    def _keep(self, account: PassAccount) -> None:
        self.last = account
        if self.keep is not None:
            self.keep(account)

    def _ask(self, token: str) -> tuple[dict[str, WorkerReport], float | None]:
        """Reports by address, and the scheduler's seconds; asked at the same moment, for passes may be short."""

        async def ask() -> Any:
            told = asyncio.gather(
                self.client.run(end_pass, token, on_error="ignore"), self._loop_seconds(), return_exceptions=True
            )
            return await told

        reports, scheduler = self.client.sync(ask)
        if isinstance(reports, Exception):
            # The pass is done; what is not told of it is no reason to do it again.
            logger.debug("workers did not tell what a pass has taken: %s", reports)
            reports = {}
        elif isinstance(reports, BaseException):
            raise reports
        return reports, scheduler if isinstance(scheduler, float) else None

    async def _loop_seconds(self) -> float:
        """Processor time of the thread of the scheduler's event loop; this runs in that of the client's."""
        cluster = getattr(self.client, "cluster", None)
        if getattr(getattr(cluster, "scheduler", None), "loop", None) is self.client.loop:
            return time.thread_time()  # they are the same: that of a LocalCluster
        # A scheduler, which may lack this package, calls what it is sent in the thread of its loop.
        seconds: float = await self.client.run_on_scheduler(time.thread_time)
        return seconds


def _sums(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total
