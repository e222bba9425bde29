"""LoopWakes: how the ends of calls come to a loop, one callback of the loop for many of them.

A future that ends asks its loop to call back who awaits it, and the loop makes a handle, copies a
context and goes through its list for each. With many calls in flight that is most of what asyncio
does for them. An AioFuture takes a LoopWakes for its loop. What it asks for is collected, and done
in the next round of the loop, as the loop would have done it, in one handle.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pybrpc.client.aio_forms import AioCall

Wake = tuple[Callable[[Any], object], Any, Context]


class LoopWakes:
    """Of one channel in one loop. But for `put`, all is called inside the loop."""

    __slots__ = ("_calls", "_is_debugged", "_is_woken", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_debugged = loop.get_debug()
        self._waiting: list[Wake] = []
        self._calls: deque[AioCall] = deque()
        self._is_woken = False

    # --- as a future sees its loop ---

    def call_soon(
        self, callback: Callable[[Any], object], future: Any, *, context: Context | None = None
    ) -> None:
        """As that of the loop, as futures use it: of one argument, and never cancelled."""
        if not self._waiting:
            self._loop.call_soon(self._call_all)
        self._waiting.append((callback, future, copy_context() if context is None else context))

    def get_debug(self) -> bool:
        return self._is_debugged

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._loop.call_exception_handler(context)

    def _call_all(self) -> None:
        """Those that came until now; what one raises doesn't keep the others from being called."""
        self._is_debugged = self._loop.get_debug()
        waiting, self._waiting = self._waiting, []
        for called, (callback, future, context) in enumerate(waiting, 1):
            try:
                context.run(callback, future)
            except (SystemExit, KeyboardInterrupt):
                self._put_back(waiting[called:])
                raise
            except BaseException as error:
                self._loop.call_exception_handler(
                    {"message": f"Exception in callback {callback!r}", "exception": error}
                )

    def _put_back(self, left: list[Wake]) -> None:
        if left and not self._waiting:
            self._loop.call_soon(self._call_all)
        self._waiting = left + self._waiting

    # --- for other threads ---

    def put(self, call: AioCall) -> None:
        """Have `call` settled. Any thread. A loop that is closed has nobody left who waits."""
        self._calls.append(call)
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle_all)

    def _settle_all(self) -> None:
        self._is_woken = False
        while self._calls:
            self._calls.popleft().settle()
