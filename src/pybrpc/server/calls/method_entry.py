"""MethodEntry: one method of a service, its handler, and how long the handler takes.

The handler of a generic service has one entry too, for all methods that it serves: their names are
chosen by peers, and there is no end of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pybrpc.base.checked_options import checked_flag_or_none
from pybrpc.rpc.method import Method
from pybrpc.server.calls.method_times import MethodTimes
from pybrpc.server.limiters.limiter import Limiter

Handler = Callable[..., Any]

GENERIC_NAME = "*"
"""The name of all methods that a generic service serves."""

SLOW_S = 0.001
"""A handler whose calls take longer than this on average is slow. In seconds."""

MIN_FAST_CALLS, MAX_FAST_CALLS = 8, 256
"""Fast calls in a row before a handler may run inline again after a slow call. It is 8 after a
single slow call, which another process on the same processor can cause; it doubles, up to 256, each
time that slow calls recur soon."""

_WEIGHT = 0.125
_MAX_COUNTED_S = 4 * SLOW_S
"""The most that one call adds to the average, in seconds: a handler is slow after three slow calls
in a row, not after one that waited for the GIL."""


def is_async_handler(handler: Handler) -> bool:
    """Whether a handler is an `async def`, which may yield, or an object that is called as one."""
    called = getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (handler, called)
    )


class MethodEntry:
    """A method that is served. Counters are written by many threads; a lost update does no harm."""

    __slots__ = (
        "_fast_calls",
        "_fast_calls_needed",
        "cancel_handlers",
        "drop_expired",
        "enable_progressive_read",
        "full_name",
        "handler",
        "inline_after_calls",
        "is_async",
        "is_generic",
        "limiter",
        "mean_s",
        "rejected",
        "request_type",
        "response_type",
        "running",
        "times",
        "waits",
    )

    def __init__(self, method: Method | None, handler: Handler) -> None:
        """`None`: the entry of a generic service."""
        self.is_generic = method is None
        """Whether the handler takes a RawRequest and returns bytes."""
        self.full_name = GENERIC_NAME if method is None else method.full_name
        self.request_type: Any = None if method is None else method.request_type
        self.response_type: Any = None if method is None else method.response_type
        self.handler = handler
        self.is_async = is_async_handler(handler)
        self.mean_s = 0.0
        """Moving average of the seconds that the handler takes."""
        self.inline_after_calls = 0
        """Fast calls that are still needed before the thread that reads may run the handler."""
        self._fast_calls_needed = MIN_FAST_CALLS
        """Value of `inline_after_calls` after the next slow call."""
        self._fast_calls = 0
        """Fast calls since the handler was last allowed to run inline."""
        self.cancel_handlers = True
        """Whether a canceled call cancels its handler, if that is async, and its nested calls."""
        self.drop_expired = True
        """Whether a call whose deadline has passed before its turn is not run."""
        self.enable_progressive_read = False
        """Whether a request of HTTP is run when its head has come; the handler reads the body."""
        self.limiter: Limiter | None = None
        """Limits the requests of this method that run at once; `None`: no limit of its own."""
        self.rejected = 0
        """Requests that the limiter has refused."""
        self.running: set[object] = set()
        """Requests of this method that run; filled only while there is a limiter."""
        self.times: MethodTimes | None = None
        """Where its calls are counted; `None` while no server runs with it."""
        self.waits = False
        """Whether the last call of an async handler had to wait for something."""

    @property
    def max_concurrency(self) -> int:
        """Requests of this method that may run at once, as it is now; 0: no limit of its own."""
        limiter = self.limiter
        return 0 if limiter is None else limiter.limit()

    def is_quick(self) -> bool:
        """Whether the thread that reads may run the handler: no call has been slow recently."""
        return self.inline_after_calls == 0

    def set_flags(
        self,
        cancel_handlers: bool | None,
        drop_expired: bool | None,
        enable_progressive_read: bool | None,
    ) -> None:
        """Set those that are not `None`. TypeError, and nothing is set, if one is no bool."""
        flags = {
            "cancel_handlers": cancel_handlers,
            "drop_expired": drop_expired,
            "enable_progressive_read": enable_progressive_read,
        }
        checked = {name: checked_flag_or_none(name, flag) for name, flag in flags.items()}
        for name, flag in checked.items():
            if flag is not None:
                setattr(self, name, flag)

    def note_slow(self) -> None:
        """A call was slow: the next ones run in a worker."""
        self.inline_after_calls = self._fast_calls_needed
        self._fast_calls_needed = min(2 * self._fast_calls_needed, MAX_FAST_CALLS)
        self._fast_calls = 0

    def note_duration(self, seconds: float) -> None:
        if seconds > SLOW_S:
            self.note_slow()
        elif self.inline_after_calls > 0:
            self.inline_after_calls -= 1
        elif self._fast_calls_needed > MIN_FAST_CALLS:
            self._note_fast()
        if seconds > _MAX_COUNTED_S:
            seconds = _MAX_COUNTED_S
        self.mean_s += (seconds - self.mean_s) * _WEIGHT

    def _note_fast(self) -> None:
        self._fast_calls += 1
        if self._fast_calls >= MAX_FAST_CALLS:
            self._fast_calls = 0
            self._fast_calls_needed //= 2

    def __repr__(self) -> str:
        kind = "async" if self.is_async else "sync"
        return f"<MethodEntry {self.full_name}, {kind}, {self.mean_s * 1e6:.0f} us>"
