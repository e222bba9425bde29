"""Gate: threads and tasks of any loop wait in it until it is opened."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict

LIMIT_S = 60.0
"""Longer than any round lasts."""


class Gate:
    """Closed at first. Any thread may open it; it stays open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self._futures: defaultdict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = (
            defaultdict(list)
        )
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many tasks have come to the gate so far."""
        return self._waiting

    def wait(self) -> None:
        """Block until it is open."""
        self._opened.wait(LIMIT_S)

    async def passed(self) -> None:
        """Wait until it is open."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._waiting += 1
            if self._opened.is_set():
                return
            future = loop.create_future()
            self._futures[loop].append(future)
        await future

    def open(self) -> None:
        """All go on in one round of their loop."""
        with self._lock:
            self._opened.set()
            futures = dict(self._futures)
            self._futures.clear()
        for loop, waiting in futures.items():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_release, waiting)


def _release(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
