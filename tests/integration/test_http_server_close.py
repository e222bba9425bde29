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
from tests.peers.access_lines import AccessLines
from tests.peers.asgi_apps import Mount, body_of, only_http, respond
from tests.peers.http_peer import HttpPeer, read_response
from tests.peers.http_server import (
    SERVICE,
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


class Recorder:
    """A handler, plain or async, that notes what it has run; it ends the connection at "wait"."""

    def __init__(self, gate: Gate) -> None:
        self.seen: list[str] = []
        self._handle = close_at("wait", gate)

    def __call__(self, request: Any, controller: Any) -> object:
        self.seen.append(request.message)
        return self._handle(request, controller)


def test_calls_that_wait_behind_it_are_not_run_and_are_no_success() -> None:
    gate, lines = Gate(), AccessLines()
    handler = Recorder(gate)
    with serving_http(handler, access_log=lines.option, max_workers=1) as server:
        with connected(server) as sock:
            sock.sendall(b"".join(map(request_bytes, ("wait", "b", "c"))))
            assert gate.entered.acquire(timeout=TIMEOUT_S)
            wait_until(lambda: server.statistics().requests == 3)
            gate.opened.set()
            assert read_responses(sock, 1)[0].json["message"] == "wait"
            assert read_all(sock) == b""
        found = lines.wait(3, "code", "status")
    assert sorted(found, key=str) == [(0, 200), (None, None), (None, None)]
    assert handler.seen == ["wait"]
    assert server.statistics().errors == 0


def test_calls_that_run_behind_it_are_no_success() -> None:
    """The second one runs already when the first one ends the connection."""
    first, second, lines = Gate(), Gate(), AccessLines()

    def handle(request: Any, controller: Any) -> object:
        if request.message == "wait":
            return close_at("wait", first)(request, controller)
        return second(request, controller)

    with serving_http(handle, access_log=lines.option) as server, connected(server) as sock:
        sock.sendall(request_bytes("wait") + request_bytes("waits too"))
        assert first.entered.acquire(timeout=TIMEOUT_S)
        assert second.entered.acquire(timeout=TIMEOUT_S)
        first.opened.set()
        assert read_responses(sock, 1)[0].json["message"] == "wait"
        lines.wait(1)
        second.opened.set()
        first_line, last_line = lines.wait(2, "code", "status", "response_bytes")
        assert (first_line[:2], last_line) == ((0, 200), (None, None, 0))
        assert read_all(sock) == b""


def test_async_calls_behind_it_are_not_run() -> None:
    seen: list[str] = []
    lines = AccessLines()

    class Handler:
        async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
            seen.append(request.message)
            if request.message == "a":
                controller.http_response.headers["Connection"] = "close"
            return pb.EchoResponse(message=request.message)

    server = pybrpc.Server(access_log=lines.option)
    server.add_service(SERVICE, Handler(), partial=True)
    with server:
        server.start("127.0.0.1:0")
        with connected(server) as sock:
            sock.sendall(b"".join(map(request_bytes, ("a", "b", "c"))))
            assert read_responses(sock, 1)[0].json["message"] == "a"
            assert read_all(sock) == b""
        assert sorted(lines.wait(3, "code"), key=str) == [(0,), (None,), (None,)]
    assert seen == ["a"]


def test_applications_behind_it_are_not_run(mount: Mount) -> None:
    lines, seen = AccessLines(), []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await respond(send, b"", (b"connection", b"close"))

    with HttpPeer(mount(application, access_log=lines.option).address) as peer:
        peer.send(b"GET /app/a HTTP/1.1\r\nHost: a\r\n\r\nGET /app/b HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_response(peer, "GET").headers["connection"] == "close"
        assert peer.read_all() == b""
    wait_until(lambda: ("/app/a", 0) in [(line["path"], line["code"]) for line in lines.lines])
    assert seen == ["/app/a"]
    # The second one has no line if its head came when the first one had ended the connection.
    assert {line["path"]: line["code"] for line in lines.lines}.get("/app/b") is None


def test_pages_behind_it_are_not_run() -> None:
    gate, lines, checks = Gate(), AccessLines(), []

    def check() -> bool:
        checks.append(1)
        gate.entered.release()
        return gate.opened.wait(TIMEOUT_S)

    health = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    options = {"health_reporter": check, "access_log": lines.option}
    with serving_http(close_at("b"), **options) as server, connected(server) as sock:
        sock.sendall(health + request_bytes("b") + health)
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        lines.wait(1)
        gate.opened.set()
        health_answer, _ = read_responses(sock, 2)
        assert health_answer.text == "OK"
        assert read_all(sock) == b""
        found = lines.wait(3, "path", "code", "status")
    assert found == [("/EchoService/Echo", 0, 200), ("/health", 0, 200), ("/health", None, None)]
    assert checks == [1]


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
