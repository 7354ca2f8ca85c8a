"""Fixtures for all tests: real data sets, and a cluster of real processes."""

from __future__ import annotations

import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import Connection, connect

# Tests start hundreds of processes, each of which would compile a thousand modules anew where containers ask for none
# to be kept.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell has what it starts in the background ignore interrupts, and all that this starts in turn: tests send some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Makes support.py importable here and, since child processes inherit the path, in workers.
sys.path.append(str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sample", type=int, default=1, metavar="N",
                     help="of the chosen tests, about one in N; others in the next of N weeks")  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests whose turn it is; in N weeks all of them come, and in one week always the same."""
    among = config.getoption("--sample")
    turn = datetime.now(UTC).isocalendar().week % among
    its_turn = {item: zlib.crc32(item.nodeid.encode()) % among == turn for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not its_turn[item]])
    items[:] = [item for item in items if its_turn[item]]


settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """``real_data(name)``: the directory of a real data set; skips where there is none. Mark such tests ``data``."""

    def find(name: str) -> Path:
        root = os.environ.get("FMNIST_DASK_DATA")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"set FMNIST_DASK_DATA to a directory that holds {name}/")
        return Path(root) / name

    return find


@pytest.fixture(scope="session")
def start_cluster() -> Callable[[int], Iterator[Connection]]:
    """``start_cluster(workers)``: a context manager with a connection to that many fresh worker processes."""

    def start(workers: int) -> Iterator[Connection]:
        kwargs = {"threads_per_worker": 1, "memory_limit": "1GiB", "dashboard_address": "127.0.0.1:0"}
        return connect(ClusterConfig(kwargs=kwargs, scale=workers))  # type: ignore[return-value]

    return start


@pytest.fixture(scope="session")
def cluster(start_cluster: Callable[[int], Iterator[Connection]]) -> Iterator[Connection]:
    """A cluster of two worker processes, shared by all tests that leave its workers alive."""
    with start_cluster(2) as connection:  # type: ignore[attr-defined]
        yield connection
