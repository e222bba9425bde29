"""Responses to requests that failed, and to bytes that are no request."""

from __future__ import annotations

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.errors import HttpParseError
from pybrpc.protocols.http1.head import RequestHead
from pybrpc.protocols.http1.headers import HeadersLike, HttpHeaders
from pybrpc.protocols.http1.status import ERROR_CODE_HEADER, status_of_error
from pybrpc.protocols.http1.writer import ResponseWriter

PLAIN_TEXT = "text/plain"


def error_response(
    writer: ResponseWriter,
    error_code: int,
    text: str,
    headers: HeadersLike = (),
    status: int | None = None,
) -> IOBuf:
    """The response to a call that failed with a code of bRPC: the text is the body.

    The headers are those that a handler had set; of these, Content-Type and Content-Encoding are
    replaced. The status follows from the code unless it is given. hrp: SendHttpResponse.
    """
    fields = HttpHeaders(headers)
    fields.pop("content-encoding", None)
    fields["Content-Type"] = PLAIN_TEXT
    fields[ERROR_CODE_HEADER] = str(error_code)
    body = text.encode("utf-8", "backslashreplace")
    return writer.whole(status_of_error(error_code) if status is None else status, fields, body)


def parse_error_response(error: HttpParseError, request: RequestHead | None = None) -> IOBuf:
    """The last response on a connection whose bytes can't be parsed. `request` is the head of the
    request, if that had come."""
    writer = ResponseWriter(request, keep_alive=False)
    body = f"{error}\n".encode("utf-8", "backslashreplace")
    return writer.whole(error.status, {"Content-Type": PLAIN_TEXT}, body)
