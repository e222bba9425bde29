"""RetryPause: where a call waits between a failed attempt and the next one."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybrpc.client.call import Call
    from pybrpc.transport.event_dispatcher import EventDispatcher, TimerHandle


class RetryPause:
    """A Place that ends with a timer."""

    __slots__ = ("_call", "_timer", "_token")

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call
        self._timer: TimerHandle | None = None
        self._token = threading.Lock()

    def begin(self, dispatcher: EventDispatcher, pause_s: float) -> None:
        """Tell the call in `pause_s` seconds. DispatcherClosedError if that will never be."""
        timer = self._timer = dispatcher.call_at(time.monotonic() + pause_s, self._on_over)
        if self._token.locked():
            timer.cancel()

    def take_out(self) -> bool:
        is_mine = self._token.acquire(blocking=False)
        timer = self._timer
        if is_mine and timer is not None:
            timer.cancel()
        return is_mine

    def _on_over(self) -> None:
        call = self._call
        if call is not None and self.take_out():
            self._call = None
            call.on_pause_over()
