"""A bare blocking socket for each stream: bytes without a header, so messages of one size only."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from bench.peers.bare_socket import receive_exactly
from bench.peers.header import HEADER
from bench.peers.peer import NoStatistics, OnReady, WaitForEnd
from bench.streams.stream_peer import SOURCE, SyncStream
from bench.work import SMALL_BYTES


class BareSocketStreamClient(NoStatistics):
    def __init__(self, port: int) -> None:
        self._port = port

    @contextlib.contextmanager
    def open(self, service: str, payload: bytes) -> Iterator[SyncStream]:
        with socket.create_connection(("127.0.0.1", self._port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_source = service == SOURCE
            sock.sendall(HEADER.pack(len(payload), is_source, 0) + payload)
            messages = received(sock, len(payload) or SMALL_BYTES)

            def end() -> None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

            yield SyncStream(sock.sendall, messages, messages.__next__, end)


def received(sock: socket.socket, size_bytes: int) -> Iterator[bytearray]:
    """Messages of one size, all in one buffer."""
    found = bytearray(size_bytes)
    whole = memoryview(found)
    while True:
        rest = whole
        while rest:
            count = sock.recv_into(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        yield found


class BareSocketStreams:
    def serve(self, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
            on_ready(listener.getsockname()[1])
            wait_for_end()

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[BareSocketStreamClient]:
        yield BareSocketStreamClient(port)


def accept_all(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


def serve_one(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock, contextlib.suppress(EOFError, OSError):
        size, is_source, _ = HEADER.unpack(receive_exactly(sock, HEADER.size))
        payload = receive_exactly(sock, size)
        while is_source:
            sock.sendall(payload)
        for message in received(sock, SMALL_BYTES):
            sock.sendall(message)


PEER = BareSocketStreams()
