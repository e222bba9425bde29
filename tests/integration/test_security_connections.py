"""SECURITY.md, what connections cost: each test is a line of its table."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.server import Server
from pybrpc.server.settings import connections_there_is_room_for
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import RawPeer, packed, request, text_of
from tests.peers.serving import Gate, make_server, serving, start
from tests.peers.tls import certificates
from tests.peers.tls_echo import call, channel_to
from tests.peers.tls_echo import make_server as make_tls_server

FRAME = packed(request(1, attachment=IOBuf(bytes(100_000))))
PARTS = {"magic": FRAME[:2], "header": FRAME[:12], "half": FRAME[:50_000]}


def wait_for_connections(server: Server, count: int) -> None:
    wait_until(lambda: server.statistics().connections == count)


def is_closed(sock: socket.socket) -> bool:
    """Wait for the end that the other side makes, in whatever way."""
    with contextlib.suppress(ConnectionResetError):
        return sock.recv(1) == b""
    return True


@contextlib.contextmanager
def files_allowed(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- connections that are there ---


def test_a_server_leaves_files_for_the_rest_of_the_process() -> None:
    with make_server() as server, contextlib.ExitStack() as stack:
        with files_allowed(100):
            endpoint = start(server)
        peers = [stack.enter_context(RawPeer(endpoint)) for _ in range(90)]
        wait_for_connections(server, 90)
        with RawPeer(endpoint) as one_more:
            assert is_closed(one_more.sock)
        assert text_of(peers[0].call()) == "hello"
        assert server.statistics().refused_connections == 1


def test_limit_of_connections_follows_that_of_files() -> None:
    with files_allowed(100):
        assert connections_there_is_room_for() == 90
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        with files_allowed(hard):
            assert connections_there_is_room_for() == 0


def test_a_flood_of_connections_does_not_keep_others_from_being_served() -> None:
    over = threading.Event()

    def flood(endpoint: Any) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                RawPeer(endpoint).close()

    with make_server() as server:
        endpoint = start(server)
        with RawPeer(endpoint) as peer:
            attackers = [threading.Thread(target=flood, args=[endpoint]) for _ in range(4)]
            for attacker in attackers:
                attacker.start()
            try:
                wait_until(lambda: server.statistics().accepted > 100)
                for _ in range(200):
                    assert text_of(peer.call()) == "hello"
                wait_until(lambda: server.statistics().accepted > 1000)
            finally:
                over.set()
                for attacker in attackers:
                    attacker.join()
            wait_for_connections(server, 1)


# --- messages that don't come to an end ---


@pytest.mark.parametrize("part", PARTS)
def test_a_message_that_never_ends_closes_its_connection(
    part: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(message_timeout=0.2) as peer:
        peer.sock.sendall(PARTS[part])
        if part == "half":
            peer.sock.settimeout(60)
        assert is_closed(peer.sock)
    assert "message_timeout=0.2" in caplog.text


def test_bytes_that_drip_are_no_message() -> None:
    """Slow loris: each byte comes in time, the message does not."""
    with make_server(message_timeout=0.2) as server, RawPeer(start(server)) as peer:
        peer.sock.settimeout(0.002)
        is_ended = False
        for byte in FRAME[:-1]:
            with contextlib.suppress(TimeoutError, ConnectionError):
                peer.sock.sendall(bytes([byte]))
                is_ended = peer.sock.recv(1) == b""
            if is_ended:
                break
        assert is_ended
        assert server.statistics().requests == 0


def test_a_slow_line_has_time_for_a_large_message() -> None:
    with serving(message_timeout=0.6) as peer:
        for start_at in range(0, len(FRAME), 5_000):
            peer.sock.sendall(FRAME[start_at : start_at + 5_000])
            time.sleep(0.06)
        assert text_of(peer.read_answer()) == "hello"


def test_messages_in_time_go_on_for_ever() -> None:
    """Each is unfinished for a while, but never the same one."""
    with serving(message_timeout=0.5) as peer:
        frame = packed(request(1))
        peer.sock.sendall(frame[:5])
        for _ in range(20):
            peer.sock.sendall(frame[5:] + frame[:5])
            assert text_of(peer.read_answer()) == "hello"
            time.sleep(0.03)


def test_earlier_request_is_answered_when_a_later_one_times_out_half_read() -> None:
    gate = Gate()
    with make_server(gate, message_timeout=0.1) as server, RawPeer(start(server)) as peer:
        peer.sock.sendall(packed(request(7)) + FRAME[:100])
        gate.wait_entered()
        assert server._run is not None
        (connection,) = server._run.connections
        wait_until(lambda: connection.is_retired)
        assert connection.unfinished_memory_bytes == 0
        peer.sock.sendall(FRAME[100:])
        wait_until(lambda: connection.socket.statistics().bytes_read > len(FRAME))
        gate.open()
        assert peer.read_answer().correlation_id == 7
        assert peer.read_to_end() == b""


def test_unfinished_messages_together_are_bounded_and_the_slowest_goes_first() -> None:
    limit = 4_000_000
    frame = packed(request(1, attachment=IOBuf(bytes(1_500_000))))
    with make_server(max_unanswered_bytes=limit) as server, contextlib.ExitStack() as stack:
        endpoint = start(server)
        slow = [stack.enter_context(RawPeer(endpoint)) for _ in range(6)]
        wait_for_connections(server, 6)
        for peer in slow:
            peer.sock.sendall(frame[:1_000_000])
        run = server._run
        assert run is not None
        connections = list(run.connections)
        wait_until(lambda: any(each.is_retired for each in connections))
        wait_until(lambda: sum(each.unfinished_memory_bytes for each in connections) <= limit)
        assert sum(each.is_retired for each in connections) < 6
        with RawPeer(endpoint) as other:
            assert text_of(other.call()) == "hello"


def test_idle_connections_are_kept() -> None:
    with serving(message_timeout=0.05) as peer:
        assert text_of(peer.call()) == "hello"
        time.sleep(0.3)
        assert text_of(peer.call()) == "hello"


@pytest.mark.parametrize("name", ["message_timeout", "handshake_timeout"])
@pytest.mark.parametrize("value", [0, -1, "soon"])
def test_timeouts_that_make_no_sense(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        Server(**{name: value})


# --- handshakes ---


def client_hello() -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("said", [b"", b"\x16", client_hello()], ids=["nothing", "byte", "hello"])
def test_a_handshake_that_never_ends_closes_its_connection(said: bytes) -> None:
    tls = certificates().server_tls()
    with make_tls_server(tls=tls, handshake_timeout=0.2) as server:
        with RawPeer(server.start("127.0.0.1:0")) as peer:
            peer.sock.sendall(said)
            with contextlib.suppress(ConnectionResetError):
                while peer.sock.recv(65536):
                    pass
            wait_for_connections(server, 0)


def test_a_flood_of_handshakes_does_not_keep_others_from_being_served() -> None:
    hello = client_hello()
    with make_tls_server(tls=certificates().server_tls(), handshake_timeout=1) as server:
        endpoint = server.start("127.0.0.1:0")
        with channel_to(str(endpoint), timeout=60) as channel, contextlib.ExitStack() as stack:
            assert call(channel) == "hello"
            for _ in range(300):
                peer = stack.enter_context(RawPeer(endpoint))
                peer.sock.sendall(random.choice((hello, hello[:100])))
            for _ in range(50):
                assert call(channel) == "hello"
            wait_for_connections(server, 1)
            assert call(channel) == "hello"
