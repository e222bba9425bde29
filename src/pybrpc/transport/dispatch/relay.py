"""Relay: callers that come back at once wake each other, while the dispatcher's thread waits.

A turn that brings responses for several blocked callers begins a relay, if they have lately come
back at once: with the next call, as threads do that do little else. It wakes the first caller. Each
one wakes the next when it comes back to wait, and not before, so at any moment one of them runs and
none sleeps a second time, on the GIL. What they write meanwhile is left to the dispatcher, which
writes it together once the relay is over. It waits for that: a turn in between would compete for
the GIL, to read one or two responses.

A relay is over when the last caller runs. It is broken off when no caller has come back for
STALL_S, after LONGEST_S, or when there is background work: then every caller wakes the next one as
soon as it runs (see ChainedWakeups). After a relay that was slow there is none for some turns, for
twice as many each time. So callers that do something else between two calls don't wait for each
other, except in a rare trial.

Only the dispatcher's own thread begins and ends relays, so nobody depends on a caller that does not
come back. If that thread is interrupted, the next turn sets `is_open` again.
"""

from __future__ import annotations

import time
from collections.abc import Sized

from pybrpc.base.flags import WakeSignal

STALL_S = 0.0005
"""A relay in which no caller comes back for this time is broken off."""

LONGEST_S = 0.002
"""Longest time for which other events may wait for a relay."""

SLOW_S = 0.0001
"""A relay is slow if callers took longer than this to come back, on average."""

FEWEST_PAUSED, MOST_PAUSED = 16, 256
"""Turns without a relay after one that was slow."""


class Relay:
    """Decides when there is a relay, and waits for its end."""

    __slots__ = ("_next_pause", "_paused", "_signal", "has_begun", "is_open")

    def __init__(self) -> None:
        self.has_begun = False
        """Whether `wait` is to follow."""
        self.is_open = False
        """Whether a caller wakes the next one when it comes back, rather than at once."""
        self._signal = WakeSignal()
        self._paused = 0
        self._next_pause = FEWEST_PAUSED

    # --- the thread that runs turns ---

    def begin(self, callers: int) -> bool:
        """At the end of a turn of the dispatcher's own thread, after which `callers` are to be
        woken: whether they relay. Then `wait` follows."""
        is_begun = callers > 1 and self._paused == 0
        if callers > 1 and not is_begun:
            self._paused -= 1
        self.has_begun = self.is_open = is_begun
        return is_begun

    def wait(self, callers: Sized) -> None:
        """Block until the relay is over. `callers` is the chain: those that are not woken yet."""
        began_at = time.monotonic()
        first = left = len(callers)
        passed_s = 0.0
        is_stalled = False
        while self.is_open and left > 0 and passed_s < LONGEST_S and not is_stalled:
            is_told = self._signal.wait(STALL_S)
            passed_s = time.monotonic() - began_at
            is_stalled = len(callers) == left and not is_told
            left = len(callers)
        self.has_begun = self.is_open = False
        if is_stalled or passed_s > SLOW_S * (first - left + 1):
            self._paused = self._next_pause
            self._next_pause = min(2 * self._next_pause, MOST_PAUSED)
        else:
            self._next_pause = FEWEST_PAUSED

    # --- any thread ---

    def end(self) -> None:
        """End the wait: the last caller runs, or there is background work. Never blocks."""
        if self.is_open:
            self.is_open = False
            self._signal.set()
