"""HttpProtocol: HTTP/1.1 as a protocol of channels, by its name "http"."""

from __future__ import annotations

from typing import ClassVar

from pybrpc.protocols.http1.client_session import HttpClientSession
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Session, Side


class HttpProtocol:
    """HTTP/1.1, of which only clients know so far. No state; all threads use one object."""

    __slots__ = ()

    name: ClassVar[str] = "http"
    kind: ClassVar[str] = "http"
    alpn: ClassVar[tuple[str, ...]] = ("http/1.1",)
    carries_credential: ClassVar[bool] = True
    connection_types: ClassVar[tuple[str, ...]] = ("pooled", "short")
    """One request at a time on a connection, as in C++ bRPC."""

    def new_session(self, side: Side, limits: ParseLimits) -> Session:
        """The session of one connection."""
        if side is Side.SERVER:
            raise ValueError("no server speaks http")
        return HttpClientSession(self, limits)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


HTTP = HttpProtocol()
