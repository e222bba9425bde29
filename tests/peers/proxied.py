"""Proxied: a FaultyProxy with a plain socket on either side of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pybrpc.testing.faulty_proxy import Faults, FaultyProxy

HANG_S = 20.0
"""How long a plain socket waits before the test fails."""


class Proxied:
    """Connects clients through `proxy` and accepts on the other side. Sockets are blocking."""

    def __init__(self, proxy: FaultyProxy, listener: socket.socket) -> None:
        self.proxy = proxy
        self.listener = listener
        self._sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """A client, connected to the proxy."""
        return self._keep(connect_to(self.proxy.address))

    def accept(self) -> socket.socket:
        """The server's end of the next connection that the proxy makes."""
        return self._keep(self.listener.accept()[0])

    def pair(self, faults: Faults | None = None) -> tuple[socket.socket, socket.socket]:
        """Client and server, joined through the proxy."""
        if faults is not None:
            self.proxy.set_next(faults)
        return self.connect(), self.accept()

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()

    def _keep(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(HANG_S)
        self._sockets.append(sock)
        return sock


@contextmanager
def proxied(**options: Any) -> Iterator[Proxied]:
    """A Proxied over TCP; `options` are those of the FaultyProxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANG_S)
        with FaultyProxy(f"127.0.0.1:{listener.getsockname()[1]}", **options) as proxy:
            both = Proxied(proxy, listener)
            try:
                yield both
            finally:
                both.close()


def connect_to(address: str) -> socket.socket:
    """A plain socket, connected to "host:port" or "unix:/path"."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address.removeprefix("unix:"))
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=HANG_S)


def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or fewer if the stream ends."""
    found = b""
    while len(found) < size and (data := sock.recv(size - len(found))):
        found += data
    return found


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the stream ends."""
    return receive(sock, 1 << 30)


def receive_until_reset(sock: socket.socket) -> bytes:
    """Everything until ECONNRESET; AssertionError if the stream ends without."""
    found = b""
    try:
        while data := sock.recv(1 << 16):
            found += data
    except ConnectionResetError:
        return found
    raise AssertionError(f"the stream ended without a reset after {len(found)} bytes")


def connect_and_be_reset(address: str) -> None:
    """Connect, and see a reset, either at once or when reading; AssertionError without one."""
    try:
        with connect_to(address) as sock:
            sock.settimeout(HANG_S)
            received = receive_until_reset(sock)
    except ConnectionResetError:
        return
    assert received == b""
