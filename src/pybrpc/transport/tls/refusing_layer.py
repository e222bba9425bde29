"""RefusingLayer: the layer of a connection that can't have TLS, so its handshake fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from pybrpc.errors import TlsError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.interfaces import TlsInfo


class RefusingLayer:
    """A ConnectionLayer for a server of a cluster to which TLS is not possible, such as one without
    a name to check. Its connection fails as if the server had refused the handshake."""

    __slots__ = ("_text",)

    writes_in_background = True
    has_unsent = False
    has_unread = False
    tls: TlsInfo | None = None

    def __init__(self, text: str) -> None:
        self._text = text

    def shake_hands(self, fd: int, /) -> bool:
        self._refuse()

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        self._refuse()

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        self._refuse()

    def finish(self, fd: int, /) -> None:
        """Nothing was begun."""

    def close(self, fd: int, /) -> None:
        """Nothing was begun."""

    def _refuse(self) -> NoReturn:
        raise TlsError(self._text)

    def __repr__(self) -> str:
        return f"<RefusingLayer: {self._text}>"
