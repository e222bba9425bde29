"""Responses to failed calls and to bytes that are no request."""

from __future__ import annotations

import pytest

from pybrpc.error_codes import ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.error_responses import error_response, parse_error_response
from pybrpc.protocols.http1.head import RequestHead
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.parser import RequestParser
from pybrpc.protocols.http1.writer import ResponseWriter
from tests.fakes.http1_messages import HOSTILE_REQUESTS, read_all, response_parser


def test_failed_call_has_its_code_and_text() -> None:
    headers = HttpHeaders(
        {"Content-Type": "application/json", "Content-Encoding": "gzip", "A": "b"}
    )
    data = error_response(ResponseWriter(), ErrorCode.ENOMETHOD, "no method é", headers)
    (message,) = read_all(response_parser(), [bytes(data)])
    assert message.told()[0][:2] == (404, "Not Found")
    assert dict(message.head.headers) == {
        "Content-Length": "12",
        "Content-Type": "text/plain",
        "A": "b",
        "x-bd-error-code": "1002",
    }
    assert message.body == "no method é".encode()
    assert headers.content_type == "application/json"


def test_status_may_be_given() -> None:
    data = error_response(ResponseWriter(), ErrorCode.ERPCAUTH, "no", status=403)
    assert bytes(data).startswith(b"HTTP/1.1 403 Forbidden\r\n")


def test_text_can_inject_nothing() -> None:
    data = error_response(ResponseWriter(), 5, "a\r\n\r\nHTTP/1.1 200 OK\r\n\ud800")
    messages = read_all(response_parser(), [bytes(data)])
    assert len(messages) == 1


@pytest.mark.parametrize("name", HOSTILE_REQUESTS)
def test_bytes_that_are_no_request_are_answered(name: str) -> None:
    data, status = HOSTILE_REQUESTS[name]
    parser = RequestParser()
    read_all(parser, [data])
    assert parser.broken is not None
    answer = bytes(parse_error_response(parser.broken))
    (message,) = read_all(response_parser(), [answer])
    assert message.told()[0][0] == status
    assert not message.head.keep_alive
    assert message.body


def test_answer_to_a_bad_body_of_head_has_no_body() -> None:
    parser = RequestParser()
    data = b"HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx"
    head, *_ = parser.read(IOBuf(data))
    assert isinstance(head, RequestHead)
    assert parser.broken is not None
    assert bytes(parse_error_response(parser.broken, head)).endswith(b"\r\n\r\n")
