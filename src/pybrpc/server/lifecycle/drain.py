"""Drain: the part of a stop in which a server leaves its naming services and still serves.

A client that has read the list of servers a moment ago calls a server that has left it. So a stop
goes in steps:

    the server is not ready any more: pages say so to load balancers
    its entries are removed from the naming services, which takes at most DEREGISTER_S
    it serves on for the delay, in which clients hear of that
    it logs off: new requests are refused with ELOGOFF, running ones have the grace

Without entries and without a delay it logs off at once, in the thread that calls `stop`. All other
steps are turns of the dispatcher.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from functools import partial

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import SERVER, run_guarded
from pybrpc.server.lifecycle.registrations import Registrations
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
    EventDispatcher,
    TimerHandle,
)

DEREGISTER_S = 3.0
"""Longest time that a stop waits until the naming services have answered, all together."""

DEFAULT_DRAIN_DELAY_S = 2.0
"""The delay of a server that is registered. A naming service that pushes changes needs some
tenths of a second; clients that ask again and again need their interval."""

LogOff = Callable[[float | None], None]
"""Ends the server with the grace, in seconds, that running requests have; `None`: no limit."""


class Drain:
    """The drain of one run of a server, or of a supervisor. Never blocks."""

    def __init__(
        self,
        dispatcher: EventDispatcher,
        registrations: Registrations,
        delay_s: float | None,
        log_off: LogOff,
        on_begin: Callable[[], None] | None = None,
    ) -> None:
        """delay_s    `None`: 0 without registrations, else DEFAULT_DRAIN_DELAY_S
        log_off    called in any thread; again with each further stop, and perhaps more often
        on_begin   called in a turn when the server begins to wait
        """
        self._dispatcher = dispatcher
        self.registrations = registrations
        self._delay_s = delay_s
        self._log_off = log_off
        self._on_begin = on_begin
        self._notify_stop: Callable[[], None] | None = None
        self._has_begun = OnceFlag()
        self._is_open = False
        self.is_ready = True
        """Whether load balancers should send requests. Any thread may set it to False."""
        self.has_logged_off = False
        # All others are used in turns only.
        self._has_left = False
        self._is_leaving = False
        self._grace_s: float | None = None
        self._timer: TimerHandle | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a stop has begun."""
        return self._has_begun.is_set()

    def open(self, where: Endpoint) -> None:
        """The server serves at `where`: register it. Raises what `Registrations.open` raises."""
        self._is_open = True
        self.registrations.open(where)
        # Store, then load: a stop that came meanwhile may have found no entries.
        if self.has_begun:
            self.registrations.leave(self._note_left)

    def notify_stop(self, function: Callable[[], None]) -> None:
        """Call `function` when a stop begins, in any thread; now if one has begun. Perhaps twice.
        Only one such function."""
        self._notify_stop = function
        # Store, then load: a stop that came meanwhile may have found none.
        if self.has_begun:
            run_guarded(function, what="the beginning of a stop", log=SERVER)

    def stop(self, grace_s: float | None, *, is_patient: bool = False) -> None:
        """Begin; a second call logs off at once, unless it `is_patient`. Each call can shorten the
        grace. Any thread, and signal handlers."""
        self.is_ready = False
        is_first = self._has_begun.try_set()
        if is_first and self._notify_stop is not None:
            run_guarded(self._notify_stop, what="the beginning of a stop", log=SERVER)
        waits = is_first and self._waits(grace_s)
        if is_first and not waits and not len(self.registrations):
            self.registrations.leave(self._note_left)  # and take no new ones
            self._log_off_with(grace_s)
            return
        hurries = not waits and (is_first or not is_patient)
        try:
            self._dispatcher.post(partial(self._on_stop, grace_s, hurries))
        except DispatcherClosedError:
            self.registrations.leave(self._note_left)
            self._log_off_with(grace_s)
            return
        if hurries:
            self._log_off_with(grace_s)

    def _waits(self, grace_s: float | None) -> bool:
        """Whether the server goes on for a while."""
        return self._is_open and grace_s != 0 and (len(self.registrations) > 0 or self._delay() > 0)

    def _delay(self) -> float:
        if self._delay_s is None:
            return DEFAULT_DRAIN_DELAY_S if len(self.registrations) else 0.0
        return self._delay_s

    def _log_off_with(self, grace_s: float | None) -> None:
        self.has_logged_off = True
        self._log_off(grace_s)

    # --- in turns ---

    def _on_stop(self, grace_s: float | None, hurries: bool) -> None:
        self._grace_s = _shorter(self._grace_s, grace_s)
        is_first, self._has_left = not self._has_left, True
        if hurries or self.has_logged_off:
            if is_first:
                self.registrations.leave(self._note_left)
            self._end()
        elif is_first:
            self._begin()

    def _begin(self) -> None:
        self._is_leaving = True
        # First, so that the drain has an end whatever raises below.
        self._end_in(min(DEREGISTER_S, self._grace()), self._on_late)
        if self._on_begin is not None:
            run_guarded(self._on_begin, what="the beginning of a drain", log=SERVER)
        self.registrations.leave(self._note_left)
        self._on_left()

    def _note_left(self) -> None:
        """An entry was removed or given up. Any thread."""
        with contextlib.suppress(DispatcherClosedError):
            self._dispatcher.post(self._on_left)

    def _on_left(self) -> None:
        if self._is_leaving and not self.registrations.late():
            self._begin_delay()

    def _on_late(self) -> None:
        if self._is_leaving:
            for entry in self.registrations.late():
                SERVER.warning(
                    "%s has not removed %s in time: the stop goes on", entry.url, entry.node
                )
            self._begin_delay()

    def _begin_delay(self) -> None:
        self._is_leaving = False
        delay_s = min(self._delay(), self._grace())
        if delay_s > 0:
            SERVER.info("a stop has begun: requests are refused in %.1f s", delay_s)
            self._end_in(delay_s, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._is_leaving = False
        if self._timer is not None:
            self._timer.cancel()
        self._log_off_with(self._grace_s)

    def _end_in(self, seconds: float, function: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._timer = self._dispatcher.call_at(time.monotonic() + seconds, function)
        except DispatcherClosedError:
            self._end()

    def _grace(self) -> float:
        return math.inf if self._grace_s is None else self._grace_s

    def __repr__(self) -> str:
        state = "over" if self.has_logged_off else "begun" if self.has_begun else "not begun"
        return f"<Drain {state}{self.registrations.description()}>"


def _shorter(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
