"""Limits: connections, idle time, and memory for peers that don't read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.process_backlog import CHUNK_BYTES, hard_limit
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoResponse, RawPeer, packed, request, text_of
from tests.peers.serving import Gate, as_async, echo, make_server, start

KINDS = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])


# --- connections ---


def test_connection_over_the_limit_is_closed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with make_server(max_connections=2) as server, contextlib.ExitStack() as stack:
        endpoint = start(server)
        peers = [stack.enter_context(RawPeer(endpoint)) for _ in range(2)]
        for peer in peers:
            assert text_of(peer.call()) == "hello"
        for _ in range(10):
            with RawPeer(endpoint) as refused:
                assert refused.read_to_end() == b""
        for peer in peers:
            assert text_of(peer.call()) == "hello"
        statistics = server.statistics()
        assert (statistics.accepted, statistics.refused_connections) == (12, 10)
        assert statistics.connections == 2
    assert "max_connections=2" in caplog.text
    assert len(caplog.records) < 10


def test_connection_that_goes_makes_room_for_another() -> None:
    with make_server(max_connections=1) as server:
        endpoint = start(server)
        for _ in range(20):
            with RawPeer(endpoint) as peer:
                assert text_of(peer.call()) == "hello"
            wait_until(lambda: server.statistics().connections == 0)
        assert server.statistics().refused_connections == 0


# --- idle time ---


def test_idle_connection_is_closed_and_others_are_kept() -> None:
    with make_server(idle_timeout=0.5) as server:
        endpoint = start(server)
        with RawPeer(endpoint) as idle, RawPeer(endpoint) as busy:
            text_of(idle.call())
            is_closed = threading.Event()

            def wait_for_end() -> None:
                assert idle.read_to_end() == b""
                is_closed.set()

            waiter = threading.Thread(target=wait_for_end)
            waiter.start()
            while not is_closed.wait(0.01):
                assert text_of(busy.call()) == "hello"
            waiter.join()
            assert text_of(busy.call()) == "hello"


def test_connection_that_never_says_anything_is_closed() -> None:
    with make_server(idle_timeout=0.05) as server, RawPeer(start(server)) as peer:
        assert peer.read_to_end() == b""


def test_message_that_never_ends_does_not_keep_a_connection() -> None:
    """Slow loris: bytes come, but no message is ever completed."""
    frame = packed(request(1, attachment=IOBuf(bytes(100_000))))
    with make_server(idle_timeout=0.1) as server, RawPeer(start(server)) as peer:
        with contextlib.suppress(ConnectionError):
            for byte in frame[:-1]:
                peer.sock.sendall(bytes([byte]))
                threading.Event().wait(0.001)
        wait_until(lambda: server.statistics().connections == 0)
        assert server.statistics().requests == 0


@KINDS
def test_running_request_keeps_its_connection(kind: Any) -> None:
    """brpc#2681"""
    gate = Gate()
    with make_server(kind(gate), idle_timeout=0.05) as server:
        endpoint = start(server)
        with RawPeer(endpoint) as peer:
            peer.send(request(1))
            gate.wait_entered()
            for _ in range(3):
                with RawPeer(endpoint) as idle:
                    assert idle.read_to_end() == b""
            gate.open()
            assert text_of(peer.read_answer()) == "hello"
            assert peer.read_to_end() == b""


def test_answer_that_is_not_read_yet_keeps_its_connection() -> None:
    def respond(request: Any, controller: Controller) -> Any:
        return EchoResponse(message="z" * 20_000_000)

    with make_server(respond, idle_timeout=0.05) as server:
        endpoint = start(server)
        with RawPeer(endpoint) as peer:
            peer.send(request(1))
            wait_until(lambda: server.statistics().requests == 1)
            for _ in range(3):
                with RawPeer(endpoint) as idle:
                    assert idle.read_to_end() == b""
            assert len(text_of(peer.read_answer())) == 20_000_000
            assert peer.read_to_end() == b""


@pytest.mark.parametrize("idle_timeout", [0, -1, "soon"])
def test_idle_timeout_that_makes_no_sense(idle_timeout: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="idle_timeout"):
        Server(idle_timeout=idle_timeout)


# --- peers that don't read ---

ANSWER_BYTES = 200_000
BUFFER_BYTES = 65536
LIMIT_BYTES = 8_000_000


def large_answer(request: Any, controller: Controller) -> Any:
    return EchoResponse(message="z" * ANSWER_BYTES)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """A runtime for the server alone, with a low limit."""
    runtime = Runtime(max_queued_bytes=LIMIT_BYTES)
    yield runtime
    runtime.close()


class Stuffer:
    """Sends requests as long as the server reads them, and reads no answer."""

    def __init__(self, endpoint: Any) -> None:
        self.peer = RawPeer(endpoint)
        self.peer.sock.setblocking(False)
        self._rest = b""

    def stuff(self) -> bool:
        """False: the server has stopped to read."""
        self._rest = self._rest or packed(request(1, message="x" * 2000)) * 100
        try:
            self._rest = self._rest[self.peer.sock.send(self._rest) :]
        except (BlockingIOError, ConnectionResetError):
            return False  # reset: the server has given up the slowest peers
        return True


@contextlib.contextmanager
def stuffers(endpoint: Any, count: int) -> Iterator[list[Stuffer]]:
    made = [Stuffer(endpoint) for _ in range(count)]
    try:
        yield made
    finally:
        for stuffer in made:
            stuffer.peer.close()


