"""RtmpClientConnection: a connection to a server of RTMP, and the streams that are opened over it.

    client                                            server
    (handshake and connect: see app_connect)
    createStream                              ------>
                                              <------ _result with the id of the stream
    publish, or SetBufferLength and play      ------>
                                              <------ onStatus: NetStream.Publish.Start, or
                                                      NetStream.Play.Start, or an error
    audio, video, data                        <-----> audio, video, data
    closeStream, deleteStream                 ------>

A played stream ends with NetStream.Play.UnpublishNotify, Stop or Complete, or with an onStatus of
level "error". StreamEOF ends nothing: nginx-rtmp sends it between two publishers of a stream.
"""

from __future__ import annotations

import itertools
import threading
from functools import partial
from typing import Any

from pybrpc.base.renewed import renew_in_child
from pybrpc.errors import (
    BadResponseError,
    DispatcherClosedError,
    ErrorCode,
    LimitReachedError,
    Phase,
    ProtocolError,
    RpcError,
    make_rpc_error,
)
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.client_connect import CONNECT_TRANSACTION, status_of
from pybrpc.protocols.rtmp.command import Command, integer_of
from pybrpc.protocols.rtmp.message import RtmpMessage, UserEvent, user_control
from pybrpc.rtmp.client.app_connect import refusal
from pybrpc.rtmp.client.opening import StreamOpening, StreamRequest
from pybrpc.rtmp.client.options import RtmpOptions
from pybrpc.rtmp.connection import RtmpConnection
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.streams.outgoing import Wait
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket

LINGER_S = 1.0
"""Seconds that a server has to close in turn, once it was given all."""

MAX_OPENINGS = 64
"""Streams of a connection that wait for an answer of the server, also in vain."""

_ENDS = frozenset(
    {
        "NetStream.Play.UnpublishNotify",
        "NetStream.Play.Stop",
        "NetStream.Play.Complete",
        "NetStream.Unpublish.Success",
    }
)


