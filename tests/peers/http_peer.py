"""HttpPeer: a client of HTTP that sees the bytes of a connection, for tests of servers."""

from __future__ import annotations

import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

import h11

TIMEOUT_S = 20.0


class HttpPeer:
    """One connection. Its methods block for TIMEOUT_S at most."""

    def __init__(self, address: object, receive_buffer: int | None = None) -> None:
        host, _, port = str(address).rpartition(":")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect((host, int(port)))
        self.received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(
        self, method: str, target: str, body: bytes = b"", minor: int = 1, **headers: str
    ) -> None:
        """Send a request. In names of headers, "_" stands for "-"."""
        lines = [f"{method} {target} HTTP/1.{minor}", "Host: 127.0.0.1"]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def read(self) -> bytes:
        """Read once; b"" at the end."""
        with contextlib.suppress(ConnectionResetError):
            data = self.socket.recv(65536)
            self.received += data
            return data
        return b""

    def read_until(self, mark: bytes) -> bytes:
        """Take and return what comes up to and with `mark`. EOFError if the end comes first."""
        while mark not in self.received:
            if not self.read():
                raise EOFError(f"the connection ended before {mark!r}: {self.received!r}")
        found, end, self.received = self.received.partition(mark)
        return found + end

    def read_all(self) -> bytes:
        """All bytes up to the end of the connection."""
        while self.read():
            pass
        data, self.received = self.received, b""
        return data

    def shut_down(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with an RST: what was not read yet is lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Response:
    """A response as h11 has read it. `is_whole`: whether its end has come."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.parts: list[bytes] = []
        self.is_whole = False
        self.interim: list[int] = []


def read_response(peer: HttpPeer, method: str = "GET") -> Response:
    """The next response, judged by h11. Bytes behind it are left in `peer.received`."""
    judge = h11.Connection(h11.CLIENT)
    judge.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    judge.send(h11.EndOfMessage())
    response = Response()
    while True:
        event = judge.next_event()
        if event is h11.NEED_DATA:
            if not peer.received:
                peer.read()
            data, peer.received = peer.received, b""
            try:
                judge.receive_data(data)
            except h11.RemoteProtocolError:
                return response
            if not data:
                with contextlib.suppress(h11.RemoteProtocolError):
                    response.is_whole = isinstance(judge.next_event(), h11.EndOfMessage)
                return response
        elif isinstance(event, h11.InformationalResponse):
            response.interim.append(event.status_code)
        elif isinstance(event, h11.Response):
            response.status = event.status_code
            response.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            response.parts.append(bytes(event.data))
            response.body += bytes(event.data)
        else:
            response.is_whole = isinstance(event, h11.EndOfMessage)
            peer.received = judge.trailing_data[0] + peer.received
            return response
