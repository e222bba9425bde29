"""Which ends of an attempt may be repeated."""

from __future__ import annotations

import errno

import pytest

from pybrpc.client.retry import may_retry
from pybrpc.errors import ErrorCode


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.EFAILEDSOCKET,
        ErrorCode.EEOF,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ETIMEDOUT,
    ],
)
def test_broken_connection_may_be_retried(code: int) -> None:
    assert may_retry(code)


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.ERPCTIMEDOUT,
        ErrorCode.ECANCELED,
        ErrorCode.EREQUEST,
        ErrorCode.ERESPONSE,
        ErrorCode.ENOSERVICE,
        ErrorCode.ENOMETHOD,
        ErrorCode.EINTERNAL,
        ErrorCode.EOVERCROWDED,
        ErrorCode.ELOGOFF,
        ErrorCode.ELIMIT,
        ErrorCode.ECLOSE,
        ErrorCode.EINVAL,
        10042,
        0,
    ],
)
def test_what_was_said_on_purpose_is_not_retried(code: int) -> None:
    assert not may_retry(code)
