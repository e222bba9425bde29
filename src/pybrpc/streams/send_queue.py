"""SendQueue: gives the messages of all streams of one connection to its socket, in turn.

A message goes to the socket at once if its stream has window, nothing of the stream waits, and the
connection has room. Else it waits here. When there is room again, streams that have window give a
burst each, in turn: one that has much to send does not delay the others.

Room: of the bytes that streams have given to the socket, at most ROOM_BYTES may be unwritten, so
that the other messages of the connection don't wait behind more. The end of one write
in each MARK_BYTES is reported. And the backlog of the socket must not be overcrowded.

Short messages that are sent while the socket has requests waiting are gathered in one request, see
GatheredFrames.

One lock for all streams of the connection. It is held for a few steps only: never across a write,
nor while a waiter is woken.
"""

from __future__ import annotations

import contextlib
from collections import deque
from functools import partial
from typing import Any

from pybrpc.base.renewed import renew_in_child
from pybrpc.errors import RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.streams.gathered_frames import GatheredFrames
from pybrpc.streams.outgoing import Outgoing
from pybrpc.streams.send_lock import SendLock
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.errors import interrupted_error
from pybrpc.transport.writing.outcomes import InternalOutcome
from pybrpc.transport.writing.write_request import NOTHING, WriteRequest, new_write_request

ROOM_BYTES = 4 * 1024 * 1024
MARK_BYTES = 512 * 1024

BURST_BYTES = 64 * 1024
"""Bytes that one stream gives in its turn, if it has more; or one message."""

MAX_BURSTS = 256
"""Bursts after which the rest is left to the next turn of the dispatcher."""


