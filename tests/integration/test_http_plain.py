"""`channel.http()`: plain requests, of threads and of tasks.

bRPC's cases are in test/brpc_http_rpc_protocol_unittest.cpp: http_head, chunked_uploading,
read_chunked_response_normally, read_failed_chunked_response.
"""

from __future__ import annotations

import asyncio
import gzip
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.client.channel.http_response import HttpResponse
from pybrpc.errors import BadRequestError, BadResponseError, ConnectionFailedError, HttpError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1.head import new_response_head
from pybrpc.protocols.http1.options import DEFAULT_OPTIONS
from tests.peers.http_scripts import (
    HttpPeer,
    Request,
    answer,
    answering,
    http_script,
    http_server,
    saying,
)
from tests.peers.scripted_server import closed_port

CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def channel(address: str, **options: Any) -> pybrpc.Channel:
    return pybrpc.Channel(address, protocol="http", timeout=30, **options)


def fetched(*said: bytes, method: str = "GET", keeps_open: bool = True) -> HttpResponse:
    """The response to one request of a server that says this."""
    with http_server(saying(*said, keeps_open=keeps_open)) as server:
        with channel(server.address, max_retry=0) as each:
            return each.http(method, "/")


def mirror(request: Request) -> bytes:
    """A response that describes the request."""
    coding = request.headers.get("transfer-encoding", "")
    head = f"{request.head.method} {request.head.target} {coding} ".encode()
    return answer(head + request.body, content_type="text/plain; charset=latin-1", x_y="z")


def test_response_has_all_that_came() -> None:
    with http_server(answering(mirror)) as server, channel(server.address) as each:
        response = each.http("PUT", "/a?b=c#d", body=b"\xe9", headers={"X": "1"})
    assert (response.status, response.reason, response.headers["X-Y"]) == (200, "OK", "z")
    assert response.body == b"PUT /a?b=c  \xe9"
    assert response.text() == "PUT /a?b=c  \xe9"
    assert repr(response) == "<HttpResponse 200 OK, 13 bytes>"
    response.raise_for_status()


def test_status_is_no_error_until_it_is_asked_for() -> None:
    response = fetched(answer(b"gone", "404 Not Found"))
    assert (response.status, response.body) == (404, b"gone")
    with pytest.raises(HttpError, match="404 Not Found: gone"):
        response.raise_for_status()


def test_redirects_are_not_followed() -> None:
    response = fetched(answer(status="302 Found", location="http://127.0.0.1:1/"))
    assert (response.status, response.headers["location"]) == (302, "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("body", "received"),
    [
        (b"bytes", b"POST /  bytes"),
        (bytearray(b"array"), b"POST /  array"),
        (memoryview(b"view"), b"POST /  view"),
        (IOBuf(b"iobuf"), b"POST /  iobuf"),
        ([b"a", b"", bytearray(b"b"), IOBuf(b"c")], b"POST / chunked abc"),
        ([], b"POST / chunked "),
        ((b"x" * 100_000 for _ in range(10)), b"POST / chunked " + b"x" * 1_000_000),
    ],
)
def test_bodies(body: Any, received: bytes) -> None:
    """Also bRPC's chunked_uploading."""
    with http_server(answering(mirror)) as server, channel(server.address) as each:
        assert each.http("POST", "/", body=body).body == received
        assert each.http("GET", "/again").body == b"GET /again  "
        assert server.connections == 1


def test_bodies_of_tasks() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield b"%d" % number

    async def run(address: str) -> list[bytes]:
        async with pybrpc.aio.Channel(address, protocol="http", timeout=30) as each:
            first = await each.http("POST", "/", body=parts())
            second = await each.http("POST", "/", body=[b"a", b"b"])
            rest = await asyncio.gather(*(each.http("GET", f"/{n}") for n in range(10)))
            return [first.body, second.body, *(response.body for response in rest)]

    with http_server(answering(mirror)) as server:
        found = asyncio.run(run(server.address))
    assert found[:2] == [b"POST / chunked 012", b"POST / chunked ab"]
    assert found[2:] == [b"GET /%d  " % number for number in range(10)]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"body": "text"}, TypeError, "not a string"),
        ({"body": {"a": 1}}, TypeError, "body must be bytes"),
        ({"body": 7}, TypeError, "body must be bytes"),
        ({"method": "GE T"}, ValueError, "can't be the method"),
        ({"method": "CONNECT"}, ValueError, "tunnel"),
        ({"path": "a"}, ValueError, 'must begin with "/"'),
        ({"path": "/a b"}, ValueError, "blank"),
        ({"path": "/a\r\nX: y"}, ValueError, "control character"),
        ({"path": b"/"}, TypeError, "path must be a string"),
        ({"headers": {"a b": "c"}}, ValueError, "can't be the name"),
        ({"headers": {"a": "b\r\nc: d"}}, ValueError, "control character"),
        ({"timeout": -1}, ValueError, "timeout must be"),
        ({"stream": 1}, TypeError, "stream must be True or False"),
        ({"controller": 1}, TypeError, "controller must be"),
        (
            {"stream": True, "progressive_read_timeout": "1"},
            TypeError,
            "progressive_read_timeout must be seconds",
        ),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    called_with = {"method": "GET", "path": "/"} | arguments
    for each in (channel("127.0.0.1:1"), pybrpc.aio.Channel("127.0.0.1:1", protocol="http")):
        with pytest.raises(error, match=text):
            each.http(**called_with)


