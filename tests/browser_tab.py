"""A page in a headless browser that tests can type into and point at, in real time, over the DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tornado.websocket import WebSocketClientConnection, websocket_connect

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser", "google-chrome-stable"))), None
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
#: What the browser says of tests that look at pixels, not of the page.
OWN_READING = "readback operations using getImageData"


class Tab:
    """One page.

    Attributes
    ----------
    complaints
        What the browser said on its console: errors, warnings, refusals of the page's own policy.
    """

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self._sent = 0
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """Send one command and wait for its answer."""
        self._sent += 1
        number = self._sent
        await self._connection.write_message(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            text = await asyncio.wait_for(self._connection.read_message(), 30)
            assert text is not None, "the browser has gone"
            message = json.loads(text)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message.get("method"), message.get("params"))

    def _note(self, method: str, told: Any) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("warning", "error"):
            if OWN_READING not in told["entry"]["text"]:
                self.complaints.append(told["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("warning", "error"):
            self.complaints.append(str(told["args"]))

    async def evaluate(self, script: str) -> Any:
        """Value of an expression, as JSON has it."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = 20) -> Any:
        """Wait for an expression to be true."""
        end = time.monotonic() + seconds
        while not (found := await self.evaluate(script)):
            assert time.monotonic() < end, f"still not true after {seconds} s: {script}"
            await asyncio.sleep(0.05)
        return found

    async def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    async def point(self, x: float, y: float) -> None:
        """Move the pointer to a place of the window."""
        for step in (3, 0):
            await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - step, y=y)


@asynccontextmanager
async def open_tab(page: Path | str, width: int, height: int = 1200, profile: Path | None = None) -> AsyncIterator[Tab]:
    """Open a file, or an address (with a directory for the browser), in a window of some width."""
    if isinstance(page, Path):
        profile, page = page.parent / "tab-profile", page.as_uri()
    assert profile is not None
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connection = await websocket_connect(await _address(profile), max_message_size=2**28)
        tab = Tab(connection)
        for domain in ("Runtime", "Log", "Page"):
            await tab.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await tab.call("Emulation.setDeviceMetricsOverride", **size)
        await tab.call("Page.navigate", url=page)
        await tab.until(f"document.readyState === 'complete' && location.protocol === '{page.partition(':')[0]}:'")
        yield tab
    finally:
        browser.terminate()
        browser.wait(20)


async def _address(profile: Path) -> str:
    """Where the page listens; the browser writes its port into the profile."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
        except (OSError, IndexError, StopIteration):
            await asyncio.sleep(0.05)
    raise TimeoutError("the browser did not start")
