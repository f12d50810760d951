"""A headless Chromium, driven over its DevTools websocket with what distributed has installed: tornado."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-extensions",
    "--hide-scrollbars",
)
ANSWER_S = 300.0
# What Chromium needs to act on a key as if it were pressed: its code, and the text that it types.
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), "ArrowRight": (39, ""), "ArrowDown": (40, "")}


def chromium() -> str:
    """The browser's path; in CI it must be there."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs a browser: apt-get install chromium")
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


class Page:
    """One tab: what it shows, and what its console has said."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self._loop = loop
        self._link = loop.run_until_complete(_connect(address))
        self._n_calls = 0
        self.console_errors: list[str] = []
        self.requested: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the connection, and wait until it has ended."""
        self._loop.run_until_complete(self._end())

    async def _end(self) -> None:
        self._link.close()  # asks the running loop for a future
        while await self._link.read_message() is not None:
            pass

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a DevTools command and wait for its answer."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), ANSWER_S))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._n_calls += 1
        number = self._n_calls
        await self._link.write_message(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            text = await self._link.read_message()
            assert text is not None, "the browser has ended"
            message = json.loads(text)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        name, said = message.get("method"), message.get("params", {})
        if name == "Runtime.exceptionThrown":
            self.console_errors.append(json.dumps(said["exceptionDetails"]))
        elif name == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.console_errors.append(json.dumps(said["args"]))
        elif name == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.console_errors.append(f"{said['entry']['text']} {said['entry'].get('url')}")
        elif name == "Network.requestWillBeSent":
            self.requested.append(said["request"]["url"])

    def open(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Go to an address."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        assert "errorText" not in self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key of `KEYS`."""
        code, text = KEYS[key]
        how = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **how)
        self.call("Input.dispatchKeyEvent", type="keyUp", **how)

    def wait_for(self, expression: str, seconds: float = 300) -> Any:
        """Wait until an expression is true, and give its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.2)
        return value

    def screenshot(self, path: Path) -> None:
        """Keep a picture of what is shown."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


async def _connect(address: str) -> Any:
    return await websocket_connect(address, max_message_size=2**27)


@contextmanager
def opened_browser(folder: Path) -> Iterator[Page]:
    """A browser with an empty profile in a folder, for as long as the block lasts."""
    options = [*OPTIONS, f"--user-data-dir={folder}"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to start as root otherwise
    process = subprocess.Popen(
        [chromium(), *options, "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    loop = asyncio.new_event_loop()
    try:
        page = Page(loop, _page_address(folder / "DevToolsActivePort", process))
        try:
            yield page
        finally:
            page.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # The websocket's own tasks end with their loop.
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


def _page_address(port_file: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the browser ended with exit code {process.returncode}"
        with suppress(OSError, ValueError, IndexError, StopIteration):
            port = int(port_file.read_text().splitlines()[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=60) as answer:
                targets = json.load(answer)
            return next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        time.sleep(0.1)
    raise AssertionError("the browser opened no DevTools port")
