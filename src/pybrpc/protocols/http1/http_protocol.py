"""HttpProtocol: HTTP/1.0 and 1.1 as a protocol of a connection, for either side."""

from __future__ import annotations

import re
from typing import Any

from pybrpc.protocols.http1.client_session import HttpClientSession
from pybrpc.protocols.http1.options import METHODS
from pybrpc.protocols.http1.server_session import HttpServerSession
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import HTTP_KIND, Detection

_KNOWN = b"|".join(sorted(re.escape(method.encode()) for method in METHODS))
_KNOWN_METHOD = re.compile(rb"(?:" + _KNOWN + rb") \S")
"""A method that there is, and the first byte of a target."""

_REQUEST_LINE = re.compile(rb"[A-Z][A-Z-]{0,15} \S+ HTTP/1")
"""Any method in a request line: unknown ones are answered, and not taken from other protocols."""

_MAY_BEGIN = re.compile(rb"[A-Z][A-Z-]{0,15}(?: (?:\S+(?: (?:H(?:T(?:T(?:P/?)?)?)?)?)?)?)?")

_PREFACE = b"PRI * HTTP/2"


class HttpProtocol:
    """HTTP/1.1 on a port that other protocols share. It has no state of connections."""

    name = "http"
    kind = HTTP_KIND
    alpn = ("http/1.1",)
    carries_credential = True
    connection_types = ("pooled", "short")
    """Those of channels: one request at a time on a connection, as in C++ bRPC."""

    def detect(self, first: bytes) -> Detection:
        """Whether a connection that begins with `first` is of HTTP: a line that begins with a
        method, known or not."""
        if _PREFACE.startswith(first[: len(_PREFACE)]):
            return Detection.NEED_MORE if len(first) < len(_PREFACE) else Detection.NO
        if _KNOWN_METHOD.match(first) or _REQUEST_LINE.match(first):
            return Detection.YES
        return Detection.NEED_MORE if _MAY_BEGIN.fullmatch(first) else Detection.NO

    def new_session(self, side: Side, limits: ParseLimits) -> Session:
        """The session of one connection."""
        if side is Side.SERVER:
            return HttpServerSession(self, limits)
        return HttpClientSession(self, limits)

    def __repr__(self) -> str:
        return "<HttpProtocol>"


HTTP: Any = HttpProtocol()
