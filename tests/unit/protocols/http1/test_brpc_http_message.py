"""bRPC's own tests of HttpMessage and its parser (test/brpc_http_message_unittest.cpp,
brpc_http_parser_unittest.cpp). Where all of them are:

    http_method                     here
    eof                             here
    request_sanity                  here
    response_sanity                 here
    bad_format                      here; the corpus of tests/fakes/http1_messages
    incompleted_request_line        here
    parse_from_iobuf                here; every split of the corpus in test_parser
    parse_http_head_response        here
    parse_http_cookie               here; test_headers
    parse_http_set_cookie           here; test_headers
    cl_and_te                       here; the corpus
    find_method_property_by_uri     here
    http_header                     test_headers
    empty_url                       here
    serialize_http_request, serialize_http_response     test_writer; golden/test_http1_vectors
    http_1_1_request_without_host   here; test_parser_limits
    HttpParserTest.http_example     here

Ours differ in these: the name of a method in lower case is none (RFC 9110, 9.1); HTTP/12.34 is
answered with 505; the blanks behind a value are taken off; the reason of a response is shown as it
came. A Content-Length beside a Transfer-Encoding may be allowed for "chunked" alone.
"""

from __future__ import annotations

from typing import Any

import pytest

import pybrpc
from pybrpc.protocols.http1.errors import (
    HttpParseError,
    UnsupportedMethodError,
    VersionError,
)
from pybrpc.protocols.http1.options import ParserOptions
from pybrpc.protocols.http1.parser import RequestParser, ResponseParser
from pybrpc.server.routing import NotFound, PageRoute, Route, Routes
from tests.fakes.http1_messages import HEAD_PARSERS, Seen, read_all, response_parser
from tests.fakes.routed_services import make_service

LONG_TARGET = "/CloudApiControl/HttpServer/telematics/v3/weather?location=%E6%B5%B7%E5%8D%97&ak=0l3"
HEADERS = (
    b"From: someuser@jmarshall.com\r\n"
    b"User-Agent: HTTPTool/1.0  \r\n"
    b"Content-Type: json\r\n"
    b"Content-Length: 19\r\n"
    b"Log-ID: 456\r\n"
    b"Host: myhost\r\n"
    b"Correlation-ID: 123\r\n"
    b"Authorization: test\r\n"
    b"Accept: */*\r\n"
    b"\r\n"
    b"Message Body sdfsdf"
)
GZIP_CHUNKED = (
    b"Content-Length: 10\r\nTransfer-Encoding: gzip,chunked\r\n\r\n"
    b"5; ilovew3;whattheluck=aretheseparametersfor\r\nhello\r\n6; blahblah; blah\r\n world\r\n"
    b"0\r\n\r\n"
)
CHUNKED_GZIP = b"Content-Length: 19\r\nTransfer-Encoding: chunked,gzip\r\n\r\nMessage Body sdfsdf"

PARSERS = pytest.mark.parametrize("head_parser", HEAD_PARSERS, ids=lambda it: type(it).__name__)


def request_parser(head_parser: Any, **options: Any) -> RequestParser:
    return RequestParser(ParserOptions(**options), head_parser=head_parser)


def only(parser: RequestParser | ResponseParser, *pieces: bytes) -> Seen:
    """The one message in the pieces."""
    (message,) = read_all(parser, pieces)
    assert parser.broken is None
    assert message.is_whole
    return message


def error_of(parser: RequestParser | ResponseParser, data: bytes) -> BaseException | None:
    read_all(parser, [data])
    return parser.broken


@PARSERS
@pytest.mark.parametrize("method", ["DELETE", "GET", "POST", "PUT"])
def test_http_method(head_parser: Any, method: str) -> None:
    data = f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    assert only(request_parser(head_parser), data).head.method == method
    assert pybrpc.HttpHeader().method == "GET"


@PARSERS
@pytest.mark.parametrize("method", ["DEL", "GOT", "DeLeTe", "get"])
def test_http_method_that_is_none(head_parser: Any, method: str) -> None:
    data = f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    assert isinstance(error_of(request_parser(head_parser), data), UnsupportedMethodError)


@PARSERS
def test_eof(head_parser: Any) -> None:
    """The last line of a head comes alone."""
    data = f"GET {LONG_TARGET} HTTP/1.1\r\nHost: api.map.baidu.com\r\nBfe_logid: 87\r\n".encode()
    parser = request_parser(head_parser)
    assert read_all(parser, [data]) == []
    message = only(request_parser(head_parser), data, b"\r\n")
    assert message.head.target == LONG_TARGET
    assert message.head.headers["bfe_logid"] == "87"


@PARSERS
def test_request_sanity(head_parser: Any) -> None:
    data = b"POST /path/file.html?sdfsdf=sdfs&sldf1=sdf HTTP/1.1\r\n" + HEADERS
    message = only(request_parser(head_parser), data)
    head = message.head
    assert (head.method, head.target) == ("POST", "/path/file.html?sdfsdf=sdfs&sldf1=sdf")
    assert_headers(head.headers)
    assert message.body == b"Message Body sdfsdf"
    of_later = b"POST /path/file.html HTTP/12.34\r\n" + HEADERS
    assert isinstance(error_of(request_parser(head_parser), of_later), VersionError)


def assert_headers(headers: Any) -> None:
    assert headers.content_type == "json"
    assert headers["HOST"] == headers["host"] == "myhost"
    assert headers["CORRELATION-ID"] == "123"
    assert headers["User-Agent"] == "HTTPTool/1.0"
    assert headers["Accept"] == "*/*"
    assert headers["log-id"] == "456"
    assert headers["Authorization"] == "test"


