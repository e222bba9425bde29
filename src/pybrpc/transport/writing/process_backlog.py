"""ProcessBacklog: how many bytes are queued in all sockets that share it.

Each socket counts its own bytes in its `Backlog`, and changes the shared count only when its own
count passes a multiple of CHUNK_BYTES, up or down. Every step of a socket's count is atomic and
knows the value before and after it. So the changes of all its steps add up to the whole chunks that
the socket holds, in whatever order they come, and no byte is uncounted twice or never. A socket
whose peer keeps up never holds a whole chunk and never touches the shared count.

What a socket holds below one chunk is neither counted here nor refused because of other sockets:
peers that read are served on, however many others don't read.

Work that will need memory, but does not know yet how much, reserves the most that it can be. What
is reserved counts for the next reservations only: it is soon released, and a socket that it made
overcrowded might have no progress of its own then.
"""

from __future__ import annotations

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.wake_list import Wake, WakeList

MAX_QUEUED_BYTES = 1 << 30
"""Enough for sixteen sockets that are at their own mark, or for 640 KiB in each of 1,600."""

CHUNK_BYTES = 64 * 1024

MIN_HARD_MARGIN_BYTES = 16 * 1024 * 1024


def hard_limit(limit: int) -> int:
    """Bytes above which responses are dropped too, though they may pass `limit`."""
    return limit + max(limit // 4, MIN_HARD_MARGIN_BYTES)


class ProcessBacklog:
    """Whole chunks of unwritten bytes in the sockets that share it. Any thread; never blocks."""

    __slots__ = ("_chunks", "_limit_bytes", "_reserved", "_waiters", "chunk_bytes")

    def __init__(
        self, limit_bytes: int | None = MAX_QUEUED_BYTES, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        """`limit_bytes`: `None` for no limit; may be changed later."""
        self._chunks = atomic_counter()
        self._reserved = atomic_counter()
        self._waiters = WakeList()
        self._limit_bytes = limit_bytes
        self.chunk_bytes = chunk_bytes

    @property
    def limit_bytes(self) -> int | None:
        return self._limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._wake_unless_full()

    @property
    def size_bytes(self) -> int:
        """Bytes queued now, in whole chunks."""
        return self._chunks.get() * self.chunk_bytes

    @property
    def reserved_bytes(self) -> int:
        """Bytes that are reserved now."""
        return self._reserved.get()

    def try_reserve(self, size: int) -> int | None:
        """Reserve up to `size` bytes; return how many, for `release`. `None`: they do not fit.

        All that is queued and reserved stays below the hard limit. So that a large `size` fits when
        little else is there, no more than about the limit is reserved; two of these never fit.
        """
        limit_bytes = self._limit_bytes
        if limit_bytes is None:
            return 0
        hard_bytes = hard_limit(limit_bytes)
        size = min(size, max(limit_bytes, hard_bytes // 4 * 3))
        if self._reserved.increment_and_get(size) + self.size_bytes > hard_bytes:
            self._reserved.decrement_and_get(size)
            return None
        return size

    def release(self, reserved: int) -> None:
        """Give back what `try_reserve` has returned."""
        self._reserved.decrement_and_get(reserved)

    def is_full(self) -> bool:
        """Whether no socket may get to hold a chunk or more."""
        limit_bytes = self._limit_bytes
        return limit_bytes is not None and self._chunks.get() * self.chunk_bytes > limit_bytes

    def is_over_hard_limit(self) -> bool:
        """Whether the hard limit is exceeded, above which no message is accepted."""
        return self._limit_bytes is not None and self.size_bytes > hard_limit(self._limit_bytes)

    def move(self, before: int, after: int) -> None:
        """The count of one socket has gone from `before` to `after` bytes."""
        chunks = after // self.chunk_bytes - before // self.chunk_bytes
        if chunks:
            self._chunks.increment_and_get(chunks)
            if chunks < 0:
                self._wake_unless_full()

    def when_not_full(self, wake: Wake) -> None:
        """Call `wake` once it is not full: now, or in the thread that writes enough."""
        self._waiters.add(wake)
        self._wake_unless_full()

    def forget(self, wake: Wake) -> None:
        """Undo `when_not_full`."""
        self._waiters.discard(wake)

    def _wake_unless_full(self) -> None:
        if self._waiters and not self.is_full():
            self._waiters.wake_all()

    def __repr__(self) -> str:
        limit = "no limit" if self._limit_bytes is None else f"of {self._limit_bytes} bytes"
        return f"<ProcessBacklog {self.size_bytes} {limit}>"
