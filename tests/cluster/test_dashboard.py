"""The page of runs in Dask's dashboard, of a real scheduler, in real browsers."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.request import urlopen

import browser_tab
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Div, Select

from fmnist_dask.cluster import dashboard
from fmnist_dask.cluster.connect import Connection
from fmnist_dask.cluster.dashboard_page import run_html, workflows_document
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


class Page:
    """A document as the scheduler makes it for each browser; what its periodic callback does is asked for here."""

    def __init__(self, cluster: Connection) -> None:
        self.document = Document()
        workflows_document(cluster.client.cluster.scheduler, {}, self.document)
        (self.callback,) = self.document.session_callbacks

    def tick(self) -> None:
        self.callback.callback()

    def text(self) -> str:
        return " ".join(div.text for div in self.document.select({"type": Div}))

    def values(self, name: str) -> list[Any]:
        sources = self.document.select({"type": ColumnDataSource})
        return [list(source.data[name]) for source in sources if name in source.data]


def test_the_page_is_in_the_dashboard_and_follows_what_drivers_tell(cluster: Connection) -> None:
    with urlopen(cluster.dashboard, timeout=10) as answer:
        assert '<a href="workflows">Workflows</a>' in answer.read().decode()
    with urlopen(page_of(cluster), timeout=10) as answer:
        assert answer.status == 200
    tell(cluster, snapshot("first-run", 3))
    pages = [Page(cluster) for _ in range(2)]
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
    tell(cluster, snapshot("second-run", 4, status="SUCCEEDED"))
    for page in pages:
        page.tick()
        assert "first-run" in page.text()  # nobody's page changes under their eyes
        (select,) = page.document.select({"type": Select})
        assert select.visible
        assert [run for run, _ in select.options] == ["first-run", "second-run"]
        select.value = "second-run"
        assert "second-run" in page.text()
        assert len(page.values("value")[0]) == 4
    assert "second-run" in Page(cluster).text()  # the one that was heard of last


def test_a_scheduler_that_has_heard_of_no_run_says_how_to_begin_one(start_cluster: Any) -> None:
    with start_cluster(1) as fresh:
        assert "fmnist-dask run explore" in Page(fresh).text()


def test_what_users_have_named_is_escaped() -> None:
    bad = "<script>alert(1)</script>"
    told = snapshot(bad, 3, title=bad, workflow=bad, source={"name": bad, "n": 3}, status=bad)
    told["errors"] = [{"time": bad, "step": bad, "error": bad}]
    told["steps"] = [
        {**told["steps"][0], "name": bad, "uses": bad, "status": bad, "metrics": {bad: bad}},
        {**told["steps"][0], "unit": bad},
        {**told["steps"][0], "error": bad},
    ]
    html = run_html(told, 0.0)
    assert "&lt;script&gt;" in html
    assert "<script" not in html


def test_a_driver_that_is_silent_is_said_to_be() -> None:
    assert "not heard of for 35 s" in run_html(snapshot("a", 1), 35.0)
    assert "not heard of" not in run_html(snapshot("a", 1), 5.0)
    assert "not heard of" not in run_html(snapshot("a", 1, status="SUCCEEDED"), 35.0)


@pytest.mark.parametrize("name", ["applications", "template_variables"])
def test_another_distributed_has_no_page_but_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed.dashboard import scheduler

    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "applications", {})
        patch.setattr(scheduler, "template_variables", scheduler.template_variables)
        patch.delattr(scheduler, name)
        assert dashboard.add_page() is False
    assert dashboard.add_page() is True


@pytest.mark.browser
@pytest.mark.skipif(browser_tab.BROWSER is None, reason="no Chromium here")
def test_figures_move_in_a_browser(cluster: Connection, tmp_path: Any) -> None:
    async def look() -> None:
        shown = SHOWN
        async with browser_tab.open_tab(page_of(cluster), 1280, 1000, tmp_path) as tab:
            await tab.until(f"{shown}.includes('2 of 10 images')")
            tell(cluster, snapshot("moving", 9))
            await tab.until(f"{shown}.includes('9 of 10 images')")
            assert tab.complaints == []
            width = await tab.evaluate("document.documentElement.scrollWidth")
            assert width <= 1280

    tell(cluster, snapshot("moving", 2))
    asyncio.run(look())
