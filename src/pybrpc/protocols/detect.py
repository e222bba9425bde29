"""Finds the protocol of a connection: each protocol tries to parse the first bytes."""

from __future__ import annotations

from collections.abc import Sequence

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.protocol import (
    NEED_MORE,
    NOT_MINE,
    Broken,
    ParseLimits,
    ParseOutcome,
    RpcProtocol,
)

_TLS_ALERT, _TLS_HANDSHAKE = b"\x15", b"\x16"
_TLS_MAJOR_VERSION = b"\x03"


def detect(
    buffer: IOBuf, limits: ParseLimits, protocols: Sequence[RpcProtocol]
) -> tuple[RpcProtocol | None, ParseOutcome]:
    """The protocol of the message at the front of `buffer`, and the outcome of parsing.

    The protocol is `None` together with NEED_MORE while several protocols are possible, and
    together with Broken if none is. Once a protocol is found, its `parse` can be called directly.
    """
    waiting: list[RpcProtocol] = []
    for protocol in protocols:
        outcome = protocol.parse(buffer, limits)
        if outcome is NEED_MORE:
            waiting.append(protocol)
        elif outcome is not NOT_MINE:
            return protocol, outcome
    if not waiting:
        return None, Broken(f"no known protocol starts with {described_start(buffer)}")
    return (waiting[0] if len(waiting) == 1 else None), NEED_MORE


def described_start(buffer: IOBuf) -> str:
    """The first bytes of a message of no known protocol, for people."""
    return f"{buffer.peek(16)!r}{tls_hint(buffer) or _http2_hint(buffer)}"


def _http2_hint(buffer: IOBuf) -> str:
    """A hint if the peer is a client or a server of HTTP/2; else ""."""
    start = buffer.peek(9)
    is_settings = start[3:] == b"\x04\0\0\0\0\0"
    if is_settings or start.startswith(b"PRI * HT"):
        return ", as HTTP/2 does, and so gRPC, which pybrpc does not speak"
    return ""


def tls_hint(buffer: IOBuf) -> str:
    """A hint for people if the first bytes of a peer are TLS, to follow them in a text; else ""."""
    start = buffer.peek(2)
    if start[:1] in (_TLS_ALERT, _TLS_HANDSHAKE) and start[1:] == _TLS_MAJOR_VERSION:
        return ", as TLS does: the peer speaks TLS, and this side was given no tls="
    return ""
