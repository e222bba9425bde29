"""RtmpStreamCore: one stream of a connection, without any form of waiting.

It is published by one side and played by the other one. Frames that come are kept until the user
takes them; they count in the budget for unread bytes of the process, and a stream whose user takes
them too slowly ends. RTMP has no flow control of streams: nothing else would bound them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from pybrpc.base.byte_budget import ByteBudget
from pybrpc.base.renewed import renew_in_child
from pybrpc.base.wake_list import Wake, WakeList
from pybrpc.errors import LimitReachedError, RpcError, StreamClosedError
from pybrpc.protocols.rtmp.command import is_from_server, published_data, stored_data
from pybrpc.protocols.rtmp.message import DATA, DATA_AMF3, RtmpMessage
from pybrpc.rtmp.frame import Frame, check_frame
from pybrpc.rtmp.interfaces import StreamConnection
from pybrpc.rtmp.streams.stream_name import bare_name_of
from pybrpc.streams.outgoing import Wait

MAX_UNREAD_BYTES = 16 * 1024 * 1024
"""Limit for one stream: about a minute of 2 Mbit/s."""

UNREAD_FRAME_BYTES = 200
"""Memory of an unread frame beside its bytes, as it counts."""


class FrameSink(Protocol):
    """Takes the frames of a stream at once, instead of a user who waits for them: a relay."""

    def on_frames(self, core: RtmpStreamCore, frames: list[Frame]) -> None:
        """Frames have come, those of one read together. In a turn; must not block."""

    def on_ended(self, core: RtmpStreamCore) -> None:
        """No more frames come. Once; in a turn, or in the thread that has ended it."""


class RtmpStreamCore:
    """One stream. Any thread may call all methods, unless noted."""

    __slots__ = (
        "__weakref__",
        "_lock",
        "_on_end",
        "_room_wakes",
        "_waits",
        "budget",
        "connection",
        "failure",
        "from_publisher",
        "has_ended",
        "id",
        "is_publisher",
        "max_unread_bytes",
        "name",
        "sink",
        "unread",
        "unread_bytes",
    )

    def __init__(
        self,
        connection: StreamConnection,
        stream_id: int,
        budget: ByteBudget,
        max_unread_bytes: int = MAX_UNREAD_BYTES,
    ) -> None:
        self.connection = connection
        self.id = stream_id
        self.budget = budget
        self.max_unread_bytes = max_unread_bytes
        self.name = ""
        """With the parameters behind it, which are never shown."""
        self.is_publisher = False
        """Whether the peer publishes: then frames come. Else they are sent."""
        self.from_publisher = False
        """Whether the frames that are sent are those of a publisher, not those of a server."""
        self.unread: deque[Frame] = deque()
        self.unread_bytes = 0
        self.has_ended = False
        self.failure: RpcError | None = None
        """Why it has ended; `None` if one side has closed it."""
        self.sink: FrameSink | None = None
        self._lock = threading.Lock()
        self._room_wakes = WakeList()
        """Those who wait for room to send on it."""
        self._waits: list[Wait] = []
        self._on_end: list[Any] = []
        budget.enter(self)
        renew_in_child(self)

    # --- receiving ---

    def on_messages(self, messages: Sequence[RtmpMessage]) -> None:
        """Messages of audio, video and data have come, in one read. In a turn."""
        frames = _published_frames(messages)
        sink = self.sink
        if sink is not None:
            sink.on_frames(self, frames)
            return
        size = sum(len(frame.payload) + UNREAD_FRAME_BYTES for frame in frames)
        with self._lock:
            if self.has_ended:
                return
            self.unread += frames
            self.unread_bytes += size
            is_over = self.unread_bytes > self.max_unread_bytes
            waits, self._waits = self._waits, []
        self.budget.add(size)
        for wait in waits:
            wait.end()
        if is_over:
            text = f"{self.described} has more than {self.max_unread_bytes} bytes unread"
            self.connection.end_stream(self, LimitReachedError(text, peer=self.connection.peer))

    def take(self) -> Frame | None:
        """The next frame; `None` if none is there."""
        with self._lock:
            if not self.unread:
                return None
            frame = self.unread.popleft()
            size = len(frame.payload) + UNREAD_FRAME_BYTES
            self.unread_bytes -= size
        self.budget.remove(size)
        return frame

    def begin_receive_wait(self, wait: Wait) -> bool:
        """End `wait` when a frame, or the end, comes. False if there is one already."""
        self.connection.check_alive(self)
        with self._lock:
            if self.unread or self.has_ended:
                return False
            self._waits.append(wait)
            return True

    def begin_ended_wait(self, wait: Wait) -> bool:
        """End `wait` when the stream has ended. False if it has."""
        self.connection.check_alive(self)
        with self._lock:
            if self.has_ended:
                return False
            self._on_end.append(wait)
            return True

    def forget_wait(self, wait: Wait) -> None:
        """Don't end `wait` any more."""
        with self._lock:
            for waits in (self._waits, self._on_end):
                if wait in waits:
                    waits.remove(wait)

    # --- sending ---

    def send(self, frames: Sequence[Frame]) -> None:
        """Queue frames, all or none. OvercrowdedError if there is no room; the RpcError of a stream
        that has ended; TypeError for what is no frame."""
        for frame in frames:
            check_frame(frame)
        self.connection.check_alive(self)
        if self.has_ended:
            raise self.end_error()
        stream_id = self.id
        messages = [
            RtmpMessage(frame.message_type, frame.payload, stream_id, frame.timestamp)
            for frame in frames
        ]
        if self.from_publisher:
            messages = [
                published_data(message) if message.message_type == DATA else message
                for message in messages
            ]
        self.connection.write(messages)

    def when_writable(self, wake: Wake) -> None:
        """Call `wake` once there is room, or the stream has ended: the peer may read nothing any
        more."""
        self._room_wakes.add(wake)
        self.connection.socket.backlog.when_writable(wake)
        if self.has_ended:
            wake()

    def forget_wake(self, wake: Wake) -> None:
        """Undo `when_writable`."""
        self._room_wakes.discard(wake)
        self.connection.socket.backlog.forget(wake)

    # --- its end ---

    def end(self, error: RpcError | None) -> bool:
        """Nothing more is received or sent. False if it had ended. Tells the peer nothing."""
        with self._lock:
            if self.has_ended:
                return False
            self.has_ended = True
            self.failure = error
            dropped = self._drop() if isinstance(error, LimitReachedError) else 0
            waits, self._waits = self._waits + self._on_end, []
            self._on_end = []
            sink = self.sink
        self.budget.remove(dropped)
        self.budget.leave(self)
        for wait in waits:
            wait.end()
        self._room_wakes.wake_all()
        if sink is not None:
            sink.on_ended(self)
        return True

    def _drop(self) -> int:
        """Drop what is unread; return its size. With the lock."""
        dropped, self.unread_bytes = self.unread_bytes, 0
        self.unread.clear()
        return dropped

    def drop_unread(self) -> None:
        """Nobody will take what is left."""
        with self._lock:
            dropped = self._drop()
        self.budget.remove(dropped)

    def end_error(self) -> RpcError:
        """Why nothing more comes, or can be sent."""
        failure = self.failure
        if failure is not None:
            return failure.copy()
        return StreamClosedError(f"{self.described} has ended", peer=self.connection.peer)

    def renew_locks(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()

    def __del__(self) -> None:
        # A user may drop a stream that has ended without having taken all that had come.
        left = getattr(self, "unread_bytes", 0)
        if left:
            self.budget.remove(left)

    # --- a Holder of the budget ---

    @property
    def held_bytes(self) -> int:
        return self.unread_bytes

    def give_up(self) -> None:
        """All streams together hold too much that is unread, and this one most."""
        text = f"all streams together hold more than {self.budget.limit_bytes} bytes unread"
        self.connection.end_stream(self, LimitReachedError(text, peer=self.connection.peer))

    @property
    def bare_name(self) -> str:
        """The name without the parameters behind it."""
        return bare_name_of(self.name)

    @property
    def described(self) -> str:
        """The stream in errors and logs."""
        return f"the RTMP stream {self.bare_name!r} with {self.connection.peer}"

    def __repr__(self) -> str:
        state = "ended" if self.has_ended else "open"
        return f"<RtmpStreamCore {self.id} {self.bare_name!r} {state}, {len(self.unread)} unread>"


def _published_frames(messages: Sequence[RtmpMessage]) -> list[Frame]:
    """The frames of a publisher; data messages in the form that players get."""
    frames = []
    for message in messages:
        if message.message_type in (DATA, DATA_AMF3):
            if is_from_server(message):
                continue
            message = stored_data(message)
        frames.append(Frame.of_message(message))
    return frames
