"""Backlog: counts the bytes that are queued and not yet written, and wakes waiters when there are
fewer.

Bytes are counted when a request is queued, before it is linked, so the check never lags behind
the queue. Above the high-water mark new requests are refused until the backlog has fallen to the
low-water mark. The request that crosses the mark is the last one accepted, so the backlog is
bounded by the mark and one message per producer.

A queued request costs about 1 KB of memory however short its message is, so requests are limited
too, to one per 256 bytes of the mark: by default a queue holds at most 64 MiB of messages and
240 MiB of objects around them. Both are counted in one atomic number: the bytes in its lower 40
bits, the requests above.

A Backlog may share a ProcessBacklog with others. While that is full, a socket that holds a chunk of
it or more is overcrowded. It is no longer once it holds less than a chunk, or once it is at its
low-water mark and the process is not full any more. Either way its own progress ends it, so no
socket needs a notification when the shared count falls.
"""

from __future__ import annotations

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.wake_list import Wake, WakeList
from pybrpc.transport.socket_options import HIGH_WATER_BYTES
from pybrpc.transport.writing.process_backlog import ProcessBacklog, hard_limit

BYTES_PER_REQUEST = 256
MIN_REQUESTS = 1024
"""Even a low mark accepts this many requests."""

_REQUEST = 1 << 40
_BYTES = _REQUEST - 1
_NEVER = 1 << 62


