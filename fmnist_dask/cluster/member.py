"""A scheduler or a group of workers as a process of its own: Dask's own commands, ended when their parent is gone.

``python -m fmnist_dask.cluster.member PARENT scheduler|worker …`` where ``PARENT`` is the process that started it.
"""

from __future__ import annotations

import os
import sys
import threading
import time

#: Seconds between two looks at the parent.
INTERVAL = 0.5


def end_with_parent(parent: int) -> None:
    """End this process, and so the workers that it minds, once its parent is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL)
        # At once: closing in good order would wait for a cluster that is not there any more. Workers see their nanny
        # gone and end by themselves.
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """One of Dask's commands."""
    parent, kind, *arguments = sys.argv[1:]
    end_with_parent(int(parent))
    sys.argv = [f"dask-{kind}", *arguments]
    if kind == "scheduler":
        from distributed.cli.dask_scheduler import main as command
    else:
        from distributed.cli.dask_worker import main as command
    command()


if __name__ == "__main__":
    main()
