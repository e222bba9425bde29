"""FaultScript: decides when bytes of one direction may pass; touches no socket and no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pybrpc.base.deadline import NEVER
from pybrpc.testing.faulty_proxy.faults import (
    CutAt,
    Delay,
    DropFrom,
    End,
    Fault,
    HalfCloseAt,
    ResetAt,
    Slow,
    Stall,
)

UNLIMITED = 1 << 62


class FaultScript:
    """The faults of one direction of one connection, and their progress.

    `on_strike` is called with each fault when it first has an effect. All times are seconds of one
    clock, which the caller reads.
    """

    __slots__ = (
        "_end",
        "_next_chunk_at",
        "_on_strike",
        "_slows",
        "_stalled_until",
        "_stalls",
        "latency_s",
        "position",
    )

    def __init__(self, faults: Sequence[Fault], on_strike: Callable[[Fault], None]) -> None:
        ends = [f for f in faults if isinstance(f, CutAt | ResetAt | HalfCloseAt | DropFrom)]
        delays = [fault for fault in faults if isinstance(fault, Delay)]
        self.position = 0
        """Bytes that have passed."""
        self.latency_s = sum(delay.latency_s for delay in delays)
        self._slows = [fault for fault in faults if isinstance(fault, Slow)]
        self._stalls = [fault for fault in faults if isinstance(fault, Stall)]
        self._stalls.sort(key=lambda stall: stall.after_bytes)
        self._end: End | None = min(ends, key=lambda end: end.after_bytes, default=None)
        self._stalled_until = self._next_chunk_at = -NEVER
        self._on_strike = on_strike
        for delay in delays:
            on_strike(delay)

    def allowance(self, now: float) -> tuple[int, float]:
        """How many bytes may pass now, and, if that is 0, when to ask again."""
        self._begin_stalls(now)
        wait_until = max(self._stalled_until, self._next_chunk_at)
        if now < wait_until:
            return 0, wait_until
        stops = [self._stalls[0].after_bytes] if self._stalls else []
        if self._end is not None:
            stops.append(self._end.after_bytes)
        chunks = [slow.chunk_bytes for slow in self._slows]
        return min([UNLIMITED, *chunks, *(stop - self.position for stop in stops)]), NEVER

    def note_passed(self, count: int, now: float) -> None:
        """Note that `count` bytes have passed, at most as many as were allowed."""
        if self.position == 0:
            for slow in self._slows:
                self._on_strike(slow)
        self.position += count
        for slow in self._slows:
            self._next_chunk_at = max(self._next_chunk_at, now + count / slow.bytes_per_s)
        self._begin_stalls(now)

    def take_end(self, now: float) -> End | None:
        """The fault that ends this direction, once its bytes have passed and no stall delays it."""
        end = self._end
        if end is None or self.position < end.after_bytes or now < self._stalled_until:
            return None
        self._end = None
        self._on_strike(end)
        return end

    def end_stalls(self) -> None:
        """End the stalls that have begun; later ones still strike."""
        self._stalled_until = -NEVER

    def _begin_stalls(self, now: float) -> None:
        while self._stalls and self._stalls[0].after_bytes <= self.position:
            stall = self._stalls.pop(0)
            until = NEVER if stall.seconds is None else now + stall.seconds
            self._stalled_until = max(self._stalled_until, until)
            self._on_strike(stall)
