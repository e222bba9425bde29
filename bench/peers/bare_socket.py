"""A bare blocking socket: a connection for each thread, and a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from bench.peers.header import HEADER
from bench.peers.peer import Call, NoStatistics, OnReady, WaitForEnd


class BareSocketClient(NoStatistics):
    def __init__(self, port: int, connections: contextlib.ExitStack) -> None:
        self._port = port
        self._connections = connections

    def caller(self) -> Call:
        sock = self._connections.enter_context(socket.create_connection(("127.0.0.1", self._port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def call(payload: bytes, sleep_us: int) -> bytearray:
            send(sock, 0, sleep_us, payload)
            return receive(sock)[2]

        return call


class BareSocket:
    def serve(self, answer: Call, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            threading.Thread(target=accept_all, args=(listener, answer), daemon=True).start()
            on_ready(listener.getsockname()[1])
            wait_for_end()

    @contextlib.contextmanager
    def client(self, port: int) -> Iterator[BareSocketClient]:
        with contextlib.ExitStack() as connections:
            yield BareSocketClient(port, connections)


def accept_all(listener: socket.socket, answer: Call) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=answer_all, args=(sock, answer), daemon=True).start()


def answer_all(sock: socket.socket, answer: Call) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock, contextlib.suppress(EOFError, OSError):
        while True:
            number, sleep_us, payload = receive(sock)
            send(sock, number, 0, answer(payload, sleep_us))


def send(sock: socket.socket, number: int, sleep_us: int, payload: bytes | bytearray) -> None:
    """Header and payload, in one system call if the kernel takes all of it."""
    header = HEADER.pack(len(payload), number, sleep_us)
    sent = sock.sendmsg((header, payload)) - HEADER.size
    if sent < len(payload):
        sock.sendall(memoryview(payload)[sent:])


def receive(sock: socket.socket) -> tuple[int, int, bytearray]:
    """Number, microseconds to sleep, payload. EOFError: the connection has ended."""
    size, number, sleep_us = HEADER.unpack(receive_exactly(sock, HEADER.size))
    return number, sleep_us, receive_exactly(sock, size)


def receive_exactly(sock: socket.socket, size: int) -> bytearray:
    found = bytearray(size)
    rest = memoryview(found)
    while rest:
        if not (count := sock.recv_into(rest)):
            raise EOFError
        rest = rest[count:]
    return found


PEER = BareSocket()
