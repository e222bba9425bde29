"""Streams with C++ bRPC's examples, streaming_echo_c++ and streaming_batch_echo_c++, both ways."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections import defaultdict
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import EXAMPLE
from bench.peers.cpp_program import CppProgram, missing
from pybrpc.errors import ConnectionFailedError, StreamClosedError, StreamTimeoutError
from tests.peers.brpc_cpp import ExampleService, cpp_server, example_server

ONE = "streaming_echo_c++"
THREE = "streaming_batch_echo_c++"
WAIT_S = 30.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing(ONE, THREE)), reason=missing(ONE, THREE)),
]

HELLO = EXAMPLE.request(message=b"hello")
SMALL_WINDOW = pybrpc.StreamOptions(max_buf_size=64)
LETTERS, DIGITS, WORDS = b"abcdefghijklmnopqrstuvwxyz", b"0123456789", b"hello world"
"""The messages of the examples' clients."""


class Received:
    """Keeps the messages of each stream, until there are enough."""

    def __init__(self, wanted: int) -> None:
        self.messages: dict[int, list[bytes]] = defaultdict(list)
        self.closed: list[pybrpc.RpcError | None] = []
        self.has_enough = threading.Event()
        self.are_closed = threading.Event()
        self._wanted = wanted

    def take(self, stream: Any, messages: list[bytes]) -> None:
        self.messages[stream.id] += messages
        if sum(map(len, self.messages.values())) >= self._wanted:
            self.has_enough.set()

    def close(self, stream: Any, error: pybrpc.RpcError | None) -> None:
        self.closed.append(error)
        if len(self.closed) == len(self.messages):
            self.are_closed.set()


class InThreads(ExampleService):
    def __init__(self, received: Received, echoes: bool) -> None:
        super().__init__()
        self._received = received
        self._echoes = echoes

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        def on_messages(stream: Any, messages: list[bytes]) -> None:
            self._received.take(stream, messages)
            if self._echoes:
                stream.send_many([b"echo:" + message for message in messages])

        closed = self._received.close
        controller.accept_streams(pybrpc.StreamOptions(on_messages=on_messages, on_closed=closed))
        return EXAMPLE.response(message=b"accepted")


class InALoop(InThreads):
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:  # type: ignore[override]
        async def on_messages(stream: Any, messages: list[bytes]) -> None:
            self._received.take(stream, messages)
            if self._echoes:
                await stream.send_many([b"echo:" + message for message in messages])

        closed = self._received.close
        controller.accept_streams(pybrpc.StreamOptions(on_messages=on_messages, on_closed=closed))
        return EXAMPLE.response(message=b"accepted")


TRIES = 60
"""Bytes that may be sent before the first FEEDBACK, within SMALL_WINDOW."""


def wait_for_feedback(stream: Any) -> None:
    """C++ servers answer first, then mark the stream as connected. The bytes that they consume in
    between they report only when they consume more (Stream::Consume in src/brpc/stream.cpp)."""
    for _ in range(TRIES):
        stream.send(b".")
        with contextlib.suppress(StreamTimeoutError):
            return stream.wait_consumed(timeout=0.5)  # type: ignore[no-any-return]
    pytest.fail("no FEEDBACK")


async def wait_for_feedback_in_a_loop(stream: Any) -> None:
    for _ in range(TRIES):
        await stream.send(b".")
        with contextlib.suppress(StreamTimeoutError):
            return await stream.wait_consumed(timeout=0.5)  # type: ignore[no-any-return]
    pytest.fail("no FEEDBACK")


every_service = pytest.mark.parametrize("service", [InThreads, InALoop])


def wait_for_line(client: CppProgram, text: str) -> None:
    while text not in client.read_line(WAIT_S):
        pass


@every_service
def test_cpp_client_sends_on_a_stream_that_it_does_not_read(service: type[InThreads]) -> None:
    """Its side says that it is not writable."""
    received = Received(wanted=2)
    with (
        example_server(service(received, echoes=False)) as server,
        CppProgram(ONE, "client", f"-server={server.endpoint}") as client,
    ):
        assert received.has_enough.wait(WAIT_S)
        client.send_signal(signal.SIGINT)
        assert received.are_closed.wait(WAIT_S)
    (messages,) = received.messages.values()
    assert messages[:2] == [LETTERS, DIGITS]
    assert received.closed == [None]


