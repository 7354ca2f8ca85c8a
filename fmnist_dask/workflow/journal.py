"""Journals: the answers that steps have received, kept until their results are published.

Algorithms are deterministic, so that the list of its answers is all the progress that a step has. A step that begins
again is given the answers that its journal holds, for as long as it asks the same questions, and goes on from there.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fmnist_dask.passes.columns import ColumnOnDisk, holds_variables, is_complete
from fmnist_dask.passes.encoding import Encoded, NotEncodableError, encode, read_outline, read_value, write_encoded
from fmnist_dask.passes.fused import RawAnswer
from fmnist_dask.passes.identity import NotIdentifiableError, code_stamp, digest_of, digest_of_request
from fmnist_dask.passes.protocol import Readable, Request, Scan

logger = logging.getLogger(__name__)

#: What a journal tells: an event's name and its fields.
Tell = Callable[[str, dict[str, int]], None]
SUFFIX = ".answer"


class StepJournal:
    """Answers of one step, in the order in which it received them.

    Parameters
    ----------
    directory
        Where they are kept, a file each.
    columns
        Directory that the places of columns lie in.
    tell
        Hears of ``checkpoint`` (an answer was saved) and ``resumed`` (answers were given again).
    """

    def __init__(self, directory: Path, columns: Path, tell: Tell) -> None:
        self.directory = directory
        self.columns = columns
        self.tell = tell
        #: Names of the places of all columns that the step has received.
        self.places: set[str] = set()
        self.answers = self.scans = self.resumed_scans = 0
        self._replaying = True
        self._writing = True
        self._held: Encoded | None = None
        self._held_scan = False

    def recall(self, request: Request, source: Readable) -> list[Any] | None:
        """The answer to a request if it is known, in a list of one; ``None`` where the journal has come to its end."""
        if not self._replaying:
            return None
        try:
            entry = read_value(self._file(self.answers))
            if entry["request"] == digest_of_request(request):
                answer = self._answer(entry, request, source)
                self.answers += 1
                self.scans += isinstance(request, Scan)
                return [answer]
            logger.debug("%s: another request than the one in the journal", self.directory.name)
        except FileNotFoundError:
            pass
        except Exception as error:  # whatever is wrong with an entry, the pass can be run again
            logger.debug("%s: entry %d is not used: %s", self.directory.name, self.answers, error)
        self.end_replay()
        return None

    def end_replay(self) -> None:
        """No more answers are taken from the journal; those left are dropped."""
        if self._replaying:
            self._replaying = False
            self.resumed_scans = self.scans
            if self.answers:
                self.tell("resumed", {"scans": self.scans, "answers": self.answers})
            for file in self.directory.glob(f"*{SUFFIX}"):
                if file.name >= self._file(self.answers).name:
                    file.unlink()

    def hold(self, request: Request, answer: RawAnswer | list[Any]) -> None:
        """Take down an answer; it is saved only if the step then asks for more."""
        if isinstance(answer, RawAnswer):
            self.places |= {
                Path(column.path).parent.name
                for variables in answer.columns.values()
                for column in variables.values()
                if isinstance(column, ColumnOnDisk)
            }
        if not self._writing:
            return
        try:
            # Copied now: an algorithm may change what it receives.
            self._held = encode({"request": digest_of_request(request), **self._parts(answer)}, copy=True)
            self._held_scan = isinstance(request, Scan)
        except (NotEncodableError, NotIdentifiableError) as error:
            self._give_up(error)

    def commit(self) -> None:
        """Save what is held."""
        encoded, self._held = self._held, None
        if encoded is None:
            return
        try:
            write_encoded(self._file(self.answers), encoded)
        except OSError as error:
            self._give_up(error)
            return
        self.answers += 1
        self.scans += self._held_scan
        self.tell("checkpoint", {"scan": self.scans, "answers": self.answers})

    def _give_up(self, error: Exception) -> None:
        """Without this answer later ones are of no use."""
        logger.debug("%s: no more answers are saved: %s", self.directory.name, error)
        self._writing = False

    def _file(self, number: int) -> Path:
        return self.directory / f"{number + 1:06d}{SUFFIX}"

    def _parts(self, answer: RawAnswer | list[Any]) -> dict[str, Any]:
        if not isinstance(answer, RawAnswer):
            return {"values": answer}
        columns = {
            name: {variable: self._place(column) for variable, column in variables.items()}
            for name, variables in answer.columns.items()
        }
        return {"states": answer.states, "columns": columns}

    def _place(self, column: Any) -> tuple[str, str, int]:
        """A column by its place and variable: the run's directory may be moved."""
        path = Path(column.path) if isinstance(column, ColumnOnDisk) else Path()
        if path.parent.parent != self.columns:
            raise NotEncodableError("a column that lies elsewhere cannot be saved")
        return path.parent.name, path.name, column.n

    def _answer(self, entry: Mapping[str, Any], request: Request, source: Readable) -> Any:
        if not isinstance(request, Scan):
            return entry["values"]
        columns: dict[str, dict[str, Any]] = {}
        for name, variables in entry["columns"].items():
            columns[name] = {}
            for variable, (place, of_column, n) in variables.items():
                directory = self.columns / place
                if not (is_complete(directory) and holds_variables(directory, [of_column])):
                    raise ValueError(f"the column {place} is not there")
                self.places.add(place)
                columns[name][variable] = ColumnOnDisk(str(directory / of_column), n)
        return RawAnswer(entry["states"], columns).answer(request, source)


