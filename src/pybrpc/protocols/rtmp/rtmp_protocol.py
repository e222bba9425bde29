"""RtmpProtocol: how a server finds the connections of RTMP among others, and their sessions."""

from __future__ import annotations

from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.rtmp.handshake import VERSION, HandshakeServer
from pybrpc.protocols.rtmp.message import DEFAULT_MAX_MESSAGE_BYTES
from pybrpc.protocols.rtmp.session import RtmpSession
from pybrpc.protocols.session import Session, Side
from pybrpc.protocols.traits import Detection


class RtmpProtocol:
    """It carries no calls. A connection is its own from the first byte, which is a 3: in no other
    protocol that a server understands is it the first one."""

    name = "rtmp"
    kind = "rtmp"

    def __init__(self, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        """`max_message_bytes`: of one message that a peer sends, unless `max_body_size` of the
        server is less."""
        self._max_message_bytes = max_message_bytes

    def detect(self, first: bytes) -> Detection:
        """Whether a connection that begins with `first` is one of RTMP."""
        return Detection.YES if first[:1] == bytes((VERSION,)) else Detection.NO

    def new_session(self, side: Side, limits: ParseLimits) -> Session:
        """A server's session shakes hands; a client has done that before it begins."""
        return RtmpSession(
            self,
            max_message_bytes=min(self._max_message_bytes, limits.max_body_size),
            handshake=HandshakeServer() if side is Side.SERVER else None,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
