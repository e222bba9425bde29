"""Timeline: the timestamps that the players of a relayed stream get, though publishers change."""

from __future__ import annotations

from pybrpc.protocols.rtmp.message import U32_MASK

MIN_GAP_MS = 40
"""Least time between the last frame of a publisher and the first one of the next."""

_HALF = 1 << 31


class Timeline:
    """Maps the timestamps of publishers to those of players. For one thread at a time.

    Those of the first publisher stay as they are. When another one takes over, its first frame
    comes as much later than the last one as the pause between them was long, at least 40 ms, and
    its other frames keep their distance to the first. So players see time that goes on. Headers and
    metadata don't count: encoders often give them the time 0.
    """

    __slots__ = ("_last_s", "_offset", "_starts", "last")

    def __init__(self) -> None:
        self.last = 0
        """The latest timestamp that players got."""
        self._offset = 0
        self._last_s: float | None = None
        """When that was, by the monotonic clock; `None` before the first frame."""
        self._starts = False

    def restart(self) -> None:
        """The next frame is the first one of another publisher."""
        self._starts = self._last_s is not None

    def at(self, timestamp: int, counts: bool, now: float) -> int:
        """The time for players of a frame that came `now`. `counts`: it is no header."""
        if self._starts:
            if not counts:
                return self.last
            self._starts = False
            assert self._last_s is not None
            gap = max(MIN_GAP_MS, int((now - self._last_s) * 1000))
            self._offset = self.last + gap - timestamp
        mapped = (timestamp + self._offset) & U32_MASK
        if counts:
            if self._last_s is None or (mapped - self.last) & U32_MASK < _HALF:
                self.last = mapped
            self._last_s = now
        return mapped
