"""ClosableConnection: how a connection to a server ends.

Its end comes in steps. Input ends first: the peer shuts down its writing side, sends invalid bytes,
or is rejected. The connection is *retired* then: requests that were admitted before are still run,
answered and written, and then the connection is closed gracefully. A peer that shuts down its
writing side is most likely gone, so handlers learn that their calls are canceled; but the peer may
as well have sent its last request and wait for the response.
"""

from __future__ import annotations

from pybrpc.errors import ErrorCode, HandshakeError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.server.calls.interfaces import CallConnection
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.server.values import UnfinishedConnection
from pybrpc.transport.socket.message_cutter import MessageCutter
from pybrpc.transport.socket.socket import Socket

LINGER_S = 1.0
"""Seconds that a peer has to close a connection to which this side has written everything."""

LONG_LINGER_S = 10.0
"""The linger of a peer that may still be sending, in seconds."""


class ClosableConnection(CallConnection):
    """The part of a ServerConnection that ends it. Its closing methods are called in a turn."""

    __slots__ = ("_cutter", "_has_peer_ended", "calls", "is_closing", "is_retired", "server")

    def __init__(self, server: ServerCore) -> None:
        self.server = server
        self.calls: set[ServerCall] = set()
        """Admitted calls whose responses are not queued yet."""
        self.is_retired = False
        """Whether no more messages are taken."""
        self.is_closing = False
        self._has_peer_ended = False
        settings = server.settings
        self._cutter = MessageCutter(settings.limits, settings.protocols)

    @property
    def is_busy(self) -> bool:
        """Whether a request runs, or a response is not written yet."""
        return bool(self.calls) or self.socket.backlog.requests > 0

    def is_canceled(self) -> bool:
        return self._has_peer_ended or self.socket.error is not None

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        """The input has ended. False: nothing is left to be done on the connection."""
        if error.code == ErrorCode.EEOF:
            self._has_peer_ended = True
            if not self.is_busy:
                return False
        else:
            self.server.bad_input_log.warn("%s", error.text)
        self.retire()
        return True

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        if isinstance(error, HandshakeError):
            self.server.bad_input_log.warn("%s", error.text)
        self.server.forget(self)

    def discard_input(self, reason: str) -> None:
        """Throw away the received part of a message, read nothing more, and retire."""
        self.server.bad_input_log.warn("%s", f"Close {self.socket.description}: {reason}")
        self.is_retired = True
        self._cutter.buffer.clear()
        self.socket.discard_reads()
        self.retire()

    def retire(self) -> None:
        """Take no more messages, and close gracefully once no call runs.

        Called again when calls have ended.
        """
        self.is_retired = True
        if not self.calls and not self.is_closing:
            self.close_gracefully(LONG_LINGER_S)

    def close_gracefully(self, linger_s: float, final_data: IOBuf | None = None) -> None:
        """Write what is queued, then `final_data`, then shut down the writing side.

        Then wait at most `linger_s` seconds until the peer closes: closing at once could reset the
        connection before the peer has read the last responses. Called again, it can shorten the
        wait.
        """
        self.is_retired = self.is_closing = True
        if self.socket.is_connected:
            self.socket.close_gracefully(IOBuf() if final_data is None else final_data, linger_s)
        else:
            # During a handshake no response can be lost.
            self.socket.close()

    def unfinished(self) -> UnfinishedConnection:
        """Description of the work that is left on the connection, for people."""
        unwritten_bytes = self.socket.backlog.size_bytes
        return UnfinishedConnection(self.peer, self.state, len(self.calls), unwritten_bytes)

    @property
    def state(self) -> str:
        """State in one word, for people: "open", "half-closed", "closing" or "gone"."""
        if self.is_gone():
            return "gone"
        if self.is_closing:
            return "closing"
        return "half-closed" if self.is_retired else "open"
