"""Backlog: how many bytes are queued and not yet written, and who waits for room.

Bytes are counted when a request is queued, before it is linked, so the check never lags behind
the queue. Above the high-water mark new requests are refused until the backlog has fallen to the
low-water mark. The request that crosses the mark is the last one let in, so the backlog is bounded
by the mark and one message per producer.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from pybrpc.base.atomic import atomic_counter

HIGH_WATER_BYTES = 64 * 1024 * 1024
REQUEST_OVERHEAD_BYTES = 64
"""Counted for every request beside its bytes, so that empty messages are bounded too."""


class Backlog:
    """Unwritten bytes of one socket. All methods may be called by any thread; none blocks."""

    __slots__ = ("_bytes", "_is_closed", "_waiters", "high_water", "is_crowded", "low_water")

    def __init__(self, high_water: int = HIGH_WATER_BYTES, low_water: int | None = None) -> None:
        self._bytes = atomic_counter()
        self._waiters: deque[Callable[[], None]] = deque()
        self.high_water = high_water
        self.low_water = high_water // 2 if low_water is None else low_water
        self.is_crowded = False
        self._is_closed = False

    @property
    def size_bytes(self) -> int:
        """Bytes queued now, with the overhead of their requests."""
        return self._bytes.get()

    def try_add(self, size: int, ignore_limit: bool) -> bool:
        """Count a request that is about to be queued; False, and nothing counted, if crowded."""
        if self.is_crowded and not ignore_limit:
            return False
        if self._bytes.increment_and_get(size + REQUEST_OVERHEAD_BYTES) > self.high_water:
            self.is_crowded = True
            # The holder may have written all before it could see the mark.
            self._clear_if_low(self._bytes.get())
        return True

    def remove(self, size: int, requests: int) -> None:
        """Uncount what was written or failed."""
        amount = size + requests * REQUEST_OVERHEAD_BYTES
        left = self._bytes.decrement_and_get(amount)
        if self.is_crowded:
            self._clear_if_low(left)

    def correct(self, difference: int) -> None:
        """A message turned out to be `difference` bytes longer than it was counted."""
        if difference:
            self._bytes.increment_and_get(difference)

    def when_roomy(self, wake: Callable[[], None]) -> None:
        """Call `wake` once there is room: now, or from the thread that makes room."""
        self._waiters.append(wake)
        if not self.is_crowded or self._is_closed:
            self.wake_all()

    def forget(self, wake: Callable[[], None]) -> None:
        """Take back `when_roomy`."""
        with contextlib.suppress(ValueError):
            self._waiters.remove(wake)

    def close(self) -> None:
        """The socket has failed: there is nothing to wait for any more."""
        self._is_closed = True
        self.wake_all()

    def wake_all(self) -> None:
        """Wake everybody who waits for room."""
        while self._waiters:
            try:
                wake = self._waiters.popleft()
            except IndexError:
                return
            wake()

    def _clear_if_low(self, size: int) -> None:
        if size <= self.low_water:
            self.is_crowded = False
            self.wake_all()

    def __repr__(self) -> str:
        crowded = ", crowded" if self.is_crowded else ""
        return f"<Backlog {self.size_bytes} of {self.high_water} bytes{crowded}>"
