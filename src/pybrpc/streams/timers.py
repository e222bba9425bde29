"""StreamTimers: the idle timeout and the lifetime of one stream."""

from __future__ import annotations

import contextlib
from time import monotonic

from pybrpc.errors import RpcTimeoutError
from pybrpc.streams.core import StreamCore
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, TimerHandle


class StreamTimers:
    """Started when the stream is open. The rest happens in turns. One timer, for what comes
    first."""

    __slots__ = ("_core", "_dies_at", "_idle_at", "_timer")

    def __init__(self, core: StreamCore) -> None:
        now = monotonic()
        options = core.options
        self._core = core
        self._dies_at = None if options.lifetime is None else now + options.lifetime
        self._idle_at = None if options.idle_timeout is None else now + options.idle_timeout
        self._timer: TimerHandle | None = None

    def start(self) -> None:
        """Any thread."""
        due = [at for at in (self._dies_at, self._idle_at) if at is not None]
        if due and not self._core.is_over:
            with contextlib.suppress(DispatcherClosedError):
                dispatcher = self._core.table.socket.dispatcher
                self._timer = dispatcher.call_at(min(due), self._on_timer)

    def _on_timer(self) -> None:
        core, now = self._core, monotonic()
        if core.has_ended:
            return
        if self._dies_at is not None and now >= self._dies_at:
            text = f"its lifetime of {core.options.lifetime} s is over"
            core.reset(RpcTimeoutError(text, peer=core.table.peer))
            return
        if self._idle_at is not None and now >= self._idle_at:
            self._check_idle(now)
        self.start()

    def _check_idle(self, now: float) -> None:
        core = self._core
        timeout_s = core.options.idle_timeout
        assert timeout_s is not None
        if not core.unread and now < core.received_at + timeout_s:
            self._idle_at = core.received_at + timeout_s
            return
        self._idle_at = now + timeout_s
        if core.unread:
            return
        if core.consumer is not None and core.options.on_idle_timeout is not None:
            core.consumer.on_idle()
        else:
            text = f"nothing was received for {timeout_s} s"
            core.reset(RpcTimeoutError(text, peer=core.table.peer))
