"""Real sockets under test, the plain sockets at their other ends, and what they report."""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import Message
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.interfaces import PlainLayer
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.threads import WAIT_S

SMALL_BUFFER = 4096


class Outcomes:
    """An outcome callback that keeps the outcomes. Any thread may call it."""

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
    """A SocketUser that keeps messages and errors in queues."""

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
        """All bytes until the end of the stream, or a reset."""
        parts: list[bytes] = []
        with contextlib.suppress(ConnectionResetError):
            while part := self.peer.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


class UserMessage:
    """A SocketMessage: bytes, or an exception that turning it into bytes raises."""

    def __init__(self, content: bytes | BaseException, log: list[object] | None = None) -> None:
        self.content = content
        self.log = log

    def append_to(self, buffer: IOBuf) -> None:
        if self.log is not None:
            self.log.append(self)
        if isinstance(self.content, BaseException):
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
    """Replace the write of connections without a layer by `function`."""
    monkeypatch.setattr(PlainLayer, "cut_into_fd", staticmethod(function))


def flush(wire: Wire, step: StepDispatcher) -> bytes:
    """Run the dispatcher and receive until nothing is left to send."""
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


OVERCROWDED_AT_1000 = SocketOptions(high_water_bytes=1000, low_water_bytes=500)


MakeWire = Callable[..., Wire]


MakeStep = Callable[..., StepDispatcher]


class Interruption:
    """Calls a function once, at the n-th bytecode of pybrpc.transport that this thread runs."""

    def __init__(self, moment: int, function: Any) -> None:
        self.left = moment
        self.function = function

    def __enter__(self) -> Interruption:
        self._before = sys.gettrace()
        # From 3.12 on settrace gives opcodes only if some frame has asked for them before.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if "/pybrpc/transport/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.function()
        return self._trace

    @property
    def happened(self) -> bool:
        return self.left <= 0


class RecordingUser:
    """A SocketUser that notes each notification; `stays`: it keeps the socket after EOF."""

    def __init__(self, stays: bool = False) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.stays = stays

    def on_connected(self, socket: Socket) -> None:
        self.told.append(("connected", socket))

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        self.told.append(("messages", socket, len(messages)))

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        self.told.append(("end", socket, error.code))
        return self.stays

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        self.told.append(("failed", socket, error.code))
