"""RetryPolicy: when a call is sent again, and how long it waits before."""

from __future__ import annotations

import dataclasses
import errno
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pybrpc.base.backoff import Backoff
from pybrpc.errors import ErrorCode, RpcError

if TYPE_CHECKING:
    from pybrpc.client.calls.call import Call
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher, TimerHandle

DEFAULT_MAX_RETRY = 3

RETRYABLE_CODES = frozenset(
    {
        ErrorCode.EFAILEDSOCKET,
        ErrorCode.EEOF,
        ErrorCode.ELOGOFF,
        errno.EHOSTDOWN,
        errno.EPIPE,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ETIMEDOUT,  # of a connection; the deadline of a call is ERPCTIMEDOUT
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
)
"""The request never left, or its connection broke before an answer came, or the server stops.

As bRPC's default policy but for ELIMIT and EOVERCROWDED: with one server an immediate repetition
would hear the same. And with EHOSTUNREACH and ENETUNREACH: of a peer that has vanished Linux tells
these in place of ETIMEDOUT if a router, or this machine itself, had said why (tcp(7)).
"""

Judge = Callable[[RpcError], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are worth another attempt. The number of attempts is the channel's max_retry.

    codes    error codes after which a call is sent again
    judge    asked instead of `codes`, with the RpcError: True to send again. Called by whichever
             thread finds the failure; must not block.
    backoff  how long to wait before each retry; `None`: not at all. A wait that would pass the
             call's deadline is left out.

    After bRPC's RetryPolicy and RpcRetryPolicyWithFixedBackoff/JitteredBackoff.
    """

    codes: frozenset[int] = RETRYABLE_CODES
    judge: Judge | None = None
    backoff: Backoff | None = None

    def may_retry(self, error: RpcError) -> bool:
        """Whether an attempt that ended with `error` may be repeated, the budget allowing."""
        if self.judge is not None:
            return self.judge(error)
        return error.code in self.codes

    def delay_s(self, retried_count: int) -> float:
        """Seconds to wait before the retry that follows `retried_count` earlier ones."""
        if self.backoff is None:
            return 0.0
        return self.backoff.delay_s(retried_count, random.random)


DEFAULT_RETRY_POLICY = RetryPolicy()


def checked_max_retry(max_retry: object) -> int:
    """`max_retry` if it is a whole number >= 0, else a ValueError that says so."""
    if isinstance(max_retry, bool) or not isinstance(max_retry, int) or max_retry < 0:
        raise ValueError(f"max_retry must be a whole number >= 0, not {max_retry!r}")
    return max_retry


class RetryPause:
    """A WaitPoint that ends with a timer."""

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

    def try_claim(self) -> bool:
        is_mine = self._token.acquire(blocking=False)
        timer = self._timer
        if is_mine and timer is not None:
            timer.cancel()
        return is_mine

    def _on_over(self) -> None:
        call = self._call
        if call is not None and self.try_claim():
            self._call = None
            call.on_pause_over()
