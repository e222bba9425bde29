"""Statuses of HTTP: their texts, and which one answers which error code of bRPC.

bRPC: src/brpc/http_status_code.cpp.
"""

from __future__ import annotations

import errno
import http

from pybrpc.error_codes import ErrorCode

ERROR_CODE_HEADER = "x-bd-error-code"
"""The header with the error code of a failed call, in decimal."""

AUTHENTICATION_STATUS = 403
"""The answer to a request that an Authenticator refuses; ERPCAUTH from a handler is 401."""

_STATUSES = {
    0: 200,
    ErrorCode.ENOSERVICE: 404,
    ErrorCode.ENOMETHOD: 404,
    ErrorCode.ERPCAUTH: 401,
    ErrorCode.EREQUEST: 400,
    errno.EINVAL: 400,
    ErrorCode.ELIMIT: 503,
    ErrorCode.ELOGOFF: 503,
    errno.EPERM: 403,
    ErrorCode.ERPCTIMEDOUT: 504,
    errno.ETIMEDOUT: 504,
}

_PHRASES = {
    **{int(status): status.phrase for status in http.HTTPStatus},
    # As bRPC and HTTP/1.1 (RFC 2616) have them, in every release of Python.
    203: "Non-Authoritative Informational",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}


def status_of_error(error_code: int) -> int:
    """The status that answers a call that failed with an error code; 500 for most."""
    return _STATUSES.get(error_code, 500)


def reason_phrase(status: int) -> str:
    """ "Not Found" for 404; "Unknown status code (599)" if there is no such status."""
    return _PHRASES.get(status) or f"Unknown status code ({status})"


def error_code_in(value: str | None) -> int | None:
    """The error code in the value of `x-bd-error-code`; None if there is none."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 10:
        return None
    return int(value)
