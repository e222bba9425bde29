"""Limits of a server over HTTP: requests that it refuses, and connections that it ends or loses.

Names of tests in quotes are those of bRPC's test/brpc_http_rpc_protocol_unittest.cpp.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

import pybrpc
from pybrpc.protocols.http1.server_session import MAX_ENDS
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import wait_until
from tests.peers.http_server import (
    PATH,
    TIMEOUT_S,
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


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_reject_oversized_http_body(form: str) -> None:
    """ "reject_oversized_http_body", "reject_oversized_chunked_http_body": before it is read."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\n"
    with serving_http(max_body_size=1000) as server, connected(server) as sock:
        if form == "length":
            sock.sendall(f"{head}Content-Length: 1001\r\n\r\n".encode())
        else:
            sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n3e9\r\n".encode() + b"x" * 1001)
        answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"Connection: close" in answer
        assert b"max_body_size=1000" in answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", 400),
    ],
)
def test_bad_input_is_answered_and_the_connection_closed(data: bytes, status: int) -> None:
    with serving_http() as server, connected(server) as sock:
        sock.sendall(request_bytes("before") + data + request_bytes("never"))
        answers = read_all(sock)
        assert answers.startswith(b"HTTP/1.1 200 ")
        assert answers.count(b"\r\nContent-Type: ") == 2
        line = answers[answers.index(b"HTTP/1.1 ", 1) :]
        assert line.startswith(f"HTTP/1.1 {status} ".encode()), line[:60]
        assert b"Connection: close" in line
        assert b"never" not in answers


def test_slow_request_is_given_up() -> None:
    with serving_http(message_timeout=0.3) as server:
        with connected(server) as head, connected(server) as body:
            body.sendall(request_bytes("x")[:-2])
            for _ in range(3):
                head.sendall(b"POST /EchoSer"[:2])
                time.sleep(0.01)
            assert read_all(head) == b""
            assert read_all(body) == b""


def test_process_request_logoff() -> None:
    """ "process_request_logoff": requests that come while the server stops."""
    gate = Gate()
    with serving_http(gate) as server, connected(server) as sock:
        sock.sendall(request_bytes("wait"))
        assert gate.entered.acquire(timeout=TIMEOUT_S)
        server.stop(10)
        sock.sendall(request_bytes("late"))
        wait_until(lambda: server.statistics().requests == 2)
        gate.opened.set()
        first, second = read_responses(sock, 2)
        assert (first.status, second.status) == (200, 503)
        assert second.headers["x-bd-error-code"] == "2003"
        assert server.join(TIMEOUT_S)


def test_limits_of_the_server() -> None:
    gate = Gate()
    with serving_http(gate, max_concurrency=1) as server:
        with connected(server) as sock, client_of(server) as client:
            sock.sendall(request_bytes("wait"))
            assert gate.entered.acquire(timeout=TIMEOUT_S)
            answer = post(client)
            assert (answer.status, answer.headers["x-bd-error-code"]) == (503, "2004")
            assert ask(client, "GET", "/health").text == "OK"
            gate.opened.set()
            assert read_responses(sock, 1)[0].status == 200


def test_only_allow_protocols_in_enabled_protocols() -> None:
    with serving_http(enabled_protocols="baidu_std") as server, connected(server) as sock:
        sock.sendall(request_bytes("a"))
        assert read_all(sock) == b""
    with serving_http(enabled_protocols="http") as server, client_of(server) as client:
        assert post(client).status == 200


def test_client_that_goes_away_leaves_nothing() -> None:
    gate = Gate()
    with serving_http(gate) as server:
        with connected(server) as sock:
            sock.sendall(request_bytes("wait") + request_bytes("b") + request_bytes("c")[:-3])
            assert gate.entered.acquire(timeout=TIMEOUT_S)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: server.statistics().connections == 0)
        gate.opened.set()
        wait_until(lambda: server.statistics().running == 0)
        run = server._run
        assert run is not None
        wait_until(lambda: run.unanswered.size_bytes == 0)


class NotesOrder(pybrpc.Authenticator):
    """Notes the credentials in the order in which requests are admitted."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def verify_credential(
        self, credential: bytes, client: pybrpc.Endpoint
    ) -> pybrpc.AuthContext | None:
        self.seen.append(credential.decode())
        return None


def test_flood_of_pipelined_requests_lets_other_connections_be_served_in_between() -> None:
    """All have come when the turn begins that reads them, so the order in which they are admitted
    is that of the turns. 400 requests are read at once."""
    auth, has_begun, goes_on = NotesOrder(), threading.Event(), threading.Event()
    flood = b"".join(request_bytes(str(n), "Authorization: flood") for n in range(400))
    assert len(flood) < 64 * 1024

    def block() -> None:
        has_begun.set()
        goes_on.wait(TIMEOUT_S)

    with serving_http(auth=auth) as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connected(server)) for _ in range(3)]
        for index, sock in enumerate(socks):
            sock.sendall(request_bytes("first", f"Authorization: {index}"))
            assert read_responses(sock, 1)[0].status == 200
        del auth.seen[:]
        first, *others = socks
        default_runtime().dispatcher.post(block)
        assert has_begun.wait(TIMEOUT_S)
        first.sendall(flood)
        for index, sock in enumerate(others):
            sock.sendall(request_bytes("other", f"Authorization: {index}"))
        goes_on.set()
        answers = read_responses(first, 400)
        assert [each.json["message"] for each in answers] == [str(n) for n in range(400)]
        for sock in others:
            assert read_responses(sock, 1)[0].status == 200
    assert len(auth.seen) == 402
    assert max(auth.seen.index("0"), auth.seen.index("1")) <= 2 * MAX_ENDS