def test_channel_of_another_protocol_has_no_plain_requests() -> None:
    with pybrpc.Channel("127.0.0.1:1") as each, pytest.raises(ValueError, match='protocol="http"'):
        each.http("GET", "/")


def test_controller_goes_along() -> None:
    controller = pybrpc.Controller(log_id=5)
    controller.http_request.headers["A"] = "1"

    def make(request: Request) -> bytes:
        headers = request.headers
        return answer(f"{headers['log-id']} {headers['a']} {headers['b']}".encode(), "201 Made")

    with http_server(answering(make)) as server, channel(server.address) as each:
        response = each.http("GET", "/", headers=[("B", "2")], controller=controller)
        assert response.body == b"5 1 2"
        assert controller.http_response.status_code == 201
        controller.request_attachment = b"x"
        with pytest.raises(BadRequestError, match="give body="):
            each.http("GET", "/", controller=controller)


def test_gzip_is_taken_off() -> None:
    response = fetched(answer(gzip.compress(b"plain"), content_encoding="gzip"))
    assert response.body == b"plain"
    with pytest.raises(BadResponseError, match="'br' is not supported"):
        fetched(answer(b"x", content_encoding="br"))


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", b"\xc3\xa9\xff", "\xe9\ufffd"),
        ('text/plain; a=b; Charset="latin-1"', b"\xe9", "\xe9"),
        ("text/plain; charset=no-such", b"\xc3\xa9", "\xe9"),
        ("text/plain; charset=zlib", b"a", "a"),
        ("text/plain; charset=undefined", b"a", "a"),
        ("text/plain; charset=", b"a", "a"),
        ("text/plain; charset=a\x7fb", b"a", "a"),
    ],
)
def test_text(content_type: str, body: bytes, text: str) -> None:
    assert response_of(content_type, body).text() == text


def response_of(content_type: str, body: bytes) -> HttpResponse:
    head = new_response_head(200, "OK", 1, [("Content-Type", content_type)], DEFAULT_OPTIONS)
    return HttpResponse(head, body)


def test_json() -> None:
    assert response_of("application/json", b'{"a": [1]}').json() == {"a": [1]}
    for wrong in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(ValueError, match=r".*"):
            response_of("application/json", wrong).json()


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (CHUNKED.encode() + b"3\r\nabc\r\n0\r\nT: t\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + answer(b"x"), b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n?", b""),
    ],
)
def test_forms_of_responses(said: bytes, body: bytes) -> None:
    """Also bRPC's read_chunked_response_normally."""
    assert fetched(said, keeps_open=False).body == body


def test_trailers() -> None:
    response = fetched(CHUNKED.encode() + b"0\r\nT: t\r\n\r\n")
    assert response.trailers is not None
    assert dict(response.trailers) == {"T": "t"}


