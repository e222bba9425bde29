"""PlainOrTlsLayer: one port for TLS and plaintext, told apart by the first byte of the client."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from pybrpc.errors import ConnectionFailedError, ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.transport.interfaces import PLAIN, ConnectionLayer, TlsInfo, bytes_held_by
from pybrpc.transport.tls.tls_layer import HANDSHAKE_READ_BYTES, TlsLayer

_HANDSHAKE = 22


class PlainOrTlsLayer:
    """TLS for clients that begin with a TLS handshake; no layer for all other clients.

    The client has to send first, as plaintext clients of every RPC protocol do.
    """

    __slots__ = ("_chosen", "_early", "_make_tls")

    def __init__(self, make_tls: Callable[[], TlsLayer]) -> None:
        self._make_tls = make_tls
        self._chosen: ConnectionLayer | None = None
        self._early = IOBuf()

    @property
    def writes_in_background(self) -> bool:
        return self._layer.writes_in_background

    @property
    def has_unsent(self) -> bool:
        return self._layer.has_unsent

    @property
    def unsent_bytes(self) -> int:
        return getattr(self._layer, "unsent_bytes", 0)

    @property
    def held_bytes(self) -> int:
        return len(self._early) + bytes_held_by(self._layer)

    @property
    def has_received(self) -> bool:
        """Whether the peer has sent anything."""
        return self._chosen is not None

    @property
    def has_unread(self) -> bool:
        return bool(self._early) or self._layer.has_unread

    @property
    def tls(self) -> TlsInfo | None:
        return self._layer.tls

    def shake_hands(self, fd: int, /) -> bool:
        if self._chosen is None and not self._choose(fd):
            return False
        return self._layer.shake_hands(fd)

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        return self._layer.cut_into_fd(fd, pieces)

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        if self._early:
            early, self._early = self._early, IOBuf()
            buffer.append(early)
            return len(early)
        return self._layer.append_from_fd(fd, buffer, max_bytes)

    def finish(self, fd: int, /) -> None:
        self._layer.finish(fd)

    def close(self, fd: int, /) -> None:
        self._layer.close(fd)

    @property
    def _layer(self) -> ConnectionLayer:
        return self._chosen or PLAIN

    def _choose(self, fd: int) -> bool:
        """False if nothing has arrived yet."""
        try:
            data = os.read(fd, HANDSHAKE_READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            text = "the peer closed the connection before it sent anything"
            raise ConnectionFailedError(text, code=ErrorCode.EEOF, is_remote=True)
        if data[0] == _HANDSHAKE:
            tls = self._make_tls()
            tls.take_first_bytes(data)
            self._chosen = tls
        else:
            self._early.append(data)
            self._chosen = PLAIN
        return True

    def __repr__(self) -> str:
        return f"<PlainOrTlsLayer {self._chosen!r}>"
