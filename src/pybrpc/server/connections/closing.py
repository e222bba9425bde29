"""ClosableConnection: how a connection to a server ends.

Its end comes in steps. Input ends first: the peer shuts down its writing side, sends invalid bytes,
or is rejected. The connection is *retired* then: requests that were admitted before are still run,
answered and written, other users of the connection still write, and once nobody holds it any more
it is closed gracefully. A peer that shuts down its
writing side is most likely gone, so handlers learn that their calls are canceled; but the peer may
as well have sent its last request and wait for the response.
"""

from __future__ import annotations

from pybrpc.errors import ErrorCode, HandshakeError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.rpc.holds import ConnectionUser, Holds, begin_hold, end_hold, fail_holds
from pybrpc.server.calls.interfaces import CallConnection
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.connections.exchange import Exchange
from pybrpc.server.connections.server_core import ServerCore
from pybrpc.transport.socket.socket import Socket

LINGER_S = 1.0
"""Seconds that a peer has to close a connection to which this side has written everything."""

LONG_LINGER_S = 10.0
"""The linger of a peer that may still be sending, in seconds."""


class ClosableConnection(CallConnection):
    """The part of a ServerConnection that ends it. Its closing methods are called in a turn."""

    __slots__ = ("_has_peer_ended", "_holds", "exchange", "is_closing", "is_retired", "server")

    def __init__(self, server: ServerCore) -> None:
        self.server = server
        self.calls: set[ServerCall] = set()
        self.plain_calls = self.async_calls = None
        self.is_retired = False
        """Whether no more messages are taken."""
        self.is_closing = False
        self._has_peer_ended = False
        self._holds: Holds = {}
        self.exchange: Exchange | None = None
        """Gets the messages if they are no calls."""

    # --- who uses it ---

    def is_held(self) -> bool:
        """Whether a call or a ConnectionUser uses it."""
        return len(self.calls) > 0 or len(self._holds) > 0

    def hold(self, user: ConnectionUser) -> None:
        """Have `user` use it until `release_hold`, or until it fails. Also if it takes no more
        messages.

        While a call of it runs, or in a turn, so that it is not just being closed. Raises the
        RpcError of a socket that has failed; then `user` does not hold it. RuntimeError if `user`
        holds it already.
        """
        begin_hold(self._holds, user, self, self.socket)

    def release_hold(self, user: ConnectionUser) -> None:
        """End a hold: if it was the last one, a connection that was to be closed is closed now.

        RuntimeError if `user` does not hold it. Nothing happens if it has failed. Any thread.
        """
        if end_hold(self._holds, user, self, self.socket):
            self.on_calls_ended()

    @property
    def is_busy(self) -> bool:
        """Whether somebody uses it, or a response is not written yet."""
        return self.is_held() or self.socket.backlog.requests > 0

    # --- its end ---

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
            self._note_handshake_failure(socket, error)
        try:
            self.server.forget(self)
        finally:
            try:
                if self.exchange is not None:
                    self.exchange.on_failed(error)
            finally:
                fail_holds(self._holds, self, socket, error)

    def _note_handshake_failure(self, socket: Socket, error: RpcError) -> None:
        """Log it, unless the peer has only tried whether the port can be connected to."""
        has_spoken = getattr(socket.layer, "has_received", True)
        if has_spoken or error.code == ErrorCode.ETIMEDOUT:
            self.server.bad_input_log.warn("%s", error.text)

    def discard_input(self, reason: str) -> None:
        """Throw away the received part of a message, read nothing more, and retire."""
        self.server.bad_input_log.warn("%s", f"Close {self.socket.description}: {reason}")
        self.is_retired = True
        self.socket.session.buffer.clear()
        self.socket.discard_reads()
        self.retire()

    def retire(self) -> None:
        """Take no more messages, and close gracefully once nobody holds it.

        Called again when calls or holds have ended.
        """
        self.is_retired = True
        if not self.is_held() and not self.is_closing:
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

    @property
    def state(self) -> str:
        """State in one word, for people: "open", "half-closed", "closing" or "gone"."""
        if self.is_gone():
            return "gone"
        if self.is_closing:
            return "closing"
        return "half-closed" if self.is_retired else "open"
