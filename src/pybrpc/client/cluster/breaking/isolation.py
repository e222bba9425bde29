"""Isolation: for how long a server is left out."""

from __future__ import annotations

import math


class Isolation:
    """The seconds double if the server fails again soon after it came back. After bRPC's rule."""

    __slots__ = ("_came_back_at", "_max_s", "_min_s", "seconds")

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._came_back_at = -math.inf
        self.seconds = min_s
        """How long the server was left out the last time."""

    def begin(self, now: float) -> float:
        """The server is left out from now on. For how many seconds."""
        if now - self._came_back_at < self._max_s:
            self.seconds = min(self.seconds * 2, self._max_s)
        else:
            self.seconds = self._min_s
        return self.seconds

    def end(self, now: float) -> None:
        """The server comes back."""
        self._came_back_at = now
