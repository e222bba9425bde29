"""A stream of C++ bRPC 1.17, as it was recorded.

Our client against the bytes of the C++ server sends exactly what the C++ client sent, and our
server against the bytes of the C++ client what the C++ server sent.

The client sends five messages, the server echoes each; then the client closes. Both ids are 0, for
all bytes come by hand: in turns of a StepDispatcher, cut at every place. What the functions of the
stream do comes by hand too, for the time of a FEEDBACK depends on it.
"""

from __future__ import annotations

import itertools
import socket as _socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.baidu_std.frame import HEADER_SIZE, unpack_header
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.method import methods_of
from pybrpc.rpc.serving import HandlerThread
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.server.calls.response_batch import ResponseBatch
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.lifecycle.hooks import LifecycleHooks
from pybrpc.server.lifecycle.running_server import RunningServer
from pybrpc.server.settings import ServerSettings
from pybrpc.streams.making import begin_stream, make_stream
from pybrpc.streams.opening import StreamBody, StreamOpening
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.socket.socket import Socket
from tests.fakes.client_socket import PEER
from tests.fakes.connections import FakeCall
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

VECTORS = Path(__file__).parent / "vectors"
CORRELATION_ID = 2**32 + 2
STREAM = next(method for method in methods_of(ECHO) if method.name == "Stream")
MESSAGES = [b"msg%d" % i for i in range(5)]

pytestmark = pytest.mark.python_only


def frames_of(role: str) -> list[bytes]:
    """The frames that `role` sent, one after another."""
    data = (VECTORS / f"baidu_std_stream.{role}.bin").read_bytes()
    found = []
    while data:
        magic, rest = data[:4], data[4:HEADER_SIZE]
        assert magic in (b"PRPC", b"STRM")
        size = HEADER_SIZE + unpack_header(b"PRPC" + rest)[1]
        found.append(data[:size])
        data = data[size:]
    return found


FROM_CLIENT = frames_of("client")
REQUEST, DATA, FEEDBACKS = FROM_CLIENT[0], FROM_CLIENT[1:6], FROM_CLIENT[6:9]
CLOSE, RST = FROM_CLIENT[9:]
FROM_SERVER = frames_of("server")
ANSWER, FIRST_ECHO, FIRST_FEEDBACK = FROM_SERVER[:3]
ECHOES, LAST_FEEDBACK, CLOSE_BACK = FROM_SERVER[3:7], FROM_SERVER[7], FROM_SERVER[8]

LONGEST = 190
"""More than the bytes of any part that comes at once."""


def test_the_recording_is_understood() -> None:
    assert [REQUEST, *DATA, *FEEDBACKS, CLOSE, RST] == FROM_CLIENT
    assert [ANSWER, FIRST_ECHO, FIRST_FEEDBACK, *ECHOES, LAST_FEEDBACK, CLOSE_BACK] == FROM_SERVER


class Side:
    """One side of the recording, and the socket of the other one."""

    def __init__(self, cut: Callable[[bytes], list[bytes]]) -> None:
        self.dispatcher = StepDispatcher()
        self._cut = cut
        self._ours, self.theirs = _socket.socketpair()
        self._ours.setblocking(False)
        self.functions: list[Callable[[], object]] = []

    def put(self, function: Callable[[], object], owner: object = None) -> None:
        """As CallbackThreads."""
        self.functions.append(function)

    def comes(self, *frames: bytes) -> None:
        """These come, in pieces; then functions of the stream run."""
        for piece in self._cut(b"".join(frames)):
            self._ours.sendall(piece)
            self.settle()
        self.run_functions()

    def run_functions(self) -> None:
        while self.functions:
            self.functions.pop(0)()
            self.settle()

    def settle(self) -> None:
        self.dispatcher.run_until_idle()
        assert self.dispatcher.raised == []

    def takes(self, *frames: bytes) -> None:
        """Exactly these were sent."""
        self.settle()
        try:
            sent = self._ours.recv(1 << 16)
        except BlockingIOError:
            sent = b""
        assert sent == b"".join(frames)

    def close(self) -> None:
        self._ours.close()
        self.settle()


