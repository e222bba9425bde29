"""StreamCore: one side of one stream, without any form of waiting.

A stream ends in two steps. First nothing more is received (`has_ended`): the peer has closed or
reset it, this side has, or the connection has failed. Then, once the user has taken what had come
before, it is over (`finish`): the table forgets it, the connection is not held any more, and
`on_closed` is due. bRPC's streams have no half-close: the side that closes receives nothing more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any

from pybrpc.base.guard import LIBRARY
from pybrpc.base.limited_log import LimitedLog
from pybrpc.errors import LimitReachedError, RpcError, StreamResetError
from pybrpc.protocols.streaming.stream_frame import NO_STREAM, data_meta, pack_close, pack_rst
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.interfaces import StreamPlace
from pybrpc.streams.outgoing import Outgoing, Wait
from pybrpc.streams.receive_side import ReceiveSide
from pybrpc.transport.dispatch.completion import release_polling, require_polling

limits_log = LimitedLog(LIBRARY)
"""Tells of streams that were reset because they held too much."""


class StreamCore(ReceiveSide):
    """One side of one stream. Any thread."""

    __slots__ = ("_ended_waits", "_requires_polling", "_wants_rst", "is_touched", "opening")

    def __init__(self, table: StreamPlace, stream_id: int, options: StreamOptions) -> None:
        ReceiveSide.__init__(self, table, stream_id, options)
        self.opening: Any = None
        """The StreamOpening of a client, until the answer has come."""
        self.is_touched = False
        """Whether it is in the `touched` of the table."""
        self._ended_waits: list[Wait] = []
        self._requires_polling = self._wants_rst = False

    def connect(self, remote_id: int, needs_feedback: bool, writable: bool) -> None:
        """The peer's id, and what it wants, are known."""
        self.remote_id = remote_id
        self.needs_feedback = needs_feedback
        self.writable = writable
        self._meta = data_meta(remote_id, self.id)
        self._continued_meta = data_meta(remote_id, self.id, has_continuation=True)

    def open(self) -> None:
        """The peer gets to know it now: what has waited may be sent. Any thread."""
        queue = self.queue
        with queue.lock:
            self.opening = None
            frame = b""
            if self.is_over:  # before the peer knew it
                self._wants_rst = self.failure is not None
                frame = self._end_frame()
            self.is_open = True
            self.joins_after = queue.begun
            self.received_at = monotonic()
            if self.has_sendable():
                queue.make_ready(self)
        if frame:
            self.table.write_control(frame)
        queue.serve()

    def require_polling(self) -> None:
        """Until it is over, events are expected that no blocked thread waits for."""
        dispatcher = self.queue.socket.dispatcher
        require_polling(dispatcher)
        with self.queue.lock:
            is_over = self.is_over
            self._requires_polling = not is_over
        if is_over:
            release_polling(dispatcher)

    def forget_wait(self, wait: Wait) -> None:
        """Don't end `wait` any more."""
        with self.queue.lock:
            for waits in (self._received_waits, self._ended_waits):
                if wait in waits:
                    waits.remove(wait)
            self.consumed_waits = [each for each in self.consumed_waits if each.wait is not wait]

    def begin_ended_wait(self, wait: Wait) -> bool:
        """End `wait` when the stream is over. False if it is, already."""
        self._end_with_connection()
        with self.queue.lock:
            if self.is_over:
                return False
            self._ended_waits.append(wait)
            return True

    # --- its end ---

    def close(self, wait: Wait | None = None) -> Outgoing | None:
        """Send what waits, then CLOSE: the Outgoing. `None` if it has ended, or is being closed,
        already."""
        queue = self.queue
        self.note_consumed()
        with queue.lock:
            has_ended = self.has_ended
            if self.is_closing and not has_ended:
                return None
            self.is_closing = True
            if not has_ended:
                outgoing = Outgoing((), wait, is_close=True)
                self.outgoing.append(outgoing)
                if self.has_sendable():
                    queue.make_ready(self)
        if has_ended:
            self._end(None, drops_unread=True)  # nobody wants what is left
            return None
        queue.serve()
        self._end_with_connection()
        return outgoing

    def reset(self, reason: RpcError | None = None) -> None:
        """End it at once, on both sides. `reason`: why, if not because the user wants it."""
        text = f"{self.described} was reset by this side"
        if reason is not None:
            text += f": {reason.text}"
            if isinstance(reason, LimitReachedError) and not self.has_ended:
                limits_log.warn("%s", text)
        error = StreamResetError(text, peer=self.table.peer)
        error.__cause__ = reason
        self._end(error, drops_unread=True, wants_rst=True)

    def give_up(self) -> None:
        """The streams of the process together hold too much that is unread, and this one most."""
        text = f"all streams together hold more than {self.budget.limit_bytes} bytes unread"
        self.reset(LimitReachedError(text, peer=self.table.peer))

    def on_close(self) -> None:
        """The peer has closed it. In a turn."""
        if not self.has_ended:
            # If this side has closed it, the peer answers.
            self.closed_by_peer = not self._close_is_sent
            self._end(None)

    def on_rst(self) -> None:
        """The peer has reset it. In a turn."""
        text = f"{self.described} was reset by the peer"
        self._end(StreamResetError(text, peer=self.table.peer, is_remote=True))

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        """As a ConnectionUser."""
        opening = self.opening
        if opening is not None:
            self.table.drop(self)  # its call fails, or is sent over another connection
            return
        self._end(error.copy(peer=self.table.peer))
        self.table.let_go(self)

    def fail(self, error: RpcError) -> None:
        """End it, on this side alone if the peer does not know it."""
        self._end(error, drops_unread=True, wants_rst=True)

    def _end(
        self, error: RpcError | None, *, drops_unread: bool = False, wants_rst: bool = False
    ) -> None:
        """Nothing more is sent or received."""
        dropped = 0
        has_reason = error is not None and error.__cause__ is not None
        with self.queue.lock:
            if self.is_over:
                return
            if not self.has_ended:
                self.has_ended = True
                self.failure = error
                self._wants_rst = wants_rst
            elif self.closed_by_peer and wants_rst and has_reason and self.failure is None:
                # The user does not get, or has not dealt with, all that came before the end.
                self.failure = error
                self._wants_rst = True
            dropped, self._parts, self._parts_bytes = self._parts_bytes, [], 0
            if drops_unread or self.is_closing:  # who closes it takes nothing more
                dropped += self.unread_bytes
                self.unread_bytes = 0
                self.unread.clear()
            left, self.outgoing = self.outgoing, deque()
            if self.given is not None and self.queue.was_interrupted:
                left.appendleft(self.given)  # the thread that was to end its wait does not
                self.given = None
            waits, self.consumed_waits = self.consumed_waits, []
            is_end = not self.unread and not self._has_taking_consumer()
        self.budget.remove(dropped)
        self._end_outgoing(left)
        for waiting in waits:
            waiting.wait.end()
        self.on_readable()
        if is_end:
            self._finish()

    def _end_outgoing(self, left: Sequence[Outgoing]) -> None:
        for outgoing in left:
            outgoing.error = self.send_error()
            outgoing.is_over = True
            if outgoing.wait is not None:
                outgoing.wait.end()

    def finish_consumed(self) -> None:
        """For the Consumer: it has dealt with all messages, and the stream has ended."""
        self._finish()

    def _finish(self) -> None:
        """It is over. Send CLOSE or RST, unless the peer knows."""
        with self.queue.lock:
            if self.is_over or not self.has_ended:
                return
            self.is_over = True
            frame = self._end_frame() if self.is_open else b""
            if self._window > 0:
                self.queue.unconsumed -= self.produced - self.remote_consumed
            waits, self._ended_waits = self._ended_waits, []
            polls, self._requires_polling = self._requires_polling, False
        if polls:
            release_polling(self.queue.socket.dispatcher)
        if frame:
            self.table.write_control(frame)
        self.table.forget(self)
        for wait in waits:
            wait.end()
        if self.consumer is not None:
            self.consumer.on_over()

    def _end_frame(self) -> bytes:
        """The frame that tells the peer of the end; b"" if it knows. With the lock."""
        if self.remote_id == NO_STREAM:
            return b""
        if self._wants_rst:
            return pack_rst(self.remote_id)
        if self.failure is None and not self._close_is_sent:
            return pack_close(self.remote_id, self.id)
        return b""

    @property
    def state(self) -> str:
        """State in a word or two, for people."""
        if self.failure is not None:
            return f"failed: {self.failure.text}"
        if self.has_ended:
            return "closed by the peer" if self.closed_by_peer else "closed"
        if self.is_closing:
            return "closing"
        return "open" if self.is_open else "opening"

    def __repr__(self) -> str:
        return f"<StreamCore {self.id} {self.state}, {len(self.unread)} messages unread>"
