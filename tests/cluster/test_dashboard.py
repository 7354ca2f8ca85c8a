"""The page of runs in Dask's dashboard, of a real scheduler, in real browsers."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import browser_tab
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Div, LinearAxis, Select, Title
from distributed import Scheduler
from distributed.dashboard import scheduler as dasks_dashboard

from fmnist_dask.cluster import dashboard
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.cluster.dashboard_html import headline_html, steps_html
from fmnist_dask.cluster.dashboard_page import THINNED, RunsPage, told_runs, workflows_document
from fmnist_dask.cluster.topics import RUN_TOPIC
from fmnist_dask.workflow.story import Story

#: All text that a page shows, also that of Bokeh's components.
SHOWN = """(function all(node) {
    return [...node.querySelectorAll('*')].map(
        n => n.shadowRoot ? all(n.shadowRoot) : n.children.length ? '' : n.textContent).join(' ')
})(document)"""


def snapshot(run: str, done: int, **more: Any) -> dict[str, Any]:
    """As the driver of a run would tell it."""
    story = Story()
    story.hear({"event": "start", "step": "clusters", "time": "2026-01-02T03:04:05.678Z"})
    for value in range(done):
        story.hear({"event": "converge", "step": "clusters", "inertia": 100.0 / (1 + value)})
    told = {"pass": "pass 1", "unit": "images", "done": done, "total": 10, "per_second": 3.5, "eta": 2.0}
    chunks = {"chunks_done": done, "chunks_total": 10, "worker_bytes": [5_000_000 * done, 7_000_000]}
    story.hear({"event": "progress", "step": "clusters", **told, **chunks})
    manifest = {
        "run": run,
        "workflow": "explore",
        "status": "RUNNING",
        "source": {"name": "garments", "n": 70_000},
        "cluster": {"memory_limit": 10**9},
        "steps": {"clusters": {"uses": "kmeans", "status": "RUNNING", "metrics": {}}},
    }
    return story.snapshot({**manifest, **more})


def page_of(cluster: Connection) -> str:
    return cluster.dashboard.replace("/status", "/workflows")


def tell(cluster: Connection, told: dict[str, Any]) -> None:
    cluster.client.log_event(RUN_TOPIC + told["run"], told)


def run_html(told: dict[str, Any], age: float = 0.0) -> str:
    return headline_html(told, 1e9, 1e9 + age) + steps_html(told)


class Page:
    """A document as the scheduler makes it for each browser; what its periodic callback does is asked for here."""

    def __init__(self, scheduler: Any, document: Any = None) -> None:
        self.document = document or Document()
        if document is None:
            workflows_document(scheduler, {}, self.document)
            (self.callback,) = self.document.session_callbacks

    def tick(self) -> None:
        self.callback.callback()

    def text(self) -> str:
        return " ".join(div.text for div in self.document.select({"type": Div}))

    def values(self, name: str) -> list[Any]:
        sources = self.document.select({"type": ColumnDataSource})
        return [list(source.data[name]) for source in sources if name in source.data]

    def titles(self) -> list[str]:
        return [title.text for title in self.document.select({"type": Title})]

    def axis_labels(self) -> set[str]:
        return {axis.axis_label for axis in self.document.select({"type": LinearAxis})}

    def select(self) -> Any:
        (found,) = self.document.select({"type": Select})
        return found


class Told:
    """A scheduler that has been told of runs, without the rest of it."""

    address = "tcp://10.0.0.1:8786"

    def __init__(self) -> None:
        self.events: dict[str, list[tuple[float, Any]]] = {"all": [(1.0, {"action": "add-worker"})]}

    def tell(self, told: Any, run: str = "") -> None:
        self.events.setdefault(RUN_TOPIC + (run or told["run"]), []).append((time.time(), told))

    def get_events(self) -> dict[str, Any]:
        return {name: tuple(events) for name, events in self.events.items()}


def test_the_page_is_in_the_dashboard_and_follows_what_drivers_tell(cluster: Connection) -> None:
    for address in (cluster.dashboard, page_of(cluster)):
        with urlopen(address, timeout=10) as answer:
            assert answer.status == 200
            assert '<a href="workflows">Workflows</a>' in answer.read().decode()
    tell(cluster, snapshot("first-run", 3))
    pages = [Page(cluster.client.cluster.scheduler) for _ in range(2)]
    for page in pages:
        for word in ("first-run", "RUNNING", "clusters", "kmeans", "70,000 images of garments", "3 of 10 images"):
            assert word in page.text(), word
        assert page.values("bytes") == [[15.0, 7.0]]
        assert page.values("value") == [[100.0, 50.0, 100 / 3]]
    tell(cluster, snapshot("first-run", 7))
    for page in pages:
        page.tick()
        assert "7 of 10 images" in page.text()
        assert page.values("bytes") == [[35.0, 7.0]]
        assert len(page.values("value")[0]) == 7


def test_runs_are_chosen_from_the_newest_on() -> None:
    scheduler = Told()
    scheduler.tell(snapshot("first-run", 3, started="2026-01-02T03:04:05Z"))
    page = Page(scheduler)
    assert not page.select().visible
    scheduler.tell(snapshot("second-run", 4, status="SUCCEEDED", started="2026-01-02T04:00:00Z"))
    page.tick()
    select = page.select()
    assert select.visible
    assert select.options == [("second-run", "second-run  SUCCEEDED"), ("first-run", "first-run  RUNNING")]
    assert select.value == "first-run"  # nobody's run goes from under their eyes
    assert Page(scheduler).select().value == "second-run"
    scheduler.tell(snapshot("first-run", 9, status="FAILED", started="2026-01-02T03:04:05Z"))
    page.tick()
    assert select.value == "second-run"
    assert len(page.values("value")[0]) == 4
    select.value = "first-run"  # a person does that
    assert "first-run" in page.text()
    assert len(page.values("value")[0]) == 9
    page.tick()
    assert select.value == "first-run"


def test_a_scheduler_that_has_heard_of_no_run_says_how_to_begin_one() -> None:
    page = Page(Told())
    assert "fmnist-dask run explore --cluster tcp://10.0.0.1:8786" in page.text()
    assert "fmnist-dask submit explore" in page.text()


def test_curves_are_named_and_go_when_their_step_begins_anew() -> None:
    scheduler = Told()
    scheduler.tell(snapshot("a", 5))
    page = Page(scheduler)
    assert "clusters: inertia 20" in page.titles()
    assert {"inertia", "iteration"} <= page.axis_labels()
    scheduler.tell(snapshot("a", 1))  # one point is no curve
    page.tick()
    assert page.values("value") == []
    long = snapshot("a", 2)
    long["steps"][0]["curves"] = {"objective": [float(at) for at in range(THINNED)], "rmse": [1.0, 0.5]}
    scheduler.tell(long)
    page.tick()
    assert {len(values) for values in page.values("value")} == {THINNED, 2}
    assert {"iteration", "point (some iterations may be left out)"} <= page.axis_labels()


@pytest.mark.parametrize(
    ("limit", "drawn", "words"),
    [(40e6, True, "limit 40.0 MB (red)"), (12e9, False, "limit 12.0 GB (far right"), (None, False, "planned 20.0 MB")],
)
def test_memory_is_compared_with_plan_and_limit(limit: float | None, drawn: bool, words: str) -> None:
    told = snapshot("a", 3)
    told["memory"] = {"worker_bytes": [15e6, 39e6], "planned_worker_bytes": 20e6, "limit": limit}
    scheduler = Told()
    scheduler.tell(told)
    page = RunsPage(scheduler)
    page.update()
    assert (page.plan.visible, page.plan.location) == (True, 20.0)
    assert page.limit.visible is drawn
    assert words in page.memory_figure.title.text
    assert page.memory_figure.title.text.count("\n") == 1  # of one that grows, a part of the old one stays in browsers
    assert (len(set(page.memory.data["colour"])) == 2) is drawn  # the second is nearly full
    assert page.memory_figure.x_range.end > max(39, 40 if drawn else 0)
    told["memory"]["worker_bytes"] = [float(at) * 1e6 for at in range(1, 101)]
    page.update()
    assert "the 40 fullest of 100 workers" in page.memory_figure.title.text
    assert page.memory.data["worker"][0] == "worker 100"


def test_all_that_is_known_is_said() -> None:
    told = snapshot("a", 3, started="2001-09-09T01:45:00Z", passes=12, error="ValueError: no more", title="A title")
    told["n_quarantined"] = 7
    told["errors"] = [{"time": "2026-01-02T03:04:05.678Z", "step": "clusters", "error": "worker lost"}]
    done = {**told["steps"][0], "name": "pca", "uses": "pca", "status": "SUCCEEDED", "total": None, "seconds": 200.0}
    calls = {"unit": "calls", "done": 1, "total": 8, "chunks_done": None, "chunks_total": None, "pass": "starts"}
    told["steps"] += [{**done, "passes": 2, "metrics": {"evr": 0.9, "of": {"train": 1_000}, "nmi": None}}]
    told["steps"] += [{**told["steps"][0], **calls, "name": "called"}]
    html = run_html(told)
    for words in (
        "A title", "1:40", "12 passes over the images", "7 images quarantined", "1 of 3 steps done",
        "03:04:05", "worker lost", "ValueError: no more", "pass 1: 3 of 10 images, 3 of 10 chunks", "3.5 images/s",
        "2.0\u00a0s", "3:20, 2 passes", "evr 0.9, of train 1,000, nmi –", "starts: 1 of 8 calls<", "3.5 calls/s",
    ):  # fmt: skip
        assert words in html, words


def test_what_users_have_named_is_escaped() -> None:
    bad = "<script>alert(1)</script>"
    told = snapshot(bad, 3, title=bad, workflow=bad, source={"name": bad, "n": 3}, status=bad, error=bad + "!")
    told["errors"] = [{"time": bad, "step": bad, "error": bad}]
    told["steps"] = [
        {**told["steps"][0], "name": bad, "uses": bad, "status": bad, "metrics": {bad: bad}},
        {**told["steps"][0], "unit": bad, "pass": bad},
        {**told["steps"][0], "error": bad},
    ]
    html = run_html(told)
    assert "&lt;script&gt;" in html
    assert "<script" not in html


def test_a_driver_that_is_silent_is_said_to_be() -> None:
    assert "not heard of for 35 s" in run_html(snapshot("a", 1), 35.0)
    assert "not heard of" not in run_html(snapshot("a", 1), 5.0)
    assert "not heard of" not in run_html(snapshot("a", 1, status="SUCCEEDED"), 35.0)


def test_what_is_no_snapshot_does_no_harm() -> None:
    scheduler = Told()
    scheduler.tell("no snapshot", "a")
    assert "No run yet" in Page(scheduler).text()
    scheduler.tell({"steps": 3, "status": "RUNNING"}, "b")
    page = Page(scheduler)
    assert "cannot be shown here" in page.text()
    scheduler.tell(snapshot("b", 4))
    page.tick()
    assert "cannot be shown" not in page.text()
    # Inside a scheduler of today, and by the public way.
    topics = {name: SimpleNamespace(events=events) for name, events in scheduler.events.items()}
    today = SimpleNamespace(_broker=SimpleNamespace(_topics=topics))
    assert told_runs(today) == told_runs(scheduler)
    assert list(told_runs(today)) == ["b"]


@pytest.mark.parametrize("name", ["applications", "template_variables"])
def test_another_distributed_has_no_page_but_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(dasks_dashboard, "applications", {})
        patch.setattr(dasks_dashboard, "template_variables", dasks_dashboard.template_variables)
        patch.delattr(dasks_dashboard, name)
        assert dashboard.add_page() is False
    assert dashboard.add_page() is True


def test_a_scheduler_starts_though_its_navigation_has_become_another_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"pages": ("status",), "plots": [], "jupyter": False}  # nothing can be put into a tuple
    monkeypatch.setattr(dasks_dashboard, "applications", dict(dasks_dashboard.applications))
    monkeypatch.setattr(dasks_dashboard, "template_variables", lambda scheduler: pages)
    del dasks_dashboard.applications["/workflows"]
    assert dashboard.add_page() is True

    async def start() -> None:
        preload = ["fmnist_dask.cluster.dashboard"]
        async with Scheduler(port=0, dashboard_address="127.0.0.1:0", preload=preload) as scheduler:
            address = f"http://127.0.0.1:{scheduler.http_server.port}"
            for page in ("status", "workflows"):
                answer = await asyncio.to_thread(urlopen, f"{address}/{page}", timeout=10)
                with answer:
                    assert answer.status == 200
                    assert b"Status</a>" in answer.read()

    asyncio.run(start())


@pytest.mark.browser
@pytest.mark.skipif(browser_tab.BROWSER is None, reason="no Chromium here")
def test_figures_move_in_a_browser(cluster: Connection, tmp_path: Any) -> None:
    bad = "<img src=x onerror='window.broken = 1'>"

    async def look() -> None:
        async with browser_tab.open_tab(page_of(cluster), 1280, 1000, tmp_path) as tab:
            await tab.until(f"{SHOWN}.includes('2 of 10 images')")
            tell(cluster, {**snapshot("moving", 9), "title": bad})
            await tab.until(f"{SHOWN}.includes('9 of 10 images') && {SHOWN}.includes('onerror=')")
            tell(cluster, snapshot(bad, 5, started="2026-01-02T03:04:05Z"))
            await tab.until(f"{SHOWN}.includes({bad + '  RUNNING'!r})")  # a run to choose
            assert await tab.evaluate("window.broken") is None
            assert tab.complaints == []
            for width in (1280, 1000, 700):
                size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                await tab.call("Emulation.setDeviceMetricsOverride", **size)
                await tab.until(f"innerWidth === {width} && document.documentElement.scrollWidth <= {width}")

    tell(cluster, snapshot("moving", 2))
    asyncio.run(look())
