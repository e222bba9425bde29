"""RetryPolicy: when a call is sent again; RetryPause: the wait before it is."""

from __future__ import annotations

import dataclasses
import errno
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pybrpc.base.backoff import Backoff
from pybrpc.base.flags import OnceFlag
from pybrpc.errors import ErrorCode, Phase, RpcError

if TYPE_CHECKING:
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
"""The request never left, or its connection broke before a response came, or the server stops.

As bRPC's default policy, with two differences. ELIMIT and EOVERCROWDED are missing: with one server
an immediate retry would fail in the same way. EHOSTUNREACH and ENETUNREACH are added: when a peer
has vanished, Linux reports these instead of ETIMEDOUT if a router, or this machine, had reported
the reason (tcp(7)).
"""

Judge = Callable[[RpcError], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are worth another attempt. The number of attempts is the channel's max_retry.

    codes    error codes after which a call is sent again
    judge    asked instead of `codes`, with the RpcError: True to send again. Called by whichever
             thread finds the failure; must not block.
    backoff  how long to wait before each retry; `None`: not at all. There is no wait if it would
             last beyond the call's deadline.

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

    __slots__ = ("_claimed", "_on_over", "_timer")

    def __init__(self, on_over: Callable[[], None]) -> None:
        """`on_over` is called in a turn of the dispatcher, unless the call is claimed before."""
        self._on_over: Callable[[], None] | None = on_over
        self._timer: TimerHandle | None = None
        self._claimed = OnceFlag()

    def begin(self, dispatcher: EventDispatcher, pause_s: float) -> None:
        """End the pause in `pause_s` seconds. DispatcherClosedError if that is impossible."""
        timer = self._timer = dispatcher.call_at(time.monotonic() + pause_s, self._on_timer)
        if self._claimed.is_set():
            timer.cancel()

    def try_claim(self) -> bool:
        is_claimed = self._claimed.try_set()
        timer = self._timer
        if is_claimed and timer is not None:
            timer.cancel()
        return is_claimed

    def try_cancel(self) -> bool:
        return self.try_claim()

    @property
    def phase(self) -> Phase:
        return Phase.QUEUED

    def _on_timer(self) -> None:
        on_over = self._on_over
        if on_over is not None and self.try_claim():
            self._on_over = None
            on_over()
