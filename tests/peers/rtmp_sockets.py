"""Publishers and players of RTMP that are sockets of the test process: what they send and receive
is exact, and a player can stop reading."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterable

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.message import RtmpMessage, set_chunk_size
from pybrpc.rtmp.frame import Frame
from tests.oracles.rtmp_chunks import Message, messages_of
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
        return [
            Frame(message.kind, bytes(message.payload), message.timestamp_ms)
            for message in self.messages(number)
            if message.kind in MEDIA and not any(n in message.payload for n in NOT_FROM_PUBLISHERS)
        ]

    def close(self) -> None:
        self._selector.close()
        for sock in self._sockets:
            sock.close()

    def __enter__(self) -> SocketPlayers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
