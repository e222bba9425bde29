"""status_error: the error of a call whose response has a status other than 2xx.

bRPC: ProcessHttpResponse, src/brpc/policy/http_rpc_protocol.cpp. C++ looks at `x-bd-error-code`
only with -use_http_error_code; here it always counts if the server sends it.
"""

from __future__ import annotations

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.protocols.http1.client_session import WholeResponse
from pybrpc.protocols.http1.head import ResponseHead
from pybrpc.protocols.http1.status import ERROR_CODE_HEADER, error_code_in
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.http_bodies import plain_body
from pybrpc.rpc.remote_error import bare_text, remote_error

MAX_ERROR_BYTES = 2048
"""Bytes of the body that the text of the error shows; bRPC's -http_max_error_length."""

_MOST_PLAIN_BYTES = 1024 * 1024
"""A compressed body that becomes more than this is not decompressed for a text."""

_MOST_CODE = 2**31 - 1


def status_error(head: ResponseHead, body: str, peer: str) -> RpcError:
    """The error for a status other than 2xx; `body` is the beginning of the body as text."""
    error = remote_error(_code_of(head), status_text(head, body), peer)
    if body:
        error.message, error.remote_text = bare_text(body), body
    return error


def is_success(head: ResponseHead) -> bool:
    """Whether the status is one of 2xx."""
    return 200 <= head.status < 300


def is_fault(head: ResponseHead) -> bool:
    """Whether the status says that the server has failed: one of 5xx, without a code of bRPC, which
    says more."""
    return head.status >= 500 and _code_of(head) == ErrorCode.EHTTP


def status_text(head: ResponseHead, body: str = "") -> str:
    """ "HTTP/1.1 404 Not Found: no such user", as C++ bRPC tells it."""
    line = f"HTTP/{head.version} {head.status} {head.reason}".rstrip()
    return f"{line}: {body}" if body else line


def error_text_of(response: WholeResponse) -> str:
    """The beginning of a body that is the text of an error."""
    try:
        encoding = response.head.headers.get("content-encoding")
        body = plain_body(response.body, encoding, _MOST_PLAIN_BYTES)
    except BodyError:
        body = response.body.peek(MAX_ERROR_BYTES)
    return body[:MAX_ERROR_BYTES].decode("utf-8", "replace")


def _code_of(head: ResponseHead) -> int:
    code = error_code_in(head.headers.get(ERROR_CODE_HEADER))
    return code if code and code <= _MOST_CODE else int(ErrorCode.EHTTP)
