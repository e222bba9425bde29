"""Waiting to be woken: threads with a deadline, tasks of any asyncio loop.

Who wakes takes a function without arguments, and may call it more than once, from any thread. So a
thing that is waited for needs only a list of functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

Wake = Callable[[], None]

NAP_S = 0.25
"""A signal that comes just before the main thread falls asleep does not wake it. So it sleeps no
longer than this at a time; then Python runs the handler, and Ctrl-C works."""

LONG_NAP_S = 3600.0


def acquire_until(lock: threading.Lock, deadline: float) -> bool:
    """Acquire, at the latest at `deadline` (monotonic seconds); False if that came first."""
    nap_s = NAP_S
    while True:
        left_s = deadline - time.monotonic()
        if lock.acquire(timeout=max(0.0, min(left_s, nap_s))):
            return True
        if left_s <= nap_s:
            return False
        if threading.current_thread() is not threading.main_thread():
            nap_s = LONG_NAP_S


def block_until_woken(
    add: Callable[[Wake], None], discard: Callable[[Wake], None], deadline: float
) -> bool:
    """Block the thread until the function given to `add` is called; False if `deadline` came."""
    turnstile = threading.Lock()
    turnstile.acquire()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # released already
            turnstile.release()

    add(wake)
    try:
        return acquire_until(turnstile, deadline)
    finally:
        discard(wake)


async def until_woken(add: Callable[[Wake], None], discard: Callable[[Wake], None]) -> None:
    """The same for a task; nothing happens if the loop is closed when it is woken."""
    loop = asyncio.get_running_loop()
    is_woken: asyncio.Future[None] = loop.create_future()

    def set_woken() -> None:
        if not is_woken.done():
            is_woken.set_result(None)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(set_woken)

    add(wake)
    try:
        await is_woken
    finally:
        discard(wake)
