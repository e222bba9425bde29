"""WaitQueue: calls that wait for a connection, oldest first.

Each has a ticket, and stands in a dict under its number. To take the entry out of the dict is to
own the call, so a deadline finds it as fast as the one who brings a connection, and what has gone
leaves nothing behind. `_next` goes up from ticket to ticket; it may pass one whose call is not in
the dict yet. A producer therefore looks at `_next` after it has put the call in, and draws another
ticket if it was passed: either it sees that, or whoever comes to the ticket sees the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pybrpc.base.atomic import atomic_counter

if TYPE_CHECKING:
    from pybrpc.client.calls.call import Call

_NO_TICKET = 0

MANY_GONE = 64
"""So many tickets without a call are passed one by one; then the oldest that has one is sought."""


class Waiting:
    """The WaitPoint of a call in a WaitQueue."""

    __slots__ = ("_waiting", "call", "ticket")

    def __init__(self, call: Call, waiting: dict[int, Waiting]) -> None:
        self.call = call
        self.ticket = _NO_TICKET
        self._waiting = waiting

    def try_claim(self) -> bool:
        return self._waiting.pop(self.ticket, None) is not None


class WaitQueue:
    """Any thread, re-entrant, without a lock; but `take` only by one thread at a time."""

    __slots__ = ("_next", "_tickets", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._tickets = atomic_counter(_NO_TICKET)
        self._next = _NO_TICKET + 1

    def add(self, call: Call) -> None:
        """Queue a call. Who gets it out of here owns it; its deadline may be the first."""
        waiting = Waiting(call, self._waiting)
        call.wait_in(waiting)
        while True:
            ticket = waiting.ticket = self._tickets.increment_and_get(1)
            self._waiting[ticket] = waiting
            if self._next <= ticket or not waiting.try_claim():
                return

    def take(self) -> Call | None:
        """The call that has waited longest, and now is the caller's; `None` if none waits."""
        gone = 0
        while self._waiting and self._next <= self._tickets.get():
            ticket = self._next
            self._next = ticket + 1
            waiting = self._waiting.pop(ticket, None)
            if waiting is not None:
                return waiting.call
            gone += 1
            if gone > len(self._waiting) + MANY_GONE:
                gone = 0
                self._pass_over_gone()
        return None

    def _pass_over_gone(self) -> None:
        """Millions of calls may have timed out here since somebody was taken last."""
        tickets = list(self._waiting)
        if tickets:
            self._next = max(self._next, min(tickets))

    def take_all(self, which: Callable[[Call], bool] = lambda call: True) -> list[Call]:
        """All calls, or those that `which` says yes to; they are the caller's now."""
        found: list[Call] = []
        for ticket in list(self._waiting):
            waiting = self._waiting.get(ticket)
            if waiting is not None and which(waiting.call) and waiting.try_claim():
                found.append(waiting.call)
        return found

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<WaitQueue of {len(self)} calls>"
