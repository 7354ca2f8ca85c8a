"""How a chapter is run: its size, where data and stores lie, its workers; and the command line of a single chapter."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from zarr.errors import ZarrUserWarning

from fmnist_dask.cluster.config import ClusterConfig
from fmnist_dask.cluster.connect import Connection, connect
from fmnist_dask.passes.distributed import DistributedEngine
from fmnist_dask.passes.probe import reset_peak
from tests.benchmarks import peers
from tests.benchmarks.rows import Row, in_words

Size = Literal["tiny", "usual", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
DIRECTORY = Path(tempfile.gettempdir()) / "fmnist-dask-benchmarks"


@dataclass(frozen=True)
class Options:
    """What every chapter can be asked. Chapters add fields of their own: they become options of the command line."""

    repeats: int = 3


#: A chapter: rows as they are measured. Its module has beside it ``BY_SIZE``, the options of each size.
Chapter = Callable[["Settings", Any], Iterator[Row]]


@dataclass
class Settings:
    """Where and how a chapter is run.

    Attributes
    ----------
    size
        ``tiny`` takes seconds and needs no data; ``usual`` is what the README tells; ``large`` takes hours.
    directory
        Where stores are kept, so that they are made once.
    data
        Directory that holds ``fashion-mnist`` and ``mnist``; ``None`` where drawn garments stand in for them.
    missing
        What could not be measured, since a peer is not there.
    """

    size: Size = "usual"
    directory: Path = DIRECTORY
    data: Path | None = None
    missing: list[str] = field(default_factory=list)
    shared: Connection | None = None

    def has(self, peer: str) -> bool:
        """Whether a peer can be used; notes why not."""
        why = peers.why_missing(peer)
        if why is not None and why not in self.missing:
            self.missing.append(why)
        return why is None

    @property
    def tiny(self) -> bool:
        """Whether only the way is tried, not the time."""
        return self.size == "tiny"

    @contextlib.contextmanager
    def sharing(self) -> Iterator[None]:
        """Within it chapters share one cluster, unless they need a fresh one."""
        with started(2) as self.shared:
            try:
                yield
            finally:
                self.shared = None

    @contextlib.contextmanager
    def workers(self, count: int = 2, fresh: bool = False) -> Iterator[tuple[Connection, DistributedEngine]]:
        """Worker processes of one thread each, and an engine that writes columns to the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            if self.shared is not None and count == 2 and not fresh:
                connection = self.shared
                connection.client.run(reset_peak)
            else:
                connection = stack.enter_context(started(count))
            yield connection, DistributedEngine(connection.client, connection.workers, self.directory / "columns")


@contextlib.contextmanager
def started(count: int) -> Iterator[Connection]:
    """A cluster of so many worker processes of one thread."""
    config = ClusterConfig(kwargs={"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}, scale=count)
    with connect(config) as connection:
        yield connection


def most_memory(connection: Connection) -> float:
    """Highest resident MB of a worker."""
    return max(state["peak_bytes"] for state in connection.worker_states().values()) / 1e6


def data_directory() -> Path | None:
    """Where ``FMNIST_DASK_DATA`` says that data sets lie, if Fashion-MNIST is there."""
    data = os.environ.get("FMNIST_DASK_DATA", "")
    return Path(data) if data and (Path(data) / "fashion-mnist").is_dir() else None


def options_of(by_size: Mapping[str, Any], size: Size) -> Any:
    """Options of a size; the usual ones where a chapter has none of its own."""
    return by_size.get(size, by_size["usual"])


def hush() -> None:
    """Leave out what libraries warn of by choices that are theirs, or ours: codecs without a specification."""
    warnings.filterwarnings("ignore", category=ZarrUserWarning)


def alone(description: str | None, chapter: Chapter, by_size: Mapping[str, Any], name: str) -> None:
    """Run one chapter by its own command line, and print its rows."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="usual")
    parser.add_argument("--data", type=Path, default=data_directory(), help="holds fashion-mnist/ and mnist/")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where stores are kept")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    for one in fields(by_size["usual"]):
        _add_option(parser, one.name, getattr(by_size["usual"], one.name), one.metadata)
    given = vars(parser.parse_args())
    settings = Settings(given.pop("size"), given.pop("directory"), given.pop("data"))
    if settings.tiny:
        settings.data = None
    keep = given.pop("json")
    options = replace(options_of(by_size, settings.size), **given)
    hush()
    print(f"\n{name}", flush=True)
    rows: list[Row] = []

    def kept() -> None:
        if keep is not None:
            keep.write_text(json.dumps({"rows": [row.as_json() for row in rows], "missing": settings.missing}))

    for row in told(chapter(settings, options), name):
        rows.append(row)
        kept()  # rows before an error, or before a process is killed, are not lost
    kept()
    for why in settings.missing:
        print(f"  left out: {why}")


def told(rows: Iterator[Row], chapter: str) -> Iterator[Row]:
    """Rows with the name of their chapter, each printed as it comes."""
    for row in rows:
        print(in_words(row), flush=True)
        yield replace(row, chapter=chapter)


def _add_option(parser: argparse.ArgumentParser, name: str, usual: Any, about: Mapping[str, Any]) -> None:
    """One field of a chapter's options; what is not given stays as the size has it."""
    flag, help_ = f"--{name.replace('_', '-')}", about.get("help")
    if isinstance(usual, bool):
        parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=help_)
    elif isinstance(usual, tuple):
        kind = type(usual[0])
        choices: Sequence[Any] | None = about.get("choices")
        where = {"dest": name} if about.get("flag") or kind is int else {}
        names = [flag] if where else [name]
        parser.add_argument(
            *names, nargs="*", type=kind, default=argparse.SUPPRESS, action=_chosen(choices), help=help_, **where
        )
    else:
        parser.add_argument(flag, type=type(usual), default=argparse.SUPPRESS, help=help_ or f"usually {usual}")


def _chosen(choices: Sequence[Any] | None) -> type[argparse.Action]:
    """Several of some names, as a tuple; none given says nothing."""

    class Chosen(argparse.Action):
        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
            if unknown := [value for value in values if choices is not None and value not in choices]:
                parser.error(f"{unknown[0]!r} is none of {', '.join(map(str, choices or ()))}")
            if values:
                setattr(namespace, self.dest, tuple(values))

    return Chosen


def parts(*names: str) -> Any:
    """A field: the parts of a chapter that are measured, all of them by default."""
    return field(default=names, metadata={"choices": names, "help": f"parts: {', '.join(names)}"})
