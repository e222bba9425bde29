"""Clients and pages of HTTP that mean harm, and handlers that send what can't be sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

import pybrpc
from pybrpc.server.http.asgi.websocket_cycle import WebSocketCycle
from tests.fakes.threads import wait_until
from tests.peers.http_server import (
    JSON,
    PATH,
    Gate,
    ask,
    client_of,
    connected,
    post,
    read_all,
    read_responses,
    request_bytes,
    serving_http,
)

FOREIGN = {"Origin": "https://app.example.com"}


def test_requests_with_equal_heads_do_not_share_what_a_handler_changes() -> None:
    seen = []

    def then(request: Any, controller: pybrpc.Controller) -> None:
        headers = controller.http_request.headers
        seen.append((headers.get("x-user"), headers.get("authorization")))
        headers["X-User"] = request.message
        headers.pop("authorization", None)

    with serving_http(then) as server, connected(server) as sock:
        for message in ("alice", "bobby"):
            sock.sendall(request_bytes(message, "Authorization: token"))
            assert read_responses(sock, 1)[0].status == 200
    assert seen == [(None, "token"), (None, "token")]


@pytest.mark.parametrize("cors", ["*", ["https://app.example.com"]])
def test_cors_does_not_open_internal_pages(cors: Any) -> None:
    with serving_http(cors=cors, internal_port=0) as server, client_of(server, True) as client:
        assert ask(client, "GET", "/flags").status == 200
        assert ask(client, "GET", "/flags", headers=FOREIGN).status == 403
        headers = {**FOREIGN, "X-Pybrpc-Post": "1"}
        assert ask(client, "POST", "/flags/enable_rpcz", "value=true", headers).status == 403
        assert ask(client, "GET", "/vars", headers=FOREIGN).status == 200
    with serving_http(cors=cors) as server, client_of(server) as client:
        body = json.dumps({"message": "hello"})
        assert ask(client, "POST", PATH, body, {**JSON, **FOREIGN}).status == 200


@pytest.mark.parametrize("status", [100, 101, 103, 199])
def test_response_is_no_interim_one(status: int) -> None:
    """Else the client takes the next response for this one."""

    def then(request: Any, controller: pybrpc.Controller) -> None:
        if request.message == "interim":
            controller.http_response.status_code = status

    with serving_http(then) as server, connected(server) as sock:
        sock.sendall(request_bytes("interim") + request_bytes("next"))
        first, second = read_responses(sock, 2)
        assert first.status == 500
        assert second.json["message"] == "next"


def test_headers_that_cannot_be_sent_are_answered() -> None:
    def then(request: Any, controller: pybrpc.Controller) -> None:
        controller.http_response.headers["Transfer-Encoding"] = "gzip"

    with serving_http(then) as server, client_of(server) as client:
        assert post(client).status == 500
        assert post(client, fail_code=2001, fail_text="as asked").text.endswith("as asked")


def test_headers_of_waiting_requests_count() -> None:
    gate = Gate()
    fields = [f"X-{number}: {number}" for number in range(90)]
    with serving_http(gate) as server, connected(server) as sock:
        try:
            sock.sendall(request_bytes("wait", *fields))
            assert gate.entered.acquire(timeout=20)
            assert server._run is not None
            [connection] = server._run.connections
            assert connection.unanswered.size_bytes > 90 * 300
        finally:
            gate.opened.set()
        assert read_responses(sock, 1)[0].status == 200
        wait_until(lambda: connection.unanswered.size_bytes == 0)


def test_fragments_without_data_are_not_kept() -> None:
    frames = pytest.importorskip("websockets.frames")
    cycle = WebSocketCycle.__new__(WebSocketCycle)
    cycle._fragments = []
    for opcode in (frames.Opcode.TEXT, *[frames.Opcode.CONT] * 100):
        cycle._on_frame(frames.Frame(opcode, b"", fin=False))
    assert cycle._fragments == []


def test_short_body_of_a_refused_request_does_not_end_the_connection() -> None:
    with serving_http() as server, connected(server) as sock:
        sock.sendall(request_bytes("lost", path="/Nothing/Echo") + request_bytes("next"))
        first, second = read_responses(sock, 2)
        assert first.status == 404
        assert second.json["message"] == "next"


QUERIES = "&" * 1001
"""More parameters than a URL may have."""


def test_url_that_is_refused_is_answered_as_its_method_asks() -> None:
    with serving_http() as server, connected(server) as sock:
        sock.sendall(request_bytes("lost", path=f"/?{QUERIES}") + request_bytes("next"))
        first, second = read_responses(sock, 2)
        assert (first.status, second.json["message"]) == (400, "next")
        sock.sendall(f"HEAD /?{QUERIES} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "rest",
    [
        "HTTP/1.0\r\n\r\n",
        "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
    ],
)
def test_url_that_is_refused_ends_the_connection_where_the_head_says_so(rest: str) -> None:
    with serving_http() as server, connected(server) as sock:
        sock.sendall(f"POST /?{QUERIES} {rest}".encode())
        answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nConnection: close\r\n" in answer
