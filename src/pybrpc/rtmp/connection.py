"""RtmpConnection: the part of a connection of RTMP that clients and servers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.amf0 import AmfError
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import Command, parse_command
from pybrpc.protocols.rtmp.message import (
    AUDIO,
    COMMAND,
    COMMAND_AMF3,
    DATA,
    DATA_AMF3,
    USER_CONTROL,
    VIDEO,
    RtmpMessage,
    UserControl,
    user_control_in,
)
from pybrpc.rtmp.lost_sockets import failure_of
from pybrpc.rtmp.outgoing import ChunkedMessages
from pybrpc.rtmp.streams.stream_core import RtmpStreamCore
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.errors import overcrowded_error
from pybrpc.transport.writing.write_request import WriteRequest

MAX_COMMAND_BYTES = 64 * 1024
"""Longest command. Its values may take many times the memory, and are made in a turn."""

MEDIA = frozenset((AUDIO, VIDEO, DATA, DATA_AMF3))


class RtmpConnection:
    """Messages in, messages out. `on_messages` comes in turns; any thread may write."""

    def __init__(self, socket: Socket, writer: ChunkWriter) -> None:
        """`writer`: as it is after the messages that were written so far."""
        self.socket = socket
        self._writer = writer
        self.streams: dict[int, RtmpStreamCore] = {}

    @property
    def peer(self) -> str:
        return str(self.socket.remote_side or "a peer without address")

    @property
    def chunk_writer(self) -> ChunkWriter:
        """The maker of the chunks of this side. Only the holder of the write right uses it."""
        return self._writer

    # --- receiving, in turns ---

    def on_messages(self, messages: list[Any]) -> None:
        """Messages of one read: media go to their streams, those of a run together."""
        run: list[RtmpMessage] = []
        for message in messages:
            if message.message_type in MEDIA:
                if run and run[0].stream_id != message.stream_id:
                    run = self._end_run(run)
                run.append(message)
                continue
            run = self._end_run(run)
            self._on_other(message)
        self._end_run(run)

    def _end_run(self, run: list[RtmpMessage]) -> list[RtmpMessage]:
        if run:
            core = self.streams.get(run[0].stream_id)
            if core is not None and core.is_publisher:
                core.on_messages(run)
        return []

    def _on_other(self, message: RtmpMessage) -> None:
        kind = message.message_type
        if kind in (COMMAND, COMMAND_AMF3):
            if len(message.payload) > MAX_COMMAND_BYTES:
                self.on_bad_input(f"a command has {len(message.payload)} bytes")
                return
            try:
                command = parse_command(message)
            except AmfError as error:
                self.on_bad_input(f"a command is malformed: {error}")
                return
            self.on_command(command, message.stream_id)
        elif kind == USER_CONTROL:
            control = user_control_in(message.payload)
            if control is not None:
                self.on_user_control(control)

    def on_command(self, command: Command, stream_id: int) -> None:
        """A command, or the answer to one. In a turn."""
        raise NotImplementedError

    def on_user_control(self, control: UserControl) -> None:
        """An event, other than a ping. In a turn."""

    def on_bad_input(self, reason: str) -> None:
        """The peer sends what makes no sense: close the connection. In a turn."""
        raise NotImplementedError

    # --- writing ---

    def write(self, messages: Sequence[RtmpMessage], ignore_eovercrowded: bool = False) -> None:
        """Queue messages, all or none. OvercrowdedError if the peer takes too little; the RpcError
        of a socket that has failed."""
        chunked = ChunkedMessages(self._writer, messages)
        request = WriteRequest(IOBuf(), chunked)
        request.size_bytes = chunked.size_hint_bytes
        self.socket.write_request(request, ignore_eovercrowded)

    def write_control(self, messages: Sequence[RtmpMessage]) -> None:
        """Queue short messages, whatever is queued. They are lost with the connection, which fails
        if its peer lets too many pile up."""
        if self.socket.backlog.exceeds_hard_limit(0):
            self.socket.fail(overcrowded_error(self.socket))
        try:
            self.write(messages, ignore_eovercrowded=True)
        except RpcError:
            return

    # --- ends ---

    def end_stream(self, core: RtmpStreamCore, error: RpcError | None) -> None:
        """End a stream for a reason of this side, and tell the peer. Any thread."""
        raise NotImplementedError

    def check_alive(self, core: RtmpStreamCore) -> None:
        """Before a wait: if the socket has failed, end `core` now. Else that is done in a turn,
        which never comes in a forked child, nor in a loop that is closed."""
        error = failure_of(self.socket)
        if error is not None and not core.has_ended:
            core.end(error.copy())

    def fail_streams(self, error: RpcError) -> None:
        """The connection has failed: all streams have ended."""
        streams, self.streams = self.streams, {}
        for core in list(streams.values()):
            core.end(error.copy())
