"""What the tests of transport/ share: loops in threads, wires, outcomes, numbered frames."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import Message
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.interfaces import PlainLayer
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.peers.loops import LOOPS

WAIT_S = 30.0
"""How long a test waits for what must come; it never comes near it."""

SMALL_BUFFER = 4096

HEADER = struct.Struct("!HIH")


class LoopThread:
    """An asyncio loop that runs in a thread of its own."""

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = make_loop()
        self.dispatcher = AsyncioDispatcher(self.loop)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def close(self) -> None:
        """End the loop after what was posted, and what that posted, has run."""
        for _ in range(3):
            ran = threading.Event()
            self.loop.call_soon_threadsafe(ran.set)
            assert ran.wait(WAIT_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()


@contextlib.contextmanager
def running_dispatcher(kind: str) -> Iterator[EventDispatcher]:
    """A dispatcher of that kind, with a thread behind it."""
    if kind == "epoll":
        dispatcher = EpollDispatcher()
        try:
            yield dispatcher
        finally:
            dispatcher.close()
        return
    loop = LoopThread(LOOPS[kind])
    try:
        yield loop.dispatcher
    finally:
        loop.close()


def run_inside(dispatcher: EventDispatcher, function: Callable[[], object]) -> None:
    """Run a function in a turn of the dispatcher and wait until it has ended."""
    over = threading.Event()

    def run() -> None:
        try:
            function()
        finally:
            over.set()

    dispatcher.post(run)
    assert over.wait(WAIT_S)


class Outcomes:
    """An outcome callback that keeps what it is told; may be called from anywhere."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[RpcError | None] = queue.SimpleQueue()

    def __call__(self, error: RpcError | None) -> None:
        self._told.put(error)

    def take(self, count: int = 1) -> list[RpcError | None]:
        """The next `count` outcomes; waits for them."""
        return [self._told.get(timeout=WAIT_S) for _ in range(count)]

    def take_error(self) -> RpcError:
        (error,) = self.take()
        assert error is not None
        return error

    @property
    def untaken(self) -> int:
        return self._told.qsize()


class User:
    """A SocketUser that keeps what it is given."""

    def __init__(self) -> None:
        self.connected: queue.SimpleQueue[Socket] = queue.SimpleQueue()
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.errors: queue.SimpleQueue[RpcError] = queue.SimpleQueue()

    def on_connected(self, socket: Socket) -> None:
        self.connected.put(socket)

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        for message in messages:
            self.messages.put(message)

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        return False

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        self.errors.put(error)

    def take_error(self) -> RpcError:
        return self.errors.get(timeout=WAIT_S)


def make_pair(kind: str = "unix", buffer_bytes: int | None = None) -> tuple[socket.socket, ...]:
    """Two connected blocking sockets, with buffers as small as asked for."""
    if kind == "unix":
        ends = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            if buffer_bytes is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            near = socket.create_connection(listener.getsockname())
            ends = (near, listener.accept()[0])
    for end in ends:
        end.settimeout(WAIT_S)
        if buffer_bytes is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    return ends


class Wire:
    """A Socket under test and the plain blocking socket at its other end."""

    def __init__(self, near: Socket, far: socket.socket) -> None:
        self.socket = near
        self.peer = far

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes, or what came before the end."""
        parts: list[bytes] = []
        while size:
            part = self.peer.recv(min(size, 1 << 16))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def receive_all(self) -> bytes:
        """All until the end of the stream; a reset ends it too."""
        parts: list[bytes] = []
        with contextlib.suppress(ConnectionResetError):
            while part := self.peer.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


def frame(producer: int, number: int, size: int = 0) -> bytes:
    """A numbered frame whose filling says whether it was torn."""
    return HEADER.pack(producer, number, size) + bytes([producer + 1]) * size


def frames_of(data: bytes) -> Iterator[tuple[int, int]]:
    """(producer, number) of every whole frame; a torn one is an error, a cut last one is not."""
    at = 0
    while len(data) - at >= HEADER.size:
        producer, number, size = HEADER.unpack_from(data, at)
        at += HEADER.size
        filling = data[at : at + size]
        assert filling == bytes([producer + 1]) * len(filling), f"torn frame at byte {at}"
        if len(filling) < size:
            return
        at += size
        yield producer, number


def by_producer(frames: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for producer, number in frames:
        found.setdefault(producer, []).append(number)
    return found


def in_threads(count: int, function: Callable[[int], object]) -> None:
    """Call function(0), ..., function(count - 1) at once; raise what one of them raised."""
    start = threading.Barrier(count)
    raised: list[BaseException] = []

    def run(index: int) -> None:
        try:
            start.wait(WAIT_S)
            function(index)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT_S)
        assert not thread.is_alive(), "a producer hangs"
    if raised:
        raise raised[0]


class UserMessage:
    """A SocketMessage: bytes, or an exception that turning it into bytes raises."""

    def __init__(self, content: bytes | Exception, log: list[object] | None = None) -> None:
        self.content = content
        self.log = log

    def append_to(self, buffer: IOBuf) -> None:
        if self.log is not None:
            self.log.append(self)
        if isinstance(self.content, Exception):
            buffer.append(b"half of it")
            raise self.content
        buffer.append(self.content)


def unused_endpoint() -> Endpoint:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return Endpoint.from_sockaddr(listener.getsockname())


def fill(near: Socket, size: int = 1 << 16, **kwargs: object) -> int:
    """Write until the kernel takes no more; return how many messages that took."""
    count = 0
    while near.backlog.size_bytes <= size:
        near.start_write(IOBuf(bytes(size)), ignore_eovercrowded=True)
        count += 1
    return count


def write_instead(
    monkeypatch: pytest.MonkeyPatch, function: Callable[[int, Sequence[IOBuf]], int]
) -> None:
    """Have connections without a layer written by `function` from now on."""
    monkeypatch.setattr(PlainLayer, "cut_into_fd", staticmethod(function))


def flush(wire: Wire, step: StepDispatcher) -> bytes:
    """Run and receive until nothing moves any more."""
    received = bytearray()
    wire.peer.setblocking(False)
    while step.run_until_idle() or wire.socket.backlog.size_bytes:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while part := wire.peer.recv(1 << 20):
                received += part
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while part := wire.peer.recv(1 << 20):
            received += part
    return bytes(received)


CROWDED_AT_1000 = SocketOptions(high_water_bytes=1000, low_water_bytes=500)
