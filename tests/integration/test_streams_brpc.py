"""The streaming tests of C++ bRPC (`brpc_streaming_rpc_unittest`), each with its numbers.

What differs: a send that has to wait raises OvercrowdedError, where bRPC returns EAGAIN, and a
stream whose connection has failed has the error of the connection, where bRPC returns EINVAL.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    OvercrowdedError,
    RpcError,
    StreamClosedError,
    StreamResetError,
    StreamTimeoutError,
)
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.streams import (
    THREADS,
    Face,
    Pair,
    accepting,
    every_pair,
    opened,
)

N = 10_000


def number(i: int) -> bytes:
    return i.to_bytes(4, "big")


class OrderedInput:
    """bRPC's OrderedInputHandler: expects 0, 1, 2, ... , and blocks in its function if told to."""

    def __init__(self, server_form: str = THREADS, batch: int = 100) -> None:
        self.expected = self.idle_calls = 0
        self.ends: list[RpcError | None] = []
        self.sizes: list[int] = []
        self.opened = threading.Event()
        self.opened.set()
        self._is_async = server_form != THREADS
        self._batch = batch

    def options(self, **more: Any) -> pybrpc.StreamOptions:
        values: dict[str, Any] = {
            "messages_in_batch": self._batch,
            "on_messages": self.take_async if self._is_async else self.take,
            "on_closed": self.on_closed,
        }
        return pybrpc.StreamOptions(**values | more)

    def take(self, stream: Any, messages: list[bytes]) -> None:
        assert self.opened.wait(WAIT_S)
        self._note(messages)

    async def take_async(self, stream: Any, messages: list[bytes]) -> None:
        while not self.opened.is_set():
            await asyncio.sleep(0.001)
        self._note(messages)

    def _note(self, messages: list[bytes]) -> None:
        self.sizes.append(len(messages))
        for message in messages:
            assert message == number(self.expected)
            self.expected += 1

    def on_closed(self, stream: Any, error: RpcError | None) -> None:
        self.ends.append(error)

    def on_idle(self, stream: Any) -> None:
        self.idle_calls += 1

    def wait_expected(self, count: int) -> None:
        wait_until(lambda: self.expected == count)

    def wait_end(self) -> RpcError | None:
        wait_until(lambda: bool(self.ends))
        assert len(self.ends) == 1
        return self.ends[0]


def ordered(sides: str) -> OrderedInput:
    return OrderedInput(sides.partition("-")[2])


# --- sanity ---


@every_pair
def test_sanity(sides: str) -> None:
    with opened(sides) as pair:
        assert pair.call.response.message == "hello"
        assert not pair.call.controller.failed
        pair.client.close()
        assert pair.server.wait_closed(WAIT_S) is None


@every_pair
def test_create_twice(sides: str) -> None:
    def accept_again(streams: list[Any], controller: Any) -> None:
        with pytest.raises(RuntimeError, match="accepted already"):
            controller.accept_streams()

    service = accepting(sides.partition("-")[2], on_accepted=accept_again)
    with opened(sides, service=service) as pair:
        with pytest.raises(RuntimeError, match="was opened before; make another call"):
            pair.call.open()
        pair.client.send(b"goes on", timeout=WAIT_S)
        assert pair.server.recv(WAIT_S) == b"goes on"


@every_pair
def test_two_calls_of_one_controller_open_a_stream_each(sides: str) -> None:
    """C++ refuses to create two streams on one controller; here a stream belongs to its call."""
    with opened(sides) as pair:
        client = pair.of_client
        again = client.open(controller=pair.call.controller)
        try:
            assert again.controller is pair.call.controller
            (second,) = client.streams_of(again)
            for stream in (pair.client, second):
                stream.send(b"its own", timeout=WAIT_S)
            assert pair.server.recv(WAIT_S) == b"its own"
        finally:
            second.close(WAIT_S)


# --- order ---


@every_pair
def test_received_in_order(sides: str) -> None:
    handler = ordered(sides)
    options = handler.options(idle_timeout=1000, on_idle_timeout=handler.on_idle)
    with opened(sides, server_options=options) as pair:
        pair.client.send_many([number(i) for i in range(N)], timeout=WAIT_S)
        pair.client.close(WAIT_S)
        assert handler.wait_end() is None
    assert (handler.expected, handler.idle_calls) == (N, 0)
    assert max(handler.sizes) <= 100


# --- flow control ---