class SendQueue:
    """The streams of one connection that have something to send. Any thread."""

    __slots__ = (
        "__weakref__",
        "_is_again",
        "_is_serving",
        "_is_waiting",
        "_newest",
        "_ready",
        "_unmarked",
        "begun",
        "gathered",
        "lock",
        "socket",
        "unconsumed",
        "unwritten",
        "was_interrupted",
    )

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.lock = SendLock()
        renew_in_child(self)
        self.unconsumed = 0
        """Bytes of streams that were sent and not consumed, as far as is known."""
        self.unwritten = 0
        """Bytes of streams that the socket has, as far as is known."""
        self._unmarked = 0
        """Those of them whose end will not be reported."""
        self.gathered: GatheredFrames | None = None
        """The one that frames may join. It is in the queue of the socket, and none was begun after
        it."""
        self.begun = 0
        """GatheredFrames that were begun so far."""
        self._newest: GatheredFrames | None = None
        """The last of them."""
        self._ready: deque[Any] = deque()
        """Streams that wait for room alone, each once."""
        self._is_serving = False
        self._is_again = False
        """Whether something has changed while another thread serves."""
        self._is_waiting = False
        """Whether the backlog will wake it."""
        self.was_interrupted = False
        """Whether it has given up: nothing is sent any more."""

    # --- with the lock ---

    def is_full(self) -> bool:
        """Whether there is no room."""
        return self.unwritten >= ROOM_BYTES or self.socket.backlog.refuses_writes()

    def note(self, size: int) -> int:
        """Count `size` bytes that are about to be written. Return the bytes for `write` to mark."""
        self.count(size)
        if self._unmarked < MARK_BYTES:
            return 0
        marked, self._unmarked = self._unmarked, 0
        return marked

    def count(self, size: int) -> None:
        """As `note`, of bytes that join others, whose end is not reported."""
        self.unwritten += size
        self._unmarked += size

    def begin_gathered(self, frames: IOBuf, marked: int) -> GatheredFrames | None:
        """Make `frames` a GatheredFrames; `None` if they are to be written as they are.

        Others join only if they would wait anyway: if requests are waiting. And only the newest is
        not taken yet, since the backlog of the socket does not count what has joined it.
        """
        newest = self._newest
        if marked or self.socket.backlog.is_empty() or not (newest is None or newest.is_taken):
            return None
        self.begun += 1
        self._newest = newest = GatheredFrames(self.lock, frames, self.begun)
        return newest

    def after_write(self, gathered: GatheredFrames | None) -> int:
        """A stream has had frames written, as `gathered` if that is not `None`. Return the new
        `joins_after` of the stream.

        All GatheredFrames that were begun up to now may have been queued ahead of those frames. If
        none was begun after `gathered`, others may join it from now on.
        """
        if gathered is None or gathered.number != self.begun:
            return self.begun
        self.gathered = gathered
        return gathered.number - 1

    def make_ready(self, stream: Any) -> None:
        """`stream` has something to send, and may: it waits for room."""
        if not stream.is_ready:
            stream.is_ready = True
            self._ready.append(stream)

    # --- without it ---

    def write(self, data: IOBuf, marked: int = 0, gathered: GatheredFrames | None = None) -> None:
        """Write frames, as `gathered` if that is not `None`. Raises the RpcError of a socket that
        has failed."""
        if gathered is not None:
            request = new_write_request(NOTHING)
            request.message = gathered
            request.size_bytes = len(data)
        elif marked:
            outcome = InternalOutcome(partial(self._on_written, marked))
            request = WriteRequest(data, None, outcome, notify_on_success=True)
        else:
            request = new_write_request(data)
        self.socket.write_request(request, True)

    def serve(self) -> None:
        """Give what waits to the socket, as far as there is room. Never raises an RpcError."""
        is_mine = False
        try:
            with self.lock:
                if not self._ready or self.was_interrupted:
                    return
                if self._is_serving:
                    self._is_again = True
                    return
                is_mine = True
                self._is_serving = True
            for _ in range(MAX_BURSTS):
                if not self._serve_one():
                    return
        except BaseException as reason:
            if is_mine:
                self._is_serving = False
                self.give_up(reason)
            raise
        self._is_serving = False
        self._serve_soon()

    def give_up(self, reason: BaseException) -> None:
        """A signal handler has raised, or memory has run out, while messages were on their way:
        some may be lost. So the connection fails, as it does in SocketWriter: all that wait hear of
        it."""
        self.was_interrupted = True
        self.socket.fail(interrupted_error(self.socket, reason))

    def _serve_one(self) -> bool:
        """Give one burst. False if there is nothing more to do now: then this serves no more."""
        stream: Any = None
        with self.lock:
            while self._ready:
                if self.is_full():
                    break
                stream = self._ready.popleft()
                stream.is_ready = False
                burst = stream.take_burst(BURST_BYTES)
                if burst is not None:
                    stream.is_served = True
                    break
                stream = None
            if stream is None:
                if self._is_again:
                    self._is_again = False
                    return True
                self._is_serving = False
                is_stuck = bool(self._ready)
            else:
                data, done = burst
                marked = self.note(len(data))
        if stream is None:
            if is_stuck:
                self._wait_for_backlog()
            return False
        self._give(stream, data, marked, done)
        return True

    def _give(self, stream: Any, data: IOBuf, marked: int, done: Outgoing | None) -> None:
        is_close = False
        try:
            if done is not None and done.is_close:
                is_close = True
                outcome = InternalOutcome(partial(self._on_closed, stream, done, marked))
                self.socket.write_request(WriteRequest(data, None, outcome, True), True)
            elif data:
                self.write(data, marked)
        except RpcError as error:
            # The failure of the socket reaches the stream, too.
            is_close = False
            if done is not None:
                done.error = error.copy()
        finally:
            with self.lock:
                stream.is_served = False
                stream.joins_after = self.begun
                if stream.has_sendable():
                    self.make_ready(stream)
        if done is not None and not is_close:
            stream.on_done(done)

    def _on_closed(self, stream: Any, done: Outgoing, marked: int, error: RpcError | None) -> None:
        """The kernel has the CLOSE of `stream`, and all before it; or the socket has failed."""
        if marked:
            with self.lock:
                self.unwritten -= marked
        done.error = error
        stream.on_done(done)
        self.serve()

    def _wait_for_backlog(self) -> None:
        """There is no room. If bytes of streams use it, the write that is marked serves again."""
        backlog = self.socket.backlog
        if backlog.refuses_writes():
            if not self._is_waiting:
                self._is_waiting = True
                backlog.when_writable(self._on_backlog)
        elif self.unwritten < ROOM_BYTES:
            self._serve_soon()  # there is room again already

    def _on_backlog(self) -> None:
        self._is_waiting = False
        self._serve_soon()

    def _serve_soon(self) -> None:
        with contextlib.suppress(DispatcherClosedError):
            self.socket.dispatcher.post(self.serve)

    def _on_written(self, marked: int, error: RpcError | None) -> None:
        with self.lock:
            self.unwritten -= marked
        self.serve()

    def renew_locks(self) -> None:
        """In a forked child. Nothing is sent there: the sockets have failed."""
        self.lock.renew()

    def __repr__(self) -> str:
        return f"<SendQueue {len(self._ready)} streams ready, {self.unwritten} bytes unwritten>"
