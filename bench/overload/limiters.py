"""The limiters that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable

from pybrpc.server.limiters.auto_limiter import AutoLimiter
from pybrpc.server.limiters.limiter import ConstantLimiter, Limiter
from pybrpc.server.limiters.timeout_limiter import TimeoutLimiter

LIMITERS: dict[str, Callable[[], Limiter | None]] = {
    "unlimited": lambda: None,
    "12": lambda: ConstantLimiter(12),
    "auto": AutoLimiter,
    "timeout": TimeoutLimiter,
}
