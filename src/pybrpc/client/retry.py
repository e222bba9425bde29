"""When a call is sent again."""

from __future__ import annotations

import errno

from pybrpc.errors import ErrorCode

DEFAULT_MAX_RETRY = 3

RETRYABLE_CODES = frozenset(
    {
        ErrorCode.EFAILEDSOCKET,
        ErrorCode.EEOF,
        errno.EHOSTDOWN,
        errno.EPIPE,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ETIMEDOUT,  # of connecting; the deadline of a call is ERPCTIMEDOUT
    }
)
"""The request never left, or its connection broke before an answer came.

As bRPC's default policy but for what the peer or this side said on purpose (ELOGOFF, ELIMIT,
EOVERCROWDED): with one connection to one server an immediate repetition would hear the same.
"""


def may_retry(code: int) -> bool:
    """Whether an attempt that ended with `code` may be repeated, the budget allowing."""
    return code in RETRYABLE_CODES
