"""RtmpSession: the session of a connection of RTMP, after or with its handshake.

It answers by itself what needs no decision: an Ack when a window has come, a ping, and a
SetPeerBandwidth. Its `output` uses the chunk stream of control messages alone, always with a
complete header, so it is independent of the ChunkWriter of the connection, which other threads use.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.handshake import BLOCK_SIZE, HandshakeServer
from pybrpc.protocols.rtmp.message import (
    ACK,
    DEFAULT_MAX_MESSAGE_BYTES,
    SET_PEER_BANDWIDTH,
    USER_CONTROL,
    RtmpMessage,
    UserEvent,
    ack,
    bandwidth_in,
    number_in,
    ping_response,
    user_control_in,
    window_ack,
)
from pybrpc.protocols.session import Session

if TYPE_CHECKING:
    from pybrpc.protocols.message import Message

HANDSHAKE_BYTES = 1 + 2 * BLOCK_SIZE
"""Bytes of the handshake that one side sends. They count in its Acks."""

MANY_MESSAGES, MIN_MEAN_BYTES = 1024, 12
"""A read with more messages than these, of fewer bytes on average with their headers, is a flood: a
byte may be a message, and each costs time."""

MAX_WINDOWS_PER_CUT = 8
"""New bandwidths in the bytes of one read, each of which is answered."""

MAX_PINGS_PER_CUT = 64
"""Pings in the bytes of one read that are answered; a peer that sends more floods."""


class HandshakeEvent(enum.Enum):
    """Events that the session of a server returns before the first message, so that its connection
    can limit the time for each step."""

    BEGUN = "begun"
    """The first byte has come."""
    DONE = "done"


class RtmpSession(Session):
    """Cuts RtmpMessages. Those that it answers itself are not returned, and neither are Acks."""

    __slots__ = (
        "_early",
        "_handshake",
        "_has_begun",
        "_window_sent",
        "acked_bytes",
        "has_acks",
        "on_ack",
        "reader",
    )

    def __init__(
        self,
        protocol: Any,
        *,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        handshake: HandshakeServer | None = None,
    ) -> None:
        """`handshake`: that of a server. A client makes its own before the session begins."""
        super().__init__(protocol)
        self._handshake = handshake
        self._has_begun = handshake is None
        self.reader = ChunkReader(max_message_bytes, received_bytes=HANDSHAKE_BYTES)
        self.acked_bytes = 0
        """The number in the last Ack of the peer: modulo 2**32."""
        self.has_acks = False
        """Whether the peer has sent an Ack."""
        self.on_ack: Callable[[], None] | None = None
        """Called when Acks have come, once for those of a read."""
        self._window_sent = 0
        self._early: list[RtmpMessage] = []

    def continue_from(self, reader: ChunkReader, early: list[RtmpMessage]) -> None:
        """A client: the handshake is over. `reader` has read the messages `early`, which nobody has
        looked at, and may be inside of another one."""
        self.reader = reader
        self._early = early

    def cut(self) -> list[Message]:
        if self.broken is not None:
            self.buffer.clear()
            return []
        events = self._shake_hands()
        if self._handshake is not None:
            return events
        messages, self._early = self._early, []
        reader = self.reader
        begun_at = reader.received_bytes - reader.held_bytes
        while read := reader.read(self.buffer):
            messages += read
            read_bytes = reader.received_bytes - reader.held_bytes - begun_at
            if len(messages) > MANY_MESSAGES and read_bytes < MIN_MEAN_BYTES * len(messages):
                self.broken = Broken(f"RTMP: {len(messages)} messages in {read_bytes} bytes")
                self.buffer.clear()
                return events
        self.broken = reader.broken
        left: list[Any] = self._answer(messages)
        number = reader.take_ack()
        if number is not None:
            self._put(ack(number))
        return events + left if events else left

    def bytes_wanted(self) -> int:
        handshake = self._handshake
        if handshake is None or handshake.is_done:
            return 0
        return max(0, handshake.bytes_wanted - len(self.buffer))

    @property
    def held_bytes(self) -> int:
        return self.reader.held_bytes

    @property
    def unfinished_mark(self) -> int:
        """See ChunkReader: messages of one connection interleave."""
        return self.reader.unfinished_mark

    @property
    def unfinished_bytes(self) -> int:
        return len(self.buffer) + self.reader.held_bytes

    def _shake_hands(self) -> list[Any]:
        """Continue the handshake, which is over once it is `None`."""
        handshake = self._handshake
        events: list[Any] = []
        if handshake is None or not self.buffer:
            return events
        if not self._has_begun:
            self._has_begun = True
            events.append(HandshakeEvent.BEGUN)
        self.output.append(handshake.receive(self.buffer))
        self.broken = handshake.broken
        if handshake.is_done:
            self._handshake = None
            events.append(HandshakeEvent.DONE)
        return events

    def _answer(self, messages: list[RtmpMessage]) -> list[RtmpMessage]:
        """Answer what needs no decision; return the others."""
        left: list[RtmpMessage] = []
        pings = acks = windows = 0
        for message in messages:
            kind = message.message_type
            if kind == USER_CONTROL:
                control = user_control_in(message.payload)
                if control is None:
                    continue
                if control.event != UserEvent.PING_REQUEST:
                    left.append(message)
                    continue
                pings += 1
                if pings > MAX_PINGS_PER_CUT:
                    self.broken = Broken(f"RTMP: more than {MAX_PINGS_PER_CUT} pings at once")
                    return left
                self._put(ping_response(control))
            elif kind == ACK:
                self.acked_bytes = number_in(message.payload) or 0
                self.has_acks = True
                acks += 1
            elif kind == SET_PEER_BANDWIDTH:
                bandwidth = bandwidth_in(message.payload)
                if bandwidth is not None and bandwidth.window_bytes != self._window_sent:
                    windows += 1
                    if windows > MAX_WINDOWS_PER_CUT:
                        self.broken = Broken(f"RTMP: {windows} bandwidths at once")
                        return left
                    self._window_sent = bandwidth.window_bytes
                    self._put(window_ack(bandwidth.window_bytes))
            else:
                left.append(message)
        if acks and self.on_ack is not None:
            self.on_ack()
        return left

    def _put(self, message: RtmpMessage) -> None:
        """A short message, with a complete header."""
        frames = IOBuf()
        ChunkWriter().append(frames, message)
        self.output.append(frames)
