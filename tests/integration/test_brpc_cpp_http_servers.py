"""Servers of C++ bRPC, its examples, that our clients ask by HTTP.

Skipped unless BRPC_CPP_BIN names the folder of their programs; docs/how-it-is-tested.md says more.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import pybrpc
from bench.peers.cpp_program import HTTP, ONE_BY_ONE
from pybrpc import CompressType, Controller
from pybrpc.errors import BadRequestError, ErrorCode, HttpError, NoMethodError, RpcTimeoutError
from tests.peers.brpc_cpp import CppServer, cpp_server
from tests.peers.brpc_cpp_http import (
    ECHO_SERVICE,
    LARGE_FILE,
    EchoRequest,
    HttpRequest,
    every_http_type,
    every_protocol,
    needs_cpp_http,
    service,
)
from tests.peers.callers import FORMS, caller

pytestmark = needs_cpp_http
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def echo() -> Iterator[CppServer]:
    """An echo_server for all tests."""
    with cpp_server(ONE_BY_ONE) as server:
        yield server


@pytest.fixture(scope="module")
def http() -> Iterator[CppServer]:
    """An http_server for all tests."""
    with cpp_server(HTTP) as server:
        yield server


def channel_to(server: CppServer, protocol: str = "http", **options: Any) -> pybrpc.Channel:
    return pybrpc.Channel(server.address, protocol=protocol, timeout=30, **options)


@pytest.mark.parametrize("form", FORMS)
@every_protocol
def test_every_form_of_calling(form: str, protocol: str, echo: CppServer) -> None:
    with caller(form, echo.address, ECHO_SERVICE, protocol=protocol) as client:
        for text in ("hello", 'ä"\\\n\t\x01€😀', "x" * 300_000):
            assert client.call(EchoRequest(message=text)).message == text
        many = client.call_many([EchoRequest(message=f"{n}") for n in range(100)])
        assert [response.message for response in many] == [f"{n}" for n in range(100)]


@every_protocol
@every_http_type
def test_eight_threads(protocol: str, kind: str, echo: CppServer) -> None:
    with channel_to(echo, protocol, connection_type=kind) as channel:
        stub = pybrpc.Stub(ECHO_SERVICE, channel)

        def call(number: int) -> str:
            return str(stub.Echo(EchoRequest(message=f"{number}")).message)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(call, range(200))) == [f"{n}" for n in range(200)]


@every_protocol
def test_compressed_requests(protocol: str, echo: CppServer) -> None:
    with channel_to(echo, protocol, compress_type=CompressType.GZIP) as channel:
        controller = Controller(log_id=7)
        request = EchoRequest(message="hello" * 10_000)
        response = pybrpc.Stub(ECHO_SERVICE, channel).Echo(request, controller=controller)
        assert response.message == request.message
        assert controller.http_response.status_code == 200
    assert f"Received request[log_id=7] from {controller.local_side}" in echo.process.log()


def test_calls_one_after_another_use_one_connection(echo: CppServer) -> None:
    with channel_to(echo) as channel:
        stub = pybrpc.Stub(ECHO_SERVICE, channel)
        sides = set()
        for _ in range(20):
            controller = Controller()
            stub.Echo(EchoRequest(message="hello"), controller=controller)
            sides.add(controller.local_side)
    assert len(sides) == 1


def test_attachments_are_the_bodies_of_messages_without_fields(http: CppServer) -> None:
    with channel_to(http) as channel:
        stub = pybrpc.Stub(service("HttpService"), channel)
        for data in (b"", b"hello", os.urandom(5_000_000)):
            controller = Controller()
            controller.request_attachment = data
            stub.Echo(HttpRequest(), controller=controller)
            assert bytes(controller.response_attachment) == b"queries:\nbody: %b\n" % data
            assert controller.http_response.content_type == "text/plain"


@pytest.mark.parametrize(
    ("method", "body", "kind", "text"),
    [
        ("Nope", b"{}", NoMethodError, "Fail to find method on `/example.EchoService/Nope'"),
        ("Echo", b"{bad", BadRequestError, "Fail to parse http json body"),
        ("Echo", b"{}", BadRequestError, "Missing required field: example.EchoRequest.message"),
    ],
)
def test_errors_have_the_code_of_the_server(
    method: str, body: bytes, kind: type[pybrpc.RpcError], text: str, echo: CppServer
) -> None:
    with channel_to(echo) as channel:
        with pytest.raises(kind, match=re.escape(text)) as caught:
            channel.raw_method("example.EchoService", method)(body)
        assert caught.value.code == kind.default_code
        assert channel.http("GET", "/health").body == b"OK"


def test_an_error_with_an_unknown_code_is_one_of_http(http: CppServer) -> None:
    """The server sends x-bd-error-code: -1."""
    with channel_to(http) as channel:
        stub = pybrpc.Stub(service("HttpService"), channel)
        with pytest.raises(HttpError, match=r"EchoProtobuf\(\) not implemented") as caught:
            stub.EchoProtobuf(HttpRequest())
    assert caught.value.code == ErrorCode.EHTTP


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/HttpService/Echo?a=b&c=d", b"queries: a=b c=d\nbody: \n"),
        ("GET", "/FileService/a/b.txt", b"Getting file: a/b.txt"),
        ("GET", "/FileService/largefile", LARGE_FILE),
        ("GET", "/v1/queue/start", b"queue started"),
        ("POST", "/v1/queue/stop", b"queue stopped"),
        ("GET", "/v1/queue/stats/x/y", b"Get stats: x/y"),
        ("GET", "/v1/queue/stats", b"Require a name after /stats"),
        ("HEAD", "/v1/queue/start", b""),
    ],
)
def test_plain_requests(method: str, path: str, body: bytes, http: CppServer) -> None:
    with channel_to(http) as channel:
        response = channel.http(method, path)
        assert (response.status, response.body) == (200, body)


def test_a_plain_request_for_no_method_has_the_status(http: CppServer) -> None:
    with channel_to(http) as channel:
        response = channel.http("GET", "/v1/queue/nope")
    assert (response.status, response.headers["x-bd-error-code"]) == (404, "1002")
    assert response.text().endswith("[E1002]Fail to find method on `/v1/queue/nope'")


@pytest.mark.parametrize("body", [b"abc" * 1000, [b"abc"] * 1000], ids=["whole", "chunks"])
@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}], ids=["", "expect"])
def test_bodies_of_requests(body: Any, headers: dict[str, str], http: CppServer) -> None:
    with channel_to(http) as channel:
        response = channel.http("POST", "/HttpService/Echo?n=1", body=body, headers=headers)
        assert response.body == b"queries: n=1\nbody: %b\n" % (b"abc" * 1000)


def test_many_plain_requests_at_once(http: CppServer) -> None:
    async def ask() -> list[bytes]:
        async with pybrpc.aio.Channel(http.address, protocol="http", timeout=30) as channel:
            asked = [channel.http("POST", "/HttpService/Echo", body=b"%d" % n) for n in range(100)]
            return [response.body for response in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [b"queries:\nbody: %d\n" % n for n in range(100)]


def test_parts_are_read_while_the_server_writes_them(http: CppServer) -> None:
    with (
        channel_to(http) as channel,
        channel.http("GET", "/FileService/largefile", stream=True) as response,
    ):
        parts = list(response.body)
    assert b"".join(parts) == LARGE_FILE
    assert len(parts) > 1


def test_server_sent_events_are_read_in_a_task(http: CppServer) -> None:
    """And left in the middle."""

    async def read(parts: AsyncIterator[bytes]) -> bytes:
        return b"".join([await anext(parts) for _ in range(2)])

    async def ask() -> tuple[str, bytes, bytes]:
        async with pybrpc.aio.Channel(http.address, protocol="http", timeout=30) as channel:
            async with channel.http("GET", "/HttpSSEService/stream", stream=True) as response:
                events = await read(aiter(response.body))
            health = await channel.http("GET", "/health")
            return response.headers["Content-Type"], events, health.body

    kind, events, health = asyncio.run(ask())
    assert kind == "text/event-stream"
    assert events.startswith(b"event: foo\ndata: Hello, world! (0)\n\nevent: foo\n")
    assert health == b"OK"


def test_a_body_that_stalls_ends_by_the_timeout_of_parts() -> None:
    with (
        cpp_server(HTTP, "-enable_progressive_timeout") as server,
        channel_to(server) as channel,
        channel.http(
            "GET", "/FileService/largefile", stream=True, progressive_read_timeout=1
        ) as response,
    ):
        parts: list[bytes] = []
        with pytest.raises(RpcTimeoutError) as caught:
            parts.extend(response.body)
    assert caught.value.code == ErrorCode.EPROGREADTIMEOUT
    assert parts[-1].endswith(b"part_50 ")


def test_a_server_that_dies_within_a_body_is_an_error() -> None:
    with (
        cpp_server(HTTP) as server,
        channel_to(server) as channel,
        channel.http("GET", "/HttpSSEService/stream", stream=True) as response,
    ):
        parts = iter(response.body)
        assert next(parts)
        server.process.kill()
        with pytest.raises(pybrpc.RpcError):
            list(parts)


def test_a_body_behind_the_response_to_head_reaches_no_other_request(http: CppServer) -> None:
    """This server answers HEAD with a body, part by part."""
    with channel_to(http) as channel:
        for _ in range(10):
            assert channel.http("HEAD", "/FileService/largefile").body == b""
            assert channel.http("GET", "/v1/queue/start").body == b"queue started"


@pytest.mark.parametrize("page", ["status", "vars", "connections", "rpcz", "flags", "index"])
def test_pages(page: str, echo: CppServer) -> None:
    with channel_to(echo) as channel:
        plain = channel.http("GET", f"/{page}?console=1")
        head = channel.http("HEAD", f"/{page}?console=1")
        asked = {"Accept-Encoding": "gzip"}
        html = channel.http("GET", f"/{page}?console=0", headers=asked)
    assert (plain.status, head.status, html.status) == (200, 200, 200)
    assert plain.headers.content_type == "text/plain"
    assert len(plain.body) == int(plain.headers["Content-Length"])
    assert head.body == b""
    assert html.text().lower().count("<html") == 1


def test_tls(http: CppServer) -> None:
    tls = pybrpc.ClientTls(verify=False)
    with channel_to(http, tls=tls) as channel:
        data = os.urandom(3_000_000)
        response = channel.http("POST", "/HttpService/Echo", body=data)
        assert response.body == b"queries:\nbody: %b\n" % data
        assert channel.http("GET", "/FileService/largefile").body == LARGE_FILE


def test_calls_go_on_after_the_server_was_restarted() -> None:
    with cpp_server(ONE_BY_ONE) as server:
        channel = channel_to(server, wait_for_ready=True)
        stub = pybrpc.Stub(ECHO_SERVICE, channel)
        assert stub.Echo(EchoRequest(message="before")).message == "before"
    with channel, cpp_server(ONE_BY_ONE, port=server.endpoint.port):
        request = EchoRequest(message="after")
        assert stub.Echo(request).message == "after"