def test_http_head() -> None:
    """bRPC's test of this name: it has a length, and no body follows."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n"
    with http_server(saying(head, answer(b"x"))) as server, channel(server.address) as each:
        response = each.http("HEAD", "/")
        assert (response.headers["content-length"], response.body) == ("1024", b"")
        assert each.http("GET", "/").body == b"x", "over the same connection"
        assert server.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        answer(b"x", connection="close"),
        answer(b"x").replace(b"1.1", b"1.0", 1),
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_connection_that_the_server_closes_is_not_used_again(said: bytes) -> None:
    with http_server(saying(said, keeps_open=False)) as server, channel(server.address) as each:
        each.http("GET", "/")
        each.http("GET", "/")
        assert server.connections == 2


def test_connection_that_the_client_closes_is_not_used_again() -> None:
    with http_server(answering(mirror)) as server, channel(server.address) as each:
        each.http("GET", "/", headers={"Connection": "close"})
        each.http("GET", "/")
        assert server.connections == 2


def test_connection_that_was_closed_while_idle_is_replaced() -> None:
    """The server may close just when a request is sent, so that is sent again over another one."""

    def once(peer: HttpPeer) -> None:
        peer.read()
        peer.send(answer(b"first"))
        peer.read()  # and close without a byte of an answer

    with http_server(http_script(once), answering(mirror)) as server:
        with channel(server.address) as each:
            assert each.http("POST", "/").body == b"first"
            assert each.http("POST", "/").body == b"POST /  "
        assert server.connections == 2


def test_nothing_is_sent_again_inside_a_response() -> None:
    """bRPC's read_failed_chunked_response: the body ends before its end."""
    for cut in (b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"):
        with http_server(saying(cut, keeps_open=False), answering(mirror)) as server:
            with channel(server.address) as each, pytest.raises(BadResponseError) as raised:
                each.http("GET", "/")
            assert "inside a response" in raised.value.text
            assert server.connections == 1


def test_timeout_closes_the_connection() -> None:
    with http_server(saying(b""), answering(mirror)) as server, channel(server.address) as each:
        with pytest.raises(pybrpc.errors.RpcTimeoutError):
            each.http("GET", "/", timeout=0.05)
        assert each.http("GET", "/").body == b"GET /  "
        assert server.connections == 2


def test_backup_request() -> None:
    with http_server(saying(b""), answering(mirror)) as server:
        policy = pybrpc.BackupRequestPolicy(0.01, max_ratio=1.0)
        with channel(server.address, backup_request_policy=policy) as each:
            assert each.http("GET", "/").body == b"GET /  "
            assert server.connections == 2


def test_short_connections() -> None:
    with http_server(answering(mirror)) as server:
        with channel(server.address, connection_type="short") as each:
            each.http("GET", "/")
            each.http("GET", "/")
        assert server.connections == 2


def test_http_has_no_single_connection() -> None:
    with pytest.raises(ValueError, match="http needs the connection_type 'pooled' or 'short'"):
        channel("127.0.0.1:1", connection_type="single")
    with pytest.raises(ValueError, match='of http there are "http:json", "http:proto"'):
        pybrpc.Channel("127.0.0.1:1", protocol="http:xml")


def test_host_of_the_caller_counts() -> None:
    """First its header, then that of its URL, then that of the channel; as in bRPC."""

    def make(request: Request) -> bytes:
        return answer(request.headers["host"].encode(), x=request.headers.get("authorization", ""))

    controller = pybrpc.Controller()
    controller.http_request.uri = "http://user:secret@url.example:81/ignored"
    with http_server(answering(make)) as server, channel(server.address) as each:
        of_url = each.http("GET", "/", controller=controller)
        assert (of_url.text(), of_url.headers["x"]) == ("url.example:81", "Basic dXNlcjpzZWNyZXQ=")
        own = {"Host": "own.example", "Authorization": "own"}
        of_header = each.http("GET", "/", headers=own, controller=controller)
        assert (of_header.text(), of_header.headers["x"]) == ("own.example", "own")

    with http_server(answering(make)) as server, channel(server.address) as each:
        assert each.http("GET", "/").text() == server.address
        assert each.http("GET", "/", headers={"Host": "own.example"}).text() == "own.example"


# --- uploads ---


def test_early_answer_ends_an_upload() -> None:
    taken: list[int] = []

    def parts() -> Iterator[bytes]:
        for number in range(100_000):
            taken.append(number)
            yield bytes(10_000)

    def refuse(peer: HttpPeer) -> None:
        peer.read_head()
        peer.send(answer(b"too much", "413 Too Large"))
        peer.peer.wait_closed()

    with http_server(http_script(refuse), answering(mirror)) as server:
        with channel(server.address) as each:
            assert each.http("POST", "/", body=parts()).status == 413
            assert each.http("GET", "/").body == b"GET /  ", "over another connection"
        assert server.connections == 2
    assert len(taken) < 100_000


@pytest.mark.parametrize("raised", [RuntimeError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_iterator_that_raises_ends_the_call(raised: BaseException) -> None:
    def parts() -> Iterator[bytes]:
        yield b"a"
        raise raised

    with http_server(answering(mirror)) as server, channel(server.address) as each:
        with pytest.raises(type(raised)):
            each.http("POST", "/", body=parts())
        assert each.http("GET", "/").body == b"GET /  "


def test_part_that_is_no_bytes_ends_the_call() -> None:
    parts: Any = [b"a", "b"]
    with http_server(answering(mirror)) as server, channel(server.address) as each:
        with pytest.raises(TypeError):
            each.http("POST", "/", body=parts)


def test_asynchronous_iterator_that_raises_ends_the_call() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        raise RuntimeError("mine")

    async def run(address: str) -> None:
        async with pybrpc.aio.Channel(address, protocol="http", timeout=30) as each:
            with pytest.raises(RuntimeError, match="mine"):
                await each.http("POST", "/", body=parts())

    with http_server(answering(mirror)) as server:
        asyncio.run(run(server.address))
    with channel("127.0.0.1:1") as each, pytest.raises(TypeError, match=r"pybrpc\.aio\.Channel"):
        each.http("POST", "/", body=parts())  # type: ignore[call-overload]


def test_upload_to_a_server_that_is_not_there_ends() -> None:
    with closed_port() as address, channel(address) as each:
        with pytest.raises(ConnectionFailedError):
            each.http("POST", "/", body=[b"a"])


def test_upload_is_not_sent_again() -> None:
    def drop(peer: HttpPeer) -> None:
        peer.read_head()

    with http_server(http_script(drop), answering(mirror)) as server:
        with channel(server.address) as each, pytest.raises(ConnectionFailedError):
            each.http("PUT", "/", body=iter([b"a"]))
        assert server.connections == 1


# --- another implementation ---


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None: ...


def test_server_of_the_standard_library() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with channel(f"127.0.0.1:{server.server_port}") as each:
            assert each.http("POST", "/", body=b"a" * 1_000_000).body == b"a" * 1_000_000
            assert each.http("GET", "/").status == 501
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
