"""The map in a real browser: its switch by keyboard, figures that were hidden, thumbnails on hover."""

from __future__ import annotations

import asyncio

import pytest
from browser_tab import BROWSER, Tab, open_tab
from report_support import context, kmeans_result, pca_result, pictures

from fmnist_dask.report.page import Page, assemble, render
from fmnist_dask.workflow.figures import kmeans, pca

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")]
EVIL = "<script>alert(1)</script>"
NAMES = ("shoe", EVIL, "a name that is much too long for an axis")
ARROW_RIGHT = 39

#: Bokeh draws in shadow trees; these look into them.
TOOLS = """
document.documentElement.style.scrollBehavior = "auto"  // nothing moves while it is pointed at
window.deep = (node, tag, found = []) => {
  for (const child of node.querySelectorAll("*")) {
    if (child.tagName === tag) found.push(child)
    if (child.shadowRoot) deep(child.shadowRoot, tag, found)
  }
  return found
}
window.panels = () => [...document.querySelectorAll(".panel")]
window.shown = () => panels().map((panel) => panel.getBoundingClientRect().height > 0)
// Pixels of a map that are coloured: neither white nor grey, as axes and empty figures are.
window.coloured = (panel) => {
  let count = 0
  for (const canvas of deep(panel, "CANVAS").filter((one) => one.width && one.height)) {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
    for (let at = 0; at < pixels.length; at += 4) {
      const [red, green, blue, opacity] = [pixels[at], pixels[at + 1], pixels[at + 2], pixels[at + 3]]
      count += opacity > 0 && Math.max(red, green, blue) - Math.min(red, green, blue) > 40
    }
  }
  return count
}
// Where the first dot of a panel's map is in the window.
window.dot = (panel) => {
  const root = panel.querySelector("[data-root-id]").dataset.rootId
  const view = Bokeh.index.roots.find((one) => one.model.id === root)
  const data = view.model.renderers.find((one) => one.glyph.type === "Scatter").data_source.data
  const place = () => {
    const box = view.el.getBoundingClientRect()
    return [box.x + view.frame.x_scale.compute(data.x[0]), box.y + view.frame.y_scale.compute(data.y[0])]
  }
  scrollBy(0, place()[1] - innerHeight / 2)
  return place()
}
window.thumbnails = () => deep(document, "IMG").filter((one) => one.getRootNode() !== document && one.naturalWidth > 0)
true
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [1280, 390])
def test_maps_that_were_hidden_are_drawn_when_chosen(tmp_path, width):
    images, kind = pictures(300, (12, 12))
    groups = kmeans_result(images, (kind + 1) % 3, kind, NAMES)
    told = context("pca", 300, NAMES, others={EVIL: groups})
    parts = {"pca": pca.figures(pca_result(images, kind), told), "kmeans": kmeans.figures(groups, told)}
    page = tmp_path / "page.html"
    page.write_text(render(assemble(Page("map"), parts)), encoding="utf-8")
    asyncio.run(_use(page, width))


async def _use(page, width) -> None:
    async with open_tab(page, width) as tab:
        await tab.until("window.Bokeh && Bokeh.documents.length > 0")
        await tab.evaluate(TOOLS)
        await tab.until("coloured(panels()[0]) > 200")
        assert await tab.evaluate("shown()") == [True, False]
        await tab.evaluate("document.querySelector('.switch > input').focus()")
        await tab.press("ArrowRight", ARROW_RIGHT)
        assert await tab.evaluate("shown()") == [False, True]
        assert await tab.evaluate("document.activeElement.id") == "switch-0-2"
        await tab.until("coloured(panels()[1]) > 200")
        await _fits(tab, width)
        x, y = await tab.evaluate("dot(panels()[1])")
        await tab.point(x, y)
        await tab.until("thumbnails().length > 0")
        assert tab.complaints == []


async def _fits(tab: Tab, width: int) -> None:
    assert await tab.evaluate("document.documentElement.scrollWidth") == width
    across, down = await tab.evaluate(
        "(({width, height}) => [width, height])(panels()[1].querySelector('.canvas').getBoundingClientRect())"
    )
    assert 300 < across <= 860
    assert 0.6 < down / across < 1.4
