"""The process that drives a submitted run: ``python -m fmnist_dask.jobs.driver RUN-DIRECTORY``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path

from fmnist_dask.collection.lease import Lease
from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.workflow.job import read_job
from fmnist_dask.workflow.rundir import RunDirectory, now


def main() -> None:
    """Run the job that a directory holds; what is printed goes to its ``driver.log``."""
    path = Path(sys.argv[1])
    # A process that a shell has started in the background ignores interrupts; requests to stop come as such.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(drive(path))


def drive(path: Path) -> int:
    """Carry out a run to its end; the exit code of its process."""
    from fmnist_dask.workflow.load import load_workflow
    from fmnist_dask.workflow.runner import Runner

    print(f"{now()} driver {os.getpid()} of {path}", flush=True)
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
        )
        runner.execute()
    except KeyboardInterrupt:
        print(f"{now()} stopped", flush=True)
        return 130
    except FmnistDaskError as error:
        print(f"{now()} error: {error}", flush=True)
        if runner is None or not runner.began:
            record_failure(path, str(error))
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return 1
    print(f"{now()} done", flush=True)
    return 0


def record_failure(path: Path, error: str) -> None:
    """What kept a driver from beginning, where nobody else is at work: else the run would seem to wait for it."""
    with contextlib.suppress(FmnistDaskError, OSError), Lease(path, "a run"):
        run = RunDirectory(path)
        if run.manifest.get("status") == "PENDING":
            run.manifest |= {"status": "FAILED", "error": error, "ended": now()}
            run.save()


if __name__ == "__main__":
    main()
