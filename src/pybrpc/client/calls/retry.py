"""RetryPolicy: when a call is sent again; RetryPause: the wait before it is."""

from __future__ import annotations

import dataclasses
import errno
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.backoff import Backoff
from pybrpc.base.checked_options import (
    checked_count,
    checked_flag,
    checked_function_or_none,
    checked_instance_or_none,
    checked_list,
)
from pybrpc.base.public_dir import public_dir
from pybrpc.errors import CONNECTION_CODES, ErrorCode, Phase, RpcError
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import WaitPoint
    from pybrpc.client.calls.attempt_end import CanceledBy
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

As bRPC's default policy, with three differences. ELIMIT and EOVERCROWDED are missing: with one
server an immediate retry would fail in the same way. EHOSTUNREACH and ENETUNREACH are added: when a
peer has vanished, Linux reports these instead of ETIMEDOUT if a router, or this machine, had
reported the reason (tcp(7)). And a code of a connection in a response is not retried: it is the
error of a call that the handler has made, and passed on.
"""

Judge = Callable[[RpcError], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are worth another attempt. The number of attempts is the channel's max_retry.

    codes         error codes after which a call is sent again. If the server has sent the error,
                  codes of connections (EEOF, ECONNRESET, ...) don't count: they come from a call
                  that its handler has made, and the request has run.
    judge         asked instead of `codes`, with the RpcError: True to send again. Called by
                  whichever thread finds the failure; must not block. If it raises, the call is not
                  sent again.
    backoff       how long to wait before each retry; `None`: not at all. There is no wait if it
                  would last beyond the call's deadline.
    may_have_run  False: never repeat a request that may have run, whatever `codes` and `judge` say,
                  and send no backup request. It may have run if a byte of it may have left this
                  process, unless the server answered ELOGOFF. A method whose `idempotency_level`
                  is IDEMPOTENT or NO_SIDE_EFFECTS is repeated nevertheless.

    After bRPC's RetryPolicy and RpcRetryPolicyWithFixedBackoff/JitteredBackoff.
    """

    codes: frozenset[int] = RETRYABLE_CODES
    judge: Judge | None = None
    backoff: Backoff | None = None
    may_have_run: bool = True

    def __post_init__(self) -> None:
        codes = frozenset(checked_list("codes", self.codes, int, "numbers such as ErrorCode.EEOF"))
        object.__setattr__(self, "codes", codes)
        checked_function_or_none("judge", self.judge, "error")
        checked_instance_or_none("backoff", self.backoff, Backoff)
        checked_flag("may_have_run", self.may_have_run)

    def __dir__(self) -> list[str]:
        return public_dir(self, frozenset({"delay_s", "may_retry", "runs_user_code"}))

    @property
    def runs_user_code(self) -> bool:
        """Whether `may_retry` or `delay_s` runs code of the user."""
        return self.judge is not None or type(self.backoff) not in (Backoff, type(None))

    def may_retry(self, error: RpcError) -> bool:
        """Whether an attempt that ended with `error` may be repeated, the budget and `may_have_run`
        allowing. Raises what `judge` raises."""
        if self.judge is not None:
            return self.judge(error)
        return error.code in self.codes and not _is_passed_on(error)

    def delay_s(self, retried_count: int) -> float:
        """Seconds to wait before the retry that follows `retried_count` earlier ones."""
        if self.backoff is None:
            return 0.0
        return self.backoff.delay_s(retried_count, random.random)


DEFAULT_RETRY_POLICY = RetryPolicy()


def _is_passed_on(error: RpcError) -> bool:
    """Whether the server has sent the error of a connection, which its handler got from a call."""
    return error.phase is Phase.SERVER and error.code in CONNECTION_CODES


def checked_max_retry(max_retry: object) -> int:
    """`max_retry` if it is a whole number >= 0, else a ValueError that says so."""
    return checked_count("max_retry", max_retry)


class PausedCall(Protocol):
    """A call, as its RetryPause sees it."""

    def wait_in(self, place: WaitPoint) -> None:
        """Note where the call will wait, before any other thread can find it there."""

    def on_pause_over(self) -> None:
        """The pause is over; the call was claimed there."""

    def on_no_connection(self, error: RpcError) -> None:
        """The call, which was claimed in its pause, will get no connection."""


class RetryPause:
    """A WaitPoint that ends with a timer. It is in a RetryPauses until it is claimed."""

    __slots__ = ("_pauses", "_timer", "call")

    def __init__(self, call: PausedCall, pauses: dict[RetryPause, None]) -> None:
        self.call = call
        self._pauses = pauses
        self._timer: TimerHandle | None = None

    def begin(self, dispatcher: EventDispatcher, pause_s: float) -> None:
        """End the pause in `pause_s` seconds. DispatcherClosedError if that is impossible, unless
        another thread has claimed the call; the caller still owns it then."""
        self.call.wait_in(self)
        self._pauses[self] = None
        try:
            timer = self._timer = dispatcher.call_at(time.monotonic() + pause_s, self._on_timer)
        except DispatcherClosedError:
            if self.try_claim():
                raise
            return
        if self not in self._pauses:
            timer.cancel()

    def try_claim(self) -> bool:
        is_claimed = self._pauses.pop(self, self) is None
        timer = self._timer
        if is_claimed and timer is not None:
            timer.cancel()
        return is_claimed

    def try_cancel(self, canceled_by: CanceledBy) -> bool:
        return self.try_claim()

    @property
    def phase(self) -> Phase:
        return Phase.QUEUED

    def _on_timer(self) -> None:
        if self.try_claim():
            self.call.on_pause_over()


class RetryPauses:
    """The calls of one source that wait before a retry. Any thread, without a lock."""

    __slots__ = ("_pauses",)

    def __init__(self) -> None:
        self._pauses: dict[RetryPause, None] = {}

    def begin(self, call: PausedCall, dispatcher: EventDispatcher, pause_s: float) -> None:
        """Have `call` pause. DispatcherClosedError as for `RetryPause.begin`."""
        RetryPause(call, self._pauses).begin(dispatcher, pause_s)

    def all(self) -> list[RetryPause]:
        """The pauses that have not ended yet."""
        return list(self._pauses)

    def __len__(self) -> int:
        return len(self._pauses)
