"""Publishers and players of RTMP that are sockets of the test process: what they send and receive
is exact, and a player can stop reading."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.message import RtmpMessage, ack, set_chunk_size
from pybrpc.rtmp.frame import Frame
from tests.oracles.rtmp_chunks import HANDSHAKE_SIZE, Message, messages_of
from tests.peers.rtmp_load import READ_BYTES, connect_player, connect_publisher
from tests.peers.running_program import LIMIT_S

MEDIA = (8, 9, 18)
CHUNK_SIZE = 65_536
NOT_FROM_PUBLISHERS = (b"|RtmpSampleAccess", b"onStatus")
"""Data messages of a server itself."""


class SocketPublisher:
    """Publishes at once, whatever the server answers."""

    def __init__(self, url: str) -> None:
        self.sock = connect_publisher(url)
        self._writer = ChunkWriter()
        self._send([(set_chunk_size(CHUNK_SIZE), 2)])

    def send(self, frames: Iterable[Frame]) -> None:
        """Send frames. Blocks while the server takes too little."""
        self._send(
            (RtmpMessage(frame.message_type, frame.payload, 1, frame.timestamp), frame.message_type)
            for frame in frames
        )

    def _send(self, messages: Iterable[tuple[RtmpMessage, int]]) -> None:
        wire = IOBuf()
        for message, chunk_stream in messages:
            self._writer.append(wire, message, chunk_stream)
        self.sock.sendall(bytes(wire))

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> SocketPublisher:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class SocketPlayers:
    """Players of one stream, read in the thread that calls `read_until`."""

    def __init__(self, url: str, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.received = [bytearray() for _ in range(count)]
        self.ended = [False] * count
        self._sockets = []
        for number in range(count):
            sock = connect_player(url)
            self._sockets.append(sock)
            self._selector.register(sock, selectors.EVENT_READ, number)

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Read until `condition()` holds; AssertionError after LIMIT_S."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, [len(data) for data in self.received]
            for key, _ in self._selector.select(0.05):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                data = sock.recv(READ_BYTES)
                self.received[key.data] += data
                if not data:
                    self.ended[key.data] = True
                    self._selector.unregister(sock)

    def read_bytes(self, size: int) -> None:
        """Read until each player has received so many bytes."""
        self.read_until(lambda: all(len(data) >= size for data in self.received))

    def read_frames(self, count: int) -> None:
        """Read until each player has received so many frames."""
        self.read_until(lambda: all(len(self.frames(n)) >= count for n in range(len(self.ended))))

    def messages(self, number: int) -> list[Message]:
        """All messages that a player has received completely, as the oracle reads them."""
        return list(messages_of(bytes(self.received[number]), 0))

    def frames(self, number: int = 0) -> list[Frame]:
        """The frames that a player has received."""
        return frames_in(self.messages(number))

    def close(self) -> None:
        self._selector.close()
        for sock in self._sockets:
            sock.close()

    def __enter__(self) -> SocketPlayers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def frames_in(messages: Iterable[Message]) -> list[Frame]:
    """The frames among messages, without those that a server makes itself."""
    return [
        Frame(message.kind, bytes(message.payload), message.timestamp_ms)
        for message in messages
        if message.kind in MEDIA and not any(n in message.payload for n in NOT_FROM_PUBLISHERS)
    ]


class AckingPlayer:
    """A player that acknowledges when it is told to; it reads in the thread that calls.

    count          bytes received, those of the handshake included
    most_unacked   the most bytes that it had and had not acknowledged, since its first `ack`
    """

    def __init__(self, url: str) -> None:
        self.sock = connect_player(url)
        self.sock.settimeout(LIMIT_S)
        self.count = HANDSHAKE_SIZE
        self.most_unacked = 0
        self._acked: int | None = None
        self._data = bytearray()
        self._writer = ChunkWriter()

    def ack(self, count: int | None = None) -> None:
        """Acknowledge so many bytes; by default all that it has received."""
        self._acked = self.count if count is None else count
        wire = IOBuf()
        self._writer.append(wire, ack(self._acked), 2)
        self.sock.sendall(bytes(wire))

    def read_until_quiet(self, least_count: int, quiet_s: float) -> None:
        """Read until `count` is so much, and on until nothing comes for so long. Acknowledge
        nothing. TimeoutError if it does not become so much."""
        while self.count < least_count:
            self._read()
        self.sock.settimeout(quiet_s)
        with contextlib.suppress(TimeoutError):
            while True:
                self._read()
        self.sock.settimeout(LIMIT_S)

    def read_all(self, sent: Sequence[Frame], ack_every: int | None) -> list[Frame]:
        """Read until as many frames have come as were sent; return them.

        Acknowledge whenever so many bytes are not acknowledged, or never. TimeoutError if nothing
        comes for LIMIT_S.
        """
        payload_bytes = sum(len(frame.payload) for frame in sent)
        while len(self._data) < payload_bytes or len(self.frames()) < len(sent):
            if ack_every is not None and self.count - (self._acked or 0) >= ack_every:
                self.ack()
            self._read()
        return self.frames()

    def frames(self) -> list[Frame]:
        return frames_in(messages_of(bytes(self._data), 0))

    def _read(self) -> None:
        data = self.sock.recv(READ_BYTES)
        assert data, "the server has closed the connection"
        self._data += data
        self.count += len(data)
        if self._acked is not None:
            self.most_unacked = max(self.most_unacked, self.count - self._acked)

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
