"""The runner: from a checked workflow to a run directory with results and a report."""

from __future__ import annotations

import contextlib
import inspect
import shutil
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from fmnist_dask.cluster.config import ClusterConfig, load_cluster
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.sources.base import Source
from fmnist_dask.collection.sources.detect import open_source
from fmnist_dask.collection.store import Collection
from fmnist_dask.errors import FmnistDaskError, RunError, UsageError, nearest
from fmnist_dask.passes.probe import resident_bytes
from fmnist_dask.passes.protocol import Algorithm, Engine, PassProgress
from fmnist_dask.workflow.advance import Callbacks, Running, advance
from fmnist_dask.workflow.fingerprint import cpu_name, recorded_versions, run_suffix, step_fingerprint
from fmnist_dask.workflow.ingesting import make_collection
from fmnist_dask.workflow.load import prerequisites
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.observe import Observer
from fmnist_dask.workflow.publish import publish
from fmnist_dask.workflow.registry import StepInput, StepResult, find_step
from fmnist_dask.workflow.rundir import FORMAT_VERSION, RunDirectory, now
from fmnist_dask.workflow.steps.ingest import default_store, existing

#: Step words that mean "the result is there".
PUBLISHED = ("SUCCEEDED", "REUSED")
#: Seconds between two progress lines in events.jsonl.
EVENT_INTERVAL = 1.0


