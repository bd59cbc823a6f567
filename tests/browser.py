"""Headless Chromium over its DevTools protocol: what an opened page does, and how it looks.

python -m tests.browser PAGE.html FOLDER    writes a desktop and a phone picture of the page
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import websocket

CHROMIUM = shutil.which("chromium")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}  # CSS pixels
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)

# Resolves once MathJax, where the page has it, has set every formula.
SETTLED = """
new Promise(done => {
  const started = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
  Promise.resolve(started).then(() => document.fonts.ready).then(() => requestAnimationFrame(done));
})
"""
# Resolves once the window has been drawn as it is now.
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# The elements that make a page scroll sideways.
TOO_WIDE = """
document.documentElement.scrollWidth <= screen.width + 1 ? [] :
[...document.querySelectorAll('body *')]
  .filter(e => e.getBoundingClientRect().right > screen.width + 1)
  .slice(0, 5).map(e => e.outerHTML.slice(0, 200))
"""


@dataclass
class Visit:
    """What was seen while a page was opened: error messages and requested addresses."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Page:
    """One tab. `open` an address, then `evaluate` JavaScript in it or take a `picture`."""

    def __init__(self, socket: websocket.WebSocket):
        self._socket = socket
        self._number = 0
        self._visit = Visit()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, address: str, size: str, timeout: float = 60) -> Visit:
        """Open a page at one of SIZES and wait until it is loaded and its mathematics is set."""
        self._show(*SIZES[size], mobile=size == "phone")
        self._visit = Visit()
        self._loaded = False
        failure = self._call("Page.navigate", url=address).get("errorText")
        if failure:
            raise RuntimeError(f"{address}: {failure}")
        end = time.monotonic() + timeout
        while not self._loaded:
            if time.monotonic() > end:
                raise TimeoutError(f"{address} was not loaded in {timeout} s")
            self._receive()
        self.evaluate(SETTLED)
        return self._visit

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page (of a promise: what it resolves to)."""
        answer = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """A PNG of the whole page, as tall as it is; the window is as tall from then on."""
        height = self.evaluate("document.documentElement.scrollHeight")
        self._show(self.evaluate("innerWidth"), height, mobile=self._mobile)
        # Chromium's own way to look beyond the window lays some long pages out anew, too wide.
        self.evaluate(DRAWN)
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def _show(self, width: int, height: int, mobile: bool) -> None:
        self._mobile = mobile
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            screenWidth=width,
            screenHeight=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv())
        event, parameters = message.get("method"), message.get("params", {})
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Network.requestWillBeSent":
            self._visit.requests.append(parameters["request"]["url"])
        elif event == "Network.webSocketCreated":
            self._visit.requests.append(parameters["url"])
        elif event == "Runtime.exceptionThrown":
            self._visit.errors.append(json.dumps(parameters["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self._visit.errors.append(json.dumps(parameters["args"]))
        elif event == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self._visit.errors.append(json.dumps(parameters["entry"]))
        return message


@contextmanager
def page(*flags: str) -> Iterator[Page]:
    """A tab of a Chromium of its own, started with more flags, closed afterwards."""
    # a child that is still writing while its parent dies may keep the folder from emptying
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"TMPDIR": profile},
        )
        try:
            # "DevTools listening on ws://127.0.0.1:PORT/devtools/browser/ID"
            port = next(
                line.split("127.0.0.1:")[1].split("/")[0]
                for line in process.stderr
                if line.startswith("DevTools listening")
            )
            yield Page(_connect(port))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _connect(port: str) -> websocket.WebSocket:
    """The tab's own socket, whose address the browser lists over HTTP."""
    with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
        tab = next(target for target in json.load(answer) if target["type"] == "page")
    return websocket.create_connection(
        tab["webSocketDebuggerUrl"], timeout=60, suppress_origin=True
    )


def main() -> None:
    """Write a picture of a page at each size."""
    if len(sys.argv) != 3 or CHROMIUM is None:
        sys.exit("python -m tests.browser PAGE.html FOLDER (with chromium on the path)")
    address, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with page() as tab:
        for size in SIZES:
            tab.open(address.as_uri(), size)
            target = folder / f"{address.stem}-{size}.png"
            target.write_bytes(tab.picture())
            print(target)


if __name__ == "__main__":
    main()
