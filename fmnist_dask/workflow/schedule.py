"""In which order the requests of all steps come, and which of them share a pass: what the runner will do, foreseen.

The runner (:mod:`~fmnist_dask.workflow.advance`) lets all steps that can begin go on together. Calls go first; then all
steps that wait for the same images share one pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fmnist_dask.passes.protocol import Readable
from fmnist_dask.workflow.foreseen import Foreseen


@dataclass
class Planned:
    """A step whose requests are foreseen.

    Attributes
    ----------
    source
        What its scans read.
    requests
        In order.
    needs
        Steps that have to end before.
    """

    name: str
    source: Readable
    requests: Sequence[Foreseen]
    needs: frozenset[str] = frozenset()


@dataclass
class Work:
    """One pass, or one set of calls, and how often it comes in a row.

    Attributes
    ----------
    requests
        Step → what it asks for. Of calls there is one.
    most
        How often at most.
    """

    source: Readable
    requests: Mapping[str, Foreseen]
    times: int = 1
    most: int | None = None

    @property
    def is_pass(self) -> bool:
        """Whether images are read."""
        return next(iter(self.requests.values())).scan is not None

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        return "; ".join(dict.fromkeys(request.name for request in self.requests.values()))


@dataclass
class _Step:
    """Where a step is."""

    planned: Planned
    at: int = 0
    done: int = 0

    @property
    def request(self) -> Foreseen | None:
        """What it waits for."""
        requests = self.planned.requests
        return requests[self.at] if self.at < len(requests) else None

    def answer(self, times: int) -> None:
        """Its request was answered so often."""
        self.done += times
        if self.request is not None and self.done >= self.request.times:
            self.at, self.done = self.at + 1, 0

    def left(self) -> int:
        """How often its request still comes."""
        assert self.request is not None
        return self.request.times - self.done


@dataclass
class _Schedule:
    waiting: list[Planned]
    running: dict[str, _Step] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    work: list[Work] = field(default_factory=list)

    def begin(self) -> None:
        """Let steps begin whose needs are there; end those that are through."""
        changed = True
        while changed:
            changed = False
            for name, step in list(self.running.items()):
                if step.request is None:
                    del self.running[name]
                    self.ended.add(name)
                    changed = True
            for planned in list(self.waiting):
                if planned.needs <= self.ended:
                    self.waiting.remove(planned)
                    self.running[planned.name] = _Step(planned)
                    changed = True

    def calls_next(self) -> _Step | None:
        """A step whose calls go next."""
        asks = [(step, step.request) for step in self.running.values() if step.request is not None]
        calls = [(step, request) for step, request in asks if request.scan is None]
        soon = [step for step, request in calls if not request.late]
        late = [] if any(request.scan is not None for _, request in asks) else [step for step, _ in calls]
        return next(iter(soon or late), None)

    def share(self) -> None:
        """One pass for all that read the same, as often as nothing changes."""
        groups: list[list[_Step]] = []
        for step in self.running.values():
            if step.request is None or step.request.scan is None:
                continue  # its calls are late ones
            group = next((g for g in groups if g[0].planned.source == step.planned.source), None)
            if group is None:
                groups.append([step])
            else:
                group.append(step)
        # All groups go on at the same moment.
        times = min(step.left() for group in groups for step in group)
        for group in groups:
            self._add(group, times)
        for group in groups:
            for step in group:
                step.answer(times)

    def call(self, step: _Step) -> None:
        """Calls of one step."""
        self._add([step], times := step.left())
        step.answer(times)

    def _add(self, group: list[_Step], times: int) -> None:
        requests = {step.planned.name: step.request for step in group if step.request is not None}
        bounds = [request.most for request in requests.values()]
        most = None if all(bound is None for bound in bounds) else max(bound or 0 for bound in bounds)
        self.work.append(Work(group[0].planned.source, requests, times, most))


def schedule(steps: Iterable[Planned]) -> list[Work]:
    """All work of some steps, in order."""
    plan = _Schedule(list(steps))
    plan.begin()
    while plan.running:
        step = plan.calls_next()
        if step is not None:
            plan.call(step)
        else:
            plan.share()
        plan.begin()
    return plan.work