@every_service
def test_cpp_client_has_three_streams_echoed(service: type[InThreads]) -> None:
    received = Received(wanted=3)
    with (
        example_server(service(received, echoes=True)) as server,
        CppProgram(THREE, "client", f"-server={server.endpoint}") as client,
    ):
        for message in (LETTERS, DIGITS, WORDS):
            wait_for_line(client, f"echo:{message.decode()}")
        client.send_signal(signal.SIGINT)
        assert received.are_closed.wait(WAIT_S)
    assert [each[0] for each in received.messages.values()] == [LETTERS, DIGITS, WORDS]
    assert len(received.closed) == 3
    # The client ends right after it has closed them: what this side writes then may fail first.
    assert {type(error) for error in received.closed} <= {type(None), ConnectionFailedError}


def test_three_streams_are_echoed_by_a_cpp_server_and_closed_one_by_one() -> None:
    with cpp_server(THREE) as server, pybrpc.Channel(server.address) as channel:
        stub = pybrpc.Stub(EXAMPLE.service, channel)
        with stub.Echo.stream(HELLO, streams=3, timeout=WAIT_S) as call:
            for turn in range(300):
                for number, stream in enumerate(call.streams):
                    message = b"%d of stream %d" % (turn, number)
                    stream.send(message, timeout=WAIT_S)
                    assert stream.recv(WAIT_S) == message
            call.streams[1].close(WAIT_S)
            call.streams[0].send(b"goes on", timeout=WAIT_S)
            assert call.streams[0].recv(WAIT_S) == b"goes on"
        assert [stream.state for stream in call.streams] == ["closed"] * 3


def test_three_streams_of_a_loop_are_echoed_by_a_cpp_server() -> None:
    async def run(address: str) -> None:
        async with pybrpc.aio.Channel(address) as channel:
            stub = pybrpc.Stub(EXAMPLE.service, channel)
            async with stub.Echo.stream(HELLO, streams=3, timeout=WAIT_S) as call:
                for turn in range(100):
                    for number, stream in enumerate(call.streams):
                        message = b"%d of stream %d" % (turn, number)
                        await stream.send(message, timeout=WAIT_S)
                        assert await stream.recv(WAIT_S) == message

    with cpp_server(THREE) as server:
        asyncio.run(run(server.address))


def test_streams_to_a_cpp_server_are_consumed_and_closed() -> None:
    with cpp_server(ONE) as server, pybrpc.Channel(server.address) as channel:
        stub = pybrpc.Stub(EXAMPLE.service, channel)
        with stub.Echo.stream(HELLO, options=SMALL_WINDOW, timeout=WAIT_S) as call:
            assert call.response.message == b"Accepted stream"
            stream = call.stream
            wait_for_feedback(stream)
            for number in range(200):
                stream.send(b"message %d" % number, timeout=WAIT_S)
            stream.wait_consumed(WAIT_S)
            assert stream.unconsumed_bytes == 0
        assert stream.state == "closed"
        with pytest.raises(StreamClosedError):
            stream.send(b"more")
        log = server.process.log()
        assert all(f"message {number}" in log for number in range(200))


def test_streams_of_a_loop_to_a_cpp_server_are_consumed_and_closed() -> None:
    async def run(address: str) -> None:
        async with pybrpc.aio.Channel(address) as channel:
            stub = pybrpc.Stub(EXAMPLE.service, channel)
            async with stub.Echo.stream(HELLO, options=SMALL_WINDOW, timeout=WAIT_S) as call:
                await wait_for_feedback_in_a_loop(call.stream)
                for number in range(200):
                    await call.stream.send(b"message %d" % number, timeout=WAIT_S)
                await call.stream.wait_consumed(WAIT_S)
            assert call.stream.state == "closed"

    with cpp_server(ONE) as server:
        asyncio.run(run(server.address))
        assert "message 199" in server.process.log()


def test_cpp_server_that_ends_fails_the_stream() -> None:
    with cpp_server(ONE) as server, pybrpc.Channel(server.address) as channel:
        stub = pybrpc.Stub(EXAMPLE.service, channel)
        call = stub.Echo.stream(HELLO, timeout=WAIT_S).open()
        server.process.send_signal(signal.SIGKILL)
        with pytest.raises(pybrpc.RpcError) as caught:
            call.stream.recv(timeout=WAIT_S)
        assert caught.value.name in ("EEOF", "ECONNRESET")
        assert call.stream.wait_closed(WAIT_S) is not None
