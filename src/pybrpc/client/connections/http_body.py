"""IncomingBody: the body of a response that its user takes part by part, as it comes.

The connection adds parts in turns of its dispatcher; a thread or a task takes them. What is not
taken counts in the backlog `unread` of the connection, above whose mark nothing more is read from
the peer. The body holds its connection until the end was taken, so no other call gets it before.

A thread that waits stores its wait and then looks for a part; the connection stores the part and
then looks for waits. Store, then load, on both sides (`base.atomic`): at least one sees the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.head import ResponseHead
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.transport.writing.backlog import Backlog

if TYPE_CHECKING:
    from pybrpc.client.connections.connection import ClientConnection

MAX_UNREAD_BYTES = 1024 * 1024
"""Unread bytes of a body above which nothing more is read from its connection."""


class Wait(Protocol):
    """A thread or a task that waits for a part."""

    def end(self) -> None:
        """Wake it. Any thread; called once."""


class IncomingBody:
    """One body. `add`, `end` and `on_connection_failed` are for the connection, in turns; all other
    methods may be called by any thread, and never block.

    trailers  those after a chunked body, once it is over
    """

    __slots__ = (
        "_connection",
        "_end",
        "_is_clean",
        "_parts",
        "_unread",
        "_waits",
        "error",
        "has_ended",
        "trailers",
    )

    def __init__(self, connection: ClientConnection, unread: Backlog) -> None:
        self._connection: ClientConnection | None = connection
        self._unread = unread
        self._parts: deque[IOBuf] = deque()
        self._waits: dict[Wait, None] = {}
        self._end: list[bool] = [True]
        """Taken out by the thread that ends the hold."""
        self._is_clean = False
        self.error: RpcError | None = None
        """Why the rest of the body will not come, or can't be taken."""
        self.has_ended = False
        """Whether nothing more will come."""
        self.trailers: HttpHeaders | None = None

    # --- for the connection ---

    def add(self, part: IOBuf) -> None:
        """A part has come. It is dropped if nobody will take it."""
        if self.has_ended:
            return
        self._unread.try_add(len(part), ignore_limit=True)
        self._parts.append(part)
        if self.has_ended:
            self._drop_parts()
        self._wake()

    def end(self, trailers: HttpHeaders | None, is_clean: bool) -> None:
        """The body is complete. `is_clean`: the connection can be used again."""
        self.trailers = trailers
        self._is_clean = is_clean
        self.has_ended = True
        self._wake()
        if not self._parts:
            self._release()

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        """The connection has failed. What has come can still be taken."""
        if not self.has_ended:
            self.error = error.copy()
            self.has_ended = True
        self._wake()

    # --- for the user ---

    def take(self) -> bytes | None:
        """The bytes that have come, `None` if there are none now."""
        parts = self._parts
        taken: list[bytes] = []
        size = 0
        for _ in range(len(parts)):
            try:
                part = parts.popleft()
            except IndexError:
                break
            size += len(part)
            taken.append(bytes(part))
        if not taken:
            return None
        self._unread.remove(size, len(taken))
        if self.has_ended and not parts:
            self._release()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def begin_wait(self, wait: Wait) -> bool:
        """Have `wait` ended when a part or the end comes. False, and nothing done, if it has."""
        self._waits[wait] = None
        if self._parts or self.has_ended:
            return not self._forget(wait)
        return True

    def forget_wait(self, wait: Wait) -> None:
        """Undo `begin_wait`."""
        self._forget(wait)

    def abandon(self, error: RpcError | None = None) -> None:
        """Take no more: what is there is dropped, and the connection closed if it sends more."""
        if not self.is_over and self.error is None:
            # Also if the end has come: what is dropped now is missing.
            self.error = error or self._abandoned_error()
        self.has_ended = True
        self._drop_parts()
        self._wake()
        self._release()

    @property
    def is_over(self) -> bool:
        """Whether all was taken."""
        return self.has_ended and not self._parts

    # --- inside ---

    def _abandoned_error(self) -> RpcError:
        return make_rpc_error(
            ErrorCode.ECANCELED, "the body was closed before its end", phase=Phase.WAITING
        )

    def _drop_parts(self) -> None:
        parts = self._parts
        while parts:
            try:
                part = parts.popleft()
            except IndexError:
                return
            self._unread.remove(len(part), 1)

    def _forget(self, wait: Wait) -> bool:
        return self._waits.pop(wait, wait) is None

    def _wake(self) -> None:
        waits = self._waits
        while waits:
            try:
                wait, _ = waits.popitem()
            except KeyError:
                return
            wait.end()

    def _release(self) -> None:
        """End the hold on the connection, once."""
        try:
            self._end.pop()
        except IndexError:
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release_hold(self, self._is_clean)
            if not self._is_clean:
                connection.retire()


@dataclass(frozen=True, slots=True)
class BegunResponse:
    """The result of a call for its connection: the head, and the body that follows."""

    head: ResponseHead
    body: IncomingBody


class ProgressiveResponse:
    """The result of a call whose body is read later. Closes the body if nobody keeps it."""

    __slots__ = ("body", "head")

    def __init__(self, begun: BegunResponse) -> None:
        self.head = begun.head
        self.body = begun.body

    def __del__(self, abandon: Callable[[IncomingBody], None] = IncomingBody.abandon) -> None:
        if not self.body.is_over:
            abandon(self.body)