class Journals:
    """The journals of a run.

    Parameters
    ----------
    directory
        Where they are kept, one directory a step and fingerprint.
    columns, segments
        Directories of columns, and of ranges of passes that have not ended.
    """

    def __init__(self, directory: Path, columns: Path, segments: Path) -> None:
        self.directory = directory
        self.columns = columns
        self.segments = segments
        self.open_ones: dict[str, StepJournal] = {}

    def open(self, step: str, fingerprint: str, tell: Tell) -> StepJournal:
        """The journal of a step that begins."""
        self.open_ones[step] = StepJournal(self.directory / journal_name(step, fingerprint), self.columns, tell)
        return self.open_ones[step]

    def holds(self, step: str, fingerprint: str) -> bool:
        """Whether there are answers for a step that has not begun yet."""
        return any((self.directory / journal_name(step, fingerprint)).glob(f"*{SUFFIX}"))

    def close(self, step: str) -> None:
        """Forget a step whose result is published, and the columns that it alone has received."""
        journal = self.open_ones.pop(step)
        shutil.rmtree(journal.directory, ignore_errors=True)
        needed = self._named_places().union(*(other.places for other in self.open_ones.values()))
        for place in journal.places - needed:
            shutil.rmtree(self.columns / place, ignore_errors=True)

    def sweep(self, fingerprints: Mapping[str, str], keep_segments: bool = True) -> None:
        """Drop what no step will need: other journals than these, and columns that nothing refers to.

        Parameters
        ----------
        fingerprints
            Of the steps whose journals may be used.
        """
        if not keep_segments:
            shutil.rmtree(self.segments, ignore_errors=True)
        wanted = {journal_name(step, fingerprint) for step, fingerprint in fingerprints.items()}
        for directory in _directories(self.directory):
            if directory.name not in wanted:
                shutil.rmtree(directory, ignore_errors=True)
        needed = self._named_places() | {place.name for place in _directories(self.segments)}
        for place in _directories(self.columns):
            if place.name not in needed:
                shutil.rmtree(place, ignore_errors=True)

    def clear(self) -> None:
        """Drop everything: all results are there."""
        for directory in (self.directory, self.segments, self.columns):
            shutil.rmtree(directory, ignore_errors=True)

    def _named_places(self) -> set[str]:
        """Places of columns that the journals on disk refer to."""
        places: set[str] = set()
        for directory in _directories(self.directory):
            for file in directory.glob(f"*{SUFFIX}"):
                try:
                    columns = read_outline(file).get("columns", {})
                    places |= {place for variables in columns.values() for place, _, _ in variables.values()}
                except (OSError, ValueError, TypeError, AttributeError):
                    continue  # damaged: its answer will not be used
        return places


def journal_name(step: str, fingerprint: str) -> str:
    """Name of a step's journal, of use to this very release."""
    return f"{step}-{digest_of((fingerprint, code_stamp()))[:8]}"


def _directories(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
