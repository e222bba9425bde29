"""DelayLine: bytes that wait until they are due, oldest first."""

from __future__ import annotations

from collections import deque

from pybrpc.base.deadline import NEVER

_NOTHING = memoryview(b"")


class DelayLine:
    """A first-in-first-out buffer whose pieces become ready one after the other."""

    __slots__ = ("_pieces", "size_bytes")

    def __init__(self) -> None:
        self._pieces: deque[tuple[float, memoryview]] = deque()
        self.size_bytes = 0

    def put(self, data: bytes, due_at: float) -> None:
        self._pieces.append((due_at, memoryview(data)))
        self.size_bytes += len(data)

    def front(self, now: float) -> memoryview:
        """The oldest piece, empty if none is due."""
        if not self._pieces or self._pieces[0][0] > now:
            return _NOTHING
        return self._pieces[0][1]

    def take(self, count: int) -> None:
        """Drop `count` bytes of the front piece, which has at least that many."""
        due_at, piece = self._pieces.popleft()
        if count < len(piece):
            self._pieces.appendleft((due_at, piece[count:]))
        self.size_bytes -= count

    def clear(self) -> int:
        """Drop everything; return the number of dropped bytes."""
        size, self.size_bytes = self.size_bytes, 0
        self._pieces.clear()
        return size

    @property
    def due_at(self) -> float:
        """The time at which the oldest piece is due; NEVER if there is none."""
        return self._pieces[0][0] if self._pieces else NEVER
