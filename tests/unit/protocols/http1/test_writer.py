"""RequestWriter and ResponseWriter. bRPC's cases are serialize_http_request and
serialize_http_response in test/brpc_http_message_unittest.cpp."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.head import RequestHead
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.protocols.http1.parser import RequestParser
from pybrpc.protocols.http1.uri import URI
from pybrpc.protocols.http1.writer import CONTINUE, RequestWriter, ResponseWriter
from tests.fakes.http1_messages import read_all, response_parser

TAIL = b"Accept: */*\r\nUser-Agent: brpc/1.0 curl/7.0\r\n\r\n"


def request(*arguments: Any, **options: Any) -> bytes:
    return bytes(RequestWriter("127.0.0.1:1234").whole(*arguments, **options))


def head_of(text: str) -> RequestHead:
    head, *_ = RequestParser().read(IOBuf(text.replace("\n", "\r\n").encode()))
    assert isinstance(head, RequestHead)
    return head


GET = "GET / HTTP/1.1\nHost: h\n\n"
HEAD = "HEAD / HTTP/1.1\nHost: h\n\n"
OLD = "GET / HTTP/1.0\n\n"
OLD_KEPT = "GET / HTTP/1.0\nConnection: keep-alive\n\n"
CLOSING = "GET / HTTP/1.1\nHost: h\nConnection: close\n\n"


def test_serialize_http_request() -> None:
    start = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n"
    headers = HttpHeaders({"Foo": "Bar"})
    expected = start + b"Host: 127.0.0.1:1234\r\nFoo: Bar\r\n" + TAIL + b"data"
    assert request("POST", "/", headers, b"data") == expected
    headers["Content-Length"] = "100"
    assert request("POST", "/", headers, b"data") == expected
    headers["Host"] = "MyHost: 4321"
    own_host = start + b"Foo: Bar\r\nHost: MyHost: 4321\r\n"
    assert request("POST", "/", headers, b"data") == own_host + TAIL + b"data"
    headers["accePT"] = "blahblah"
    own_accept = own_host + b"accePT: blahblah\r\n"
    assert request("POST", "/", headers, b"data").startswith(own_accept)
    headers["user-AGENT"] = "myUA"
    headers["authorization"] = "myAuthString"
    rest = b"user-AGENT: myUA\r\nauthorization: myAuthString\r\n\r\ndata"
    assert request("POST", "/", headers, b"data") == own_accept + rest


def test_get_without_body_has_no_length() -> None:
    assert request("GET", "/") == b"GET / HTTP/1.1\r\nHost: 127.0.0.1:1234\r\n" + TAIL
    assert b"Content-Length: 0\r\n" in request("POST", "/")
    assert b"Content-Length: 2\r\n" in request("GET", "/", (), b"ab")


def test_host_is_that_of_the_url_before_that_of_the_channel() -> None:
    uri = URI("http://user:passwd@www.baidu.com:80/s?wd=uri")
    data = request("GET", uri)
    assert data.startswith(b"GET /s?wd=uri HTTP/1.1\r\nHost: www.baidu.com:80\r\n")
    assert b"Authorization: Basic dXNlcjpwYXNzd2Q=\r\n" in data
    assert b"Authorization: x\r\n" in request("GET", uri, {"Authorization": "x"})
    assert request("GET", uri, {"authorization": "x"}).lower().count(b"authorization") == 1
    assert b"Host: 127.0.0.1:1234\r\n" in request("GET", URI("/s"))


def test_defaults_may_be_left_out() -> None:
    data = RequestWriter("h", defaults=False).whole("GET", "/")
    assert data == b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def test_request_in_chunks_comes_back() -> None:
    writer, data = RequestWriter("h"), IOBuf()
    data.append(writer.begin("POST", "/", {"Transfer-Encoding": "chunked"}))
    assert writer.is_chunked
    for part in (b"hello", b"", bytearray(b" "), IOBuf(b"world"), memoryview(b"!")):
        data.append(writer.part(part))
    data.append(writer.end({"X-Sum": "1"}))
    (message,) = read_all(RequestParser(), [bytes(data)])
    assert message.is_whole
    assert message.body == b"hello world!"
    assert message.trailers == [("X-Sum", "1")]


def test_request_by_length_comes_back() -> None:
    writer, data = RequestWriter("h"), IOBuf()
    data.append(writer.begin("PUT", "/", content_length=4))
    assert not writer.is_chunked
    data.append(writer.part(b"da"))
    data.append(writer.part(b"ta"))
    assert writer.end() == b""
    (message,) = read_all(RequestParser(), [bytes(data)])
    assert (message.is_whole, message.body) == (True, b"data")


def test_large_bodies_are_not_copied() -> None:
    body = bytes(100_000)
    for data in (
        RequestWriter("h").whole("POST", "/", (), body),
        ResponseWriter().whole(200, (), body),
        ResponseWriter().whole(200, (), IOBuf(body)),
    ):
        *_, view = data
        assert view.obj is body
    writer = ResponseWriter()
    writer.begin(200)
    assert [view.obj for view in writer.part(body)][1] is body


def test_serialize_http_response() -> None:
    headers = HttpHeaders({"Foo": "Bar"})
    expected = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nFoo: Bar\r\n\r\ndata"
    assert ResponseWriter().whole(200, headers, b"data") == expected
    headers["Content-Length"] = "100"
    headers["Transfer-Encoding"] = "chunked"
    assert ResponseWriter().whole(200, headers, b"data") == expected
    no_content = b"HTTP/1.1 204 No Content\r\nFoo: Bar\r\n\r\n"
    assert ResponseWriter().whole(204, headers, b"data") == no_content
    switching = b"HTTP/1.1 101 Switching Protocols\r\nFoo: Bar\r\n\r\n"
    assert ResponseWriter().whole(101, headers, b"data") == switching
    not_modified = b"HTTP/1.1 304 Not Modified\r\nFoo: Bar\r\n\r\n"
    assert ResponseWriter().whole(304, headers, b"data") == not_modified


def test_response_to_head_has_the_length_of_the_body() -> None:
    headers = HttpHeaders({"Foo": "Bar"})
    data = ResponseWriter(head_of(HEAD)).whole(200, headers, b"data2")
    assert data == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nFoo: Bar\r\n\r\n"
    headers["Content-Length"] = "100"
    data = ResponseWriter(head_of(HEAD)).whole(200, headers, b"data2")
    assert data == b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nFoo: Bar\r\n\r\n"
    (message,) = read_all(response_parser("HEAD"), [bytes(data)])
    assert message.is_whole
    headers["Transfer-Encoding"] = "Chunked"
    data = ResponseWriter(head_of(HEAD)).whole(200, headers, b"data2")
    assert data == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nFoo: Bar\r\n\r\n"
    data = ResponseWriter(head_of(HEAD.replace("1.1", "1.0"))).whole(200, headers)
    assert b"Transfer-Encoding" not in bytes(data)


def test_response_to_head_in_parts_has_no_body() -> None:
    writer = ResponseWriter(head_of(HEAD))
    assert writer.begin(200) == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert writer.part(b"data") == b""
    assert writer.end({"A": "b"}) == b""
    by_length = ResponseWriter(head_of(HEAD))
    assert b"Content-Length: 9\r\n" in bytes(by_length.begin(200, content_length=9))
    assert by_length.end() == b""


def test_response_in_chunks_comes_back() -> None:
    writer, data = ResponseWriter(head_of(GET)), IOBuf()
    data.append(writer.begin(200, {"A": "b"}))
    data.append(writer.part(b"x" * 300))
    data.append(writer.part(b"y"))
    data.append(writer.end())
    (message,) = read_all(response_parser(), [bytes(data)])
    assert (message.is_whole, message.body) == (True, b"x" * 300 + b"y")
    assert writer.keep_alive


def test_response_in_parts_to_http_1_0_ends_with_the_connection() -> None:
    writer, data = ResponseWriter(head_of(OLD_KEPT)), IOBuf()
    data.append(writer.begin(200))
    data.append(writer.part(b"all"))
    data.append(writer.end())
    assert data == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall"
    assert not writer.keep_alive


def test_response_without_body_in_parts() -> None:
    writer = ResponseWriter()
    assert writer.begin(204) == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert writer.part(b"x") == b""
    assert writer.end() == b""


@pytest.mark.parametrize(
    ("request_text", "keep_alive", "own", "line", "is_kept"),
    [
        (GET, True, None, b"", True),
        (GET, False, None, b"Connection: close\r\n", False),
        (GET, True, "close", b"Connection: close\r\n", False),
        (GET, True, "keep-alive", b"Connection: keep-alive\r\n", True),
        (GET, False, "keep-alive", b"Connection: close\r\n", False),
        (CLOSING, True, None, b"Connection: close\r\n", False),
        (OLD, True, None, b"Connection: close\r\n", False),
        (OLD_KEPT, True, None, b"Connection: keep-alive\r\n", True),
        (OLD_KEPT, False, None, b"Connection: close\r\n", False),
    ],
)
def test_connection_header(
    request_text: str, keep_alive: bool, own: str | None, line: bytes, is_kept: bool
) -> None:
    writer = ResponseWriter(head_of(request_text), keep_alive)
    headers = {} if own is None else {"Connection": own}
    data = bytes(writer.whole(200, headers))
    assert data == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + line + b"\r\n"
    assert writer.keep_alive is is_kept


def test_switching_keeps_its_connection_header() -> None:
    writer = ResponseWriter(head_of(GET), keep_alive=False)
    data = bytes(writer.whole(101, {"Connection": "upgrade", "Upgrade": "x"}))
    expected = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    assert data == expected


def test_interim_responses() -> None:
    writer = ResponseWriter(head_of(GET))
    data = bytes(writer.interim(103, {"Link": "x"})) + CONTINUE + bytes(writer.whole(200))
    statuses = [message.told()[0][0] for message in read_all(response_parser(), [data])]
    assert statuses == [103, 100, 200]
    assert ResponseWriter(head_of(OLD)).interim(103) == b""
    for status in (101, 99, 200):
        with pytest.raises(ValueError, match="interim"):
            ResponseWriter().interim(status)
    with pytest.raises(RuntimeError, match="before the response"):
        writer.interim(103)


def test_reasons() -> None:
    assert bytes(ResponseWriter().whole(404)).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert bytes(ResponseWriter().whole(299)).startswith(b"HTTP/1.1 299 Unknown status code (299)")
    assert bytes(ResponseWriter().whole(200, reason="é")).startswith(b"HTTP/1.1 200 \xe9\r\n")


@pytest.mark.parametrize("method", ["", "GET ", "GET /\r\n", "G\0T", "GÄT", None, b"GET"])
def test_bad_method_is_refused(method: Any) -> None:
    with pytest.raises(ValueError, match="method"):
        RequestWriter("h").whole(method, "/")


@pytest.mark.parametrize("target", ["", "/a b", "/ HTTP/1.1\r\nA: b", "/\0", "/\t", "/\x7f"])
def test_bad_target_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        RequestWriter("h").whole("GET", target)
    uri = URI()
    uri.path = target
    if target:
        with pytest.raises(ValueError, match="target"):
            RequestWriter("h").whole("GET", uri)


def test_target_is_sent_as_utf8() -> None:
    assert request("GET", "/é\udcff").startswith(b"GET /\xc3\xa9\xff HTTP/1.1\r\n")


@pytest.mark.parametrize("value", ["a\r\nB: c", "a\n", "a\0"])
def test_nothing_can_be_injected(value: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        RequestWriter(value).whole("GET", "/")
    with pytest.raises(ValueError, match="control character"):
        RequestWriter("h").whole("GET", "/", {"A": value})
    with pytest.raises(ValueError, match="control character"):
        ResponseWriter().whole(200, {"A": value})
    with pytest.raises(ValueError, match="control character"):
        ResponseWriter().whole(200, reason=value)
    writer = ResponseWriter()
    writer.begin(200)
    with pytest.raises(ValueError, match="control character"):
        writer.end({"A": value})
    uri = URI()
    uri.host = value
    with pytest.raises(ValueError, match="control character"):
        RequestWriter("h").whole("GET", uri)


@pytest.mark.parametrize("status", [99, 1000, -1, True, "200", 200.0, None])
def test_bad_status_is_refused(status: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        ResponseWriter().whole(status)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Host", "Connection"])
def test_framing_is_no_trailer(name: str) -> None:
    writer = ResponseWriter()
    writer.begin(200)
    with pytest.raises(ValueError, match="trailer"):
        writer.end({name: "chunked"})


def test_trailers_need_chunks() -> None:
    writer = ResponseWriter()
    writer.begin(200, content_length=0)
    with pytest.raises(ValueError, match="trailers"):
        writer.end({"A": "b"})


def test_body_has_as_many_bytes_as_its_length() -> None:
    writer = ResponseWriter()
    writer.begin(200, content_length=3)
    with pytest.raises(ValueError, match="1 bytes more"):
        writer.part(b"1234")
    writer.part(b"12")
    with pytest.raises(ValueError, match="1 bytes less"):
        writer.end()
    writer.part(b"3")
    writer.end()
    with pytest.raises(ValueError, match="content_length"):
        ResponseWriter().begin(200, content_length=-1)
    with pytest.raises(ValueError, match="content_length"):
        RequestWriter("h").begin("PUT", "/", content_length=-1)


def test_other_transfer_codings_are_refused() -> None:
    with pytest.raises(ValueError, match="gzip"):
        ResponseWriter().whole(200, {"Transfer-Encoding": "gzip"})


def test_bad_content_length_to_head_is_refused() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        ResponseWriter(head_of(HEAD)).whole(200, {"Content-Length": "x"})


def test_methods_in_a_wrong_order_are_refused() -> None:
    with pytest.raises(RuntimeError):
        ResponseWriter().part(b"x")
    with pytest.raises(RuntimeError):
        ResponseWriter().end()
    writer = ResponseWriter()
    writer.whole(200)
    for action in (lambda: writer.whole(200), lambda: writer.begin(200), writer.end):
        with pytest.raises(RuntimeError):
            action()
    sent = RequestWriter("h")
    sent.whole("GET", "/")
    with pytest.raises(RuntimeError):
        sent.begin("GET", "/")


def test_text_is_no_body() -> None:
    with pytest.raises(TypeError, match="encode it first"):
        ResponseWriter().whole(200, (), "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RequestWriter("h").whole("POST", "/", (), 5)  # type: ignore[arg-type]
