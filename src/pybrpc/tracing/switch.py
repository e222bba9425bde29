"""The switch that each call looks at, and the span of the running code.

A call that gets no span pays some ten instructions here (see `switch.pxd`), and while spans are
wanted a few dozen: for most calls the bucket of the Sampler is empty, and until its next token
comes none of them asks it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybrpc.tracing.span import Span

_current: ContextVar[Span | None] = ContextVar("pybrpc_span", default=None)
_get_current = _current.get
_set_current = _current.set

_is_on = False
"""Whether this process chooses calls to trace."""
_follows = True
"""Whether calls that the caller traces are traced here too."""
_has_current = False
"""Whether there was a current span in this process. Until then no call looks for one."""
_opens_at = 0.0
"""Time before which the bucket is empty for calls that this process chooses; monotonic seconds."""
_upstream_opens_at = 0.0
"""Time before which it is empty for calls that the caller traces."""


def wants_client_span(now: float) -> bool:
    """Whether a call that begins at `now`, in monotonic seconds, might get a span."""
    if _is_on and now >= _opens_at:
        return True
    return _has_current and _get_current() is not None


def wants_server_span(now: float, is_traced: bool) -> bool:
    """Whether a request that was read at `now` might get a span. `is_traced`: its caller has
    one."""
    if is_traced and _follows:
        return now >= _upstream_opens_at
    return _is_on and now >= _opens_at


def is_on() -> bool:
    """Whether this process chooses calls to trace."""
    return _is_on


def follows_upstream() -> bool:
    """Whether calls that the caller traces are traced here too."""
    return _follows


def set_switch(is_on: bool, follows: bool) -> None:
    """Set what is traced from now on."""
    global _is_on, _follows
    _is_on = is_on
    _follows = follows
    close_until(0.0, 0.0)


def close_until(opens_at: float, upstream_opens_at: float) -> None:
    """The bucket is empty until then, in monotonic seconds."""
    global _opens_at, _upstream_opens_at
    _opens_at = opens_at
    _upstream_opens_at = upstream_opens_at


def leave_current_span() -> None:
    """The running context is that of something new, not of what the current span is of."""
    if _has_current and _get_current() is not None:
        _set_current(None)


def current_span() -> Span | None:
    """The span of the running code: that of the call whose handler it is part of.

    `None` outside of handlers, and if the call is not traced. It may have ended: background tasks
    and threads keep the context of the handler that started them.
    """
    return _get_current()


def set_current_span(span: Span | None) -> Token[Span | None]:
    """Make `span` that of the running context."""
    global _has_current
    _has_current = True
    return _set_current(span)
