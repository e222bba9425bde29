"""UserLimiter: a ConcurrencyLimiter of the user, whose code may raise anything."""

from __future__ import annotations

from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.base.limited_log import LimitedLog
from pybrpc.server.limiters.adaptive_max_concurrency import MAX_LIMIT, ConcurrencyLimiter
from pybrpc.server.limiters.limiter import Limiter


class UserLimiter(Limiter):
    """Exceptions of the limiter are logged, once a second; a request is admitted then."""

    __slots__ = ("_limiter", "_log")

    def __init__(self, name: str, limiter: ConcurrencyLimiter) -> None:
        Limiter.__init__(self, name, True)
        self._limiter = limiter
        self._log = LimitedLog(SERVER)

    def limit(self) -> int:
        try:
            limit = self._limiter.max_concurrency
            if isinstance(limit, int):
                return max(0, min(int(limit), MAX_LIMIT))
        except BaseException as error:
            self._note_raised("max_concurrency", error)
        return 0

    def admits(self, concurrency: int, timeout_ms: int, now: float) -> bool:
        timeout = timeout_ms / 1000 if timeout_ms else None
        try:
            return bool(self._limiter.admits(concurrency, timeout))
        except BaseException as error:
            self._note_raised("admits", error)
            return True

    def on_end(self, now: float, latency_s: float, concurrency: int, error_code: int) -> None:
        try:
            self._limiter.on_end(latency_s, concurrency, error_code)
        except BaseException as error:
            self._note_raised("on_end", error)

    def _note_raised(self, what: str, error: BaseException) -> None:
        self._log.warn("%s of the limiter %s raised", what, self.name, reason=error)
        deliver_interrupt(error)