class RtmpClientConnection(RtmpConnection):
    """Connects with the first stream that is opened. Any thread, unless noted."""

    def __init__(self, socket: Socket, writer: ChunkWriter, options: RtmpOptions) -> None:
        super().__init__(socket, writer)
        self._options = options
        self._transactions = itertools.count(int(CONNECT_TRANSACTION) + 1)
        self._commands: dict[float, StreamOpening] = {}
        """The openings that wait for the answer to a command, by its transaction."""
        self._starting: dict[int, StreamOpening] = {}
        """The openings that wait for a status, by the id of the stream."""
        self._lock = threading.Lock()
        self._has_ended = False
        self._end_waits: list[Wait] = []
        renew_in_child(self)
        socket.set_user(_SocketEvents(self))

    def renew_locks(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()

    def is_usable(self) -> bool:
        """Whether a stream may be opened over it."""
        return self.socket.error is None

    def is_in_use(self) -> bool:
        """Whether a stream is open over it, or asked for."""
        openings = list(self._commands.values())
        return bool(self.streams) or not all(opening.is_over for opening in openings)

    # --- opening ---

    def open(self, request: StreamRequest) -> StreamOpening:
        """Ask for a stream. Never blocks.

        LimitReachedError if too many wait for an answer; the RpcError of a socket that has failed.
        """
        if len(self._commands) >= MAX_OPENINGS:
            text = f"{self.peer} has left {MAX_OPENINGS} requests for streams without an answer"
            raise LimitReachedError(text, peer=self.peer)
        opening = StreamOpening(self, request)
        messages = []
        if request.is_publish:
            messages += [
                self._unanswered("releaseStream", request.name),
                self._unanswered("FCPublish", request.name),
            ]
        messages.append(Command("createStream", self._begin_command(opening)).pack())
        try:
            self.write(messages, ignore_eovercrowded=True)
        except BaseException:
            self._commands.pop(opening.transaction_id, None)
            raise
        return opening

    def discard(self, opening: StreamOpening) -> None:
        """An opening was given up, whatever the server still answers.

        If it has not even made a stream, and no other one needs the connection, that is closed.
        """
        core = opening.core
        if core is not None:
            self.end_stream(core, None)
        elif not self.is_in_use():
            self.socket.close()

    def _begin_command(self, opening: StreamOpening) -> float:
        opening.transaction_id = float(next(self._transactions))
        self._commands[opening.transaction_id] = opening
        return opening.transaction_id

    def _take_starting(self, stream_id: int) -> StreamOpening | None:
        """The opening that waited for a status of this stream, and waits no more."""
        opening = self._starting.pop(stream_id, None)
        if opening is not None:
            self._commands.pop(opening.transaction_id, None)
        return opening

    def _unanswered(self, name: str, *arguments: Any, stream_id: int = 0) -> RtmpMessage:
        """A command whose answer changes nothing."""
        return Command(name, float(next(self._transactions)), None, arguments).pack(stream_id)

    # --- answers and events, in turns ---

    def on_connected(self) -> None:
        """The connection is established: the requests for streams are on their way."""
        for opening in list(self._commands.values()):
            opening.on_connected()

    def on_command(self, command: Command, stream_id: int) -> None:
        if command.name in ("_result", "_error"):
            opening = self._commands.pop(command.transaction_id, None)
            if opening is not None:
                self._on_answer(opening, command)
        elif command.name == "onStatus":
            self._on_status(command, stream_id)
        elif command.name == "close":
            self._on_status(command, stream_id)
            text = f"{self.peer} has asked this side to close the connection"
            self.socket.fail(
                make_rpc_error(
                    ErrorCode.EEOF, text, phase=Phase.WAITING, peer=self.peer, is_remote=True
                )
            )

    def _on_answer(self, opening: StreamOpening, command: Command) -> None:
        is_error = command.name == "_error"
        core = opening.core
        if core is None:
            if is_error:
                opening.finish(self._refusal("refuses to create a stream", command))
            else:
                self._on_created(opening, integer_of(command.argument(0)))
        elif is_error and core.id in self._starting:
            self._refuse(opening, core, command)

    def _on_created(self, opening: StreamOpening, stream_id: int) -> None:
        opening.has_taken_id = stream_id in self.streams
        if stream_id <= 0 or stream_id > 0xFFFFFFFF or stream_id in self.streams:
            text = f"{self.peer} has answered createStream with the id {stream_id}"
            opening.finish(BadResponseError(text, peer=self.peer, is_remote=True))
            return
        if opening.is_over:
            self.write_control([self._delete(stream_id)])
            return
        request = opening.request
        budget = default_runtime().stream_budget
        core = RtmpStreamCore(self, stream_id, budget, self._options.max_unread_bytes)
        core.name = request.name
        core.is_publisher = not request.is_publish
        core.from_publisher = request.is_publish
        self.streams[stream_id] = core
        self._starting[stream_id] = opening
        opening.core = core
        messages = [request.command(self._begin_command(opening)).pack(stream_id)]
        if not request.is_publish:
            length_ms = self._options.buffer_length_ms
            control = user_control(UserEvent.SET_BUFFER_LENGTH, stream_id, length_ms)
            messages.insert(0, control)
        self.write_control(messages)
        if opening.is_over:
            # It was given up while this was done, perhaps before it had a stream to end.
            self.end_stream(core, None)

    def _on_status(self, command: Command, stream_id: int) -> None:
        level, code, _ = status_of(command)
        core = self.streams.get(stream_id) or self._only_starting(level)
        if core is None:
            return
        opening = self._starting.get(core.id)
        if level == "error":
            if opening is not None:
                self._refuse(opening, core, command)
            else:
                error = self._refusal(f"ends {core.described}", command)
                self._end(core, error, unpublishes=False)
        elif opening is not None and code == opening.request.started:
            self._take_starting(core.id)
            if not opening.finish(None) and opening.error is not None:
                self.end_stream(core, None)
        elif code in _ENDS:
            self._end_by_peer(core)

    def _only_starting(self, level: str) -> RtmpStreamCore | None:
        """Some servers refuse on stream 0: that means the stream that starts, if it is one."""
        openings = list(self._starting.values())
        return openings[0].core if level == "error" and len(openings) == 1 else None

    def _refuse(self, opening: StreamOpening, core: RtmpStreamCore, command: Command) -> None:
        what = "publish" if opening.request.is_publish else "play"
        error = self._refusal(f"refuses to {what} a stream", command)
        opening.finish(error)
        self._end(core, error.copy(), unpublishes=False)

    def _end_by_peer(self, core: RtmpStreamCore) -> None:
        opening = self._starting.get(core.id)
        if opening is not None:
            text = f"{self.peer} has ended {core.described} before it began"
            opening.finish(BadResponseError(text, peer=self.peer, is_remote=True))
        self._end(core, None, unpublishes=False)

    def _refusal(self, what: str, command: Command) -> RpcError:
        _, code, text = status_of(command)
        return refusal(f"{self.peer} {what}", code, text, Phase.SERVER, self.peer)

    def on_bad_input(self, reason: str) -> None:
        text = f"Close {self.socket.description}: {reason}"
        error = ProtocolError(text, phase=Phase.WAITING, peer=self.peer, is_remote=True)
        self.socket.fail(error)

    def on_failed(self, error: RpcError) -> None:
        """The socket has failed or was closed. Once; in a turn, or in any thread if none comes."""
        self.fail_streams(error)
        openings = [*self._commands.values(), *self._starting.values()]
        self._commands.clear()
        self._starting.clear()
        for opening in openings:
            opening.finish(error.copy())
        with self._lock:
            self._has_ended = True
            waits, self._end_waits = self._end_waits, []
        for wait in waits:
            wait.end()

    # --- ends ---

    def end_stream(self, core: RtmpStreamCore, error: RpcError | None) -> None:
        self._end(core, error, unpublishes=core.id not in self._starting)

    def _end(self, core: RtmpStreamCore, error: RpcError | None, unpublishes: bool) -> None:
        """`unpublishes`: whether a publisher takes back its name. If the server has refused or
        ended it, that may be the name of another one now."""
        if not core.end(error):
            return
        self.streams.pop(core.id, None)
        opening = self._take_starting(core.id)
        messages = [self._unanswered("closeStream", stream_id=core.id), self._delete(core.id)]
        if unpublishes and not core.is_publisher:
            messages.insert(0, self._unanswered("FCUnpublish", core.name))
        self.write_control(messages)
        if opening is not None:
            opening.finish(core.end_error())

    def _delete(self, stream_id: int) -> RtmpMessage:
        return self._unanswered("deleteStream", float(stream_id))

    def close_gracefully(self) -> None:
        """End all streams, write what is queued, then close. Never blocks."""
        for core in list(self.streams.values()):
            self.end_stream(core, None)
        try:
            self.socket.dispatcher.post(partial(_close_in_turn, self.socket))
        except DispatcherClosedError:
            self.socket.close()

    def begin_end_wait(self, wait: Wait) -> bool:
        """End `wait` when the connection has ended. False if it has."""
        with self._lock:
            if self._has_ended or self.socket.error is not None:
                return False
            self._end_waits.append(wait)
            return True

    def __repr__(self) -> str:
        return f"<RtmpClientConnection {len(self.streams)} streams on {self.socket!r}>"


class _SocketEvents:
    """The SocketUser of a connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: RtmpClientConnection) -> None:
        self._connection = connection

    def on_connected(self, socket: Socket) -> None:
        self._connection.on_connected()

    def on_messages(self, socket: Socket, messages: list[Any]) -> None:
        self._connection.on_messages(messages)

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        return False

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        self._connection.on_failed(error)


def _close_in_turn(socket: Socket) -> None:
    if socket.is_connected and socket.error is None:
        socket.close_gracefully(IOBuf(), LINGER_S)
    else:
        socket.close()
