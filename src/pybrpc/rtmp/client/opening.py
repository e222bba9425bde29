"""StreamOpening: a stream that a server was asked for, without any form of waiting."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pybrpc.base.renewed import renew_in_child
from pybrpc.errors import ErrorCode, RpcCanceledError, RpcError, RpcTimeoutError
from pybrpc.protocols.rtmp.command import Command
from pybrpc.rtmp.lost_sockets import failure_of
from pybrpc.rtmp.streams.stream_name import bare_name_of
from pybrpc.streams.outgoing import Wait
from pybrpc.transport.socket.socket import Socket

if TYPE_CHECKING:
    from pybrpc.rtmp.streams.stream_core import RtmpStreamCore


class OpeningConnection(Protocol):
    """An RtmpClientConnection."""

    socket: Socket

    @property
    def peer(self) -> str: ...

    def discard(self, opening: Any) -> None:
        """Nobody waits for `opening`, a StreamOpening, any more."""


PublishMode = Literal["live", "record", "append"]
""" "record" and "append" are for servers that store streams."""


@dataclasses.dataclass(frozen=True, slots=True)
class PublishRequest:
    """Asks to publish."""

    name: str = dataclasses.field(repr=False)
    mode: PublishMode = "live"

    is_publish = True
    started = "NetStream.Publish.Start"

    @property
    def bare_name(self) -> str:
        return bare_name_of(self.name)

    def command(self, transaction_id: float) -> Command:
        return Command("publish", transaction_id, None, (self.name, self.mode))


@dataclasses.dataclass(frozen=True, slots=True)
class PlayRequest:
    """Asks to play. `start`: -2 for a live stream, else a recorded one; -1 for a live stream only;
    else seconds into a recorded one. `duration`: seconds; -1 for all."""

    name: str = dataclasses.field(repr=False)
    start: float = -2.0
    duration: float = -1.0

    is_publish = False
    started = "NetStream.Play.Start"

    @property
    def bare_name(self) -> str:
        return bare_name_of(self.name)

    def command(self, transaction_id: float) -> Command:
        return Command("play", transaction_id, None, (self.name, self.start, self.duration, True))


_ENDED = frozenset({ErrorCode.EEOF, ErrorCode.ECONNRESET, ErrorCode.EPIPE})
"""Errors of a connection that its server has closed."""

StreamRequest = PublishRequest | PlayRequest


class StreamOpening:
    """Ends once: the stream is open, or `error` says why it is not. Any thread."""

    __slots__ = (
        "__weakref__",
        "_lock",
        "_waits",
        "connection",
        "core",
        "error",
        "has_taken_id",
        "is_on_used",
        "is_over",
        "request",
        "transaction_id",
    )

    def __init__(self, connection: OpeningConnection, request: StreamRequest) -> None:
        self.connection = connection
        self.request = request
        self.core: RtmpStreamCore | None = None
        """Set once the server has given the stream an id."""
        self.error: RpcError | None = None
        self.is_over = False
        self.has_taken_id = False
        """Whether the server has named the id of another stream of this connection."""
        self.is_on_used = connection.socket.is_connected
        """Whether it is not the first stream that its connection is asked for."""
        self.transaction_id = 0.0
        """The transaction of the last command, whose answer is awaited."""
        self._lock = threading.Lock()
        self._waits: list[Wait] = []
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()

    def finish(self, error: RpcError | None) -> bool:
        """End it. False if it has ended before."""
        with self._lock:
            if self.is_over:
                return False
            self.error = error
            self.is_over = True
            waits, self._waits = self._waits, []
        for wait in waits:
            wait.end()
        return True

    @property
    def came_too_late(self) -> bool:
        """Whether the server has closed the connection, which had streams before, instead of an
        answer: it may have done so because they had ended."""
        error = self.error
        return self.is_on_used and error is not None and error.code in _ENDED

    @property
    def is_sent(self) -> bool:
        """Whether the connection is established: from then on the server has time to answer."""
        return self.connection.socket.is_connected

    def on_connected(self) -> None:
        """End the waits, whose time begins now."""
        with self._lock:
            waits, self._waits = self._waits, []
        for wait in waits:
            wait.end()

    def begin_wait(self, wait: Wait) -> bool:
        """End `wait` when this ends, or `is_sent` becomes true. False if it has ended."""
        self.check_alive()
        with self._lock:
            if self.is_over:
                return False
            self._waits.append(wait)
            return True

    def check_alive(self) -> None:
        """End it if the socket has failed. Else that is done in a turn, which never comes in a
        forked child, nor in a loop that is closed."""
        error = failure_of(self.connection.socket)
        if error is not None:
            self.finish(error.copy())

    def forget_wait(self, wait: Wait) -> None:
        """Don't end `wait` any more."""
        with self._lock:
            if wait in self._waits:
                self._waits.remove(wait)

    def time_out(self, limit_s: float | None) -> None:
        """The server has taken longer than `limit_s` seconds, unless it has just answered."""
        if self.finish(self._timeout_error(limit_s)):
            self.connection.discard(self)

    def abandon(self) -> None:
        """Nobody will use the stream, open or not: the server is told to end it."""
        self.finish(RpcCanceledError("the wait for the stream was interrupted"))
        self.connection.discard(self)

    def result(self) -> RtmpStreamCore:
        """The stream; raises the error if it was not opened. Only once it is over."""
        if self.error is not None:
            raise self.error
        assert self.core is not None
        return self.core

    def _timeout_error(self, limit_s: float | None) -> RpcTimeoutError:
        peer = self.connection.peer
        what = "publish" if self.request.is_publish else "play"
        text = f"{peer} has not answered within {limit_s} s, asked to {what} a stream"
        return RpcTimeoutError(text, peer=peer)

    def __repr__(self) -> str:
        state = "over" if self.is_over else "waiting"
        return f"<StreamOpening {type(self.request).__name__} {state}>"
