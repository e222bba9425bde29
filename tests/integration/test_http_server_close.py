"""Responses with `Connection: close`, by handlers and applications: each is the last one of its
connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.asgi_apps import Mount, body_of, only_http, respond
from tests.peers.http_peer import HttpPeer, read_response
from tests.peers.http_server import (
    TIMEOUT_S,
    Gate,
    connected,
    read_all,
    read_responses,
    request_bytes,
    serving_http,
)
from tests.protos import conformance_pb2 as pb

Then = Callable[[Any, Any], object]


def close_at(message: str, then: Then | None = None) -> Then:
    """A handler that ends the connection with its response to `message`."""

    def handle(request: Any, controller: Any) -> object:
        response = None if then is None else then(request, controller)
        if request.message == message:
            controller.http_response.headers["Connection"] = "close"
        return response

    return handle


def test_nothing_behind_the_response_is_answered() -> None:
    sent = b"".join(request_bytes(message) for message in ("a", "b", "c", "d"))
    with serving_http(close_at("b")) as server, connected(server) as sock:
        sock.sendall(sent)
        first, last = read_responses(sock, 2)
        assert (first.json["message"], last.json["message"]) == ("a", "b")
        assert "connection" not in first.headers
        assert last.headers["connection"] == "close"
        assert read_all(sock) == b""


def test_requests_that_come_later_are_not_run() -> None:
    seen: list[str] = []
    gate = Gate()

    def handle(request: Any, controller: Any) -> None:
        seen.append(request.message)
        gate(request, controller)

    with serving_http(close_at("b", handle)) as server, connected(server) as sock:
        sock.sendall(request_bytes("wait") + request_bytes("b"))
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        wait_until(lambda: len(server.unfinished_connections()) == 1 and seen == ["wait", "b"])
        wait_until(lambda: server.unfinished_connections()[0].state == "half-closed")
        sock.sendall(request_bytes("late"))
        gate.opened.set()
        answers = read_responses(sock, 2)
        assert [answer.json["message"] for answer in answers] == ["wait", "b"]
        assert read_all(sock) == b""
    assert seen == ["wait", "b"]


def test_a_call_behind_it_does_not_keep_the_connection_open() -> None:
    gate = Gate()
    with serving_http(close_at("a", gate)) as server, connected(server) as sock:
        sock.sendall(request_bytes("a") + request_bytes("wait") + request_bytes("wait"))
        try:
            assert read_responses(sock, 1)[0].json["message"] == "a"
            assert read_all(sock) == b""
        finally:
            gate.opened.set()


def test_the_body_of_a_later_request_is_not_waited_for() -> None:
    with serving_http(close_at("a")) as server, connected(server) as sock:
        sock.sendall(request_bytes("a") + request_bytes("x" * 1000)[:-500])
        assert read_responses(sock, 1)[0].json["message"] == "a"
        assert read_all(sock) == b""


def test_errors_and_long_responses_are_whole() -> None:
    def fail(request: Any, controller: Any) -> object:
        if request.message == "fail":
            controller.http_response.headers["Connection"] = "close"
            controller.set_failed(10042, "no")
        return pb.EchoResponse(message="x" * 4_000_000)

    with serving_http(fail) as server, connected(server) as sock:
        sock.sendall(request_bytes("fail") + request_bytes("behind"))
        (answer,) = read_responses(sock, 1)
        assert (answer.status, answer.headers["connection"]) == (500, "close")
        assert answer.text.endswith("no")
        assert read_all(sock) == b""
    with serving_http(close_at("a", fail)) as server, connected(server) as sock:
        sock.sendall(request_bytes("a") + request_bytes("behind"))
        assert len(read_responses(sock, 1)[0].json["message"]) == 4_000_000
        assert read_all(sock) == b""


def test_generators_and_attachments_end_the_connection_too() -> None:
    def generate(request: Any, controller: Any) -> Iterator[bytes]:
        controller.http_response.headers["Connection"] = "close"
        yield b"part "
        yield b"and part"

    def attach(request: Any, controller: Any) -> object:
        controller.http_response.headers["Connection"] = "close"
        attachment = controller.create_progressive_attachment()

        def write() -> None:
            # That of "b" hears that its connection is closed.
            with contextlib.suppress(pybrpc.RpcError):
                attachment.write(b"part ")
                attachment.write(b"and part")
                attachment.close()

        threading.Thread(target=write).start()
        return pb.EchoResponse()

    for handler in (generate, attach):
        with serving_http(handler) as server, connected(server) as sock:
            sock.sendall(request_bytes("a") + request_bytes("b"))
            (answer,) = read_responses(sock, 1)
            assert (answer.body, answer.headers["connection"]) == (b"part and part", "close")
            assert read_all(sock) == b""


@pytest.mark.parametrize("length", [(b"content-length", b"4"), (b"x-nothing", b"")])
def test_mounted_applications_may_end_the_connection(
    mount: Mount, length: tuple[bytes, bytes]
) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        headers = ((b"connection", b"close"), length)
        await respond(send, await body_of(receive), *headers)

    with HttpPeer(mount(application).address) as peer:
        peer.send(b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" * 3)
        response = read_response(peer, "POST")
        assert (response.body, response.headers["connection"]) == (b"body", "close")
        assert peer.read_all() == b""


def test_an_application_that_ends_it_may_still_read_its_request(mount: Mount) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "headers": [(b"connection", b"close")]}
        await send({"status": 200, **start})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": await body_of(receive)})

    with HttpPeer(mount(application).address) as peer:
        peer.send(b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo")
        peer.read_until(b"\r\n\r\n")
        peer.send(b"dyGET /app/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert peer.read_all().endswith(b"body\r\n0\r\n\r\n")
