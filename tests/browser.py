"""A headless Chromium that tests drive over its DevTools protocol: pages, keys, colours, sizes, pictures.

Debian's package `chromium`, or the program that CHROMIUM names.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

KEYS = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "Tab": 9}


def program() -> str | None:
    """The browser's path, None where there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """A tab. `requested` lists the addresses that it asked for."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self.requested: list[str] = []
        self.faults: list[str] = []  # exceptions and errors that the page's console has
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command, and its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            told = json.loads(self._connection.recv(timeout=30))
            self._note(told)
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told.get('error')}"
                return told["result"]

    def _note(self, told: dict[str, Any]) -> None:
        params = told.get("params", {})
        if told.get("method") == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif told.get("method") == "Runtime.exceptionThrown":
            self.faults.append(json.dumps(params["exceptionDetails"])[:500])
        elif told.get("method") == "Page.javascriptDialogOpening":
            self.faults.append(f"a dialog: {params['message']}")
        elif told.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.faults.append(params["entry"]["text"])

    def look(self, width: int = 1200, height: int = 800, dark: bool = False) -> None:
        """Size and colour scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def visit(self, address: str) -> None:
        """Go there; what was asked for and what went wrong are those of this visit."""
        self.requested.clear()
        self.faults.clear()
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, f"{expression}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 30) -> Any:
        """Wait until an expression is true, and give its value."""
        deadline = time.monotonic() + seconds
        while not (found := self.value(expression)):
            assert time.monotonic() < deadline, f"{expression} did not come to be; faults: {self.faults}"
            time.sleep(0.02)
        return found

    def click(self, selector: str) -> None:
        """A press of the mouse on the middle of an element, which must be in sight."""
        where = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2, r.width]; })()"
        )
        assert where[2] > 0, f"{selector} is not to be seen"
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def point(self, x: float, y: float) -> None:
        """Move the pointer."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def press(self, key: str, modifiers: int = 0) -> None:
        """A key. `modifiers`: 1 Alt, 2 Control, 8 Shift."""
        code = KEYS.get(key, ord(key[-1].upper()))
        name = key if key in KEYS else f"Key{key.upper()}"
        given = {"key": key, "code": name, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        text = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **given, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **given)

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser() -> Iterator[str]:
    """Start Chromium without a window, until the block ends: the address of its DevTools."""
    chromium = program()
    assert chromium is not None, "no chromium"
    with tempfile.TemporaryDirectory() as profile:
        flags = "headless=new no-sandbox disable-gpu no-first-run disable-dev-shm-usage disable-background-networking"
        flags += " disable-component-update disable-default-apps remote-debugging-port=0"
        command = [chromium, *(f"--{flag}" for flag in flags.split()), f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port, deadline = Path(profile, "DevToolsActivePort"), time.monotonic() + 60
            while not (port.exists() and port.read_text().strip()):
                assert process.poll() is None and time.monotonic() < deadline, "chromium does not start"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port.read_text().split()[0]}"
        finally:
            process.terminate()
            process.wait(timeout=30)
            time.sleep(0.2)  # its children still write to the profile for a moment


@contextmanager
def tab(devtools: str) -> Iterator[Page]:
    """A new tab."""
    made = httpx.put(f"{devtools}/json/new?about:blank", timeout=30).json()
    with connect(made["webSocketDebuggerUrl"], max_size=1 << 26) as connection:
        yield Page(connection)
    httpx.get(f"{devtools}/json/close/{made['id']}")