def resident_bytes() -> int:
    """Memory that this process has now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stuff_until_nobody_reads(server: Server, made: list[Stuffer]) -> tuple[int, int]:
    """Until the server reads none of them any more, all their requests are answered and nothing
    more can be sent; the most bytes that it had queued, and the most memory that the process had.

    "Has read nothing for a while" would be so too if its thread did not get the processor."""
    run = server._run
    assert run is not None
    most_queued = most_resident = quiet = 0
    gives_up_at = time.monotonic() + 120
    while quiet < 20 and time.monotonic() < gives_up_at:
        taken = [stuffer.stuff() for stuffer in made]
        there = list(run.connections)
        reading = sum(not each.socket.is_reading_paused for each in there)
        # One is not of these peers.
        is_full = reading <= 1 and not any(taken) and not server.statistics().running
        quiet = quiet + 1 if is_full else 0
        queued = sum(each.unwritten_bytes for each in server.unfinished_connections())
        most_queued = max(most_queued, queued)
        most_resident = max(most_resident, resident_bytes())
        threading.Event().wait(0.005)
    return most_queued, most_resident


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
@KINDS
def test_fifty_peers_that_never_read_leave_the_process_small(kind: Any, runtime: Runtime) -> None:
    """brpc#1107: each is far under the limit of a connection, together they are over that of the
    process. Others are served on."""
    options = SocketOptions(
        high_water_bytes=1_000_000,
        send_buffer_bytes=BUFFER_BYTES,
        receive_buffer_bytes=BUFFER_BYTES,
    )
    server = make_server(kind(large_answer), echo, options=options, runtime=runtime, max_workers=8)
    with server, RawPeer(start(server)) as other, stuffers(server.endpoint, 50) as made:
        resident_before = resident_bytes()
        queued, resident = stuff_until_nobody_reads(server, made)
        assert queued > LIMIT_BYTES, "they did not fill it"
        assert queued < hard_limit(LIMIT_BYTES) + 50 * CHUNK_BYTES + 50 * ANSWER_BYTES
        assert resident - resident_before < 200_000_000
        assert text_of(other.call("Stream")) == "hello"
        for stuffer in made[1:]:
            stuffer.peer.reset()
        wait_until(lambda: server.statistics().connections <= 2)
        assert runtime.backlog.size_bytes <= LIMIT_BYTES
        assert len(text_of(other.call())) == ANSWER_BYTES
        server.stop(0)
    wait_until(lambda: runtime.backlog.size_bytes == 0)


@pytest.mark.parametrize(("count", "answer_bytes"), [(500, 200_000), (8000, 12_000)])
def test_peer_that_never_reads_while_slow_handlers_answer_is_bounded(
    count: int, answer_bytes: int, runtime: Runtime
) -> None:
    """All requests are let in before the first answer: what is too much is dropped."""
    entered, gate = [], threading.Event()
    runtime.max_queued_bytes = None

    async def wait_and_answer(request: Any, controller: Controller) -> Any:
        entered.append(request)
        while not gate.is_set():
            await asyncio.sleep(0.1)
        return EchoResponse(message="z" * answer_bytes)

    options = SocketOptions(high_water_bytes=1_000_000, send_buffer_bytes=BUFFER_BYTES)
    with make_server(wait_and_answer, options=options, runtime=runtime) as server:
        with RawPeer(start(server)) as peer:
            peer.send(*(request(i) for i in range(count)))
            wait_until(lambda: len(entered) == count)
            gate.set()
            wait_until(lambda: server.statistics().running == 0)
            (connection,) = server.unfinished_connections()
            assert connection.unwritten_bytes < hard_limit(1_000_000) + 4_000_000
            answers = peer.read_answers(count)
            dropped = [answer for answer in answers.values() if answer.error_code]
            assert 0 < len(dropped) < count
            assert {answer.error_code for answer in dropped} == {ErrorCode.EOVERCROWDED}
            assert "was dropped: Connection to 127.0.0.1:" in dropped[0].error_text


def test_full_process_refuses_who_holds_much_and_serves_who_reads(runtime: Runtime) -> None:
    # On a slow machine all this takes longer than a peer may take nothing by the default rate.
    options = SocketOptions(send_buffer_bytes=BUFFER_BYTES, min_write_bytes_per_s=0)
    with make_server(large_answer, echo, options=options, runtime=runtime) as server:
        endpoint = start(server)
        with RawPeer(endpoint, BUFFER_BYTES) as late, RawPeer(endpoint) as other:
            late.send(*(request(i) for i in range(200)))
            wait_until(lambda: server.statistics().requests >= 50)
            wait_until(lambda: runtime.backlog.is_full() and not server.statistics().running)
            assert text_of(other.call("Stream")) == "hello"
            answers = late.read_answers(200)
            refused = [answer for answer in answers.values() if answer.error_code]
            assert {answer.error_code for answer in refused} <= {ErrorCode.EOVERCROWDED}
            assert len(text_of(late.call())) == ANSWER_BYTES


def test_accepted_socket_of_a_peer_that_has_gone() -> None:
    with make_server(max_connections=3) as server:
        endpoint = start(server)
        for _ in range(50):
            socket.create_connection((endpoint.host, endpoint.port)).close()
        wait_until(lambda: server.statistics().accepted == 50)
        wait_until(lambda: server.statistics().connections == 0)
        with RawPeer(endpoint) as peer:
            assert text_of(peer.call()) == "hello"
