"""Carrying out the steps of a run that are to be done: what each works on, and what its end means for the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from fmnist_dask.collection.store import Collection, split_code
from fmnist_dask.collection.views import FeatureCollection, FilledImages, KeptImages, vectors_of
from fmnist_dask.errors import FmnistDaskError, RunError, UsageError
from fmnist_dask.passes.protocol import Engine, PassProgress, Readable
from fmnist_dask.workflow.advance import Callbacks, Running, advance
from fmnist_dask.workflow.inputs import Stored
from fmnist_dask.workflow.journal import Journals
from fmnist_dask.workflow.load import INPUTS, prerequisites
from fmnist_dask.workflow.masking import as_masked
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.observe import Observer
from fmnist_dask.workflow.order import algorithm_of
from fmnist_dask.workflow.publish import publish
from fmnist_dask.workflow.record import message_of, step_outcome
from fmnist_dask.workflow.registry import StepInput, StepResult, find_step
from fmnist_dask.workflow.rundir import PUBLISHED, RunDirectory

#: Seconds between two progress lines in events.jsonl.
EVENT_INTERVAL = 1.0


class ProgressLog:
    """Passes progress on to the observer, and now and then to ``events.jsonl``."""

    def __init__(self, run: RunDirectory, observer: Observer) -> None:
        self.run = run
        self.observer = observer
        #: Asks for the resident bytes of the workers.
        self.worker_bytes: Callable[[], list[int]] = list
        #: Asks what a worker is planned to need, in bytes.
        self.planned_worker_bytes: Callable[[], int | None] = lambda: None
        self._last = 0.0

    def __call__(self, names: list[str], progress: PassProgress) -> None:
        """Steps that share a pass, or tasks of one of them, went on."""
        self.observer.progress(names, progress)
        moment = time.monotonic()
        if moment - self._last >= EVENT_INTERVAL or progress.done == progress.total:
            self._last = moment
            fields = {
                "pass": progress.name,
                "unit": progress.unit,
                "done": progress.done,
                "total": progress.total,
                "chunks_done": progress.chunks_done,
                "chunks_total": progress.chunks_total,
                "per_second": round(progress.rate, 1),
                "eta": None if progress.eta is None else round(progress.eta, 1),
                "resumed": progress.resumed,
                "worker_bytes": self.worker_bytes(),
                "planned_worker_bytes": self.planned_worker_bytes(),
            }
            for name in names:
                self.run.event("progress", name, **fields)


class StepCarrier:
    """Carries out steps of a run.

    Parameters
    ----------
    pending
        Names of the steps to carry out.
    """

    def __init__(
        self,
        run: RunDirectory,
        workflow: Workflow,
        collection: Stored,
        pending: list[str],
        observer: Observer,
        progress: ProgressLog,
        journals: Journals,
    ) -> None:
        self.run = run
        self.workflow = workflow
        self.collection = collection
        self.left = list(pending)
        self.observer = observer
        self.progress = progress
        self.journals = journals
        self.begun: dict[str, float] = {}

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Records of the steps in the manifest."""
        records: dict[str, dict[str, Any]] = self.run.manifest["steps"]
        return records

    def carry_out(self, engine: Engine) -> None:
        """Run all of them to their ends."""
        advance(engine, self._more, Callbacks(self._finished, self._failed, self.progress, self._converging))

    def _more(self) -> Iterator[Running]:
        """Steps whose prerequisites are there."""
        for name in list(self.left):
            needed = prerequisites(self.workflow.steps[name], self.workflow)
            if any(self.steps[other]["status"] in ("FAILED", "SKIPPED") for other in needed):
                self.left.remove(name)
                self.steps[name]["status"] = "SKIPPED"
            elif all(self.steps[other]["status"] in PUBLISHED for other in needed):
                self.left.remove(name)
                self.steps[name]["status"] = "RUNNING"
                self.begun[name] = time.perf_counter()
                self.run.event("start", name)
                try:
                    item = self._begin(name)
                except FmnistDaskError as error:
                    self._fail([name], error)
                    continue
                yield item
        self.run.save()

    def _begin(self, name: str) -> Running:
        spec = self.workflow.steps[name]
        source = self._source(name)
        # Features are there for all images, whatever their pixels.
        missing = getattr(source, "missing_pixels", 0)
        if missing and "missing" not in find_step(spec.uses).accepts:
            raise UsageError(
                f"{missing:,} pixels of the collection are missing, which the step {spec.uses} cannot work with",
                "fill them in with a low_rank step, or take images without missing pixels",
            )
        source = as_masked(source, spec)
        data = StepInput(source, spec.split, split_code(source, spec.split), self.workflow.seed, spec.on)
        journal = self.journals.open(name, self.steps[name]["fingerprint"], partial(self._journalled, name))
        return Running(name, algorithm_of(spec, data), source, journal)

    def _converging(self, name: str, known: Mapping[str, float]) -> None:
        self.run.event("converge", name, **known)

    def _journalled(self, name: str, event: str, fields: dict[str, int]) -> None:
        self.run.event(event, name, **fields)

    def _source(self, name: str) -> Readable:
        """What a step reads: the images, or those or their features that another step gives."""
        spec = self.workflow.steps[name]
        if spec.on == "pixels":
            return self.collection
        assert isinstance(self.collection, Collection)  # of photographs, only pixels are read
        if spec.on == "embedding":
            return vectors_of(self.collection)
        return seen_by(self.run, spec.on, self.collection, spec.split)

    def _finished(self, item: Running, outcome: Any) -> None:
        result = outcome if isinstance(outcome, StepResult) else StepResult(outcome)
        published = publish(self.run, item.name, result, self.collection)
        seconds = time.perf_counter() - self.begun[item.name]
        self.steps[item.name] |= step_outcome(
            result, self.collection.n_images, item.passes, (seconds, item.work), published
        )
        self.steps[item.name]["resumed_passes"] = self._resumed(item)
        self.run.save()
        self.journals.close(item.name)
        self.run.event("done", item.name, seconds=self.steps[item.name]["seconds"], metrics=result.metrics)
        self.observer.step_done(item.name, self.steps[item.name])

    def _failed(self, items: list[Running], error: Exception) -> None:
        for item in items:
            self.steps[item.name] |= {"passes": item.passes, "resumed_passes": self._resumed(item)}
        self._fail([item.name for item in items], error)

    def _resumed(self, item: Running) -> int:
        """Passes of an algorithm that has ended which an earlier run had done."""
        if item.journal is None:
            return 0
        item.journal.end_replay()
        return item.journal.resumed_scans

    def _fail(self, names: list[str], error: Exception) -> None:
        for name in names:
            self.steps[name] |= {"status": "FAILED", "error": message_of(error)}
            self.run.event("error", name, error=message_of(error))
        self.run.save()
        self.observer.steps_failed(names, error)


