"""StreamTable: the streams of one connection, by their ids, and what its frames do to them.

Streams are looked up in the table of the connection that a frame came on. So no peer reaches the
streams of another one, whatever ids it sends. Frames are handled in the turn of the reader, in the
order of the wire: the answer that opens a stream before the data behind it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.base.guard import TRANSPORT
from pybrpc.errors import LimitReachedError, RpcError
from pybrpc.iobuf.iobuf import iobuf_of
from pybrpc.protocols.streaming.stream_frame import (
    CLOSE,
    DATA,
    FEEDBACK,
    NO_STREAM,
    RST,
    StreamFrame,
    pack_rst,
)
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams.core import StreamCore
from pybrpc.streams.send_queue import SendQueue
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.socket.socket import Socket

MAX_STREAMS = 1024
"""Streams of one connection, on each side."""

MAX_STREAMS_PER_REQUEST = 64

MAX_REMEMBERED = 256
"""Ids that are remembered of streams that are gone."""

ID_BITS = 62


class StreamConnection(Protocol):
    """A connection, as its streams see it."""

    def hold(self, user: Any) -> None:
        """See `ClientConnection.hold`, `ClosableConnection.hold`."""

    def release_hold(self, user: Any) -> None:
        """See `hold`."""


class StreamTable:
    """The streams of one connection. Frames come in turns; the rest may be called by any thread."""

    __slots__ = (
        "_abandoned",
        "_answered",
        "_connection",
        "_on_late_answer",
        "_owing",
        "_touched",
        "budget",
        "end_error",
        "max_streams",
        "max_unconsumed_bytes",
        "queue",
        "socket",
        "streams",
    )

    def __init__(
        self,
        connection: StreamConnection,
        socket: Socket,
        budget: ByteBudget,
        max_unconsumed_bytes: int = 0,
        on_late_answer: Callable[[bytes], list[int]] | None = None,
    ) -> None:
        """`on_late_answer`: the ids of the peer's streams in an answer that nobody waits for."""
        self._connection = connection
        self.socket = socket
        self.budget = budget
        self.queue = SendQueue(socket)
        self.streams: dict[int, StreamCore] = {}
        self.max_streams = MAX_STREAMS
        self.max_unconsumed_bytes = max_unconsumed_bytes
        """While the streams together have sent so many bytes that are not consumed, their windows
        shrink; 0: never."""
        self.end_error: RpcError | None = None
        """Why the peer sends nothing more, though the connection may live on."""
        self._touched: list[StreamCore] = []
        self._abandoned: OrderedDict[int, None] = OrderedDict()
        """Ids of streams whose answer may still come."""
        self._answered: OrderedDict[int, None] = OrderedDict()
        """Ids of the peer whose frames, to streams that are gone, were answered by RST."""
        self._on_late_answer = on_late_answer
        self._owing: dict[StreamCore, None] = {}
        """Streams whose FEEDBACK waits until the peer reads. With the lock of the queue."""

    @property
    def peer(self) -> str:
        return str(self.socket.remote_side or "a peer without address")

    @property
    def unconsumed(self) -> int:
        """Bytes that were sent and not consumed, of all streams."""
        return self.queue.unconsumed

    # --- its streams ---

    def new_stream(self, options: StreamOptions, stream_id: int | None = None) -> StreamCore:
        """Make a stream, which holds the connection. LimitReachedError if there are too many;
        the RpcError of a connection that has failed, or whose peer sends nothing more."""
        if len(self.streams) >= self.max_streams:
            text = (
                f"the connection to {self.peer} has {self.max_streams} streams, and takes no more"
            )
            raise LimitReachedError(text, peer=self.peer)
        if stream_id is None:
            stream_id = new_stream_id()
        core = StreamCore(self, stream_id, options)
        self._connection.hold(core)
        self.streams[stream_id] = core
        self.budget.enter(core)
        # Store, then load: either an end of the connection sees the stream, or this sees the end.
        error = self.end_error
        if error is not None:
            core.fail(error.copy(peer=self.peer))
        if core.is_over:
            self.forget(core)
            raise core.send_error()
        return core

    def forget(self, core: StreamCore) -> None:
        """`core` is over."""
        if self.drop(core):
            self._connection.release_hold(core)

    def let_go(self, core: StreamCore) -> None:
        """The peer sends nothing more, so `core` needs the connection no more: it ends once the
        user has taken what has come."""
        if self._remove(core):
            self._connection.release_hold(core)

    def drop(self, core: StreamCore) -> bool:
        """`core`, whose hold has ended, is not here any more. False if it was not."""
        self.budget.leave(core)
        return self._remove(core)

    def _remove(self, core: StreamCore) -> bool:
        if self.streams.get(core.id) is not core:
            return False
        return self.streams.pop(core.id, None) is core

    def abandon(self, core: StreamCore) -> None:
        """The call that was to open `core` has ended without an answer, which may still come."""
        _remember(self._abandoned, core.id)

    def fail_all(self, error: RpcError) -> None:
        """The peer sends nothing more: no stream lives on, or can be made. Any thread."""
        self.end_error = error
        for core in list(self.streams.values()):
            core.on_connection_failed(self._connection, error)

    # --- frames, in turns ---

    def on_frame(self, frame: StreamFrame) -> None:
        """A frame has come. `end_batch` must follow, after the last one of a read."""
        core = self.streams.get(frame.stream_id)
        if core is None:
            self._on_unknown(frame)
            return
        kind = frame.frame_type
        if core.opening is not None:
            self._on_opening(core, frame)
            return
        if kind == DATA:
            core.on_data(frame.data, frame.has_continuation)
        elif kind == FEEDBACK:
            core.on_feedback(frame.consumed_size)
        elif kind == CLOSE:
            core.on_close()
        elif kind == RST:
            core.on_rst()
        else:
            TRANSPORT.debug("a stream frame of type %s from %s is ignored", kind, self.peer)
            return
        if not core.is_touched:
            core.is_touched = True
            self._touched.append(core)

    def end_batch(self) -> None:
        """All frames of one read have been handled: wake those who wait for them."""
        touched, self._touched = self._touched, []
        for core in touched:
            core.is_touched = False
            core.on_readable()
        self.queue.serve()

    def _on_opening(self, core: StreamCore, frame: StreamFrame) -> None:
        opening = core.opening
        if frame.frame_type == DATA:
            opening.on_answer(core, frame.data)
        elif frame.frame_type == RST:
            opening.on_rst(core)

    def _on_unknown(self, frame: StreamFrame) -> None:
        """A frame to a stream that is gone, or never was."""
        kind, source = frame.frame_type, frame.source_stream_id
        if kind == DATA and frame.stream_id in self._abandoned and self._on_late_answer:
            del self._abandoned[frame.stream_id]
            self.refuse(self._on_late_answer(frame.data))
            return
        if kind not in (DATA, CLOSE) or source == NO_STREAM or source in self._answered:
            return
        _remember(self._answered, source)
        if not self.socket.backlog.refuses_writes():  # else the peer doesn't read what it gets
            self.write_control(pack_rst(source))

    # --- for its streams ---

    def refuse(self, remote_ids: Sequence[int]) -> None:
        """Reset streams of the peer that have none here, in a turn. If they are too many for one
        request, only the first ones."""
        for remote_id in remote_ids[:MAX_STREAMS_PER_REQUEST]:
            self.write_control(pack_rst(remote_id))

    def write_control(self, frame: bytes) -> None:
        """Write a small frame, whatever is queued. It is lost with the connection."""
        try:
            self.queue.write(iobuf_of(frame))
        except RpcError:
            return

    def owe_feedback(self, core: StreamCore) -> None:
        """The socket is overcrowded: have `core` write its FEEDBACK when it is not any more."""
        with self.queue.lock:
            is_first = not self._owing
            self._owing[core] = None
        if is_first:
            self.socket.backlog.on_below_low_water(self._on_below_low_water)

    def _on_below_low_water(self) -> None:
        with contextlib.suppress(DispatcherClosedError):
            self.socket.dispatcher.post(self._write_owed)

    def _write_owed(self) -> None:
        with self.queue.lock:
            owing, self._owing = self._owing, {}
        for core in owing:
            core.write_owed_feedback()

    def first_window(self, options: StreamOptions) -> int:
        """The window of a new stream, in bytes; 0 or less: no limit."""
        if self.max_unconsumed_bytes and 0 < options.min_buf_size < options.max_buf_size:
            return options.min_buf_size
        return options.max_buf_size

    def next_window(self, options: StreamOptions, window: int, has_window: bool) -> int:
        """The window of a stream after a FEEDBACK. With the lock of the queue.

        It never falls to 0, as in C++, where that means no limit.
        """
        if not self.max_unconsumed_bytes:
            return window
        if self.queue.unconsumed > self.max_unconsumed_bytes:
            least = options.min_buf_size
            if 0 < least <= options.max_buf_size:
                return min(window, least)
            return max(1, window // 2)
        if not has_window and window < options.max_buf_size:
            return min(2 * window, options.max_buf_size)
        return window

    def __repr__(self) -> str:
        return f"<StreamTable {len(self.streams)} streams with {self.peer}>"


class _Making:
    lock = threading.Lock()


def making_lock() -> threading.Lock:
    """Held while a connection gets its table. Another one in a forked child: a thread of the parent
    may have held it."""
    return _Making.lock


def _after_fork_in_child() -> None:
    _Making.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def new_stream_id() -> int:
    """A new id, which nobody can guess."""
    return int.from_bytes(os.urandom(8)) >> (64 - ID_BITS)


def _remember(ids: OrderedDict[int, None], new: int) -> None:
    ids[new] = None
    while len(ids) > MAX_REMEMBERED:
        ids.popitem(last=False)