@PARSERS
def test_response_sanity(head_parser: Any) -> None:
    parser = response_parser(head_parser=head_parser)
    message = only(parser, b"HTTP/1.1 410 GoneBlah\r\n" + HEADERS)
    assert (message.head.status, message.head.reason) == (410, "GoneBlah")
    assert_headers(message.head.headers)
    assert message.body == b"Message Body sdfsdf"


@PARSERS
def test_bad_format(head_parser: Any) -> None:
    parser = request_parser(head_parser)
    assert isinstance(error_of(parser, b"slkdjflksdf skldjf\r\n"), HttpParseError)


@PARSERS
def test_incompleted_request_line(head_parser: Any) -> None:
    parser = request_parser(head_parser)
    assert read_all(parser, [b"GE"]) == []
    assert parser.broken is None


@PARSERS
def test_parse_from_iobuf(head_parser: Any) -> None:
    head = (
        b"GET /service/method?key1=value1&key2=value2&key3=value3 HTTP/1.1\r\nHost: h\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 8192\r\n\r\n"
    )
    message = only(request_parser(head_parser), head, b"2" * 8192)
    assert message.body == b"2" * 8192
    assert message.head.headers.content_type == "text/plain"


@PARSERS
@pytest.mark.parametrize("framing", [b"Content-Length: 1024", b"Transfer-Encoding: chunked"])
def test_parse_http_head_response(head_parser: Any, framing: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + framing + b"\r\n\r\n"
    message = only(response_parser("HEAD", head_parser=head_parser), data)
    name, _, value = framing.decode().partition(": ")
    assert message.head.headers[name] == value
    assert message.body == b""


@PARSERS
def test_parse_http_cookie(head_parser: Any) -> None:
    data = b"GET / HTTP/1.1\r\nHost: h\r\ncookie: a=1\r\nCookie: b=2\r\n\r\n"
    assert only(request_parser(head_parser), data).head.headers["cookie"] == "a=1; b=2"


@PARSERS
def test_parse_http_set_cookie(head_parser: Any) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
    headers = only(response_parser("HEAD", head_parser=head_parser), data).head.headers
    assert headers["set-cookie"] == "a=1"
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]


@PARSERS
@pytest.mark.parametrize("is_allowed", [False, True])
@pytest.mark.parametrize("rest", [GZIP_CHUNKED, CHUNKED_GZIP])
def test_cl_and_te(head_parser: Any, is_allowed: bool, rest: bytes) -> None:
    """Refused in all forms here: of several codings we undo none but "chunked"."""
    request = b"POST /chunked_w_content_length HTTP/1.1\r\nHost: h\r\n" + rest
    options = {"allow_chunked_length": is_allowed}
    assert isinstance(error_of(request_parser(head_parser, **options), request), HttpParseError)
    parser = response_parser(head_parser=head_parser, options=ParserOptions(**options))
    assert isinstance(error_of(parser, b"HTTP/1.1 200 OK\r\n" + rest), HttpParseError)


ROUTES = Routes(pages=("index", "flags"))
ROUTES.add_service(make_service("test.EchoService", ["Echo"]), {"Echo": "test.EchoService.Echo"})


@pytest.mark.parametrize(
    ("path", "name", "rest"),
    [
        ("", "index", ""),
        ("/", "index", ""),
        ("//", "index", ""),
        ("flags", "flags", ""),
        ("/flags/port", "flags", "port"),
        ("/flags/foo/bar", "flags", "foo/bar"),
        ("/brpc.flags/$*", "flags", "$*"),
        ("EchoService/Echo", "test.EchoService.Echo", ""),
        ("/EchoService/Echo", "test.EchoService.Echo", ""),
        ("/test.EchoService/Echo", "test.EchoService.Echo", ""),
        ("/test.EchoService/no_such_method", None, ""),
    ],
)
def test_find_method_property_by_uri(path: str, name: str | None, rest: str) -> None:
    found = ROUTES.find("POST", path)
    if name is None:
        assert isinstance(found, NotFound)
    else:
        assert isinstance(found, PageRoute | Route)
        seen = found.name if isinstance(found, PageRoute) else found.entry
        assert (seen, found.unresolved_path) == (name, rest)


def test_empty_url() -> None:
    with pytest.raises(ValueError, match="address"):
        pybrpc.Channel("", protocol="http")


@PARSERS
@pytest.mark.parametrize(
    ("target", "header", "is_sound"),
    [
        ("/service/method", "", False),
        ("http://baidu.com/service/method", "", True),
        ("/service/method", "Host: baidu.com\r\n", True),
    ],
)
def test_http_1_1_request_without_host(
    head_parser: Any, target: str, header: str, is_sound: bool
) -> None:
    data = f"GET {target} HTTP/1.1\r\nContent-Type: text/plain\r\n{header}\r\n".encode()
    if is_sound:
        assert only(request_parser(head_parser), data).head.headers.content_type == "text/plain"
    else:
        assert isinstance(error_of(request_parser(head_parser), data), HttpParseError)


@PARSERS
def test_http_example(head_parser: Any) -> None:
    data = b"GET /path/file.html?sdfsdf=sdfs HTTP/1.0\r\n" + HEADERS
    message = only(request_parser(head_parser), data)
    assert (message.head.minor_version, message.body) == (0, b"Message Body sdfsdf")