@pytest.fixture(autouse=True)
def ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the recording."""
    module = "pybrpc.client.connections.rpc_connection._correlation_ids"
    monkeypatch.setattr(module, itertools.count(CORRELATION_ID))
    monkeypatch.setattr("pybrpc.streams.opening.new_stream_id", lambda: 0)
    monkeypatch.setattr("pybrpc.streams.table.new_stream_id", lambda: 0)


def cut_at(i: int) -> Callable[[bytes], list[bytes]]:
    """All that comes is cut once, after `i` bytes; what is shorter comes byte by byte."""

    def cut(data: bytes) -> list[bytes]:
        if i < len(data):
            return [data[:i], data[i:]] if i else [data]
        return [data[k : k + 1] for k in range(len(data))]

    return cut


@pytest.fixture(params=range(LONGEST))
def cut(request: pytest.FixtureRequest) -> Callable[[bytes], list[bytes]]:
    return cut_at(request.param)


# --- our client ---


class ClientSide(Side):
    """A connection that is its own source."""

    endpoint = PEER
    why_down = live = pool = call_times = None
    gives_own_connections = False

    def __init__(self, cut: Callable[[bytes], list[bytes]]) -> None:
        super().__init__(cut)
        timeouts = TimeoutQueues(self.dispatcher)
        cutter = MessageCutter(ParseLimits(), protocol=BAIDU_STD)
        socket = Socket.of(self.theirs, self.dispatcher, session=cutter)
        self.connection = RpcConnection(socket, timeouts, BAIDU_STD)
        socket.set_user(self.connection)
        self.dispatcher.post(socket.begin_use)
        self.settle()

    def get(self, call: object) -> RpcConnection:
        self.connection.begin_use()
        return self.connection

    def reclaim(self, call: object) -> None:
        pass


@pytest.fixture
def client(
    cut: Callable[[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClientSide]:
    side = ClientSide(cut)
    monkeypatch.setattr("pybrpc.streams.consumers.callback_threads", lambda: side)
    yield side
    side.connection.close()
    side.close()


def test_client_sends_what_the_cpp_client_sent(client: ClientSide) -> None:
    received: list[bytes] = []
    options = pybrpc.StreamOptions(
        on_messages=lambda stream, messages: received.extend(messages),
    )
    call, opening = start_call(client, options)
    client.takes(REQUEST)

    client.comes(ANSWER)
    assert pb.EchoResponse.FromString(bytes(call.response.body)).message == "accepted"
    stream: Any = make_stream(opening.cores[0], False)
    begin_stream(opening.cores[0])
    for message in MESSAGES:
        stream.send_nowait(message)
    client.takes(*DATA)

    client.comes(FIRST_ECHO)
    client.takes(FEEDBACKS[0])
    client.comes(FIRST_FEEDBACK, ECHOES[0])
    client.takes(FEEDBACKS[1])
    assert stream.unconsumed_bytes == 16
    client.comes(*ECHOES[1:])
    client.takes(FEEDBACKS[2])
    client.comes(LAST_FEEDBACK)
    assert stream.unconsumed_bytes == 0
    assert received == [b"echo:" + message for message in MESSAGES]

    stream._core.close()
    client.takes(CLOSE)
    client.run_functions()
    assert stream.state == "closed"
    client.comes(CLOSE_BACK)
    client.takes(RST)
    assert not client.connection.is_held()


def start_call(side: ClientSide, options: pybrpc.StreamOptions) -> tuple[FakeCall, StreamOpening]:
    call = FakeCall()
    request = pb.EchoRequest(message="hello from C++ brpc")
    call.set_up(side, STREAM, request, None, CallOptions(max_retry=0), pybrpc.Controller())
    call.ends = []
    opening = StreamOpening(options, 1)
    call.body = StreamBody(call.body, opening)
    call.start()
    return call, opening


def test_client_without_functions_sends_the_same_frames(client: ClientSide) -> None:
    """The messages that `recv` gives are consumed when the caller comes back: one FEEDBACK."""
    _, opening = start_call(client, pybrpc.StreamOptions())
    client.takes(REQUEST)
    client.comes(ANSWER)
    stream: Any = make_stream(opening.cores[0], False)
    for message in MESSAGES:
        stream.send_nowait(message)
    client.takes(*DATA)
    client.comes(FIRST_ECHO, FIRST_FEEDBACK, *ECHOES, LAST_FEEDBACK)
    assert [stream.recv(timeout=0) for _ in MESSAGES] == [b"echo:" + each for each in MESSAGES]
    client.takes()
    with pytest.raises(pybrpc.errors.StreamTimeoutError):
        stream.recv(timeout=0)
    client.takes(FEEDBACKS[2])
    stream._core.close()
    client.takes(CLOSE)
    client.comes(CLOSE_BACK)
    client.takes(RST)


# --- our server ---


class InlineRun(RunningServer):
    """Runs handlers at once, in the turn."""

    def start_calls(self, connection: Any, calls: list[Any]) -> None:
        batch, thread = ResponseBatch(), HandlerThread()
        for call in calls:
            self.invoker.run(call, batch, thread)
        batch.flush()


class StreamService:
    """The handler of the recorded C++ server."""

    def __init__(self) -> None:
        self.ends: list[Any] = []

    def Stream(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        assert request.message == "hello from C++ brpc"
        controller.accept_stream(
            pybrpc.StreamOptions(on_messages=self.on_messages, on_closed=self.on_closed)
        )
        return pb.EchoResponse(message="accepted")

    Echo = Stream

    def on_messages(self, stream: Any, messages: list[bytes]) -> None:
        for message in messages:
            stream.send_nowait(b"echo:" + message)

    def on_closed(self, stream: Any, error: Any) -> None:
        self.ends.append(error)


class ServerSide(Side):
    def __init__(self, cut: Callable[[bytes], list[bytes]]) -> None:
        super().__init__(cut)
        self.service = StreamService()
        registry = ServiceRegistry(drop_expired=False)
        registry.add(ECHO, self.service)
        listener = _socket.socket()
        listener.bind(("127.0.0.1", 0))
        runtime = Runtime()
        settings = ServerSettings(max_connections=1)
        self.run = InlineRun(registry, settings, LifecycleHooks(), self.dispatcher, runtime, None)
        self.run.listen(listener, runtime)
        self.run._on_accepted(self.theirs)

    def close(self) -> None:
        super().close()
        self.run.acceptor.abandon()
        self.run.pool.close()
        assert not self.run.connections


@pytest.fixture
def server(
    cut: Callable[[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerSide]:
    side = ServerSide(cut)
    monkeypatch.setattr("pybrpc.streams.consumers.callback_threads", lambda: side)
    yield side
    side.close()


def test_server_sends_what_the_cpp_server_sent(server: ServerSide) -> None:
    server.comes(REQUEST)
    server.takes(ANSWER)
    server.comes(DATA[0])
    server.takes(FIRST_ECHO, FIRST_FEEDBACK)
    server.comes(*DATA[1:])
    server.takes(*ECHOES, LAST_FEEDBACK)
    (connection,) = server.run.connections
    (core,) = connection.stream_table().streams.values()
    assert core.produced - core.remote_consumed == 45
    server.comes(*FEEDBACKS)
    assert core.produced - core.remote_consumed == 0
    server.comes(CLOSE)
    server.takes(CLOSE_BACK)
    assert server.service.ends == [None]
    server.comes(RST)
    server.takes()
    assert not connection.is_held()


def test_server_gets_all_at_once(server: ServerSide) -> None:
    """The messages and the CLOSE come before a function of the stream runs: no FEEDBACK is sent
    then, which nobody would understand."""
    received: list[bytes] = []
    server.service.on_messages = (  # type: ignore[method-assign]
        lambda stream, messages: received.extend(messages)
    )
    server.comes(REQUEST)
    server.takes(ANSWER)
    server.comes(*DATA, CLOSE)
    assert received == MESSAGES
    server.takes(CLOSE_BACK)
    assert server.service.ends == [None]
