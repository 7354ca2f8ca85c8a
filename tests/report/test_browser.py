"""The page in a real browser: it draws every figure, says nothing on the console, and fits its width."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from fmnist_dask.report.page import Page, assemble, render
from fmnist_dask.workflow.registry import find_step

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser", "google-chrome-stable"))), None
)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")]
EVIL = "<script>alert(1)</script>"

#: Bokeh draws in shadow trees, which a dump of the page leaves out; so the page counts for itself.
PROBE = """<script>
function deep(node, found) {
  for (const child of node.querySelectorAll("*")) {
    if (child.tagName === "CANVAS") found.push(child)
    if (child.shadowRoot) deep(child.shadowRoot, found)
  }
  return found
}
addEventListener("load", () => setTimeout(() => {
  const drawn = deep(document, []).filter((canvas) => canvas.width > 0 && canvas.height > 0)
  const wide = [...document.querySelectorAll("body *")].filter((element) =>
    element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".scroll, .hero, nav, details"))
  const roots = Bokeh.documents[0].roots().length
  const answer = {canvases: drawn.length, roots: roots, width: innerWidth, page: document.documentElement.scrollWidth,
    overflowing: wide.map((element) => element.tagName + "." + element.className), alerted: window.alerted || 0}
  parent.postMessage(JSON.stringify(answer), "*")
}, 2500))
window.alert = () => { window.alerted = 1 }
</script>"""


#: Browsers give a window no less than 500 pixels; a frame can be as narrow as a telephone.
FRAME = """<body style="margin: 0"><iframe src="page.html" style="border: 0; width: {width}px; height: 2400px"></iframe>
<script>addEventListener("message", (event) => document.body.setAttribute("data-probe", event.data))</script></body>"""


def open_page(html: str, width: int, folder: Path) -> tuple[dict, str]:
    """What the page says of itself in a frame of some width, and what the browser said on its console."""
    (folder / "page.html").write_text(html.replace("<head>", "<head>" + PROBE, 1), encoding="utf-8")
    file = folder / "frame.html"
    file.write_text(FRAME.format(width=width), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    flags += "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --dump-dom"
    command = [
        BROWSER, *flags.split(), f"--user-data-dir={folder / 'profile'}", "--window-size=1400,2500",
        "--virtual-time-budget=9000", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, f"the page did not answer: {done.stderr[-2000:]}"
    return json.loads(unescape(found.group(1))), done.stderr


def complaints(log: str) -> list[str]:
    lines = [line for line in log.splitlines() if "CONSOLE" in line]
    return [line for line in lines if "[bokeh" not in line or "error" in line.lower() or "warn" in line.lower()]


@pytest.mark.timeout(90)
def test_report_draws_without_complaint(garments_page, tmp_path):
    state, log = open_page(garments_page, 1280, tmp_path)
    assert complaints(log) == []
    assert state["roots"] == garments_page.count('data-root-id="')
    assert state["canvases"] >= state["roots"] > 20
    assert state["overflowing"] == []
    assert state["page"] <= state["width"] == 1280


@pytest.mark.timeout(90)
def test_hostile_and_long_names_on_a_telephone(step_result, tmp_path):
    parts = {}
    for uses in ("duplicates", "pixel_stats", "image_properties"):
        result, context = step_result("labelled", uses)
        parts[uses] = find_step(uses).contribution(result.dataset, context)
    state, log = open_page(render(assemble(Page(EVIL), parts)), 390, tmp_path)
    assert state["alerted"] == 0
    assert complaints(log) == []
    assert state["canvases"] >= state["roots"] > 10
    assert state["overflowing"] == []
    assert state["page"] <= state["width"] == 390
