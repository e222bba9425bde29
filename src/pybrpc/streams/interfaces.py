"""Consumer and StreamPlace: the neighbours of a stream, as it sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.send_queue import SendQueue
from pybrpc.transport.socket.socket import Socket


class Consumer(Protocol):
    """Calls the functions of a stream's options."""

    takes_messages: bool
    """Whether it takes the messages, so that `recv` can't."""

    def begin(self) -> None:
        """The stream is open, or will never be: call functions from now on. Any thread."""

    def on_readable(self) -> None:
        """Messages have come, or the end. In a turn."""

    def on_over(self) -> None:
        """The stream is over. Once; any thread."""

    def on_idle(self) -> None:
        """The idle timeout has passed. In a turn."""

    def is_current(self) -> bool:
        """Whether this is called by one of the functions."""


class StreamPlace(Protocol):
    """The StreamTable, in which the stream is."""

    socket: Socket
    queue: SendQueue
    budget: ByteBudget

    @property
    def peer(self) -> str:
        """The address of the other side."""

    def first_window(self, options: StreamOptions) -> int:
        """The window of a new stream, in bytes; 0 or less: no limit."""

    def next_window(self, options: StreamOptions, window: int, has_window: bool) -> int:
        """The window after a FEEDBACK. With the lock of the queue."""

    def refuse(self, remote_ids: Sequence[int]) -> None:
        """Reset streams of the peer that have none here."""

    def write_control(self, frame: bytes) -> None:
        """Write a small frame, whatever is queued. It is lost with the connection."""

    def owe_feedback(self, stream: Any) -> None:
        """Have `stream` write its FEEDBACK once the peer reads again."""

    def forget(self, stream: Any) -> None:
        """`stream` is over."""

    def let_go(self, stream: Any) -> None:
        """`stream` does not need the connection any more."""

    def drop(self, stream: Any) -> bool:
        """`stream`, whose hold has ended, is not here any more. False if it was not."""

    def abandon(self, stream: Any) -> None:
        """The call that was to open `stream` has ended without an answer, which may still come."""
