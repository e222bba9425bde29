"""ReceiveSide: the part of a stream that receives.

Messages that come are kept in `unread` until the user takes them. A message counts as consumed when
the user comes back for the next one, or, with `on_messages`, when that has returned: FEEDBACK is
sent then, at the latest when nothing is left to take.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from pybrpc.errors import LimitReachedError, RpcError
from pybrpc.protocols.streaming.stream_frame import pack_feedback
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.interfaces import Consumer, StreamPlace
from pybrpc.streams.outgoing import Wait
from pybrpc.streams.send_side import SendSide

MESSAGE_BYTES = 64
"""Memory of a message beside its bytes, as it counts in `unread_bytes`."""

FEEDBACK_BYTES = 64 * 1024
"""Consumed bytes after which FEEDBACK is sent, though there is more to take."""


class ReceiveSide(SendSide):
    """The other base class of StreamCore. Any thread."""

    __slots__ = (
        "_has_idle_timeout",
        "_max_message_size",
        "_max_unread_bytes",
        "_parts",
        "_parts_bytes",
        "_received_waits",
        "_reported",
        "_taken",
        "budget",
        "consumed",
        "consumer",
        "needs_feedback",
        "received_at",
        "unread",
        "unread_bytes",
    )

    def __init__(self, table: StreamPlace, stream_id: int, options: StreamOptions) -> None:
        SendSide.__init__(self, table, stream_id, options)
        self.budget = table.budget
        self.consumer: Consumer | None = None
        self.unread: deque[bytes] = deque()
        self.unread_bytes = 0
        self.consumed = 0
        self.needs_feedback = True
        self.received_at = 0.0
        self._has_idle_timeout = options.idle_timeout is not None
        self._max_message_size = options.max_message_size
        self._max_unread_bytes = options.max_unread_bytes
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._taken = 0
        """Bytes of the messages that were taken last: consumed when the user comes back."""
        self._reported = 0
        self._received_waits: list[Wait] = []

    def on_data(self, data: bytes, has_continuation: bool) -> None:
        """A DATA frame. In a turn; `end_batch` wakes those who wait."""
        held = len(data) + MESSAGE_BYTES
        with self.queue.lock:
            if self.has_ended or self.is_closing:
                return
            if self._has_idle_timeout:
                self.received_at = monotonic()
            size = len(data)
            if has_continuation or self._parts:
                size += self._parts_bytes - MESSAGE_BYTES * len(self._parts)
                held = self._join(data, has_continuation)
            else:
                self.unread.append(data)
                self.unread_bytes += held
            reason = self._excess(size)
        self.budget.add(held)
        if reason:
            self.reset(LimitReachedError(reason, peer=self.table.peer))

    def _join(self, data: bytes, has_continuation: bool) -> int:
        """Add a part of a message. Return the bytes that are held more now. With the lock."""
        before = self.held_bytes
        self._parts.append(data)
        self._parts_bytes += len(data) + MESSAGE_BYTES
        if not has_continuation:
            whole = b"".join(self._parts)
            self._parts, self._parts_bytes = [], 0
            self.unread.append(whole)
            self.unread_bytes += len(whole) + MESSAGE_BYTES
        return self.held_bytes - before

    def _excess(self, size: int) -> str:
        """Why this side does not take what it holds, the last message being of `size` bytes so far;
        "" if it does. With the lock."""
        if size > self._max_message_size:
            return f"a message is longer than max_message_size={self._max_message_size}"
        if self.unread_bytes + self._parts_bytes > self._max_unread_bytes:
            return f"{self.held_bytes} bytes are unread, more than max_unread_bytes"
        return ""

    def take(self) -> bytes | None:
        """The next message; `None` if none is there. What was taken before is consumed now."""
        feedback = b""
        message: bytes | None = None
        size = 0
        with self.queue.lock:
            self.consumed += self._taken
            self._taken = 0
            if self.unread:
                message = self.unread.popleft()
                self._taken = len(message)
                size = len(message) + MESSAGE_BYTES
                self.unread_bytes -= size
                if self.consumed - self._reported >= FEEDBACK_BYTES:
                    feedback = self._pack_feedback()
            is_end = self.has_ended and not self.unread
        if size:
            self.budget.remove(size)
        if feedback:
            self._write_feedback(feedback)
        if is_end:
            self._finish()
        return message

    def take_batch(self, most: int) -> list[bytes]:
        """Up to `most` messages. What was taken before is consumed now."""
        feedback = b""
        with self.queue.lock:
            self.consumed += self._taken
            unread = self.unread
            if len(unread) <= most:
                batch = list(unread)
                unread.clear()
            else:
                batch = [unread.popleft() for _ in range(most)]
            self._taken = sum(map(len, batch))
            size = self._taken + MESSAGE_BYTES * len(batch)
            self.unread_bytes -= size
            if not batch or self.consumed - self._reported >= FEEDBACK_BYTES:
                feedback = self._pack_feedback()
            is_end = self.has_ended and not unread and not self._has_taking_consumer()
        self.budget.remove(size)
        if feedback:
            self._write_feedback(feedback)
        if is_end:
            self._finish()
        return batch

    def note_consumed(self) -> None:
        """The user has dealt with all that was taken: send the FEEDBACK that is due."""
        with self.queue.lock:
            self.consumed += self._taken
            self._taken = 0
            feedback = self._pack_feedback()
        if feedback:
            self._write_feedback(feedback)

    def begin_receive_wait(self, wait: Wait) -> bool:
        """End `wait` when a message, or the end, comes. False if there is one already."""
        self._end_with_connection()
        with self.queue.lock:
            if self.unread or self.has_ended:
                return False
            self._received_waits.append(wait)
            feedback = self._pack_feedback()
        if feedback:
            self._write_feedback(feedback)
        return True

    def on_readable(self) -> None:
        """Messages, or the end, have come: wake those who wait."""
        consumer = self.consumer
        if consumer is not None and consumer.takes_messages:
            consumer.on_readable()
            return
        with self.queue.lock:
            waits, self._received_waits = self._received_waits, []
        for wait in waits:
            wait.end()

    def receive_error(self) -> RpcError:
        """Why nothing more comes."""
        return self.send_error()

    def _pack_feedback(self) -> bytes:
        """The FEEDBACK that is due; b"" if none is. With the lock."""
        if self.consumed <= self._reported or self.has_ended or not self.is_open:
            return b""
        self._reported = self.consumed
        if not self.needs_feedback:
            return b""
        return pack_feedback(self.remote_id, self.id, self.consumed)

    def _write_feedback(self, feedback: bytes) -> None:
        """Write it; or, to a peer that does not read what it gets, the last one once it does."""
        if self.queue.socket.backlog.is_overcrowded:
            self.table.owe_feedback(self)
        else:
            self.table.write_control(feedback)

    def write_owed_feedback(self) -> None:
        """The peer reads again."""
        with self.queue.lock:
            if self.has_ended:
                return
            feedback = pack_feedback(self.remote_id, self.id, self._reported)
        self._write_feedback(feedback)

    def _has_taking_consumer(self) -> bool:
        return self.consumer is not None and self.consumer.takes_messages

    @property
    def held_bytes(self) -> int:
        """Bytes that it holds until the user takes them."""
        return self.unread_bytes + self._parts_bytes

    # --- for StreamCore to define ---

    def reset(self, reason: RpcError | None = None) -> None:
        """End it at once, on both sides."""
        raise NotImplementedError

    def _finish(self) -> None:
        """It is over."""
        raise NotImplementedError
