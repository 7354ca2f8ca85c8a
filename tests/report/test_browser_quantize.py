"""Comparisons of pictures in a real browser: the divider by pointer, touch and keys; choices; all side by side."""

from __future__ import annotations

import asyncio

import pytest
from browser_tab import BROWSER, Tab, open_tab
from quantized import china, photograph
from report_support import context

from fmnist_dask.report.page import Page, assemble, render
from fmnist_dask.workflow.figures import quantize

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")]

TOOLS = """
document.documentElement.style.scrollBehavior = "auto"
window.stage = document.querySelector(".compare > .stage")
window.range = stage.querySelector("input")
window.sight = stage.querySelector(".sight")
window.versions = () => [...stage.querySelectorAll(".version")].map((one) => one.getBoundingClientRect().height > 0)
// Where the divider is, from 0 to 1 across the picture, and where the original ends.
window.cut = () => {
  const box = sight.getBoundingClientRect()
  const handle = stage.querySelector(".divider > span").getBoundingClientRect()
  return (handle.left + handle.width / 2 - box.left) / box.width
}
window.clipped = () => {
  const [, right] = getComputedStyle(sight).clipPath.match(/inset\\(0px (.*?)\\)/)
  return 1 - parseFloat(right.replace("calc(100% - ", "")) / 100
}
window.box = () => {
  sight.scrollIntoView({ block: "center" })
  const { x, y, width, height } = sight.getBoundingClientRect()
  return [x, y, width, height]
}
// What is wider than the window, but for what scrolls by itself.
window.wide = () => [...document.querySelectorAll("body *")].filter((one) =>
  one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, nav")
).map((one) => one.outerHTML.slice(0, 90))
true
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("width", [1280, 390])
def test_the_divider_moves(tmp_path, width):
    dataset = photograph(china(2), n_colors=8, sweep=(2, 4, 8, 16, 32, 64, 128, 256), points=800)
    page = tmp_path / "page.html"
    part = quantize.figures(dataset, context("quantize", 1))
    page.write_text(render(assemble(Page("colours"), {"quantize": part})), encoding="utf-8")
    asyncio.run(_use(page, width))


async def _use(page, width) -> None:
    async with open_tab(page, width) as tab:
        await tab.until("window.Bokeh && Bokeh.documents.length > 0")
        await tab.evaluate(TOOLS)
        await tab.until("stage.classList.contains('live')")
        assert await tab.evaluate("cut()") == pytest.approx(0.5, abs=0.01)
        await _drags(tab)
        await _follows_a_finger(tab)
        await _obeys_keys(tab)
        await _shows_what_is_chosen(tab)
        await _unfolds_palettes(tab)
        assert await tab.evaluate("wide()") == []
        assert await tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.complaints == []


async def _mouse(tab: Tab, kind: str, x: float, y: float) -> None:
    held = 0 if kind == "mouseReleased" else 1
    await tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=held, clickCount=1)


async def _drags(tab: Tab) -> None:
    x, y, across, down = await tab.evaluate("box()")
    middle = y + down / 2
    # From the handle, and anywhere else, too.
    for start, end in ((0.5, 0.25), (0.8, 0.9)):
        await _mouse(tab, "mousePressed", x + start * across, middle)
        for part in (0.4, 0.7, 1.0):
            await _mouse(tab, "mouseMoved", x + (start + part * (end - start)) * across, middle)
        await _mouse(tab, "mouseReleased", x + end * across, middle)
        await tab.until(f"Math.abs(cut() - {end}) < 0.02")
        assert await tab.evaluate("clipped()") == pytest.approx(end, abs=0.02)
    assert "90 %" in await tab.evaluate("range.getAttribute('aria-valuetext')")


async def _follows_a_finger(tab: Tab) -> None:
    await tab.call("Emulation.setTouchEmulationEnabled", enabled=True)
    x, y, across, down = await tab.evaluate("box()")
    place = [{"x": x + 0.9 * across, "y": y + down / 2}]
    await tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=place)
    for part in (0.8, 0.7, 0.6):
        place = [{"x": x + part * across, "y": y + down / 2}]
        await tab.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=place)
    await tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    await tab.until("Math.abs(cut() - 0.6) < 0.03")
    await tab.call("Emulation.setTouchEmulationEnabled", enabled=False)


async def _obeys_keys(tab: Tab) -> None:
    await tab.evaluate("range.focus(); true")
    before = await tab.evaluate("cut()")
    for _ in range(5):
        await tab.press("ArrowRight", 39)
    assert await tab.evaluate("cut()") == pytest.approx(before + 0.05, abs=0.011)
    await tab.press("Home", 36)
    assert await tab.evaluate("cut()") == pytest.approx(0, abs=0.01)
    await tab.press("End", 35)
    assert await tab.evaluate("cut()") == pytest.approx(1, abs=0.01)
    assert await tab.evaluate("clipped()") == pytest.approx(1, abs=0.01)


async def _shows_what_is_chosen(tab: Tab) -> None:
    assert await tab.evaluate("versions()") == [True, True, *[False] * 11]
    await tab.evaluate("document.querySelectorAll('.compare > label')[2].click()")
    assert await tab.evaluate("versions()") == [True, False, False, True, *[False] * 9]
    assert await tab.evaluate("cut()") == pytest.approx(1, abs=0.01)  # where it was
    # Arrows go through the radio inputs, from the methods on to the numbers of colours.
    await tab.evaluate("document.getElementById('compare-0-3').focus(); true")
    await tab.press("ArrowRight", 39)
    await tab.press("ArrowRight", 39)
    assert await tab.evaluate("document.activeElement.id") == "compare-0-5"
    assert await tab.evaluate("versions()") == [True, *[False] * 4, True, *[False] * 7]
    await tab.evaluate("document.getElementById('compare-0-all').click()")
    assert all(await tab.evaluate("versions()"))
    assert await tab.evaluate("range.getClientRects().length") == 0
    assert await tab.evaluate("getComputedStyle(sight).clipPath") == "none"
    assert await tab.evaluate("wide()") == []
    await tab.evaluate("document.getElementById('compare-0-1').click()")
    assert await tab.evaluate("versions()") == [True, True, *[False] * 11]


async def _unfolds_palettes(tab: Tab) -> None:
    await tab.evaluate(
        "[...document.querySelectorAll('.palettes details')].forEach((one) => { one.open = true }); true"
    )
    assert await tab.evaluate("document.querySelectorAll('.folded > details:last-child .chips li').length") > 200
    # Pixels of small pictures stay sharp, those of large ones are mixed.
    scale = await tab.evaluate("sight.getBoundingClientRect().width / sight.querySelector('img').naturalWidth")
    drawn = await tab.evaluate("getComputedStyle(sight.querySelector('img')).imageRendering")
    assert drawn == ("pixelated" if scale > 1 else "auto")