class Runner:
    """Carries out one workflow.

    Parameters
    ----------
    workflow
        As :func:`~fmnist_dask.workflow.load.load_workflow` returns it.
    cluster
        Cluster file, shipped name or address; by default ``local``.
    store
        Where to put the collection; by default below ``collections/``.
    out
        Run directory; by default below ``runs/``.
    only
        Run these steps and what they need; all if empty.
    force
        Forget published results.
    trust
        Allow cluster classes that are not known.
    observer
        Hears what happens; by default nobody does.
    """

    def __init__(
        self,
        workflow: Workflow,
        *,
        cluster: str | Path | None = None,
        store: str | Path | None = None,
        out: str | Path | None = None,
        only: Iterable[str] = (),
        force: bool = False,
        trust: bool = False,
        observer: Observer | None = None,
    ) -> None:
        self.workflow = workflow
        self.cluster: ClusterConfig = load_cluster(cluster, trust)
        self.observer = observer or Observer()
        self.force = force
        self.chosen = closure(workflow, only)
        self.source = open_source(workflow.source)
        self.store = Path(self.source.path) if isinstance(self.source, Collection) else self._store_path(store)
        self.run = RunDirectory(self._out_path(out))
        self._last_event = 0.0

    def _store_path(self, store: str | Path | None) -> Path:
        assert isinstance(self.source, Source)
        return (Path(store).expanduser() if store is not None else default_store(self.source)).resolve()

    def _out_path(self, out: str | Path | None) -> Path:
        if out is not None:
            return Path(out).expanduser().resolve()
        name = f"{self.workflow.name}-{self.source.name}-{run_suffix(self.workflow, self.source.fingerprint)}"
        return (Path("runs") / name).resolve()

    def execute(self) -> dict[str, Any]:
        """Run everything that is not done yet; the manifest.

        Raises
        ------
        FmnistDaskError
            Something failed; manifest and report say what, and the same command goes on from there.
        """
        started = time.perf_counter()
        with Lease(self.run.path, "a run"):
            self.run = RunDirectory(self.run.path)
            self._begin()
            try:
                self._work()
            except KeyboardInterrupt:
                self._end("STOPPED", started, "interrupted; the same command goes on from here")
                raise
            except Exception as error:
                self._end("FAILED", started, _message(error))
                raise
            failed = [name for name, step in self.run.manifest["steps"].items() if step["status"] == "FAILED"]
            self._end("FAILED" if failed else "SUCCEEDED", started, self._failure_text(failed))
            self.observer.ended(self.run)
            if failed:
                first = self.run.manifest["steps"][failed[0]]["error"]
                raise RunError(f"{', '.join(failed)} failed: {first}", f"the rest is in {self.run.path}; run again to go on")
        return self.run.manifest

    def _failure_text(self, failed: list[str]) -> str | None:
        steps = self.run.manifest["steps"]
        return "; ".join(f"{name}: {steps[name]['error']}" for name in failed) or None

    def _begin(self) -> None:
        import yaml

        self.run.create()
        previous = self.run.manifest.get("steps", {})
        self.run.manifest |= {
            "format_version": FORMAT_VERSION,
            "run": self.run.path.name,
            "status": "RUNNING",
            "workflow": self.workflow.name,
            "title": self.workflow.report.title,
            "source": {"name": self.source.name, "path": _location(self.source), "fingerprint": self.source.fingerprint, "n": self.source.n},
            "seed": self.workflow.seed,
            "versions": recorded_versions(),
            "cpu": cpu_name(),
            "cluster": self.run.manifest.get("cluster"),
            "started": now(),
            "ended": None,
            "seconds": None,
            "passes": 0,
            "bytes_read": 0,
            "error": None,
            "steps": {name: previous.get(name) or _fresh(self.workflow, name) for name in self.workflow.steps},
        }
        (self.run.path / "workflow.yaml").write_text(
            yaml.safe_dump(self.workflow.resolved(), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        self.run.save()
        self.run.event("start", workflow=self.workflow.name)

    def _work(self) -> None:
        collection = self._existing_collection()
        pending = self._pending(collection) if collection is not None else self.chosen
        if collection is not None and not pending:
            self._describe(collection)
            return
        from fmnist_dask.cluster.connect import connect
        from fmnist_dask.passes.distributed import DistributedEngine

        with self._lease_of_store(collection), connect(self.cluster) as connection:
            self.run.manifest["cluster"] = connection.description
            self.observer.connected(connection.dashboard, connection.description)
            scratch = self.run.pending / "columns"
            engine = DistributedEngine(connection.client, connection.workers, scratch)
            before = connection.worker_states()
            try:
                if collection is None:
                    collection = self._ingest(engine)
                    pending = self._pending(collection)
                self._describe(collection)
                self._advance(engine, collection, pending)
            finally:
                self._account(engine, before, connection)
                shutil.rmtree(scratch, ignore_errors=True)

    def _lease_of_store(self, collection: Collection | None) -> contextlib.AbstractContextManager[Any]:
        return Lease(self.store, "an ingest") if collection is None else contextlib.nullcontext()

    def _existing_collection(self) -> Collection | None:
        if isinstance(self.source, Collection):
            return self.source
        return existing(self.store, self.source)

    def _ingest(self, engine: Engine) -> Collection:
        assert isinstance(self.source, Source)
        self.observer.ingesting(self.source, self.store)
        return make_collection(engine, self.source, self.store, lambda progress: self._progress(["ingest"], progress))

    def _pending(self, collection: Collection) -> list[str]:
        """Steps to run; those whose published result still holds are marked REUSED, those not chosen SKIPPED."""
        fingerprints: dict[str, str] = {}
        pending = []
        for name in _ordered(self.workflow):
            spec = self.workflow.steps[name]
            collection.split_code(spec.split)  # fails early on an unknown split
            inputs = {needed: fingerprints[needed] for needed in sorted(prerequisites(spec, self.workflow))}
            fingerprint = step_fingerprint(
                find_step(spec.uses), spec, collection.fingerprint, self.workflow.seed, inputs
            )
            fingerprints[name] = fingerprint
            record = self.run.manifest["steps"][name]
            holds = record["status"] in PUBLISHED and record["fingerprint"] == fingerprint
            if holds and not self.force and (self.run.results / name).is_dir():
                record["status"] = "REUSED"
            elif name in self.chosen:
                self.run.manifest["steps"][name] = _fresh(self.workflow, name) | {"fingerprint": fingerprint}
                pending.append(name)
            else:
                self.run.manifest["steps"][name] = _fresh(self.workflow, name) | {"status": "SKIPPED"}
        self.run.save()
        return pending

    def _describe(self, collection: Collection) -> None:
        self.run.manifest["source"] = {
            "name": collection.name,
            "path": _location(self.source),
            "fingerprint": collection.source.get("fingerprint", collection.fingerprint),
            "n": collection.n,
            "kind": collection.source.get("kind"),
            "description": collection.source.get("description"),
            "synthetic": collection.source.get("synthetic", False),
            "image_shape": list(collection.image_shape),
            "class_names": list(collection.class_names),
            "splits": collection.splits,
            "collection": collection.path,
            "collection_fingerprint": collection.fingerprint,
            "pixel_bytes": collection.n * collection.image_bytes,
            "stored_bytes": collection.stored_bytes(),
            "n_quarantined": collection.n_quarantined,
        }
        self.observer.collection(collection)
        self.run.save()

    def _advance(self, engine: Engine, collection: Collection, pending: list[str]) -> None:
        steps = self.run.manifest["steps"]
        left, begun = list(pending), dict[str, float]()

        def more() -> Iterator[tuple[str, Algorithm[Any]]]:
            for name in list(left):
                needed = prerequisites(self.workflow.steps[name], self.workflow)
                if any(steps[other]["status"] in ("FAILED", "SKIPPED") for other in needed):
                    left.remove(name)
                    steps[name]["status"] = "SKIPPED"
                elif all(steps[other]["status"] in PUBLISHED for other in needed):
                    left.remove(name)
                    steps[name]["status"] = "RUNNING"
                    begun[name] = time.perf_counter()
                    self.run.event("start", name)
                    yield name, self._algorithm(name, collection)
            self.run.save()

        def finished(item: Running, outcome: Any) -> None:
            result = outcome if isinstance(outcome, StepResult) else StepResult(outcome)
            tables = publish(self.run, item.name, result, collection)
            steps[item.name] |= {
                "status": "SUCCEEDED",
                "seconds": round(time.perf_counter() - begun[item.name], 3),
                "passes": item.passes,
                "metrics": result.metrics,
                "exact": result.exact,
                "n_used": result.n_used if result.n_used is not None else collection.n,
                "n_total": result.n_total if result.n_total is not None else collection.n,
                "tables": tables,
            }
            self.run.save()
            self.run.event("done", item.name, seconds=steps[item.name]["seconds"], metrics=result.metrics)
            self.observer.step_done(item.name, steps[item.name])

        def failed(item: Running, error: Exception) -> None:
            steps[item.name] |= {"status": "FAILED", "error": _message(error), "passes": item.passes}
            self.run.save()
            self.run.event("error", item.name, error=_message(error))
            self.observer.step_failed(item.name, error)

        advance(engine, collection, more, Callbacks(finished, failed, self._progress))

    def _algorithm(self, name: str, collection: Collection) -> Algorithm[Any]:
        spec = self.workflow.steps[name]
        step = find_step(spec.uses)
        data = StepInput(collection, spec.split, collection.split_code(spec.split), self.workflow.seed)
        parameters = step.parameters.model_validate(spec.parameters)
        arguments = {field: getattr(parameters, field) for field in step.parameters.model_fields}
        return as_algorithm(step.function, data, arguments)

    def _progress(self, names: list[str], progress: PassProgress) -> None:
        self.observer.progress(names, progress)
        moment = time.monotonic()
        if moment - self._last_event >= EVENT_INTERVAL or progress.done == progress.total:
            self._last_event = moment
            fields = {
                "pass": progress.name,
                "unit": progress.unit,
                "done": progress.done,
                "total": progress.total,
                "chunks_done": progress.chunks_done,
                "chunks_total": progress.chunks_total,
                "per_second": round(progress.rate, 1),
                "eta": None if progress.eta is None else round(progress.eta, 1),
            }
            for name in names:
                self.run.event("progress", name, **fields)

    def _account(self, engine: Any, before: dict[str, Any], connection: Any) -> None:
        """Record what the pass engine and the workers have done and needed."""
        with contextlib.suppress(Exception):  # the cluster may be gone: the run's own error matters then
            states = connection.worker_states()
            known = {state["pid"] for state in before.values()}
            now_there = {state["pid"] for state in states.values()}
            self.run.manifest |= {
                "peak_worker_bytes": max(state["peak_bytes"] for state in states.values()),
                "worker_restarts": len(now_there - known),
                "spilled_bytes": sum(state["spilled_bytes"] for state in states.values()),
            }
        self.run.manifest |= {
            "planned_worker_bytes": engine.planned_worker_bytes,
            "passes": engine.statistics.passes,
            "tasks": engine.statistics.tasks,
            "chunks_read": engine.statistics.chunks_read,
            "bytes_read": engine.statistics.bytes_read,
        }

    def _end(self, status: str, started: float, error: str | None) -> None:
        for record in self.run.manifest["steps"].values():
            if record["status"] in ("RUNNING", "PENDING"):
                record["status"] = "STOPPED" if status == "STOPPED" else "SKIPPED"
        self.run.manifest |= {
            "status": status,
            "ended": now(),
            "seconds": round(time.perf_counter() - started, 3),
            "peak_driver_bytes": resident_bytes(peak=True),
            "error": error,
        }
        self.run.manifest.setdefault("peak_worker_bytes", None)
        self.run.save()
        self.run.event("done" if status == "SUCCEEDED" else "error", None, status=status, error=error)
        if status == "SUCCEEDED" or any(s["status"] in PUBLISHED for s in self.run.manifest["steps"].values()):
            write_report(self.run)
        self.run.link_latest()


def write_report(run: RunDirectory) -> Path:
    """Build the report of what is published, atomically."""
    from fmnist_dask.collection.files import write_atomic
    from fmnist_dask.workflow.page import build_report

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = build_report(run)
    write_atomic(run.report, page)
    return run.report


def _fresh(workflow: Workflow, name: str) -> dict[str, Any]:
    spec = workflow.steps[name]
    return {
        "uses": spec.uses,
        "split": spec.split,
        "on": spec.on,
        "status": "PENDING",
        "seconds": None,
        "passes": 0,
        "fingerprint": None,
        "metrics": {},
        "exact": None,
        "n_used": None,
        "n_total": None,
    }


def _ordered(workflow: Workflow) -> list[str]:
    order: list[str] = []
    while len(order) < len(workflow.steps):
        order += [
            name
            for name, spec in workflow.steps.items()
            if name not in order and prerequisites(spec, workflow) <= set(order)
        ]
    return order


def closure(workflow: Workflow, only: Iterable[str]) -> list[str]:
    """Steps to run: those named and what they need, in the workflow's order; all if none is named."""
    wanted, chosen = list(only) or list(workflow.steps), set[str]()
    while wanted:
        name = wanted.pop()
        if name not in workflow.steps:
            raise UsageError(f'--only: the workflow has no step "{name}"', nearest(name, workflow.steps))
        if name not in chosen:
            chosen.add(name)
            wanted += prerequisites(workflow.steps[name], workflow)
    return [name for name in workflow.steps if name in chosen]


def as_algorithm(function: Any, data: StepInput, arguments: dict[str, Any]) -> Algorithm[Any]:
    """A step's call as a generator, whether it is one or a plain function."""

    def plain() -> Generator[Any, Any, Any]:
        outcome = function(data, **arguments)
        if inspect.isgenerator(outcome):
            outcome = yield from outcome
        return outcome

    return plain()


def _location(source: Source | Collection) -> str:
    return source.path if isinstance(source, Collection) else source.location


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, FmnistDaskError) else f"{type(error).__name__}: {error}"
