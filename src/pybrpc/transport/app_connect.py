"""AppConnect: what a protocol says on a fresh connection before its first message.

HELLO and AUTH of Redis, for example. It runs after TCP (and TLS) and within the deadline of the
connect; messages that were queued meanwhile go out once it is over. After bRPC's `AppConnect`.
"""

from __future__ import annotations

from typing import Protocol

from pybrpc.iobuf import IOBuf


class AppConnect(Protocol):
    """The handshake of a protocol on one connection, without any I/O: bytes in, bytes out.

    One object per socket. Called in turns of the dispatcher, one call at a time; must not block.
    What it raises fails the connection, in the phase "handshake", and everybody who waits is told:
    an RpcError as it is (AuthenticationError, ...), anything else in the text of a HandshakeError.
    """

    def start(self, outgoing: IOBuf) -> bool:
        """TCP (and TLS) stands: append what is said first. True: that was all, nothing is awaited.

        Whatever was appended is written in full before the first message.
        """

    def on_data(self, incoming: IOBuf, outgoing: IOBuf) -> bool:
        """The peer said something: take it off `incoming`, append what is said next. True: over.

        `incoming` holds all that came and was not taken yet, so an answer may be complete, or not
        yet, or be followed by another. What is left in it at the end is read as messages.
        """
