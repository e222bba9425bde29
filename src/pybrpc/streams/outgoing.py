"""Outgoing: messages of a stream that wait for their turn to be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf

Payload = bytes | IOBuf
"""A message that waits: one that nobody changes."""


class Wait(Protocol):
    """A thread or a task that waits for an event of a stream."""

    def end(self) -> None:
        """The event has come. Once; any thread; never blocks or raises."""


class ConsumedWait:
    """The wait until the peer has consumed all up to byte `at` of what this side has sent."""

    __slots__ = ("at", "is_reached", "wait")

    def __init__(self, at: int, wait: Wait) -> None:
        self.at = at
        self.wait = wait
        self.is_reached = False
        """Whether it was consumed; else `wait` has ended because the stream has."""


class Outgoing:
    """Messages that wait for room, in order; or only for room (`drain`), if there are none; or the
    end of the stream (`is_close`). The lock of the table protects it."""

    __slots__ = ("error", "is_close", "is_over", "messages", "sent", "wait")

    def __init__(
        self, messages: Sequence[Payload], wait: Wait | None = None, is_close: bool = False
    ) -> None:
        self.messages = messages
        self.sent = 0
        """Messages that were given to the socket."""
        self.wait = wait
        self.is_close = is_close
        self.is_over = False
        """Whether all was given to the socket, or nothing more will be."""
        self.error: RpcError | None = None
        """Why not all was."""

    def size_left(self) -> int:
        """Bytes of the messages that were not given to the socket. With the lock."""
        return sum(map(len, self.messages[self.sent :]))

    def __repr__(self) -> str:
        what = "close" if self.is_close else f"{self.sent} of {len(self.messages)} messages"
        return f"<Outgoing {what}{', over' if self.is_over else ''}>"
