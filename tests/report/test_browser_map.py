"""The map in a real browser: its switch by keyboard, figures that were hidden, thumbnails on hover."""

from __future__ import annotations

import asyncio

import numpy as np
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


#: What a visitor sees of a map's groups and thumbnails.
MAP = """
window.figure = document.querySelector("figure.zoomable")
window.map = figure.map
window.press = (which) => document.querySelector(`figure.zoomable [data-zoom=${which}]`).click()
window.key = (group) => document.querySelectorAll("figure.zoomable .legend button")[group]
window.close = () => map.images.data_source.data
// A quarter of the map about an image.
window.visit = (at) => {
  const { x, y } = map.points.data_source.data
  const [across, up] = map.home.map(([low, high]) => (high - low) / 8)
  map.look(x[at] - across, x[at] + across, y[at] - up, y[at] + up)
}
window.place = (x, y) => {
  const view = Bokeh.index.roots.find((one) => one.model.id === map.plot.id)
  const box = view.el.getBoundingClientRect()
  return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]
}
true
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_a_map_can_be_looked_at_closely(tmp_path, width):
    images, kind = pictures(600, (12, 12))
    told = context("pca", 600, NAMES)
    page = tmp_path / "page.html"
    result = pca_result(images, kind)
    page.write_text(render(assemble(Page("map"), {"pca": pca.figures(result, told)})), encoding="utf-8")
    asyncio.run(_look_closer(page, width, images))


async def _look_closer(page, width, images) -> None:
    async with open_tab(page, width) as tab:
        await tab.until("[...document.querySelectorAll('figure.zoomable')].every((one) => one.map)")
        await tab.evaluate(TOOLS)
        await tab.evaluate(MAP)
        await tab.until("coloured(figure) > 200")
        await _groups_come_and_go(tab)
        await _the_page_scrolls(tab, width)
        await _thumbnails_appear(tab, images)
        assert await tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.complaints == []


async def _groups_come_and_go(tab: Tab) -> None:
    assert await tab.evaluate("map.overview.visible")
    before = await tab.evaluate("coloured(figure)")
    await tab.evaluate("key(0).click(); key(1).click()")
    assert await tab.evaluate("[0, 1, 2].map((one) => key(one).getAttribute('aria-pressed'))") == [
        "false",
        "false",
        "true",
    ]
    await tab.until(f"coloured(figure) < {0.7 * before}")
    assert await tab.evaluate("map.layers.filter((one) => one.visible).map((one) => one.name)") == ["apart-2"]
    # What is hidden does not answer the pointer either.
    answering = "map.points.view.filter.booleans.map((one, at) => one ? map.points.data_source.data.group_0[at] : 2)"
    assert await tab.evaluate(f"{answering}.every((group) => group === 2)")
    assert await tab.evaluate("map.names.view.filter.booleans") == [False, False, True]
    await tab.evaluate("key(0).click(); key(1).click()")
    assert await tab.evaluate("map.overview.visible")
    await tab.until(f"coloured(figure) > {0.9 * before}")


async def _the_page_scrolls(tab: Tab, width: int) -> None:
    """With the pointer over the map, until somebody takes hold of it."""
    await tab.evaluate("document.querySelector('figure.zoomable').scrollIntoView({block: 'center'}); true")
    x, y = await tab.evaluate(
        "(({x, y, width, height}) => [x + width / 2, y + height / 2])(map.canvas.getBoundingClientRect())"
    )

    async def wheel(down: int) -> None:
        await tab.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=down)

    before = await tab.evaluate("scrollY")
    await wheel(-60)
    await tab.until(f"scrollY < {before}")
    assert await tab.evaluate("map.zoom") == 1
    await tab.evaluate("document.querySelector('figure.zoomable').scrollIntoView({block: 'center'}); true")
    for kind in ("mousePressed", "mouseReleased"):
        await tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    await tab.until("map.canvas.classList.contains('held')")
    before = await tab.evaluate("scrollY")
    await wheel(-240)
    await tab.until("map.zoom > 1.1")
    assert await tab.evaluate("scrollY") == before
    await tab.press("Escape", 27)
    assert not await tab.evaluate("map.canvas.classList.contains('held') || map.wheel.active")
    await tab.evaluate("press('all')")
    assert await tab.evaluate("map.zoom") == 1


async def _thumbnails_appear(tab: Tab, images) -> None:
    assert await tab.evaluate("close().row.length") == 0
    await tab.evaluate("press('in'); press('in'); press('in')")
    assert await tab.evaluate("map.zoom") == pytest.approx(1.6**3)
    await tab.evaluate("visit(0)")
    await tab.until("close().row.length > 0 && map.frames.visible")
    assert await tab.evaluate("close().row[0] === map.points.data_source.data.row[0]")
    shown = await tab.evaluate("close()")
    # Each is the picture of its row.
    pixels = await tab.evaluate(
        """(async () => {
          const image = new Image()
          image.src = close().url[0]
          await image.decode()
          const canvas = document.createElement("canvas")
          canvas.width = image.width
          canvas.height = image.height
          canvas.getContext("2d").drawImage(image, 0, 0)
          window.pixels = [...canvas.getContext("2d").getImageData(0, 0, image.width, image.height).data]
        })(); true"""
    )
    assert pixels
    await tab.until("window.pixels")
    drawn = np.array(await tab.evaluate("pixels")).reshape(12, 12, 4)
    np.testing.assert_array_equal(drawn[..., 0], images[shown["row"][0]])
    # They do not cover each other.
    wide = await tab.evaluate("map.plot.inner_width / (map.plot.x_range.end - map.plot.x_range.start)")
    high = await tab.evaluate("map.plot.inner_height / (map.plot.y_range.end - map.plot.y_range.start)")
    x, y = np.array(shown["x"]) * wide, np.array(shown["y"]) * high
    free = (abs(x[:, None] - x) >= shown["across"][0]) | (abs(y[:, None] - y) >= shown["up"][0])
    assert (free | np.eye(len(x), dtype=bool)).all()
    # Pointing at one enlarges it and names its row.
    middle = int(np.argmin(abs(x - np.median(x)) + abs(y - np.median(y))))
    at = await tab.evaluate(f"place(close().x[{middle}], close().y[{middle}])")
    await tab.point(at[0] + 6, at[1] + 6)
    await tab.until("thumbnails().length > 0")
    assert await tab.evaluate("thumbnails()[0].src") == shown["url"][middle]
