"""What a worker says of itself before work begins.

The function below is sent as code, not by its name, since a worker that lacks this package could not import it; so it
imports nothing of the package at the top, and nothing that a worker may not have.
"""

from __future__ import annotations

from typing import Any


def inspect_worker(package: str, probes: dict[str, str]) -> dict[str, Any]:
    """Versions, code and files as a worker sees them. Runs on workers, and in the driver.

    Parameters
    ----------
    package
        Name of this package.
    probes
        Files that the driver has written: path → content.

    Returns
    -------
    dict
        ``python``, ``version`` and ``code`` of the package (or ``missing``, why it cannot be imported), ``host``,
        ``directory`` (the current one), and ``unseen``, the probes that are not there or say something else.
    """
    import importlib
    import os
    import socket
    import sys

    said: dict[str, Any] = {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "executable": sys.executable,
        "host": socket.gethostname(),
        "directory": os.getcwd(),
        "unseen": [],
    }
    try:
        found = importlib.import_module(package)
        stamp = importlib.import_module(f"{package}.passes.identity").code_stamp
        said |= {"version": found.__version__, "code": stamp(), "place": os.path.dirname(str(found.__file__))}
    except Exception as error:  # whatever keeps it from being imported
        said["missing"] = f"{type(error).__name__}: {error}"
    for path, content in probes.items():
        try:
            with open(path, encoding="utf-8") as file:
                seen = file.read() == content
        except OSError:
            seen = False
        if not seen:
            said["unseen"].append(path)
    return said