@every_pair
def test_block(sides: str) -> None:
    handler = ordered(sides)
    client_options = pybrpc.StreamOptions(max_buf_size=4 * N)
    server_options = handler.options(idle_timeout=1000, on_idle_timeout=handler.on_idle)
    with opened(sides, client_options, server_options) as pair:
        handler.opened.clear()
        fill(pair, range(N))

        handler.opened.set()
        handler.wait_expected(N)
        handler.opened.clear()
        for i in range(N, 2 * N):
            pair.client.drain(WAIT_S)
            pair.client.send_nowait(number(i))
        with pytest.raises(OvercrowdedError):
            pair.client.send_nowait(number(102030123))
        handler.opened.set()
        pair.client.drain(WAIT_S)
        handler.wait_expected(2 * N)
        pair.client.wait_consumed(WAIT_S)

        handler.opened.clear()
        fill(pair, range(2 * N, 3 * N))
        with pytest.raises(StreamTimeoutError) as caught:
            pair.client.drain(timeout=1e-6)
        assert caught.value.code == ErrorCode.ETIMEDOUT
        handler.opened.set()
        pair.client.close(WAIT_S)
        assert handler.wait_end() is None
    assert (handler.expected, handler.idle_calls) == (3 * N, 0)


def fill(pair: Pair, numbers: range) -> None:
    """Write until the window is full, which is after exactly these."""
    for i in numbers:
        pair.client.send_nowait(number(i))
    assert not pair.client.is_writable()
    with pytest.raises(OvercrowdedError) as caught:
        pair.client.send_nowait(number(102030123))
    assert caught.value.code == ErrorCode.EOVERCROWDED


@every_pair
def test_batch_create_stream_feedback_race(sides: str) -> None:
    """The window of the server is 16 bytes. The first message, of 64, passes it; the second one
    waits for the FEEDBACK to the first."""
    received: list[bytes] = []
    client_options = pybrpc.StreamOptions(
        max_buf_size=0, on_messages=lambda stream, messages: received.extend(messages)
    )
    server_options = pybrpc.StreamOptions(max_buf_size=16)
    with opened(sides, client_options, server_options, streams=2) as pair:
        second = pair.servers[1]
        second.send(b"x" * 64, timeout=WAIT_S)
        second.send(b"y", timeout=WAIT_S)
        wait_until(lambda: len(received) == 2)
        assert received == [b"x" * 64, b"y"]
        second.wait_consumed(WAIT_S)


# --- its end ---


@every_pair
def test_auto_close_if_host_socket_closed(sides: str) -> None:
    handler = ordered(sides)
    with opened(sides, server_options=handler.options()) as pair:
        pair.client.inner._core.table.socket.close()
        with pytest.raises(ConnectionFailedError):
            pair.client.send(b"lost", timeout=WAIT_S)
        assert isinstance(pair.client.wait_closed(WAIT_S), ConnectionFailedError)
        assert isinstance(handler.wait_end(), ConnectionFailedError)
    assert handler.expected == 0


@every_pair
def test_failed_when_rst(sides: str) -> None:
    handler = ordered(sides)
    with opened(sides, server_options=handler.options()) as pair:
        pair.client.send_many([number(i) for i in range(N)], timeout=WAIT_S)
        handler.wait_expected(N)
        pair.client.reset()
        error = handler.wait_end()
        assert isinstance(error, StreamResetError)
        assert (error.code, error.is_remote) == (ErrorCode.ECONNRESET, True)
        with pytest.raises(StreamResetError):
            pair.client.send(b"late")
    assert handler.expected == N


@every_pair
def test_idle_timeout(sides: str) -> None:
    """A notice comes again and again, and is no failure."""
    handler = ordered(sides)
    options = handler.options(idle_timeout=0.002, on_idle_timeout=handler.on_idle)
    with opened(sides, server_options=options) as pair:
        wait_until(lambda: handler.idle_calls >= 3)
        pair.client.send(number(0), timeout=WAIT_S)
        handler.wait_expected(1)
        before = handler.idle_calls
        wait_until(lambda: handler.idle_calls > before)
        assert handler.ends == []
        pair.client.close(WAIT_S)
        assert handler.wait_end() is None


# --- both ways ---


