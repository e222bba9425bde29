"""RequestParser and ResponseParser: limits of what a peer may send, and what an option allows."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.errors import (
    BodyTooLargeError,
)
from pybrpc.protocols.http1.head import END, RequestHead
from pybrpc.protocols.http1.options import ParserOptions
from pybrpc.protocols.http1.parser import RequestParser
from tests.fakes.http1_messages import (
    CHUNKED,
    GET,
    POST,
    chunked,
    read_all,
    request,
    response,
    response_parser,
    splits,
)


def only(data: bytes, **options: Any) -> Any:
    """The one message in the bytes of a request."""
    parser = RequestParser(ParserOptions(**options))
    (message,) = read_all(parser, [data])
    assert parser.broken is None
    assert message.is_whole
    return message


def test_declared_body_over_the_limit_is_refused_before_it_comes() -> None:
    parser = RequestParser(ParserOptions(max_body_size=4))
    buffer = IOBuf(POST)
    (head,) = parser.read(buffer)
    assert isinstance(head, RequestHead)
    assert parser.broken is None
    assert parser.read(buffer) == []
    assert type(parser.broken) is BodyTooLargeError
    assert parser.broken.status == 413
    assert "max_body_size=4" in str(parser.broken)


def test_body_at_the_limit_is_accepted() -> None:
    assert only(POST, max_body_size=5).body == b"hello"
    assert only(CHUNKED, max_body_size=11).body == b"hello world"


def test_chunked_body_over_the_limit_is_refused_at_its_chunk() -> None:
    parser = RequestParser(ParserOptions(max_body_size=10))
    (message,) = read_all(parser, [CHUNKED])
    assert message.body == b"hello"
    assert type(parser.broken) is BodyTooLargeError


@pytest.mark.parametrize("data", [POST, CHUNKED])
def test_lifted_limit_is_for_one_message(data: bytes) -> None:
    parser, buffer = RequestParser(ParserOptions(max_body_size=3)), IOBuf(data[:-10])
    buffer.append(data[-10:])
    parser.read(buffer)
    parser.lift_body_limit()
    events = parser.read(buffer)
    assert len(events) == 2
    buffer.append(data)
    parser.read(buffer)
    assert parser.read(buffer) == []
    assert type(parser.broken) is BodyTooLargeError


def test_lifting_a_limit_without_a_body_has_no_effect() -> None:
    parser = RequestParser(ParserOptions(max_body_size=3))
    parser.read(IOBuf(GET))
    parser.lift_body_limit()
    buffer = IOBuf(POST)
    parser.read(buffer)
    parser.read(buffer)
    assert type(parser.broken) is BodyTooLargeError


def test_response_until_close_is_limited() -> None:
    parser = response_parser(options=ParserOptions(max_body_size=5))
    (message,) = read_all(parser, [response(body=b"123"), b"45", b"6789"])
    assert message.body == b"12345"
    assert type(parser.broken) is BodyTooLargeError


def test_lifted_limit_of_a_response_until_close() -> None:
    parser = response_parser(options=ParserOptions(max_body_size=5))
    buffer = IOBuf(response(body=b"123"))
    parser.read(buffer)
    parser.lift_body_limit()
    buffer.append(b"456789")
    assert parser.read(buffer) == [IOBuf(b"456789")]
    assert parser.end() == [END]


def test_lifted_limit_of_a_response_until_close_whose_body_comes_later() -> None:
    parser = response_parser(options=ParserOptions(max_body_size=5))
    buffer = IOBuf(response(body=b""))
    parser.read(buffer)
    parser.lift_body_limit()
    buffer.append(b"123456789")
    assert parser.read(buffer) == [IOBuf(b"123456789")]
    assert parser.end() == [END]


def test_no_chunk_is_longer_than_a_lifted_limit() -> None:
    parser, buffer = RequestParser(ParserOptions()), IOBuf()
    head = f"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{1 << 63:x}\r\n"
    buffer.append(head.encode())
    parser.read(buffer)
    parser.lift_body_limit()
    parser.read(buffer)
    buffer.append(b"data")
    parser.read(buffer)
    assert type(parser.broken) is BodyTooLargeError


@pytest.mark.parametrize(
    ("option", "limit", "longest", "too_long", "status"),
    [
        ("max_header_bytes", len(GET), GET, GET.replace(b"Host: h", b"Host: hh"), 431),
        ("max_url_length", 6, GET, GET.replace(b"b=c", b"b=cc"), 414),
        ("max_header_count", 2, request(b"A: b"), request(b"A: b", b"A: c"), 431),
        (
            "max_trailer_bytes",
            8,
            chunked(b"0\r\nA: b\r\n\r\n"),
            chunked(b"0\r\nA: bb\r\n\r\n"),
            431,
        ),
        (
            "max_chunk_line_bytes",
            4,
            chunked(b"0;ab\r\n\r\n"),
            chunked(b"0;abc\r\n\r\n"),
            400,
        ),
        (
            "max_chunk_extension_bytes",
            4,
            chunked(b"1;a\r\nx\r\n0;b\r\n\r\n"),
            chunked(b"1;a\r\nx\r\n0;bc\r\n\r\n"),
            400,
        ),
    ],
)
def test_limit_of_an_option(
    option: str, limit: int, longest: bytes, too_long: bytes, status: int
) -> None:
    options = ParserOptions(**{option: limit})
    for pieces in [[longest], *splits(longest)]:
        parser = RequestParser(options)
        assert read_all(parser, pieces)[0].is_whole
        assert parser.broken is None
    for pieces in [[too_long], *splits(too_long)]:
        parser = RequestParser(options)
        read_all(parser, pieces)
        assert parser.broken is not None
        assert parser.broken.status == status


def test_host_may_be_optional() -> None:
    assert only(b"GET / HTTP/1.1\r\n\r\n", require_host=False).head.target == "/"
    parser = RequestParser(ParserOptions(require_host=False))
    read_all(parser, [request(b"Host: g")])
    assert parser.broken is not None


def test_chunks_count_if_a_length_beside_them_is_allowed() -> None:
    data = request(
        b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"
    )
    message = only(data, allow_chunked_length=True)
    assert message.body == b"ok"
    assert "content-length" not in message.head.headers
    assert message.head.content_length is None
    assert not message.head.keep_alive


def test_methods_are_an_option() -> None:
    data = b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n"
    assert only(data, methods=frozenset(("BREW",))).head.method == "BREW"


def test_nothing_is_parsed_behind_an_error() -> None:
    parser, buffer = RequestParser(), IOBuf(b"\x00" + GET)
    assert parser.read(buffer) == []
    assert not buffer
    buffer.append(GET)
    assert parser.read(buffer) == []
    assert not buffer
    assert parser.end() == []


def test_empty_lines_count_from_one_message_to_the_next() -> None:
    """Old clients send one behind each body."""
    parser = RequestParser()
    assert len(read_all(parser, [POST, b"\r\n"] * 20)) == 20
    assert parser.broken is None
    assert not parser.is_inside
    read_all(parser, [b"\r\n"] * 8)
    assert parser.broken is not None
