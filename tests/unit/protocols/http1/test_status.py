"""Statuses for bRPC's error codes, and texts of statuses: src/brpc/http_status_code.cpp."""

from __future__ import annotations

import errno
import http

import pytest

from pybrpc.error_codes import ErrorCode
from pybrpc.protocols.http1.status import error_code_in, reason_phrase, status_of_error


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, 200),
        (ErrorCode.ENOSERVICE, 404),
        (ErrorCode.ENOMETHOD, 404),
        (ErrorCode.ERPCAUTH, 401),
        (ErrorCode.EREQUEST, 400),
        (errno.EINVAL, 400),
        (ErrorCode.ELIMIT, 503),
        (ErrorCode.ELOGOFF, 503),
        (errno.EPERM, 403),
        (ErrorCode.ERPCTIMEDOUT, 504),
        (errno.ETIMEDOUT, 504),
        (ErrorCode.EINTERNAL, 500),
        (ErrorCode.ERESPONSE, 500),
        (4711, 500),
        (-1, 500),
    ],
)
def test_status_of_error(code: int, status: int) -> None:
    assert status_of_error(int(code)) == status


def test_texts_of_statuses() -> None:
    """The cases of test/brpc_http_status_code_unittest.cpp."""
    assert reason_phrase(200) == "OK"
    assert reason_phrase(100) == "Continue"
    assert reason_phrase(505) == "HTTP Version Not Supported"
    assert reason_phrase(-2) == "Unknown status code (-2)"
    assert reason_phrase(413) == "Request Entity Too Large"
    assert all(reason_phrase(int(status)) for status in http.HTTPStatus)


@pytest.mark.parametrize(
    ("value", "code"),
    [("10042", 10042), ("0", 0), (None, None), ("", None), ("-1", None), ("²", None), ("1x", None)],
)
def test_error_code_in_a_header(value: str | None, code: int | None) -> None:
    assert error_code_in(value) == code
    assert error_code_in("1" * 11) is None
