"""The runner: from a checked workflow to a run directory with results and a report."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fmnist_dask.cluster.config import ClusterConfig, load_cluster
from fmnist_dask.collection.files import make_directory
from fmnist_dask.collection.lease import Lease
from fmnist_dask.collection.place import is_local
from fmnist_dask.errors import LostClusterError, RunError
from fmnist_dask.passes.kept import KeptStates
from fmnist_dask.passes.protocol import Engine
from fmnist_dask.workflow.carry import ProgressLog, StepCarrier
from fmnist_dask.workflow.fingerprint import run_suffix
from fmnist_dask.workflow.ingesting import right_to_make
from fmnist_dask.workflow.inputs import Stored, check_input, open_input
from fmnist_dask.workflow.job import Job, read_job, write_job
from fmnist_dask.workflow.journal import Journals
from fmnist_dask.workflow.model import Workflow
from fmnist_dask.workflow.observe import Observer, tell_stored
from fmnist_dask.workflow.order import closure
from fmnist_dask.workflow.pending import pending_steps
from fmnist_dask.workflow.performance import performance_kept
from fmnist_dask.workflow.quarantined import copy_quarantine
from fmnist_dask.workflow.record import account, begin_record, describe_source, end_record, message_of
from fmnist_dask.workflow.rundir import PUBLISHED, RunDirectory
from fmnist_dask.workflow.story import Story
from fmnist_dask.workflow.telling import stoppable, told_to_dashboard
from fmnist_dask.workflow.work import forget_work, work_keeper

#: How often a cluster may be lost, without anything done in between, before a run gives up.
MOST_LOSSES = 3
#: Seconds before a lost cluster is looked for again.
LOSS_PAUSE = 2.0


class Runner:
    """Carries out one workflow.

    Parameters
    ----------
    workflow
        As :func:`~fmnist_dask.workflow.load.load_workflow` returns it.
    cluster
        Cluster file, shipped name or address; by default ``local``.
    store
        Where to put the collection, or the photograph; by default below ``collections/``.
    out
        Run directory; by default below ``runs/``.
    only
        Run these steps and what they need; all if empty.
    force
        Forget published results.
    trust
        Allow cluster classes that are not known.
    report
        Whether to build the report.
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
        report: bool = True,
        observer: Observer | None = None,
    ) -> None:
        self.workflow = workflow
        self.cluster: ClusterConfig = load_cluster(cluster, trust)
        self.trust = trust
        self.report = report
        self.observer = observer or Observer()
        self.force = force
        self.chosen = closure(workflow, only)
        self.source = open_input(workflow.source)
        check_input(workflow, self.chosen, self.source)
        self.store = self.source.place(store)
        self.run = RunDirectory(self._out_path(out))
        self.story = Story()
        self._reused_all = False
        #: Whether the run's directory is ours: with another driver in it, its manifest is not ours to tell of.
        self.began = False
        self._default_place = out is None

    def _out_path(self, out: str | Path | None) -> Path:
        if out is not None:
            return Path(out).expanduser().resolve()
        name = f"{self.workflow.name}-{self.source.name}-{run_suffix(self.workflow, self.source.fingerprint)}"
        return (Path("runs") / name).resolve()

    def execute(self, lease: Lease | None = None) -> dict[str, Any]:
        """Run everything that is not done yet; the manifest.

        Parameters
        ----------
        lease
            Of the run's directory, held by the caller; by default it is taken for as long as this takes.

        Raises
        ------
        FmnistDaskError
            Something failed; manifest and report say what, and the same command goes on from there.
        """
        started = time.perf_counter()
        with contextlib.nullcontext() if lease else Lease(self.run.path, "a run"), stoppable(self.run):
            self._take()
            self._begin()
            try:
                self._work()
            except KeyboardInterrupt:
                self._end("STOPPED", started, "interrupted; the same command goes on from here")
                raise
            except Exception as error:
                self._end("FAILED", started, message_of(error))
                raise
            failed = [name for name, step in self.run.manifest["steps"].items() if step["status"] == "FAILED"]
            self._end("FAILED" if failed else "SUCCEEDED", started, self._failure_text(failed))
            self.observer.ended(self.run)
            if failed:
                first = self.run.manifest["steps"][failed[0]]["error"]
                raise RunError(
                    f"{', '.join(failed)} failed: {first}", f"the rest is in {self.run.path}; run again to go on"
                )
        return self.run.manifest

    def prepare(self) -> None:
        """Fill the run's directory, whose lease the caller holds, for a driver that is about to begin."""
        self._take()
        self._record("PENDING")

    def _take(self) -> None:
        """With the lease ours: what an earlier run has left, and who hears what happens."""
        self.run = RunDirectory(self.run.path)
        self.run.listeners.append(self.story.hear)
        self.progress = ProgressLog(self.run, self.observer)
        self.began = True

    def _record(self, status: str) -> None:
        """Directory, manifest, workflow, and how it was asked for."""
        import yaml

        self.run.create()
        if self._default_place:
            self.run.link_latest()
        begin_record(self.run, self.workflow, self.source, status)
        (self.run.path / "workflow.yaml").write_text(
            yaml.safe_dump(self.workflow.resolved(), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        write_job(
            self.run,
            Job(
                cluster=str(self.cluster.path or self.cluster.address),
                trust=self.trust,
                store=str(self.store),
                only=[] if len(self.chosen) == len(self.workflow.steps) else self.chosen,
                directory=os.getcwd(),
                force=self.force,
                report=self.report,
            ),
        )

    def _failure_text(self, failed: list[str]) -> str | None:
        steps = self.run.manifest["steps"]
        return "; ".join(f"{name}: {steps[name]['error']}" for name in failed) or None

    def _begin(self) -> None:
        self._record("RUNNING")
        self.run.event("start", workflow=self.workflow.name)

    def _work(self) -> None:
        collection = self._existing_collection()
        pending = self._pending(collection) if collection is not None else self.chosen
        if collection is not None and not pending:
            self._reused_all = True
            self._describe(collection)
            return
        lease = right_to_make(self.store, self._existing_collection, self._waiting)
        with lease if collection is None else contextlib.nullcontext():
            losses = 0
            while True:
                tasks = self.run.manifest.get("tasks", 0)
                try:
                    self._on_cluster()
                    return
                except LostClusterError as error:
                    # Where something was done in between, this is another accident.
                    losses = 1 if self.run.manifest.get("tasks", 0) > tasks else losses + 1
                    self.run.event("lost", error=error.message)
                    if losses > MOST_LOSSES:
                        raise
                    self.observer.lost(error)
                    time.sleep(LOSS_PAUSE)

    def _on_cluster(self) -> None:
        """Connect, and do what is left."""
        from fmnist_dask.cluster.connect import connect
        from fmnist_dask.passes.distributed import DistributedEngine

        self.observer.connecting(self.cluster.address or self.cluster.class_name)
        make_directory(self.run.columns)
        places = [self.run.columns, *([self.store] if is_local(self.store) else [])]
        with connect(self.cluster, self._connected, places) as connection:
            self.run.manifest["cluster"] = connection.description
            self.run.save()
            self.progress.worker_bytes = connection.worker_bytes
            engine = DistributedEngine(
                connection.client, connection.workers, self.run.columns, self.run.segments, work_keeper(self.run)
            )
            self.progress.planned_worker_bytes = lambda: engine.planned_worker_bytes
            before = connection.worker_states()
            client = connection.client
            with performance_kept(self.run, client), told_to_dashboard(self.run, self.story, client):
                try:
                    self._carry_out(engine)
                finally:
                    account(self.run, engine, before, connection)

    def _carry_out(self, engine: Engine) -> None:
        """Ingest if need be, and all steps that are not done."""
        collection = self._existing_collection() or self._ingest(engine)
        pending = self._pending(collection)
        self._describe(collection)
        if self.force and (kept := KeptStates.of(collection)) is not None:
            kept.forget()
        journals = self._journals(self.force)
        steps = self.run.manifest["steps"]
        forget_work(
            self.run.manifest, [name for name in pending if not journals.holds(name, steps[name]["fingerprint"])]
        )
        if self.force:
            # Should the cluster or this driver be lost, what has been done since counts.
            self.force = False
            write_job(self.run, replace(read_job(self.run), force=False))
        StepCarrier(self.run, self.workflow, collection, pending, self.observer, self.progress, journals).carry_out(
            engine
        )

    def _waiting(self, reason: str) -> None:
        self.run.event("waiting", reason=reason)
        self.observer.waiting(reason)

    def _connected(self, dashboard: str, cluster: dict[str, Any]) -> None:
        self.run.event("cluster", dashboard=dashboard, **cluster)
        self.observer.connected(dashboard, cluster)

    def _journals(self, forget: bool = False) -> Journals:
        """The run's journals, without what no step needs any more; with ``forget``, without those of chosen steps."""
        journals = Journals(self.run.journals, self.run.columns, self.run.segments)
        steps = self.run.manifest["steps"]
        left = {name: step for name, step in steps.items() if step["status"] not in PUBLISHED and step["fingerprint"]}
        if forget:
            left = {name: step for name, step in left.items() if name not in self.chosen}
        journals.sweep({name: step["fingerprint"] for name, step in left.items()}, keep_segments=not forget)
        return journals

    def _fingerprint(self, name: str) -> str:
        fingerprint: str = self.run.manifest["steps"][name]["fingerprint"]
        return fingerprint

    def _existing_collection(self) -> Stored | None:
        return self.source.existing(self.store)

    def _ingest(self, engine: Engine) -> Stored:
        self.observer.ingesting(self.source.raw, self.store)
        return self.source.make(engine, self.store, lambda now: self.progress(["ingest"], now))

    def _pending(self, collection: Stored) -> list[str]:
        """Steps to run."""
        return pending_steps(self.run, self.workflow, collection, self.chosen, self.force)

    def _describe(self, collection: Stored) -> None:
        describe_source(self.run, self.source, collection)
        copy_quarantine(self.run, collection)
        tell_stored(self.observer, collection)

    def _end(self, status: str, started: float, error: str | None) -> None:
        journals = self._journals()
        if status == "SUCCEEDED":
            journals.clear()
        end_record(self.run, status, time.perf_counter() - started, error)
        steps = self.run.manifest["steps"].values()
        nothing_new = self._reused_all and self.run.report.exists()
        if any(step["status"] in PUBLISHED for step in steps) and not nothing_new:
            if self.report:
                write_report(self.run)
            else:
                # One that is there tells of what was before.
                self.run.report.unlink(missing_ok=True)


def write_report(run: RunDirectory) -> Path:
    """Build the report of what is published, atomically."""
    from fmnist_dask.collection.files import write_atomic
    from fmnist_dask.workflow.page import build_report

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = build_report(run)
    write_atomic(run.report, page)
    return run.report
