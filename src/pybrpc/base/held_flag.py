"""HeldFlag: a flag that several programs may set to true for a while, each without the others.

Two programs that set a plain flag and set it back switch it off for each other, or leave it on.
Here each has a hold of its own, which ends by itself: a program that was killed leaves nothing on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pybrpc.base.flag_values import Flag

MAX_HOLDS = 64
"""Holds at once."""
MAX_HOLDER_CHARS = 64
"""Longest name of a holder."""
MAX_HOLD_S = 2e9
"""Longest hold, in seconds: what programs ask for is shorter."""


class HeldFlag(Flag[bool]):
    """A bool flag: true if its value is, or while it is held. Any thread.

    `current()` tells which; it takes no lock. `check` is that of `Flags.define`, and is asked for
    holds too.
    """

    __slots__ = ("_ends", "_held_until")

    def __init__(self, name: str, description: str, check: Callable[[bool], str] | None) -> None:
        super().__init__(name, False, description, check, None, None)
        self._ends: dict[str, float] = {}
        """When each hold ends, in monotonic seconds, by the name of its holder."""
        self._held_until = 0.0
        """The latest of them."""

    def current(self) -> bool:
        """Whether it is true now."""
        return self.value or time.monotonic() < self._held_until

    def set(self, value: bool) -> None:
        """Change its value. False ends all holds too: afterwards the flag is false."""
        with self._lock:
            super().set(value)
            if not value:
                self._ends.clear()
                self._held_until = 0.0

    def hold(self, holder: str, seconds: float) -> None:
        """Have it be true for so many seconds, counted from now. Another hold of that holder ends.
        ValueError if the check refuses it, for a name or a time of no sense, for too many holds."""
        reason = "" if self._check is None else self._check(True)
        if reason:
            raise ValueError(f"{self.name}: {reason}")
        if not 1 <= len(holder) <= MAX_HOLDER_CHARS:
            raise ValueError(f"a holder has a name of 1 to {MAX_HOLDER_CHARS} characters")
        if not 0 < seconds <= MAX_HOLD_S:
            raise ValueError(f"a hold takes more than 0 seconds, and at most {MAX_HOLD_S:.0f}")
        with self._lock:
            now = time.monotonic()
            self._ends = {each: end for each, end in self._ends.items() if end > now}
            if holder not in self._ends and len(self._ends) >= MAX_HOLDS:
                raise ValueError(f"{self.name} is held by {MAX_HOLDS} already")
            self._ends[holder] = now + seconds
            self._held_until = max(self._ends.values())

    def release(self, holder: str) -> bool:
        """End the hold of that holder; return whether it lasted until now."""
        with self._lock:
            end = self._ends.pop(holder, 0.0)
            self._held_until = max(self._ends.values(), default=0.0)
        return end > time.monotonic()
