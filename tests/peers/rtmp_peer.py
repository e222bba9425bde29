"""RtmpPeer: a client of RTMP over a blocking socket, which sends whatever a test wants it to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Self

from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import Command, parse_command
from pybrpc.protocols.rtmp.message import COMMAND, DATA, RtmpMessage
from pybrpc.rtmp.frame import Frame
from tests.fakes.threads import WAIT_S

BLOCK = 1536
CHUNK_STREAMS = {COMMAND: 8, DATA: 4, 8: 6, 9: 7}


class PeerClosedError(Exception):
    """The server has closed the connection."""


class RtmpPeer:
    """Reads in the thread that waits. `received` has all messages that have come so far."""

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> None:
        self.sock: socket.socket = socket.create_connection((endpoint.host, endpoint.port), WAIT_S)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self.received: list[RtmpMessage] = []
        self._buffer = IOBuf()
        self.reader = ChunkReader()
        self._writer = ChunkWriter()
        self._transaction = 0.0

    def shake_hands(self) -> Self:
        self.sock.sendall(b"\x03" + bytes(BLOCK))
        answer = self._read_exactly(1 + 2 * BLOCK)
        self.sock.sendall(answer[1 : 1 + BLOCK])
        return self

    def connect(self, app: str = "live", **values: Any) -> Self:
        """With the handshake, if there was none."""
        if not self._transaction:
            self.shake_hands()
        self.command("connect", {"app": app, "tcUrl": f"rtmp://localhost/{app}", **values})
        assert self.wait_command("_result", "_error").name == "_result"
        return self

    def create_stream(self) -> int:
        self.command("createStream")
        return int(self.wait_command("_result").argument(0))

    def publish(self, name: str = "cam") -> int:
        stream_id = self.create_stream()
        self.command("publish", None, name, "live", stream_id=stream_id)
        return stream_id

    def play(self, name: str = "cam", *arguments: Any) -> int:
        stream_id = self.create_stream()
        self.command("play", None, name, *arguments, stream_id=stream_id)
        return stream_id

    def command(
        self, name: str, command_object: Any = None, *arguments: Any, stream_id: int = 0
    ) -> None:
        self._transaction += 1
        command = Command(name, self._transaction, command_object, arguments)
        self.send(command.pack(stream_id))

    def send_frame(self, stream_id: int, frame: Frame) -> None:
        self.send(RtmpMessage(frame.message_type, frame.payload, stream_id, frame.timestamp))

    def send(self, *messages: RtmpMessage) -> None:
        self.sock.sendall(self.pack(*messages))

    def pack(self, *messages: RtmpMessage) -> bytes:
        data = IOBuf()
        for message in messages:
            chunk_stream = CHUNK_STREAMS.get(message.message_type, 2)
            self._writer.append(data, message, chunk_stream)
        return bytes(data)

    def wait_command(self, *names: str) -> Command:
        """The next command with one of these names; all messages before it are dropped."""
        message = self.wait_for(
            lambda message: message.message_type == COMMAND and parse_command(message).name in names
        )
        return parse_command(message)

    def wait_status(self) -> str:
        """The code of the next onStatus."""
        return str(self.wait_command("onStatus").argument(0)["code"])

    def wait_code(self, code: str) -> None:
        """Wait for an onStatus with this code."""
        while self.wait_status() != code:
            continue

    def wait_message(self, wanted: RtmpMessage) -> None:
        """Wait for a message that is equal to `wanted`."""
        self.wait_for(lambda message: message == wanted)

    def wait_for(self, is_wanted: Callable[[RtmpMessage], bool]) -> RtmpMessage:
        while True:
            while self.received:
                message = self.received.pop(0)
                if is_wanted(message):
                    return message
            self._read_more()

    def wait_closed(self) -> list[RtmpMessage]:
        """Wait until the server closes; return what came before."""
        try:
            while True:
                self._read_more()
        except PeerClosedError:
            return self.received

    def read_all(self) -> bytes:
        """The bytes that come until the server closes."""
        data = b""
        try:
            while True:
                data += self.read_some()
        except (PeerClosedError, ConnectionResetError):
            return data

    def read_some(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise PeerClosedError
        return data

    def _read_more(self) -> None:
        try:
            self._buffer.append(self.read_some())
        except ConnectionResetError:
            raise PeerClosedError from None
        while read := self.reader.read(self._buffer):
            self.received += read
        assert self.reader.broken is None, self.reader.broken

    def _read_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self.sock.recv(size - len(data))
            assert data
        return data

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
