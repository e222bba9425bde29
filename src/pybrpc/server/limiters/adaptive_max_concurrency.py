"""AdaptiveMaxConcurrency: which limit a method or a server has (adaptive_max_concurrency.h)."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from pybrpc.base.checked_options import checked_count, is_number, shown

UNLIMITED, CONSTANT, AUTO, TIMEOUT = "unlimited", "constant", "auto", "timeout"
"""Types of limits. That of a limiter of the user is the name of its class."""

DEFAULT_TIMEOUT_MS = 500
FIRST_LIMIT = 40
"""Calls that may run at once before any has ended, as in bRPC."""

MAX_LIMIT = (1 << 31) - 1


@runtime_checkable
class ConcurrencyLimiter(Protocol):
    """A limiter of the user, for `Server(max_concurrency=...)` and `set_max_concurrency`.

        class HalfForSlowClients:
            max_concurrency = 100

            def admits(self, concurrency: int, timeout: float | None) -> bool:
                return concurrency <= (100 if timeout is not None and timeout < 1 else 50)

            def on_end(self, latency: float, concurrency: int, error_code: int) -> None: ...

    Neither method may block: `admits` runs in the thread that reads all connections. What they
    raise is logged; a request for which `admits` raises is admitted. After bRPC's class of that
    name.
    """

    @property
    def max_concurrency(self) -> int:
        """The limit as it is now, for pages, variables and error texts; 0: not a number. Any
        thread."""

    def admits(self, concurrency: int, timeout: float | None) -> bool:
        """Whether a request may run with which `concurrency` calls would run, itself included.

        `timeout`: seconds in which its client wants the response; `None`: unknown. One thread at a
        time. It only answers: a request may be refused by the limit of its method after that of the
        server has admitted it, and `on_end` is not called then.
        """

    def on_end(self, latency: float, concurrency: int, error_code: int) -> None:
        """A call that has run has ended, `latency` seconds after it was admitted.

        `concurrency`: as `admits` got it. `error_code`: 0 for success. Any thread, also
        several at once. Not called for a call that nobody wants the response of any more.
        """


@dataclass(frozen=True, slots=True)
class AutoConcurrencyConf:
    """The limit "auto", with options.

    min_limit   the least limit; default 4
    max_limit   the greatest one; 0, the default: none
    error_rate_punish_threshold   part of calls that may fail without making the server count as
                                  slower: from 0, the default, to less than 1. Above it the time of
                                  failed calls is added to that of the others, in proportion

    ValueError for numbers that make no sense.
    """

    min_limit: int = 4
    max_limit: int = 0
    error_rate_punish_threshold: float = 0.0

    def __post_init__(self) -> None:
        checked_count("min_limit", self.min_limit, 1, MAX_LIMIT)
        checked_count("max_limit", self.max_limit, 0, MAX_LIMIT)
        if 0 < self.max_limit < self.min_limit:
            raise ValueError(f"max_limit={self.max_limit} is below min_limit={self.min_limit}")
        threshold = self.error_rate_punish_threshold
        if not is_number(threshold) or not 0 <= threshold < 1:
            raise ValueError(
                "error_rate_punish_threshold must be a number from 0 to less than 1, "
                f"not {threshold!r}"
            )


@dataclass(frozen=True, slots=True)
class TimeoutConcurrencyConf:
    """The limit "timeout", with options.

    timeout_ms        milliseconds in which requests are to be answered that come without a timeout
                      of their own, all those of HTTP; default 500
    max_concurrency   calls that may run at once, whatever their timeouts; 0, the default: as many
                      as can end in time

    ValueError for numbers that make no sense.
    """

    timeout_ms: int = DEFAULT_TIMEOUT_MS
    max_concurrency: int = 0

    def __post_init__(self) -> None:
        checked_count("timeout_ms", self.timeout_ms, 1, MAX_LIMIT)
        checked_count("max_concurrency", self.max_concurrency, 0, MAX_LIMIT)


class AdaptiveMaxConcurrency:
    """A limit, as a value: a number, "auto", "timeout", or a limiter of the user.

        AdaptiveMaxConcurrency(10).type == "constant"
        AdaptiveMaxConcurrency("auto") == "auto"

    Every limit may be given as one. Immutable. Equal to what has the same text: 10 and "10".
    """

    __slots__ = ("conf", "limiter", "type", "value")

    type: str
    """ "unlimited", "constant", "auto", "timeout", or the name of the class of a limiter."""
    value: str
    """The number as a text, else the type."""
    conf: AutoConcurrencyConf | TimeoutConcurrencyConf | None
    """Options of "auto" and "timeout"."""
    limiter: ConcurrencyLimiter | None
    """That of the user."""

    def __init__(self, limit: MaxConcurrency | str = 0) -> None:
        """`limit`: as for `Server.set_max_concurrency`, or any text, "10" for a number.

        ValueError or TypeError for what is no limit.
        """
        self._set(*_parsed("max_concurrency", limit))

    def _set(
        self,
        value: str,
        conf: AutoConcurrencyConf | TimeoutConcurrencyConf | None,
        limiter: ConcurrencyLimiter | None,
    ) -> None:
        set_field = object.__setattr__
        set_field(self, "value", value)
        set_field(self, "type", CONSTANT if value.isdecimal() else value)
        set_field(self, "conf", conf)
        set_field(self, "limiter", limiter)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("AdaptiveMaxConcurrency is immutable")

    def __int__(self) -> int:
        """The number; 0: no limit; -1: it changes."""
        if self.type == UNLIMITED:
            return 0
        return int(self.value) if self.type == CONSTANT else -1

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AdaptiveMaxConcurrency):
            return (self.value, self.conf) == (other.value, other.conf) and (
                self.limiter is other.limiter
            )
        if isinstance(other, int) and not isinstance(other, bool):
            return int(self) == other >= 0
        return isinstance(other, str) and self.value == other

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return f"AdaptiveMaxConcurrency({self.conf or self.value!r})"


MaxConcurrency: TypeAlias = (
    int
    | Literal["unlimited", "auto", "timeout"]
    | AutoConcurrencyConf
    | TimeoutConcurrencyConf
    | ConcurrencyLimiter
    | AdaptiveMaxConcurrency
)
"""A limit, as it may be given. A text that is not known before the program runs, such as that of a
flag, is given as AdaptiveMaxConcurrency(text)."""


def checked_max_concurrency(name: str, limit: object) -> AdaptiveMaxConcurrency:
    """`limit` as a value. ValueError or TypeError, which call it `name`."""
    if isinstance(limit, AdaptiveMaxConcurrency):
        return limit
    checked = AdaptiveMaxConcurrency.__new__(AdaptiveMaxConcurrency)
    checked._set(*_parsed(name, limit))
    return checked


_Parsed: TypeAlias = tuple[
    str, AutoConcurrencyConf | TimeoutConcurrencyConf | None, ConcurrencyLimiter | None
]


def _parsed(name: str, limit: object) -> _Parsed:
    if isinstance(limit, AdaptiveMaxConcurrency):
        return limit.value, limit.conf, limit.limiter
    if isinstance(limit, AutoConcurrencyConf):
        return AUTO, limit, None
    if isinstance(limit, TimeoutConcurrencyConf):
        return TIMEOUT, limit, None
    if isinstance(limit, str):
        return _parsed_text(name, limit)
    if limit is None or isinstance(limit, int | float):
        count = checked_count(name, limit)
        return (str(min(count, MAX_LIMIT)) if count else UNLIMITED), None, None
    return _parsed_limiter(name, limit)


def _parsed_text(name: str, text: str) -> _Parsed:
    if text == AUTO:
        return AUTO, AutoConcurrencyConf(), None
    if text == TIMEOUT:
        return TIMEOUT, TimeoutConcurrencyConf(), None
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_LIMIT)):
        return _parsed(name, int(text))
    if text in ("", UNLIMITED):
        return UNLIMITED, None, None
    raise ValueError(
        f'{name} must be a whole number >= 0, "unlimited", "auto" or "timeout", not {shown(text)}'
    )


def _parsed_limiter(name: str, limiter: object) -> _Parsed:
    """A limiter of the user, whose class has the methods. No code of the user runs."""
    kind = type(limiter)
    for method in ("admits", "on_end"):
        function = inspect.getattr_static(kind, method, None)
        if isinstance(limiter, type) or not callable(getattr(function, "__func__", function)):
            raise TypeError(
                f'{name} must be a whole number >= 0, "auto", "timeout", an AutoConcurrencyConf, a '
                f"TimeoutConcurrencyConf or a ConcurrencyLimiter, not {shown(limiter)}; "
                "a limiter has the methods admits and on_end"
            )
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{name}: {kind.__name__}.{method} must be no async function")
    return kind.__name__, None, limiter  # type: ignore[return-value]


NO_LIMIT = AdaptiveMaxConcurrency()
