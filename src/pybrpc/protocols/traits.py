"""Traits of protocols: what the chooser and the connections ask a protocol, with the defaults.

A registered protocol may be as simple as an RpcProtocol, which has none of these. RpcProtocolBase
has all of them, and says what they mean.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message_cutter import MAX_SKIPPED_BYTES, MessageCutter
from pybrpc.protocols.ordered_session import OrderedSession
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, ParseLimits
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.streaming.streaming_rpc import STREAMING_RPC

RPC: Final = "rpc"
"""The kind of protocols whose frames may share a connection."""

HTTP_KIND: Final = "http"

MAX_DETECT_BYTES = 28
"""No protocol looks at more bytes than these to say whether a connection is its own."""


class Detection(enum.Enum):
    """Whether the first bytes of a connection are those of a protocol."""

    YES = "yes"
    NO = "no"
    NEED_MORE = "need more"
    """They may be."""


def kind_of(protocol: Any) -> str:
    """The kind of a protocol. Only protocols of the kind "rpc" share connections."""
    if is_ordered(protocol):
        return str(protocol.name)
    kind: str = getattr(protocol, "kind", RPC)
    return kind


def is_ordered(protocol: Any) -> bool:
    """Whether responses have no correlation id, and come in the order of their requests."""
    return bool(getattr(protocol, "is_ordered", False))


def sends_method_index(protocol: Any) -> bool:
    """Whether requests name their method by its place in the service."""
    return bool(getattr(protocol, "sends_method_index", False))


CONNECTION_TYPES = ("single", "pooled", "short", "auto")


def connection_types_of(protocol: Any) -> tuple[str, ...]:
    """The types of connections over which a channel may speak it; the first is the default."""
    return tuple(getattr(protocol, "connection_types", CONNECTION_TYPES))


def carries_credential(protocol: Any) -> bool:
    """Whether a request has a place for a credential."""
    return bool(getattr(protocol, "carries_credential", True))


def carries_trace(protocol: Any) -> bool:
    """Whether a request has a place for the ids of a trace."""
    return bool(getattr(protocol, "carries_trace", False))


def takes_blocks(protocol: Any) -> bool:
    """Whether the body of a message that it packs may be an IOBuf."""
    return bool(getattr(protocol, "takes_blocks", False))


def carries_streams(protocol: Any) -> bool:
    """Whether frames of streams may come on a connection that the protocol has begun."""
    return STREAMING_RPC in getattr(protocol, "companions", ())


def alpn_names(protocol: Any) -> tuple[str, ...]:
    """The names that the protocol has in the handshake of TLS."""
    return tuple(getattr(protocol, "alpn", ()))


def detection_of(protocol: Any, first: bytes, limits: ParseLimits | None = None) -> Detection:
    """Whether a connection that begins with `first`, at least one byte, is of this protocol."""
    first = first[:MAX_DETECT_BYTES]
    detect = getattr(protocol, "detect", None)
    found = detect(first) if detect is not None else detection_by_parsing(protocol, first, limits)
    if found is Detection.NEED_MORE and len(first) == MAX_DETECT_BYTES:
        return Detection.NO
    return found


def detection_by_magic(magic: bytes, first: bytes) -> Detection:
    """For a protocol all of whose connections begin with `magic`."""
    if first.startswith(magic):
        return Detection.YES
    return Detection.NEED_MORE if magic.startswith(first) else Detection.NO


def detection_by_parsing(
    protocol: Any, first: bytes, limits: ParseLimits | None = None
) -> Detection:
    """For a protocol that parses frames: which are mostly longer than what is looked at."""
    outcome = protocol.parse(IOBuf(first), limits or ParseLimits())
    if outcome is NOT_MINE:
        return Detection.NO
    if outcome is NEED_MORE and len(first) < MAX_DETECT_BYTES:
        return Detection.NEED_MORE
    return Detection.YES


def new_session(protocol: Any, side: Side, limits: ParseLimits) -> Session:
    """The session of a connection that speaks `protocol` from its beginning."""
    make = getattr(protocol, "new_session", None)
    if make is not None:
        session: Session = make(side, limits)
        return session
    return new_frame_session(protocol, side, limits)


def new_frame_session(protocol: Any, side: Side, limits: ParseLimits) -> Session:
    """The session of a protocol that has `parse`: a MessageCutter, or an OrderedSession."""
    if is_ordered(protocol):
        return OrderedSession(protocol, side, limits)
    skipped = MAX_SKIPPED_BYTES if side is Side.CLIENT else 0
    return MessageCutter(limits, protocol=protocol, max_skipped_bytes=skipped)
