"""The process that drives a submitted run: ``python -m fmnist_dask.jobs.driver RUN-DIRECTORY [--force]``."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from fmnist_dask.errors import FmnistDaskError
from fmnist_dask.workflow.job import read_job
from fmnist_dask.workflow.rundir import RunDirectory, now


def main() -> None:
    """Run the job that a directory holds; what is printed goes to its ``driver.log``."""
    path = Path(sys.argv[1])
    # A process that a shell has started in the background ignores interrupts; requests to stop come as such.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(drive(path, force="--force" in sys.argv[2:]))


def drive(path: Path, force: bool = False) -> int:
    """Carry out a run to its end; the exit code of its process."""
    from fmnist_dask.workflow.load import load_workflow
    from fmnist_dask.workflow.runner import Runner

    print(f"{now()} driver {os.getpid()} of {path}", flush=True)
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
            force=force,
        )
        runner.execute()
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


if __name__ == "__main__":
    main()