class Backlog:
    """Unwritten bytes of one socket. All methods may be called by any thread; none blocks."""

    __slots__ = (
        "_checks_from",
        "_counted",
        "_is_closed",
        "_shares_from",
        "_waiters",
        "_was_rejected_by_process",
        "high_water",
        "is_overcrowded",
        "low_water",
        "max_requests",
        "process",
    )

    def __init__(
        self,
        high_water: int = HIGH_WATER_BYTES,
        low_water: int | None = None,
        process: ProcessBacklog | None = None,
    ) -> None:
        self._counted = atomic_counter()
        self._waiters = WakeList()
        self.high_water = high_water
        self.low_water = high_water // 2 if low_water is None else low_water
        self.max_requests = max(MIN_REQUESTS, high_water // BYTES_PER_REQUEST)
        self.is_overcrowded = False
        self.process = process
        self._is_closed = False
        self._was_rejected_by_process = False
        self._shares_from = _NEVER if process is None else process.chunk_bytes
        self._checks_from = min(high_water + 1, self._shares_from)

    def lower_marks(self, high_water: int) -> None:
        """Lower the high-water mark to `high_water` if it is higher, and the low one to half of
        it. While nothing is queued."""
        if high_water < self.high_water:
            self.high_water = high_water
            self.low_water = min(self.low_water, high_water // 2)
            self.max_requests = max(MIN_REQUESTS, high_water // BYTES_PER_REQUEST)
            self._checks_from = min(high_water + 1, self._shares_from)

    @property
    def size_bytes(self) -> int:
        """Bytes queued now."""
        return self._counted.get() & _BYTES

    @property
    def requests(self) -> int:
        """Requests queued now."""
        return self._counted.get() // _REQUEST

    def is_empty(self) -> bool:
        """Whether nothing is queued now."""
        return self._counted.get() == 0

    def try_add(self, size: int, ignore_limit: bool) -> bool:
        """Count a request that is about to be queued. False, and nothing counted, if refused."""
        if self.is_overcrowded and not ignore_limit:
            return False
        counted = self._counted.increment_and_get(size + _REQUEST)
        if counted & _BYTES >= self._checks_from or counted // _REQUEST > self.max_requests:
            return self._check_limits(counted, size, ignore_limit)
        return True

    def remove(self, size: int, requests: int) -> None:
        """Uncount requests that were written or have failed."""
        left = self._counted.decrement_and_get(size + requests * _REQUEST)
        # May also be true with requests queued, which is harmless; it must be exact when idle.
        if left + size >= self._shares_from:
            self._share((left & _BYTES) + size, left & _BYTES)
        if self.is_overcrowded:
            self._clear_if_low(left)

    def correct(self, difference: int) -> None:
        """A message turned out to be `difference` bytes longer than it was counted."""
        if difference:
            after = self._counted.increment_and_get(difference) & _BYTES
            self._share(after - difference, after)

    @property
    def rejected_by_process_limit(self) -> bool:
        """Whether the last message was refused because the process is full, and it still is."""
        return self._was_rejected_by_process and self._is_process_full()

    def refuses_writes(self) -> bool:
        """Whether a writer should wait with `when_writable` first."""
        return self.is_overcrowded or self.rejected_by_process_limit

    def exceeds_hard_limit(self, size: int) -> bool:
        """Whether a message of `size` bytes must not be queued even if it may pass the marks."""
        held, process = self.size_bytes, self.process
        if held > hard_limit(self.high_water):
            return True
        return (
            process is not None
            and held + size >= process.chunk_bytes
            and process.is_over_hard_limit()
        )

    def on_below_low_water(self, wake: Wake) -> None:
        """Call `wake` once it is not overcrowded: now, or in the thread that writes enough."""
        self._waiters.add(wake)
        if not self.is_overcrowded or self._is_closed:
            self._waiters.wake_all()

    def when_writable(self, wake: Wake) -> None:
        """Call `wake` as `on_below_low_water` does; but if the last message was refused because the
        process was full, once it is not full any more.
        """
        self._waiters.add(wake)
        if self._is_closed or not self.refuses_writes():
            self._waiters.wake_all()
        elif self.process is not None and not self.is_overcrowded:
            self.process.when_not_full(self._on_process_not_full)

    def forget(self, wake: Wake) -> None:
        """Undo `on_below_low_water` or `when_writable`."""
        self._waiters.discard(wake)
        if not self._waiters:
            self._forget_process()

    def close(self) -> None:
        """The socket has failed: there is nothing to wait for any more."""
        self._is_closed = True
        self._waiters.wake_all()
        if self.process is not None:
            self.process.forget(self._on_process_not_full)

    def _check_limits(self, counted: int, size: int, ignore_limit: bool) -> bool:
        """A request was counted that may be one too many: accept it, or uncount it."""
        held = counted & _BYTES
        was_full = held >= self._shares_from and self._is_process_full()
        self._share(held - size, held)
        if was_full and not ignore_limit:
            self._was_rejected_by_process = True
            self.remove(size, 1)
            return False
        if self._is_over(held) or counted // _REQUEST > self.max_requests:
            self.is_overcrowded = True
            # The holder of the write right may have written all before it could see the flag.
            self._clear_if_low(self._counted.get())
        return True

    def _is_process_full(self) -> bool:
        process = self.process
        return process is not None and process.is_full()

    def _is_over(self, held: int) -> bool:
        return held > self.high_water or (held >= self._shares_from and self._is_process_full())

    def _clear_if_low(self, counted: int) -> None:
        held = counted & _BYTES
        if held > self.low_water or counted // _REQUEST > self.max_requests // 2:
            return
        if held < self._shares_from or not self._is_process_full():
            self.is_overcrowded = False
            self._waiters.wake_all()
            self._forget_process()

    def _forget_process(self) -> None:
        """Nobody waits here for the process."""
        process = self.process
        if process is not None:
            process.forget(self._on_process_not_full)
            # Another thread may have begun to wait before that.
            if self._waiters:
                process.when_not_full(self._on_process_not_full)

    def _on_process_not_full(self) -> None:
        self._was_rejected_by_process = False
        self._waiters.wake_all()

    def _share(self, before: int, after: int) -> None:
        if self.process is not None:
            self.process.move(before, after)

    def __repr__(self) -> str:
        overcrowded = ", overcrowded" if self.is_overcrowded else ""
        return f"<Backlog {self.size_bytes} of {self.high_water} bytes{overcrowded}>"
