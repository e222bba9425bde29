"""Browser: a headless Chromium that opens pages on screens of several kinds.

It receives commands of Chrome's DevTools protocol over a pair of pipes: JSON with a zero byte at
the end of each message.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any, NamedTuple, Self

COMMAND = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
LIMIT_S = 120.0
"""A browser that says nothing for so long hangs."""


class Screen(NamedTuple):
    """A screen that the browser pretends to have; `width` and `height` are pixels of CSS."""

    width: int
    height: int
    is_dark: bool = False
    is_phone: bool = False
    scale: float = 1.0
    """Pixels of a picture for one of CSS."""


DESKTOP = Screen(1280, 860)
DARK_DESKTOP = DESKTOP._replace(is_dark=True)
PHONE = Screen(390, 780, is_phone=True, scale=1.5)


class Browser:
    """Runs within a `with` block. `folder` is its home."""

    def __init__(self, folder: Path) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        start = f'exec "$0" "$@" 3<&{orders} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", start, *COMMAND, f"--user-data-dir={folder}"],
            pass_fds=(orders, answers),
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(folder)},
            process_group=0,
        )
        os.close(orders)
        os.close(answers)
        self._number = 0
        self._read = b""
        self._events: list[dict[str, Any]] = []
        self._session = ""

    def open(self, url: str, screen: Screen = DESKTOP) -> None:
        """Open a page and wait until it is loaded."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width,
            height=screen.height,
            deviceScaleFactor=screen.scale,
            mobile=screen.is_phone,
        )
        scheme = "dark" if screen.is_dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._send("Emulation.setEmulatedMedia", media="screen", features=features)
        self._events.clear()
        found = self._send("Page.navigate", url=url)
        if error := found.get("errorText"):
            raise RuntimeError(f"{url}: {error}")
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._take()

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in JavaScript; that of a promise, if it is one."""
        found = self._send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']['text']}")
        return found["result"].get("value")

    def picture(self) -> bytes:
        """A screenshot, as PNG."""
        return base64.b64decode(self._send("Page.captureScreenshot", format="png")["data"])

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        data = json.dumps(order).encode() + b"\0"
        while data:
            data = data[os.write(self._orders, data) :]
        while True:
            message = self._take()
            if message.get("id") == self._number:
                break
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        result: dict[str, Any] = message["result"]
        return result

    def _take(self) -> dict[str, Any]:
        """The next message of the browser; events are kept, too."""
        while b"\0" not in self._read:
            if not select.select([self._answers], [], [], LIMIT_S)[0]:
                raise RuntimeError(f"the browser said nothing for {LIMIT_S:g} s")
            data = os.read(self._answers, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._read += data
        line, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._events.append(message)
        return message

    def __enter__(self) -> Self:
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        found = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        self._send("Page.enable")
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._orders)  # it ends then
        try:
            self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)