def seen_by(
    run: RunDirectory, step: str, collection: Collection, split: str
) -> FeatureCollection | KeptImages | FilledImages:
    """A split of the collection through the features, or with the images, that a published step gives.

    Features are those of the images that their step worked on: copies that it never saw are not there to be clustered.

    Raises
    ------
    RunError
        It gives none.
    """
    import zarr

    record = run.manifest["steps"][step]
    if record.get("images") is not None:
        path = run.results / step / record["images"]
        return KeptImages.of(collection, str(path), record["fingerprint"], split)
    if record.get("pixels") is not None:
        return FilledImages(collection, str(run.results / step / record["pixels"]), record["fingerprint"])
    variable = record.get("features")
    if variable is None:
        raise RunError(
            f"the step {step} ({record['uses']}) has nothing for other steps to work on", 'name another step as "on"'
        )
    path = run.results / step / variable
    array = zarr.open_array(str(path), mode="r")
    images: Collection | KeptImages | FilledImages = collection
    below = str(record.get("on") or "")
    # A step may be called "pixels", but "on: pixels" does not mean it.
    if below not in INPUTS and below in run.manifest["steps"]:
        seen = seen_by(run, below, collection, split)
        # Features of features are of the same images.
        images = seen.base if isinstance(seen, FeatureCollection) else seen
    return FeatureCollection(images, str(path), record["fingerprint"], array.shape[1], str(array.dtype))
