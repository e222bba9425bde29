"""Closing well: what was asked for is answered, and the answers arrive (brpc#2006)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.transport.socket import graceful_close
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoResponse, RawPeer, packed, request, text_of
from tests.peers.serving import (
    Gate,
    as_async,
    async_echo,
    echo,
    make_server,
    serving_in_loop,
    start,
)
from tests.peers.tls import NAME, MemoryPeer, as_client, certificates

KINDS = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])

RESPONSE = bytes(BAIDU_STD.pack_response(RpcResponse(1, body=b"x")))
OVERSIZED = packed(request(77, message="x" * 20_000))
NONSENSE = [b"nonsense nonsense", b"PRPC\0\0\0\1\0\0\0\2!", RESPONSE, OVERSIZED]
NONSENSE_IDS = ["garbage", "broken", "response", "oversized"]


def no_connection_is_left(server: Any) -> None:
    wait_until(lambda: server.statistics().connections == 0)


@pytest.mark.parametrize("handler", [echo, async_echo], ids=["def", "async"])
def test_peer_that_shuts_writing_gets_all_its_answers(handler: Any) -> None:
    """As `nc -N` does, or a client that sends its last requests."""
    with make_server(handler) as server, RawPeer(start(server)) as peer:
        peer.send(*(request(i) for i in range(500)))
        peer.shut_writing()
        assert set(peer.read_answers(500)) == set(range(500))
        assert peer.read_to_end() == b""
        no_connection_is_left(server)


@KINDS
def test_half_closed_connection_waits_for_its_running_requests(kind: Any) -> None:
    gate = Gate()
    with make_server(kind(gate)) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        peer.shut_writing()
        wait_until(lambda: server.unfinished()[0].connection == "half-closed")
        gate.open()
        assert text_of(peer.read_answer()) == "hello"
        assert peer.read_to_end() == b""
        no_connection_is_left(server)


def test_half_closed_connection_costs_no_turns() -> None:
    """Level-triggered: a reader that stayed registered would spin on the end of the stream."""
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        peer.shut_writing()
        wait_until(lambda: server.unfinished()[0].connection == "half-closed")
        dispatcher: Any = server._run.dispatcher  # type: ignore[union-attr]
        turns = dispatcher.turns
        threading.Event().wait(0.1)
        assert dispatcher.turns < turns + 50
        gate.open()


def test_large_answers_to_a_peer_that_shut_writing_and_reads_late() -> None:
    def respond(request: Any, controller: Controller) -> Any:
        return EchoResponse(message="z" * 1_000_000)

    with make_server(respond) as server, RawPeer(start(server)) as peer:
        peer.send(*(request(i) for i in range(20)))
        peer.shut_writing()
        wait_until(lambda: server.statistics().requests == 20)
        wait_until(lambda: not server.unfinished())
        (connection,) = server.unfinished_connections()
        assert connection.unwritten_bytes > 0
        assert len(peer.read_answers(20)) == 20
        assert peer.read_to_end() == b""
        no_connection_is_left(server)


@pytest.mark.parametrize("handler", [echo, async_echo], ids=["def", "async"])
@pytest.mark.parametrize("nonsense", NONSENSE, ids=NONSENSE_IDS)
def test_good_requests_before_nonsense_are_answered(nonsense: bytes, handler: Any) -> None:
    """All in one read, and the peer goes on sending while it gets its answers."""
    with make_server(handler, max_body_size=10_000) as server, RawPeer(start(server)) as peer:
        good = packed(*(request(i) for i in range(50)))
        behind = packed(request(99))
        peer.sock.sendall(good + nonsense + behind)
        answers = peer.read_answers(51 if nonsense is OVERSIZED else 50)
        refused = answers.pop(77, None)
        assert set(answers) == set(range(50))
        assert {text_of(answer) for answer in answers.values()} == {"hello"}
        if refused is not None:
            assert refused.error_code == ErrorCode.EREQUEST
        with contextlib.suppress(ConnectionError):
            peer.sock.sendall(behind)
        assert peer.read_to_end() == b""
        peer.close()
        no_connection_is_left(server)
        assert server.statistics().requests == (51 if nonsense is OVERSIZED else 50)


@pytest.mark.parametrize("nonsense", NONSENSE, ids=NONSENSE_IDS)
def test_request_that_still_runs_when_nonsense_comes_is_answered(nonsense: bytes) -> None:
    gate = Gate()
    with make_server(gate, max_body_size=10_000) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        peer.sock.sendall(nonsense)
        wait_until(lambda: server.unfinished()[0].connection == "half-closed")
        gate.open()
        if nonsense is OVERSIZED:
            assert peer.read_answer().correlation_id == 77
        assert text_of(peer.read_answer()) == "hello"
        assert peer.read_to_end() == b""


def send_nonsense_for_ever(peer: RawPeer) -> None:
    while True:
        peer.sock.sendall(b"nonsense" * 8192)


def test_peer_that_sends_nonsense_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybrpc.transport.socket.reader.DISCARD_BYTES", 1_000_000)
    with make_server() as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        with pytest.raises(ConnectionError):
            send_nonsense_for_ever(peer)
        no_connection_is_left(server)


def test_nonsense_is_logged_with_its_reason_but_not_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with make_server(max_body_size=1000) as server:
        endpoint = start(server)
        for _ in range(20):
            with RawPeer(endpoint) as peer:
                peer.sock.sendall(OVERSIZED)
                peer.read_to_end()
        no_connection_is_left(server)
    messages = [record.getMessage() for record in caplog.records]
    assert 1 <= len(messages) < 20
    assert "is larger than max_body_size=1000" in messages[0]
    assert "Close 127.0.0.1:" in messages[0]


def test_peer_that_never_reads_its_last_answers_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graceful_close, "STALL_S", 0.05)
    options = SocketOptions(send_buffer_bytes=65536)

    def respond(request: Any, controller: Controller) -> Any:
        return EchoResponse(message="z" * 20_000_000)

    with make_server(respond, options=options) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        peer.shut_writing()
        no_connection_is_left(server)
        assert not server.unfinished()


def test_server_in_a_loop_answers_a_half_closed_peer() -> None:
    def talk(endpoint: Any) -> int:
        with RawPeer(endpoint) as peer:
            peer.send(*(request(i, ("Echo", "Stream")[i % 2]) for i in range(100)))
            peer.shut_writing()
            answers = peer.read_answers(100)
            assert peer.read_to_end() == b""
            return len(answers)

    async def run() -> None:
        async with serving_in_loop(echo, async_echo) as server:
            assert await asyncio.to_thread(talk, server.endpoint) == 100
            while server.statistics().connections:
                await asyncio.sleep(0.001)

    asyncio.run(run())


# --- over TLS ---


class TlsPeer(RawPeer):
    def __init__(self, endpoint: Any) -> None:
        super().__init__(endpoint)
        self.sock = as_client(self.sock, certificates().client_context())
        self.sock.do_handshake()


@pytest.mark.parametrize("nonsense", NONSENSE, ids=NONSENSE_IDS)
def test_good_requests_before_nonsense_are_answered_over_tls(nonsense: bytes) -> None:
    options = {"max_body_size": 10_000, "tls": certificates().server_tls()}
    with make_server(**options) as server, TlsPeer(start(server)) as peer:
        peer.sock.sendall(packed(*(request(i) for i in range(50))) + nonsense)
        answers = peer.read_answers(51 if nonsense is OVERSIZED else 50)
        assert set(answers) - {77} == set(range(50))
        assert peer.read_to_end() == b"", "and close_notify, or Python would raise"
        peer.close()
        no_connection_is_left(server)


def bytes_until_close_notify(peer: MemoryPeer) -> int:
    count = 0
    with contextlib.suppress(ssl.SSLZeroReturnError):
        while True:
            count += len(peer.read())
            threading.Event().wait(0.001)
    return count + len(peer.received)


@pytest.mark.parametrize("shuts_tcp_too", [False, True])
def test_peer_that_says_close_notify_gets_all_its_answers(shuts_tcp_too: bool) -> None:
    def respond(request: Any, controller: Controller) -> Any:
        return EchoResponse(message="z" * 100_000)

    with make_server(respond, tls=certificates().server_tls()) as server:
        endpoint = start(server)
        sock = socket.create_connection((endpoint.host, endpoint.port))
        with contextlib.closing(sock):
            peer = MemoryPeer(sock, certificates().client_context(), NAME)
            peer.shake_hands(lambda: threading.Event().wait(0.01))
            peer.send(packed(*(request(i) for i in range(50))))
            peer.finish()
            if shuts_tcp_too:
                sock.shutdown(socket.SHUT_WR)
            assert bytes_until_close_notify(peer) > 50 * 100_000
        no_connection_is_left(server)


# --- peers that are gone ---


def test_connection_that_broke_is_dropped_at_once() -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        text_of(peer.call())
        peer.reset()
        no_connection_is_left(server)


def test_idle_peer_that_shuts_writing_is_dropped_at_once() -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        text_of(peer.call())
        peer.shut_writing()
        assert peer.read_to_end() == b""
        no_connection_is_left(server)
