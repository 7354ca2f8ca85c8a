"""The process that drives a submitted run: ``python -m fmnist_dask.jobs.driver RUN-DIRECTORY``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from fmnist_dask.collection.lease import Lease, holder_of
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.workflow.job import read_job
from fmnist_dask.workflow.record import message_of
from fmnist_dask.workflow.rundir import RunDirectory, now

#: Seconds that the process which has started a driver has to hand the run's lease over.
HANDOVER_TIMEOUT = 10.0


def main() -> None:
    """Run the job that a directory holds; what is printed goes to its ``driver.log``."""
    path = Path(sys.argv[1])
    # A process that a shell has started in the background ignores interrupts; requests to stop come as such.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(drive(path))


def drive(path: Path) -> int:
    """Carry out a run to its end; the exit code of its process."""
    print(f"{now()} driver {os.getpid()} of {path}", flush=True)
    try:
        # Before anything that takes long: from here on, nobody else begins this run.
        with _its_lease(path) as lease:
            _carry_out(path, lease)
    except KeyboardInterrupt:
        print(f"{now()} stopped", flush=True)
        return 130
    except FmnistDaskError as error:
        print(f"{now()} error: {error}", flush=True)
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return 1
    print(f"{now()} done", flush=True)
    return 0


def _its_lease(path: Path) -> Lease:
    """The lease of the run, once who has started this process has handed it over."""
    until = time.monotonic() + HANDOVER_TIMEOUT
    while time.monotonic() < until:
        holder = holder_of(path)
        if holder is None or holder.pid != os.getppid():
            break
        time.sleep(0.05)
    return Lease(path, "a run")


def _carry_out(path: Path, lease: Lease) -> None:
    from fmnist_dask.workflow.load import load_workflow
    from fmnist_dask.workflow.runner import Runner

    runner = None
    try:
        run = RunDirectory.existing(path)
        job = read_job(run)
        os.chdir(job.directory)
        runner = Runner(
            load_workflow(run.path / "workflow.yaml"),
            cluster=job.cluster,
            trust=job.trust,
            store=job.store,
            out=run.path,
            only=job.only,
            force=job.force,
            report=job.report,
        )
        runner.execute(lease)
    except (Exception, KeyboardInterrupt) as error:
        if runner is None or not runner.began:
            record_failure(path, error)
        raise


def record_failure(path: Path, error: Exception | KeyboardInterrupt) -> None:
    """What kept a driver from beginning: else the run would seem to wait for it."""
    with contextlib.suppress(FmnistDaskError, OSError):
        run = RunDirectory(path)
        if run.manifest.get("status") == "PENDING":
            status, said = "STOPPED", "stopped before it began"
            if isinstance(error, Exception):
                status, said = "FAILED", message_of(error)
            run.manifest |= {"status": status, "error": said, "ended": now()}
            run.save()


if __name__ == "__main__":
    main()
