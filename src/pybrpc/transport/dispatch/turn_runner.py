"""TurnRunner: runs the turns of a dispatcher, in whichever thread calls it.

A turn waits for ready descriptors, then runs their functions, timers that are due, the posted
functions, a step of the costly work, and a step of the completions. Completions are user code: they
run only in the dispatcher's own thread.

A turn is bounded: once it has lasted TURN_S, it begins no more of one kind, and the next turn goes
on with what is left. Descriptors that are ready by then go before those whose last function was
long: among a hundred uploads a small request waits for one of them, not for all.

Posting wakes the polling thread with one write to an eventfd, and only if it sleeps or is about to.
The polling thread sets `is_sleeping` before it checks the queue for the last time; a thread that
posts looks at the flag after it has queued ("store, then load", see base.atomic).

A caller that polls for itself may be interrupted: an exception can be set in its thread by another
one (PyThreadState_SetAsyncExc), as job queues do for their time limits. Mostly it comes while the
thread waits, and is raised before anything is handled. If it strikes in a function of this library,
it is kept in `interruption`, and the caller raises it after the turn.
"""

from __future__ import annotations

import functools
from collections import deque
from time import monotonic

from pybrpc.base.guard import TRANSPORT
from pybrpc.base.interruption import raise_if_interrupted
from pybrpc.transport.dispatch.event_dispatcher import Continuation
from pybrpc.transport.dispatch.fd_events import READ, WRITE, FdEvents
from pybrpc.transport.dispatch.step_queue import StepQueue
from pybrpc.transport.dispatch.timers import TimerHeap

LONGEST_POLL_S = 86400.0
"""Longest wait of one turn. epoll accepts 2**31 ms at most; a later timer is waited for again."""

TURN_S = 0.005
"""Seconds after which a turn begins no more functions of one kind."""

LONG_S = 0.0005
"""Seconds after which the function of a descriptor was long."""

COSTLY_STEP_S = 0.005
"""Seconds of costly work in one turn, such as TLS handshakes. One piece is done in any case."""


class TurnRunner:
    """Descriptors, timers, posted functions and work. One thread at a time runs turns."""

    __slots__ = (
        "_is_callers",
        "_long",
        "_name",
        "_unhandled",
        "completions",
        "costly",
        "fds",
        "interruption",
        "is_sleeping",
        "posted",
        "timers",
        "turns",
    )

    def __init__(self, name: str) -> None:
        self._name = name
        self.fds = FdEvents()
        self.timers = TimerHeap()
        self.posted: deque[Continuation] = deque()
        self.costly = StepQueue(COSTLY_STEP_S)
        self.completions = StepQueue()
        self.is_sleeping = False
        """Whether a thread waits in a turn, or will look at `posted` before it does."""
        self.turns = 0
        """Number of turns begun."""
        self.interruption: BaseException | None = None
        """The exception that interrupted the turn of a caller. The caller takes it."""
        self._is_callers = False
        """Whether a caller runs this turn."""
        self._unhandled: list[tuple[int, int]] = []
        """Events that the last turn had no time for."""
        self._long: dict[int, None] = {}
        """The descriptors whose last functions were long."""

    def run_turn(self, longest_s: float, is_callers: bool = False) -> None:
        """Run one turn, which waits for `longest_s` seconds at most.

        `is_callers`: the thread is that of a caller, which waits for its response.
        """
        self.turns += 1
        self._is_callers = is_callers
        is_crowded = bool(self._unhandled)
        self._run_ready(
            self._events_of_a_crowd() if is_crowded else self._poll(longest_s, is_callers)
        )
        if self.timers:
            self._run_due_timers()
        if self.posted:
            self._run_posted()
        if not self.costly.is_empty():
            self.costly.run_step()
        if not is_callers and not self.completions.is_empty():
            self.completions.run_step()

    def has_work(self) -> bool:
        """Whether the dispatcher's own thread has something to do without any event."""
        return bool(self.posted) or not self.completions.is_empty() or not self.costly.is_empty()

    def run_all(self) -> None:
        """Run what was posted and added, and what comes from it, without a turn."""
        self._is_callers = False
        while self.has_work():
            while self.posted:
                self.call(self.posted.popleft())
            self.costly.run_all()
            self.completions.run_all()

    def call(self, function: Continuation) -> None:
        """Run `function`; what it raises is logged, or kept for the caller whose turn this is."""
        try:
            function()
        except BaseException as error:
            # SystemExit too: it would end the thread, and with it all connections, in silence.
            if self._is_callers and self.interruption is None and _is_of_library(function):
                self.interruption = error
            else:
                TRANSPORT.raised("a continuation of %r raised", self, error=error)

    def take_interruption(self) -> BaseException | None:
        error, self.interruption = self.interruption, None
        return error

    def _poll(self, longest_s: float, is_callers: bool) -> list[tuple[int, int]]:
        timeout_s = self.timers.seconds_to_next(min(longest_s, LONGEST_POLL_S))
        self.is_sleeping = True
        if self.has_work():
            timeout_s = 0.0
        events = self.fds.poll(timeout_s)
        self.is_sleeping = False
        if is_callers:
            raise_if_interrupted()
        return events

    def _events_of_a_crowd(self) -> list[tuple[int, int]]:
        """Events that the last turn had no time for, and those that came since.

        The oldest is first, so that each has its turn, then those of short functions, then the
        rest.
        """
        unhandled, self._unhandled = self._unhandled, []
        known = {fd for fd, _ in unhandled}
        oldest = unhandled.pop(0)
        events = [oldest]
        long: list[tuple[int, int]] = []
        unhandled += [event for event in self.fds.poll(0.0) if event[0] not in known]
        for event in unhandled:
            if event[0] in self._long:
                long.append(event)
            else:
                events.append(event)
        return events + long

    def _run_ready(self, events: list[tuple[int, int]]) -> None:
        fds, long = self.fds, self._long
        left = len(events)
        is_timed = left > 1
        began_at = monotonic() if is_timed else 0.0
        stops_at = began_at + TURN_S
        for fd, mask in events:
            left -= 1
            if fd == fds.wake_fd:
                fds.take_wakes()
                continue
            # Errors and hang-ups concern the reader and the writer.
            if mask & ~WRITE and (reader := fds.readers.get(fd)) is not None:
                self.call(reader)
            if mask & ~READ and (writer := fds.writers.get(fd)) is not None:
                self.call(writer)
            if not is_timed:
                return
            now = monotonic()
            if now - began_at > LONG_S:
                long[fd] = None
            elif long:
                long.pop(fd, None)
            began_at = now
            if left > 0 and now >= stops_at:
                self._unhandled = events[len(events) - left :]
                return

    def _run_due_timers(self) -> None:
        now = monotonic()
        while (function := self.timers.pop_due(now)) is not None:
            self.call(function)
            if monotonic() >= now + TURN_S:
                return

    def _run_posted(self) -> None:
        posted = self.posted
        left = len(posted)
        stops_at = monotonic() + TURN_S if left > 1 else 0.0
        while left > 0:
            self.call(posted.popleft())
            left -= 1
            if left > 0 and monotonic() >= stops_at:
                return

    def __repr__(self) -> str:
        return f"<TurnRunner of {self._name}, {len(self.fds.readers)} readers, {self.turns} turns>"


def _is_of_library(function: Continuation) -> bool:
    """Whether `function` is one of this library, and not one that the user posted."""
    called = function.func if isinstance(function, functools.partial) else function
    owner = getattr(called, "__self__", None)
    module = getattr(called if owner is None else type(owner), "__module__", None)
    return isinstance(module, str) and module.startswith("pybrpc.")
