"""Backlog: how many bytes are queued and not yet written, and who waits for room.

Bytes are counted when a request is queued, before it is linked, so the check never lags behind
the queue. Above the high-water mark new requests are refused until the backlog has fallen to the
low-water mark. The request that crosses the mark is the last one let in, so the backlog is bounded
by the mark and one message per producer.

A queued request costs about 1 KB of memory however short its message is, so requests are limited
too, to one per 256 bytes of the mark: by default a queue holds 64 MiB of messages and 240 MiB of
what keeps them together, at most. Both are counted in one atomic number: the bytes in its lower 40
bits, the requests above.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

from pybrpc.base.atomic import atomic_counter

HIGH_WATER_BYTES = 64 * 1024 * 1024
BYTES_PER_REQUEST = 256
FEWEST_REQUESTS = 1024
"""So many requests are let in even by a low mark."""

_REQUEST = 1 << 40
_BYTES = _REQUEST - 1


class Backlog:
    """Unwritten bytes of one socket. All methods may be called by any thread; none blocks."""

    __slots__ = (
        "_counted",
        "_is_closed",
        "_waiters",
        "high_water",
        "is_crowded",
        "low_water",
        "most_requests",
    )

    def __init__(self, high_water: int = HIGH_WATER_BYTES, low_water: int | None = None) -> None:
        self._counted = atomic_counter()
        self._waiters: deque[Callable[[], None]] = deque()
        self.high_water = high_water
        self.low_water = high_water // 2 if low_water is None else low_water
        self.most_requests = max(FEWEST_REQUESTS, high_water // BYTES_PER_REQUEST)
        self.is_crowded = False
        self._is_closed = False

    @property
    def size_bytes(self) -> int:
        """Bytes queued now."""
        return self._counted.get() & _BYTES

    @property
    def requests(self) -> int:
        """Requests queued now."""
        return self._counted.get() // _REQUEST

    def try_add(self, size: int, ignore_limit: bool) -> bool:
        """Count a request that is about to be queued; False, and nothing counted, if crowded."""
        if self.is_crowded and not ignore_limit:
            return False
        counted = self._counted.increment_and_get(size + _REQUEST)
        if counted & _BYTES > self.high_water or counted // _REQUEST > self.most_requests:
            self.is_crowded = True
            # The holder may have written all before it could see the mark.
            self._clear_if_low(self._counted.get())
        return True

    def remove(self, size: int, requests: int) -> None:
        """Uncount what was written or failed."""
        left = self._counted.decrement_and_get(size + requests * _REQUEST)
        if self.is_crowded:
            self._clear_if_low(left)

    def correct(self, difference: int) -> None:
        """A message turned out to be `difference` bytes longer than it was counted."""
        if difference:
            self._counted.increment_and_get(difference)

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

    def _clear_if_low(self, counted: int) -> None:
        if counted & _BYTES <= self.low_water and counted // _REQUEST <= self.most_requests // 2:
            self.is_crowded = False
            self.wake_all()

    def __repr__(self) -> str:
        crowded = ", crowded" if self.is_crowded else ""
        return f"<Backlog {self.size_bytes} of {self.high_water} bytes{crowded}>"
