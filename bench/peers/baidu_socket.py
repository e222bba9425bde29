"""Bare blocking sockets that speak baidu_std: a connection for each thread, the server of pybrpc.

No client in Python that blocks can be faster: a request is made once, and only its correlation id
is written anew; of a response only the length is checked.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from collections.abc import Iterator

from bench.echo_messages import SERVICE, EchoRequest
from bench.peers.bare_socket import receive_exactly
from bench.peers.peer import Call, NoStatistics
from bench.peers.pybrpc_sync import EchoService, PybrpcClient, PybrpcSync
from bench.work import TIMEOUT_S

HEADER = struct.Struct("!4sII")
"""The magic, the bytes that follow the header, those of them that are the meta."""
LEAST_ID, MOST_ID = 1 << 14, 1 << 21
"""Correlation ids of which each takes three bytes, so that all requests have one length."""
READ_SIZE = 65536


class BaiduSocketClient(NoStatistics):
    def __init__(self, port: int, connections: contextlib.ExitStack) -> None:
        self._port = port
        self._connections = connections

    def caller(self) -> Call:
        """ValueError of a call: the response is not as long as that to the request before."""
        address = ("127.0.0.1", self._port)
        sock = self._connections.enter_context(socket.create_connection(address, TIMEOUT_S))
        sock.settimeout(None)  # or each call would poll first
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ids = itertools.cycle(range(LEAST_ID, MOST_ID))
        asked: tuple[bytes, int] = (b"", -1)
        start = end = b""
        length = 0

        def call(payload: bytes, sleep_us: int) -> bytes:
            nonlocal asked, start, end, length
            if asked[0] is not payload or asked[1] != sleep_us:
                start, end = request_around_id(payload, sleep_us)
                asked, length = (payload, sleep_us), 0
            sock.sendall(start + varint(next(ids)) + end)
            response = receive_response(sock)
            if length and len(response) != length:
                raise ValueError(f"a response of {len(response)} bytes instead of {length}")
            length = len(response)
            return response[-len(payload) :]

        return call


def request_around_id(payload: bytes, sleep_us: int) -> tuple[bytes, bytes]:
    """A request for an echo: its bytes before and after the correlation id."""
    body = EchoRequest(payload=payload, sleep_us=sleep_us).SerializeToString()
    method = field(1, SERVICE.full_name.encode()) + field(2, b"Echo")
    meta = field(1, method) + b"\x20"  # and the id
    meta_size = len(meta) + len(varint(LEAST_ID))
    return HEADER.pack(b"PRPC", meta_size + len(body), meta_size) + meta, body


def field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2, len(content))) + content


def varint(number: int) -> bytes:
    """The three bytes of an id."""
    return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))


def receive_response(sock: socket.socket) -> bytes:
    """One response, and nothing else. EOFError: the connection has ended."""
    found = sock.recv(READ_SIZE)
    if len(found) < HEADER.size:
        found += receive_exactly(sock, HEADER.size - len(found))
    missing = HEADER.unpack_from(found)[1] + HEADER.size - len(found)
    if missing < 0:
        raise ValueError(f"{-missing} bytes that nobody asked for")
    return found + receive_exactly(sock, missing) if missing else found


class BaiduSocket(PybrpcSync):
    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[BaiduSocketClient]:  # type: ignore[override]
        with contextlib.ExitStack() as connections:
            yield BaiduSocketClient(port, connections)


PEER = BaiduSocket(EchoService, PybrpcClient)
