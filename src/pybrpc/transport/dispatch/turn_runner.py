"""TurnRunner: runs the turns of a dispatcher, in whichever thread calls it.

A turn waits for ready descriptors, then runs their functions, timers that are due, and the posted
functions.

Posting wakes the polling thread with one write to an eventfd, and only if it sleeps or is about to.
The polling thread sets `is_sleeping` before it checks the queue for the last time; a thread that
posts looks at the flag after it has queued ("store, then load", see base.atomic).
"""

from __future__ import annotations

import logging
import time
from collections import deque

from pybrpc.transport.dispatch.event_dispatcher import Continuation
from pybrpc.transport.dispatch.fd_events import READ, WRITE, FdEvents
from pybrpc.transport.dispatch.timers import TimerHeap

logger = logging.getLogger("pybrpc")

LONGEST_POLL_S = 86400.0
"""Longest wait of one turn. epoll accepts 2**31 ms at most; a later timer is waited for again."""


class TurnRunner:
    """Descriptors, timers and posted functions. One thread at a time runs turns."""

    __slots__ = ("_name", "fds", "is_sleeping", "posted", "timers", "turns")

    def __init__(self, name: str) -> None:
        self._name = name
        self.fds = FdEvents()
        self.timers = TimerHeap()
        self.posted: deque[Continuation] = deque()
        self.is_sleeping = False
        """Whether a thread waits in a turn, or will look at `posted` before it does."""
        self.turns = 0
        """Number of turns begun."""

    def run_turn(self, longest_s: float) -> None:
        """Run one turn, which waits for `longest_s` seconds at most."""
        self.turns += 1
        timeout_s = self.timers.seconds_to_next(min(longest_s, LONGEST_POLL_S))
        self.is_sleeping = True
        if self.posted:
            timeout_s = 0.0
        events = self.fds.poll(timeout_s)
        self.is_sleeping = False
        self._run_ready(events)
        if self.timers:
            self._run_due_timers()
        for _ in range(len(self.posted)):
            self.call(self.posted.popleft())

    def run_posted(self) -> None:
        """Run the posted functions, and those that they post, without a turn."""
        while self.posted:
            self.call(self.posted.popleft())

    def call(self, function: Continuation) -> None:
        """Run `function`; what it raises is logged."""
        try:
            function()
        except BaseException:
            # SystemExit too: it would end the thread, and with it all connections, in silence.
            logger.exception("a continuation of %r raised", self)

    def _run_ready(self, events: list[tuple[int, int]]) -> None:
        fds = self.fds
        for fd, mask in events:
            if fd == fds.wake_fd:
                fds.take_wakes()
                continue
            # Errors and hang-ups concern the reader and the writer.
            if mask & ~WRITE and (reader := fds.readers.get(fd)) is not None:
                self.call(reader)
            if mask & ~READ and (writer := fds.writers.get(fd)) is not None:
                self.call(writer)

    def _run_due_timers(self) -> None:
        now = time.monotonic()
        while (function := self.timers.pop_due(now)) is not None:
            self.call(function)

    def __repr__(self) -> str:
        return f"<TurnRunner of {self._name}, {len(self.fds.readers)} readers, {self.turns} turns>"
