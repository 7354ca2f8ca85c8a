"""How far the tasks of a pass on a cluster are."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fmnist_dask.passes.columns import SAMPLE, row_dim
from fmnist_dask.passes.protocol import PassProgress, ProgressCallback, Readable

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds between two signs of progress from one task.
PROGRESS_INTERVAL = 0.2


def reporter(topic: str, number: int, total: int) -> Callable[[int, int], None]:
    """Tell the scheduler's event log how far a task is, a few times a second. Runs on workers."""
    from distributed import get_worker

    worker = get_worker()
    counts = [0, 0]
    last = [time.monotonic()]

    def done(chunks: int, rows: int) -> None:
        counts[0] += chunks
        counts[1] += rows
        now = time.monotonic()
        if counts[0] < total and now - last[0] >= PROGRESS_INTERVAL:
            last[0] = now
            worker.log_event(topic, {"task": number, "chunks": counts[0], "rows": counts[1]})

    return done


def rows_of(source: Readable, chunks: Sequence[int]) -> int:
    """Rows of some chunks."""
    return sum(min((c + 1) * source.chunk_rows, source.n) - c * source.chunk_rows for c in chunks)


def rows_word(source: Readable) -> str:
    """What samples are called."""
    return "images" if row_dim(source) == SAMPLE else "lines"


class Meter:
    """Gathers what tasks tell of their progress into full snapshots.

    Tasks are heard of in the client's event loop and in a thread of Dask's; the callback is called in a thread of its
    own, so that it may ask the scheduler for something: in the event loop nobody could wait for an answer, and a lock
    that is held meanwhile would stop the loop for good.

    Parameters
    ----------
    tasks
        Chunks of each task.
    resumed
        Chunks that an earlier run has read.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        source: Readable,
        tasks: Sequence[Sequence[int]],
        resumed: Sequence[int],
        progress: ProgressCallback | None,
    ) -> None:
        self.client, self.name, self.progress = client, name, progress
        self.unit = rows_word(source)
        self.topic = f"fmnist-dask-pass-{uuid.uuid4().hex[:8]}"
        self.sizes = [(len(task), rows_of(source, task)) for task in tasks]
        self.whole = (sum(chunks for chunks, _ in self.sizes), sum(rows for _, rows in self.sizes))
        self.resumed = (len(resumed), rows_of(source, resumed))
        self.state = [(0, 0)] * len(self.sizes)
        #: Chunks and rows done, in all: summed up as tasks tell, since there may be very many.
        self.reached = (0, 0)
        self.started = time.perf_counter()
        # Events come in the client's own thread, futures end in others: they only note what they hear.
        self.lock = threading.Lock()
        self.news = threading.Event()
        self.ended = False
        self.teller = threading.Thread(target=self._tell_news, name="progress", daemon=True)

    def __enter__(self) -> Meter:
        if self.progress is not None:
            self.client.subscribe_topic(self.topic, self._on_event)
            if self.resumed[0]:
                self.news.set()
            self.teller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.progress is not None:
            self.client.unsubscribe_topic(self.topic)
            self.ended = True
            self.news.set()
            self.teller.join()
            if kind is None:
                self.reached = self.whole
                self._tell()

    def watch(self, futures: Sequence[Future]) -> None:
        """Count a task whole when its future is done."""
        if self.progress is None:
            return
        for number, future in enumerate(futures):
            future.add_done_callback(lambda done, number=number: self._on_done(done, number))

    def _on_event(self, event: tuple[float, Any]) -> None:
        message = event[1]
        self._advance(message["task"], (message["chunks"], message["rows"]))

    def _on_done(self, future: Future, number: int) -> None:
        if future.status == "finished":
            self._advance(number, self.sizes[number])

    def _advance(self, number: int, reached: tuple[int, int]) -> None:
        # A task that is run again after its worker's death counts from where it was: progress never goes back.
        with self.lock:
            if reached > (before := self.state[number]):
                self.state[number] = reached
                self.reached = self.reached[0] + reached[0] - before[0], self.reached[1] + reached[1] - before[1]
                self.news.set()

    def _tell_news(self) -> None:
        """Tell whenever there is something new."""
        while self.news.wait() and not self.ended:
            self.news.clear()
            self._tell()

    def _tell(self) -> None:
        if self.progress is None:
            return
        with self.lock:
            done_chunks, done_rows = self.reached
        chunks, rows = self.resumed
        self.progress(
            PassProgress(
                name=self.name,
                unit=self.unit,
                done=rows + done_rows,
                total=rows + self.whole[1],
                chunks_done=chunks + done_chunks,
                chunks_total=chunks + self.whole[0],
                seconds=time.perf_counter() - self.started,
                resumed=rows,
            )
        )
