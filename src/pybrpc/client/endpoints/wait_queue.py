"""WaitQueue: calls that wait for a connection, oldest first.

Each call has a ticket, a number, and its entry is in a dict under that number. The thread that
removes the entry owns the call. So a deadline finds its call as fast as the thread that brings a
connection, and a call that has left leaves nothing behind. `_next` is the ticket that `take` looks
for next; it may pass a ticket whose call is not in the dict yet. So a thread that adds a call looks
at `_next` after it has put the call in, and draws another ticket if it was passed. Store, then
load, on both sides: either the adding thread sees that it was passed, or `take` sees the call.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from pybrpc.base.atomic import atomic_counter
from pybrpc.errors import Phase

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt_end import CanceledBy
    from pybrpc.client.calls.interfaces import WaitingCall

_NO_TICKET = 0

MANY_GONE = 64
"""Tickets without a call that `take` passes one by one before it searches for the oldest call."""


class Waiting:
    """The WaitPoint of a call in a WaitQueue."""

    __slots__ = ("_waiting", "call", "ticket")

    def __init__(self, call: WaitingCall, waiting: dict[int, Waiting]) -> None:
        self.call = call
        self.ticket = _NO_TICKET
        self._waiting = waiting

    def try_claim(self) -> bool:
        return self._waiting.pop(self.ticket, None) is not None

    def try_cancel(self, canceled_by: CanceledBy) -> bool:
        return self.try_claim()

    @property
    def phase(self) -> Phase:
        return Phase.QUEUED


class WaitQueue:
    """Any thread, re-entrant, without a lock; but `take` only by one thread at a time."""

    __slots__ = ("_next", "_tickets", "entries")

    def __init__(self) -> None:
        self.entries: dict[int, Waiting] = {}
        self._tickets = atomic_counter(_NO_TICKET)
        self._next = _NO_TICKET + 1

    def add(self, call: WaitingCall) -> None:
        """Queue a call. Any thread may claim it from now on, its deadline for example."""
        waiting = Waiting(call, self.entries)
        call.wait_in(waiting)
        while True:
            ticket = waiting.ticket = self._tickets.increment_and_get(1)
            self.entries[ticket] = waiting
            if self._next <= ticket or not waiting.try_claim():
                return

    def take(self) -> WaitingCall | None:
        """Claim the call that has waited longest; `None` if none waits."""
        gone = 0
        while self.entries and self._next <= self._tickets.get():
            ticket = self._next
            self._next = ticket + 1
            waiting = self.entries.pop(ticket, None)
            if waiting is not None:
                return waiting.call
            gone += 1
            if gone > len(self.entries) + MANY_GONE:
                gone = 0
                self._pass_over_gone()
        return None

    def _pass_over_gone(self) -> None:
        """Millions of calls may have timed out here since the last `take`."""
        tickets = list(self.entries)
        if tickets:
            self._next = max(self._next, min(tickets))

    def oldest(self) -> Waiting | None:
        """The call that has waited longest, which is not claimed; `None` if none waits."""
        while self.entries:
            try:
                return self.entries[min(islice(self.entries, MANY_GONE))]
            except (KeyError, RuntimeError, ValueError):
                continue  # Another thread has claimed it, or added one, just now.
        return None

    def all(self) -> list[Waiting]:
        """The calls that wait now, oldest first. They are not claimed."""
        return list(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<WaitQueue of {len(self)} calls>"
