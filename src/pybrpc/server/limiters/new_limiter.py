"""Makes the limiter that a limit asks for."""

from __future__ import annotations

from pybrpc.server.limiters.adaptive_max_concurrency import (
    UNLIMITED,
    AdaptiveMaxConcurrency,
    AutoConcurrencyConf,
    TimeoutConcurrencyConf,
)
from pybrpc.server.limiters.auto_limiter import AutoLimiter
from pybrpc.server.limiters.limiter import ConstantLimiter, Limiter
from pybrpc.server.limiters.timeout_limiter import TimeoutLimiter
from pybrpc.server.limiters.user_limiter import UserLimiter


def new_limiter(limit: AdaptiveMaxConcurrency) -> Limiter | None:
    """A limiter for one method, or for one server; `None`: there is no limit."""
    if limit.limiter is not None:
        return UserLimiter(limit.type, limit.limiter)
    if limit.type == UNLIMITED:
        return None
    if isinstance(limit.conf, AutoConcurrencyConf):
        return AutoLimiter(limit.conf)
    if isinstance(limit.conf, TimeoutConcurrencyConf):
        return TimeoutLimiter(limit.conf)
    return ConstantLimiter(int(limit))
