"""RequestParser and ResponseParser: messages, framing, pipelining, and all splits of the bytes."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.errors import (
    IncompleteMessageError,
    UnexpectedResponseError,
)
from pybrpc.protocols.http1.head import END, RequestHead, ResponseHead
from pybrpc.protocols.http1.options import DEFAULT_OPTIONS, METHODS, ParserOptions
from pybrpc.protocols.http1.parser import MAX_EXPECTED, RequestParser, ResponseParser
from tests.fakes.http1_messages import (
    CHUNKED,
    GET,
    HEAD_PARSERS,
    HOSTILE_REQUESTS,
    HOSTILE_RESPONSES,
    NO_CONTENT,
    OK,
    POST,
    SOUND_REQUESTS,
    SOUND_RESPONSES,
    chunked,
    outcome,
    read_all,
    request,
    response,
    response_parser,
    splits,
)

LONGEST_FOR_ALL_SPLITS = 500


PARSERS = pytest.mark.parametrize("head_parser", HEAD_PARSERS, ids=lambda it: type(it).__name__)


def only(data: bytes, **options: Any) -> Any:
    """The one message in the bytes of a request."""
    parser = RequestParser(ParserOptions(**options))
    (message,) = read_all(parser, [data])
    assert parser.broken is None
    assert message.is_whole
    return message


def cuts_of(data: bytes) -> list[list[bytes]]:
    if len(data) <= LONGEST_FOR_ALL_SPLITS:
        return list(splits(data))
    third = len(data) // 3
    bytewise = [data[at : at + 1] for at in range(len(data))]
    return [[data[:third], data[third:]], [data[:-1], data[-1:]], bytewise]


@PARSERS
@pytest.mark.parametrize("name", SOUND_REQUESTS)
def test_every_split_of_a_sound_request_gives_the_same_messages(
    name: str, head_parser: Any
) -> None:
    data = SOUND_REQUESTS[name]
    expected = outcome(RequestParser(), [data])
    assert expected[1] is None
    assert expected[0]
    assert outcome(RequestParser(head_parser=head_parser), [data]) == expected
    for pieces in cuts_of(data):
        assert outcome(RequestParser(head_parser=head_parser), pieces) == expected, pieces


@PARSERS
@pytest.mark.parametrize("name", HOSTILE_REQUESTS)
def test_every_split_of_a_hostile_request_is_refused_alike(name: str, head_parser: Any) -> None:
    data, status = HOSTILE_REQUESTS[name]
    parser = RequestParser(head_parser=head_parser)
    expected = outcome(parser, [data])
    assert parser.broken is not None
    assert parser.broken.status == status
    assert str(parser.broken)
    for pieces in cuts_of(data):
        assert outcome(RequestParser(head_parser=head_parser), pieces) == expected, pieces


@PARSERS
@pytest.mark.parametrize("name", SOUND_RESPONSES)
def test_every_split_of_a_sound_response_gives_the_same_messages(
    name: str, head_parser: Any
) -> None:
    data = SOUND_RESPONSES[name]
    expected = outcome(response_parser(), [data])
    assert expected[1] is None
    assert expected[0]
    for pieces in [[data], *cuts_of(data)]:
        assert outcome(response_parser(head_parser=head_parser), pieces) == expected, pieces


@PARSERS
@pytest.mark.parametrize("name", HOSTILE_RESPONSES)
def test_every_split_of_a_hostile_response_is_refused_alike(name: str, head_parser: Any) -> None:
    data = HOSTILE_RESPONSES[name]
    expected = outcome(response_parser(), [data])
    assert expected[1] is not None
    for pieces in [[data], *cuts_of(data)]:
        assert outcome(response_parser(head_parser=head_parser), pieces) == expected, pieces


def test_get_is_a_head_and_an_end() -> None:
    head, end = RequestParser().read(IOBuf(GET))
    assert isinstance(head, RequestHead)
    assert (head.method, head.target, head.version) == ("GET", "/a?b=c", "1.1")
    assert list(head.headers.fields()) == [("Host", "h")]
    assert end is END


def test_body_comes_as_an_iobuf_between_head_and_end() -> None:
    _, body, end = RequestParser().read(IOBuf(POST))
    assert body == IOBuf(b"hello")
    assert end is END


def test_trailers_are_at_the_end_of_a_chunked_body() -> None:
    message = only(CHUNKED)
    assert message.body == b"hello world"
    assert message.trailers == [("X-Sum", "1")]


def test_bytes_after_a_message_stay_in_the_buffer() -> None:
    parser, buffer = RequestParser(), IOBuf(POST + GET + POST[:20])
    assert len(parser.read(buffer)) == 3
    assert buffer == GET + POST[:20]
    assert len(parser.read(buffer)) == 2
    assert buffer == POST[:20]
    assert parser.read(buffer) == []
    assert parser.held_bytes == 20
    buffer.append(POST[20:])
    assert len(parser.read(buffer)) == 3
    assert not parser.is_inside


def test_large_body_is_not_copied() -> None:
    block = bytes(100_000)
    buffer = IOBuf(request(b"Content-Length: 100000"))
    buffer.append(block)
    _, body, _ = RequestParser().read(buffer)
    assert isinstance(body, IOBuf)
    (view,) = body
    assert view.obj is block


def test_large_chunks_are_not_copied() -> None:
    block = bytes(100_000)
    buffer = IOBuf(chunked(b"186a0\r\n"))
    buffer.append(block)
    buffer.append(b"\r\n0\r\n\r\n")
    _, body, _ = RequestParser().read(buffer)
    assert isinstance(body, IOBuf)
    (view,) = body
    assert view.obj is block


def test_parts_of_a_body_come_as_the_bytes_come() -> None:
    parser, buffer = RequestParser(), IOBuf(POST[:-3])
    head, part = parser.read(buffer)
    assert isinstance(head, RequestHead)
    assert part == IOBuf(b"he")
    assert parser.bytes_wanted == 3
    assert parser.is_in_body
    assert parser.read(buffer) == []
    buffer.append(b"llo")
    assert parser.read(buffer) == [IOBuf(b"llo"), END]
    assert parser.bytes_wanted == 0


def test_chunk_says_how_many_bytes_it_needs() -> None:
    parser, buffer = RequestParser(), IOBuf(chunked(b"400\r\nabc"))
    parser.read(buffer)
    assert parser.bytes_wanted == 0x400 - 3 + 2


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: a, CLOSE\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: a\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", False),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", False),
    ],
)
def test_connection_is_kept_by_the_rules_of_its_version(data: bytes, kept: bool) -> None:
    parser = RequestParser()
    (message,) = read_all(parser, [data])
    assert message.head.keep_alive is kept
    assert parser.is_closed is not kept


def test_bytes_behind_the_last_message_are_dropped_by_the_next_read() -> None:
    parser = RequestParser()
    buffer = IOBuf(request(b"Connection: close", b"Content-Length: 0") + GET)
    assert len(parser.read(buffer)) == 2
    assert buffer == GET
    assert parser.read(buffer) == []
    assert not buffer
    assert parser.broken is None


def test_upgrade_is_visible_and_the_bytes_behind_it_stay() -> None:
    data = SOUND_REQUESTS["upgrade"]
    parser, buffer = RequestParser(), IOBuf(data + b"\x81\x00")
    head, end = parser.read(buffer)
    assert isinstance(head, RequestHead)
    assert head.upgrade == "websocket"
    assert end is END
    assert buffer == b"\x81\x00"
    assert not parser.is_closed


@pytest.mark.parametrize(
    "lines",
    [
        (b"Upgrade: websocket",),
        (b"Upgrade: websocket", b"Connection: keep-alive"),
        (b"Connection: upgrade",),
    ],
)
def test_upgrade_needs_both_headers(lines: tuple[bytes, ...]) -> None:
    assert only(request(*lines)).head.upgrade == ""


def test_upgrade_of_http_1_0_is_ignored() -> None:
    data = b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    assert only(data).head.upgrade == ""


def test_expect_is_visible_before_the_body_has_come() -> None:
    parser = RequestParser()
    (head,) = parser.read(IOBuf(SOUND_REQUESTS["expect"][:-1]))
    assert isinstance(head, RequestHead)
    assert head.expects_continue
    assert parser.is_in_body


@pytest.mark.parametrize(
    "data",
    [
        request(b"Expect: 100-continue", b"Content-Length: 0"),
        request(b"Expect: something"),
        request(b"Expect: 100-continue", b"Content-Length: 1", start=b"POST / HTTP/1.0") + b"x",
        request(),
    ],
)
def test_nothing_is_expected_without_a_body_or_by_http_1_0(data: bytes) -> None:
    assert not only(data).head.expects_continue


def test_target_of_bytes_that_are_no_utf8_comes_back() -> None:
    target = only(SOUND_REQUESTS["no utf-8"]).head.target
    assert target.encode("utf-8", "surrogateescape") == b"/\xff"
    assert only(SOUND_REQUESTS["high bytes"]).head.target == "/é?k=é"


def test_uri_of_a_request_has_the_host_of_its_header() -> None:
    data = b"GET /a?b=c HTTP/1.1\r\nHost: h:80\r\n\r\n"
    uri = only(data).head.uri()
    assert (uri.host, uri.port, uri.path, uri.queries.get("b")) == ("h", 80, "/a", "c")
    absolute = only(b"GET http://g:81/a HTTP/1.1\r\nHost: h:80\r\n\r\n").head.uri()
    assert (absolute.host, absolute.port, absolute.path) == ("g", 81, "/a")


def test_repr_of_a_head_has_no_query() -> None:
    head = only(b"GET /a?token=secret HTTP/1.1\r\nHost: h\r\n\r\n").head
    assert repr(head) == "<RequestHead GET /a?... HTTP/1.1>"
    (answer, *_) = response_parser().read(IOBuf(OK))
    assert repr(answer) == "<ResponseHead 200 OK HTTP/1.1>"


def test_repr_of_a_parser_says_its_state() -> None:
    parser = RequestParser()
    assert repr(parser) == "<RequestParser idle>"
    parser.read(IOBuf(b"GET"))
    assert repr(parser) == "<RequestParser in a head>"
    parser.read(IOBuf(b" / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"))
    assert repr(parser) == "<RequestParser in a body>"
    parser.end()
    assert "broken: the connection ended" in repr(parser)
    closed = RequestParser()
    closed.end()
    assert repr(closed) == "<RequestParser closed>"


# The end of a connection


def test_end_between_messages_is_no_error() -> None:
    parser = RequestParser()
    read_all(parser, [GET], ends=True)
    assert parser.broken is None
    assert parser.is_closed


@pytest.mark.parametrize("data", [GET[:5], POST[:-1], CHUNKED[:-1]])
def test_end_inside_a_message_is_an_error(data: bytes) -> None:
    parser = RequestParser()
    messages = read_all(parser, [data], ends=True)
    assert not any(message.is_whole for message in messages)
    assert type(parser.broken) is IncompleteMessageError


def test_end_completes_a_response_without_length() -> None:
    parser = response_parser()
    (message,) = read_all(parser, [response(body=b"all of"), b" it"], ends=True)
    assert message.is_whole
    assert message.body == b"all of it"
    assert not message.head.keep_alive
    assert parser.broken is None


# Responses


@pytest.mark.parametrize("framing", [b"Content-Length: 1024", b"Transfer-Encoding: chunked"])
def test_response_to_head_has_no_body(framing: bytes) -> None:
    parser = response_parser("HEAD")
    first, second = read_all(parser, [response(framing) * 2])
    assert first.is_whole
    assert first.body == second.body == b""
    name, value = framing.decode().split(": ")
    assert first.head.headers[name] == value


def test_methods_of_requests_are_taken_in_order() -> None:
    parser = ResponseParser()
    for method in ("HEAD", "GET", "HEAD"):
        parser.expect(method)
    head = response(b"Content-Length: 2")
    bodies = [message.body for message in read_all(parser, [head + head + b"ok" + head])]
    assert bodies == [b"", b"ok", b""]
    assert parser.expected_count == 0


def test_interim_responses_belong_to_the_request_of_the_next_one() -> None:
    parser = response_parser(count=1)
    messages = read_all(parser, [SOUND_RESPONSES["interim"]])
    assert [message.head.status for message in messages] == [100, 103, 200]  # type: ignore[union-attr]
    assert [message.head.is_interim for message in messages] == [True, True, False]  # type: ignore[union-attr]


def test_bytes_behind_101_stay() -> None:
    parser, buffer = response_parser(), IOBuf(SOUND_RESPONSES["switching"])
    head, _ = parser.read(buffer)
    assert isinstance(head, ResponseHead)
    assert head.upgrade == "x"
    assert parser.is_closed
    assert buffer == b"bytes"


def test_bytes_behind_a_tunnel_stay() -> None:
    parser, buffer = response_parser("CONNECT"), IOBuf(response(body=b"bytes"))
    assert len(parser.read(buffer)) == 2
    assert parser.is_closed
    assert buffer == b"bytes"
    refused = response_parser("CONNECT")
    data = response(b"Content-Length: 2", start=b"HTTP/1.1 403 no", body=b"no")
    assert read_all(refused, [data])[0].body == b"no"


def test_response_that_was_not_asked_for_is_an_error() -> None:
    parser = response_parser(count=1)
    read_all(parser, [NO_CONTENT, NO_CONTENT])
    assert type(parser.broken) is UnexpectedResponseError


def test_number_of_expected_responses_is_limited() -> None:
    parser = response_parser(count=MAX_EXPECTED)
    with pytest.raises(ValueError, match=str(MAX_EXPECTED)):
        parser.expect("GET")


# Time


@pytest.mark.python_only
@pytest.mark.parametrize(
    "make",
    [
        lambda size: request(b"A: " + b"b" * size),
        lambda size: b"GET /" + b"a" * size + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        lambda size: chunked(b"1\r\nx\r\n" * (size // 6) + b"0\r\n\r\n"),
        lambda size: request(b"Content-Length: %d" % size, body=bytes(size)),
        lambda size: chunked(b"0\r\n" + b"A: " + b"b" * size + b"\r\n\r\n"),
        lambda size: chunked(b"0;" + b"b" * size + b"\r\n\r\n"),
    ],
)
def test_work_on_single_bytes_is_linear(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    """The bytes that are looked at are a small multiple of those that come."""
    peeked = 0
    peek = IOBuf.peek

    def counting(self: IOBuf, n: int | None = None, offset: int = 0) -> bytes:
        nonlocal peeked
        found = peek(self, n, offset)
        peeked += len(found)
        return found

    monkeypatch.setattr(IOBuf, "peek", counting)
    limits = ("url_length", "trailer_bytes", "chunk_line_bytes", "chunk_extension_bytes")
    options = ParserOptions(**{f"max_{name}": 1 << 15 for name in limits})
    data = make(20_000)
    (message,) = read_all(RequestParser(options), [data[at : at + 1] for at in range(len(data))])
    assert message.is_whole
    assert peeked < 8 * len(data)


# The parser of httptools


@pytest.mark.parametrize("method", sorted(METHODS))
def test_parser_of_httptools_knows_all_methods(method: str) -> None:
    target = "h:1" if method == "CONNECT" else "/"
    block = f"{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    for head_parser in HEAD_PARSERS:
        head = head_parser.parse_request_head(block, DEFAULT_OPTIONS)
        assert (head.method, head.target) == (method, target)
