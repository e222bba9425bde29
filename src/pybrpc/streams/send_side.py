"""SendSide: the part of a stream that sends, and its state.

A message goes out at once, or waits in `outgoing` for window and room, see SendQueue. The lock of
the SendQueue protects all fields. Nobody is called with it held.
"""

from __future__ import annotations

from collections import deque

from pybrpc.errors import RpcError, StreamClosedError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import (
    NO_STREAM,
    append_data,
    pack_close,
)
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.gathered_frames import SHORT
from pybrpc.streams.interfaces import StreamPlace
from pybrpc.streams.outgoing import ConsumedWait, Outgoing, Payload, Wait
from pybrpc.streams.send_queue import ROOM_BYTES

MOST_IN_TURN = 100
"""Messages that wait behind those that a thread is just writing."""


class SendSide:
    """The base class of StreamCore. Any thread."""

    __slots__ = (
        "__weakref__",
        "_close_is_sent",
        "_continued_meta",
        "_kept_bytes",
        "_max_segment_size",
        "_meta",
        "_was_full",
        "_window",
        "closed_by_peer",
        "consumed_waits",
        "failure",
        "given",
        "has_ended",
        "id",
        "is_closing",
        "is_open",
        "is_over",
        "is_ready",
        "is_served",
        "joins_after",
        "options",
        "outgoing",
        "produced",
        "queue",
        "remote_consumed",
        "remote_id",
        "table",
        "writable",
        "writing",
    )

    def __init__(self, table: StreamPlace, stream_id: int, options: StreamOptions) -> None:
        self.table = table
        self.queue = table.queue
        self.id = stream_id
        self.options = options
        self.remote_id = NO_STREAM
        self.is_open = False
        """Whether the peer knows the stream, or will before it gets the next frame."""
        self.is_closing = False
        """Whether this side sends nothing more."""
        self.has_ended = False
        """Whether nothing more is received."""
        self.is_over = False
        self.closed_by_peer = False
        self.failure: RpcError | None = None
        """Why it has ended; `None` if one side has closed it."""
        self._close_is_sent = False
        self._meta = self._continued_meta = b""
        self._window = table.first_window(options)
        self._max_segment_size = options.max_segment_size
        self.writable = True
        """Whether the peer takes messages."""
        self.produced = 0
        self.remote_consumed = 0
        self.outgoing: deque[Outgoing] = deque()
        self.given: Outgoing | None = None
        """The one whose end a thread is about to write: not in `outgoing` any more."""
        self.is_ready = False
        """Whether it is in the SendQueue."""
        self.is_served = False
        """Whether a thread is about to write messages that were in `outgoing`."""
        self.consumed_waits: list[ConsumedWait] = []
        self._was_full = False
        """Whether the window was full, and a quarter of it has not become free since."""
        self.joins_after = 0
        """Number of the last GatheredFrames that may be ahead of what was written for this
        stream."""
        self.writing = 0
        """Threads that are just about to write a message of it: none joins meanwhile."""
        self._kept_bytes = 0
        """Bytes of the messages that wait until it is open."""

    def try_send(self, message: Payload) -> bool:
        """Send `message` now. False if it has to wait, for window or room.

        Raises the RpcError of a stream that has ended, or whose connection has failed.
        """
        queue = self.queue
        if queue.socket.error is not None:
            raise queue.socket.error.copy()
        is_counted = False
        try:
            with queue.lock:
                if self.is_closing or self.has_ended or not self.writable:
                    raise self.send_error()
                if not self.is_open:
                    return self._queue_before_open(message)
                if not self.has_window() or queue.is_full():
                    return False
                if self.is_served or self.outgoing:
                    return self._queue_in_turn(message)
                is_counted = True
                is_short = len(message) <= SHORT
                gathered = queue.gathered if is_short and not self.writing else None
                if gathered is not None and gathered.may_join(self.joins_after):
                    before = len(gathered.frames)
                    self._append(gathered.frames, message)
                    queue.count(len(gathered.frames) - before)
                    return True
                self.writing += 1
                frames = IOBuf()
                self._append(frames, message)
                marked = queue.note(len(frames))
                gathered = queue.begin_gathered(frames, marked) if is_short else None
            queue.write(frames, marked, gathered)
        except RpcError:
            raise  # the stream has ended, or the socket has failed
        except BaseException as reason:
            if is_counted:
                queue.give_up(reason)
            raise
        with queue.lock:
            # If a signal handler raises before, no message of this stream joins any more.
            self.joins_after = max(self.joins_after, queue.after_write(gathered))
            self.writing -= 1
        return True

    def _queue_before_open(self, message: Payload) -> bool:
        """Keep a message until the answer is sent, within the window. With the lock."""
        limit_bytes = self._window if self._window > 0 else ROOM_BYTES
        if self._kept_bytes >= limit_bytes:
            return False
        self._kept_bytes += len(message)
        self.outgoing.append(Outgoing((message,)))
        return True

    def _queue_in_turn(self, message: Payload) -> bool:
        """Keep a message behind those that a thread is just writing, or is about to, within the
        window. False if they wait for more than that thread. With the lock."""
        if not (self.is_served or self.is_ready) or len(self.outgoing) >= MOST_IN_TURN:
            return False
        waiting = 0
        for each in self.outgoing:
            waiting += each.size_left()
        if self._window > 0:
            waiting += self.produced - self.remote_consumed
        if waiting >= (self._window if self._window > 0 else ROOM_BYTES):
            return False
        self.outgoing.append(Outgoing((message,)))
        return True

    def enqueue(self, outgoing: Outgoing) -> None:
        """Send messages, or wait, as soon as it is their turn. Raises as `try_send`."""
        queue = self.queue
        if queue.socket.error is not None:
            raise queue.socket.error.copy()
        with queue.lock:
            if self.is_closing or self.has_ended or not self.writable:
                raise self.send_error()
            self.outgoing.append(outgoing)
            if self.has_sendable():
                queue.make_ready(self)
        queue.serve()

    def withdraw(self, outgoing: Outgoing) -> bool:
        """Don't send the rest of `outgoing`. False if it is over, or just being written."""
        with self.queue.lock:
            if outgoing.is_over:
                return False
            if outgoing not in self.outgoing:
                return False
            woken = self._expect_no_more(outgoing)
            self.outgoing.remove(outgoing)
            outgoing.is_over = True
            if self.has_sendable():
                self.queue.make_ready(self)
        for waiting in woken:
            waiting.wait.end()
        self.queue.serve()
        return True

    def _expect_no_more(self, outgoing: Outgoing) -> list[ConsumedWait]:
        """The rest of `outgoing` will not be sent: subtract it from the waits that began behind it.
        Return those that are over now. With the lock."""
        if not self.consumed_waits:
            return []
        start = self.produced
        for each in self.outgoing:
            if each is outgoing:
                break
            start += each.size_left()
        size = outgoing.size_left()
        for waiting in self.consumed_waits:
            if waiting.at > start:
                waiting.at -= size
        return self._take_reached()

    def _take_reached(self) -> list[ConsumedWait]:
        """The waits for what is consumed now. With the lock."""
        waits, self.consumed_waits = self.consumed_waits, []
        reached: list[ConsumedWait] = []
        for waiting in waits:
            waiting.is_reached = waiting.at <= self.remote_consumed
            (reached if waiting.is_reached else self.consumed_waits).append(waiting)
        return reached

    def has_window(self) -> bool:
        """Whether the window lets one more message go. With the lock."""
        return self._window <= 0 or self.produced - self.remote_consumed < self._window

    def is_writable(self) -> bool:
        """Whether a message would be sent now."""
        queue = self.queue
        with queue.lock:
            is_alive = not (self.is_closing or self.has_ended) and self.writable and self.is_open
            return is_alive and not self.outgoing and self.has_window() and not queue.is_full()

    def has_sendable(self) -> bool:
        """Whether the first that waits needs no more than room. With the lock."""
        if not self.outgoing or not self.is_open or self.is_served or self.is_over:
            return False
        return self.outgoing[0].is_close or self._may_go_on()

    def _may_go_on(self) -> bool:
        """Whether a message that waits has window. Once that was full, a quarter of it has to be
        free again: else a sender would wait for each message that the receiver reports. With the
        lock."""
        if not self.has_window():
            self._was_full = True
            return False
        if self._was_full:
            window = self._window
            if 0 < window - window // 4 <= self.produced - self.remote_consumed:
                return False
            self._was_full = False
        return True

    def take_burst(self, most_bytes: int) -> tuple[IOBuf, Outgoing | None] | None:
        """Frames to be written now, and the Outgoing that is over with them. With the lock."""
        if not self.has_sendable():
            return None
        first = self.outgoing[0]
        frames = IOBuf()
        if first.is_close:
            frames.append(pack_close(self.remote_id, self.id))
            self._close_is_sent = True
        messages = first.messages
        while first.sent < len(messages) and len(frames) < most_bytes and self.has_window():
            self._append(frames, messages[first.sent])
            first.sent += 1
        if first.sent < len(messages):
            return frames, None
        self.given = first
        self.outgoing.popleft()
        return frames, first

    def on_done(self, outgoing: Outgoing) -> None:
        """All of `outgoing` was given to the socket, which may have failed."""
        self.given = None
        outgoing.is_over = True
        if outgoing.is_close:
            self._end(outgoing.error, drops_unread=True)
        if outgoing.wait is not None:
            outgoing.wait.end()

    def on_feedback(self, consumed: int) -> None:
        """The peer has consumed so many bytes, it says. In a turn; `end_batch` serves then."""
        woken: list[ConsumedWait] = []
        queue = self.queue
        with queue.lock:
            consumed = min(consumed, self.produced)
            if self._window <= 0 or consumed <= self.remote_consumed or self.is_over:
                return
            self.queue.unconsumed -= consumed - self.remote_consumed
            self.remote_consumed = consumed
            self._window = self.table.next_window(self.options, self._window, self.has_window())
            if self.has_sendable():
                queue.make_ready(self)
            if self.consumed_waits:
                woken = self._take_reached()
        for waiting in woken:
            waiting.wait.end()

    def begin_consumed_wait(self, wait: Wait) -> ConsumedWait | None:
        """End `wait` once the peer has consumed all that was sent so far. `None`: it has, already.

        Raises the RpcError of a stream that has ended before. ValueError if the peer does not tell.
        """
        self._end_with_connection()
        with self.queue.lock:
            if self._window <= 0:
                raise ValueError("wait_consumed needs a stream with max_buf_size > 0")
            at = self.produced + sum(each.size_left() for each in self.outgoing)
            if self.remote_consumed >= at:
                return None
            if self.has_ended:
                raise self.send_error()
            waiting = ConsumedWait(at, wait)
            self.consumed_waits.append(waiting)
            return waiting

    def send_error(self) -> RpcError:
        """Why nothing can be sent."""
        if self.failure is not None:
            error: RpcError = self.failure.copy()
            error.ended_call = True
            return error
        if not self.writable:
            text = "the peer takes no messages on this stream"
            return StreamClosedError(text, peer=self.table.peer)
        side = "the peer" if self.closed_by_peer else "this side"
        return StreamClosedError(f"{self.described} was closed by {side}", peer=self.table.peer)

    def _append(self, frames: IOBuf, message: Payload) -> None:
        size = len(message)
        self.produced += size
        if self._window > 0:
            self.queue.unconsumed += size
        longest = self._max_segment_size
        if size <= longest:
            append_data(frames, self._meta, message)
            return
        rest = message.copy() if isinstance(message, IOBuf) else IOBuf(message)
        while len(rest) > longest:
            append_data(frames, self._continued_meta, rest.cutn(longest))
        append_data(frames, self._meta, rest)

    def _end_with_connection(self) -> None:
        """Before a wait, or the end: if the connection has failed, end the stream now. Else that is
        done in a turn, which never comes in a forked child."""
        error = self.queue.socket.error
        if error is not None and not self.has_ended:
            self._end(error.copy(peer=self.table.peer))

    @property
    def described(self) -> str:
        """The stream in errors and logs."""
        return f"the stream {self.id} with {self.table.peer}"

    # --- for StreamCore to define ---

    def _end(
        self, error: RpcError | None, *, drops_unread: bool = False, wants_rst: bool = False
    ) -> None:
        """Nothing more is sent or received."""
        raise NotImplementedError