class PingPong:
    """bRPC's PingPongHandler: gets one number at a time, and answers with the next one."""

    def __init__(self, first: int, is_async: bool) -> None:
        self.expected = first
        self.ends: list[RpcError | None] = []
        self.sizes: set[int] = set()
        self.options = pybrpc.StreamOptions(
            messages_in_batch=1,
            on_messages=self._answer_async if is_async else self._answer,
            on_closed=lambda stream, error: self.ends.append(error),
        )

    def _note(self, messages: list[bytes]) -> bytes:
        self.sizes.add(len(messages))
        assert messages == [number(self.expected)]
        self.expected += 2
        return number(self.expected - 1)

    def _answer(self, stream: Any, messages: list[bytes]) -> None:
        _send_unless_closed(stream, self._note(messages))

    async def _answer_async(self, stream: Any, messages: list[bytes]) -> None:
        _send_unless_closed(stream, self._note(messages))


def _send_unless_closed(stream: Any, message: bytes) -> None:
    with contextlib.suppress(StreamClosedError):
        stream.send_nowait(message)


@every_pair
def test_ping_pong(sides: str) -> None:
    ours, _, theirs = sides.partition("-")
    client, server = PingPong(1, ours != THREADS), PingPong(0, theirs != THREADS)
    with opened(sides, client.options, server.options) as pair:
        pair.client.send(number(0), timeout=WAIT_S)
        wait_until(lambda: client.expected > 1000)
        pair.client.close(WAIT_S)
        wait_until(lambda: bool(client.ends and server.ends))
    assert client.ends == server.ends == [None]
    assert client.sizes == server.sizes == {1}
    assert abs(client.expected - server.expected) <= 3


# --- the server sends before it has answered ---


@every_pair
def test_server_send_data_before_run_done(sides: str) -> None:
    ours, _, theirs = sides.partition("-")

    def send_all(streams: list[Any], controller: Any) -> None:
        for i in range(N):
            streams[0].send_nowait(number(i))

    service = accepting(theirs, pybrpc.StreamOptions(max_buf_size=-1), on_accepted=send_all)
    handler = OrderedInput(ours)
    with opened(sides, handler.options(), service=service) as pair:
        assert pair.call.response.message == "hello"
        handler.wait_expected(N)
        pair.server.close(WAIT_S)
        assert handler.wait_end() is None


# --- segments ---


@every_pair
def test_segment_stream_data_automatically(sides: str) -> None:
    handler = ordered(sides)
    client_options = pybrpc.StreamOptions(max_segment_size=1)
    with opened(sides, client_options, handler.options()) as pair:
        statistics = pair.client.inner._core.table.socket.statistics
        before = statistics().bytes_written
        for i in range(1000):
            pair.client.send(number(i), timeout=WAIT_S)
        pair.client.wait_consumed(WAIT_S)
        assert statistics().bytes_written - before > 4 * 1000 * 12, "a header for each byte"
        pair.client.close(WAIT_S)
        assert handler.wait_end() is None
    assert handler.expected == 1000


# --- several streams ---


@every_pair
def test_batch_create_extra_stream(sides: str) -> None:
    """Three streams, 1,000 messages each way."""
    with opened(sides, streams=3) as pair:
        check_one_way(pair.servers, pair.clients)
        check_one_way(pair.clients, pair.servers)


@every_pair
def test_batch_create_extra_stream_upstream_only(sides: str) -> None:
    with opened(sides, streams=3) as pair:
        check_one_way(pair.clients, pair.servers)


def check_one_way(senders: list[Face], receivers: list[Face]) -> None:
    sends = [
        sender.start("send_many", [number(1000 * k + i) for i in range(1000)], timeout=WAIT_S)
        for k, sender in enumerate(senders)
    ]
    for k, receiver in enumerate(receivers):
        received: list[bytes] = []
        while len(received) < 1000:
            received.append(receiver.recv(WAIT_S))
        assert received == [number(1000 * k + i) for i in range(1000)]
    for each in sends:
        each.result()


# --- the limit of the connection ---


@every_pair
def test_unconsumed_bytes_reclaimed(sides: str) -> None:
    """Bytes that the peer never consumed do not count when their stream has ended."""
    limit = {"max_streams_unconsumed_bytes": 10 * 1024 * 1024}
    with opened(sides, streams=2, channel=limit, server=limit) as pair:
        for sender in (pair.client, pair.server):
            table = sender.inner._core.table
            before = table.unconsumed
            sender.send(b"x" * 100 * 1024, timeout=WAIT_S)
            # What the server sends may wait until its answer is known to be sent.
            wait_until(lambda table=table, before=before: table.unconsumed - before == 100 * 1024)  # type: ignore[misc]
        tables = [pair.client.inner._core.table, pair.server.inner._core.table]
        pair.client.close(WAIT_S)
        assert len(pair.server.recv(WAIT_S)) == 100 * 1024
        wait_until(lambda: [table.unconsumed for table in tables] == [0, 0])
