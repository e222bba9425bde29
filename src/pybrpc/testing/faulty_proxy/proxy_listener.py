"""ProxyListener: the listening socket of a FaultyProxy; it can stop, and start again on the same
address."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError
from pybrpc.testing.faulty_proxy.proxy_loop import READ, ProxyLoop

BACKLOG = 1024
PAUSE_S = 0.1

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UNIX = "unix:"

SocketAddress = tuple[Any, ...] | str


class ProxyListener:
    """Accepts in the thread of a ProxyLoop and gives each connection to `on_accepted`."""

    def __init__(self, address: str, on_accepted: Callable[[socket.socket], None]) -> None:
        """Bind and listen. Raises OSError if the address can't be listened on."""
        self._family, self._sockaddr = resolve(address, passive=True)
        self._on_accepted = on_accepted
        self._loop: ProxyLoop | None = None
        self._sock: socket.socket | None = None
        self._listen()

    @property
    def address(self) -> str:
        """The address that clients connect to; a restart does not change it."""
        if isinstance(self._sockaddr, tuple):
            return str(Endpoint.from_sockaddr(self._sockaddr))
        return f"{_UNIX}{self._sockaddr}"

    # --- in the thread of the loop ---

    def start(self, loop: ProxyLoop) -> None:
        """Accept; listen again if it had been stopped."""
        self._loop = loop
        if self._sock is None:
            self._listen()
        self.advance(0.0)

    def close(self) -> None:
        """Stop listening: connecting fails from now on, also for clients not accepted yet."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if self._loop is not None:
            self._loop.watch(sock, 0, self)
            self._loop.wake_at(self, NEVER)
        sock.close()
        self._unlink()

    def on_ready(self, sock: socket.socket, mask: int, now: float) -> None:
        try:
            accepted, _ = sock.accept()
        except OSError as error:
            if error.errno in _OUT_OF_RESOURCES and self._loop is not None:
                self._loop.watch(sock, 0, self)
                self._loop.wake_at(self, now + PAUSE_S)
            return
        self._on_accepted(accepted)

    def advance(self, now: float) -> None:
        if self._sock is not None and self._loop is not None:
            self._loop.watch(self._sock, READ, self)

    # --- details ---

    def _listen(self) -> None:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            if self._family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(self._sockaddr)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self._sockaddr = sock.getsockname()

    def _unlink(self) -> None:
        if isinstance(self._sockaddr, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._sockaddr)

    def __repr__(self) -> str:
        return f"<ProxyListener on {self.address}, {'open' if self._sock else 'closed'}>"


def resolve(
    address: object, *, passive: bool = False
) -> tuple[socket.AddressFamily, SocketAddress]:
    """Family and socket address of "host:port", "unix:/path" or an Endpoint. Blocks for a name."""
    text = str(address)
    if text.startswith(_UNIX):
        return socket.AF_UNIX, text.removeprefix(_UNIX)
    endpoint = Endpoint.parse(text, allow_port_0=passive)
    if endpoint.is_memory:
        raise AddressError(f"{endpoint} is in memory, and a proxy needs a network: use a port")
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr
