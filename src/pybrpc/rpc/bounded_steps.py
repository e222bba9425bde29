"""BoundedSteps: does something with each of many things, a bounded part of them in each turn.

When a connection with 200,000 calls breaks, or as many deadlines pass at once, the turn that finds
it out must not handle them all: nothing else would be served meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from pybrpc.transport.dispatch.event_dispatcher import Continuation, DispatcherClosedError

STEP_S = 0.002
"""Seconds after which a step handles nothing more. The thing that is handled then is finished."""

MAX_PER_STEP = 256

T = TypeVar("T")


class HasPost(Protocol):
    """An EventDispatcher, or something that posts to one."""

    def post(self, function: Continuation) -> None:
        """Have it called in a turn soon. Any thread. DispatcherClosedError: no turn will come."""


class BoundedSteps(Generic[T]):
    """Handles some things in the steps of a dispatcher, oldest first, for one caller at a time."""

    __slots__ = ("_dispatcher", "_find", "_handle", "_things")

    def __init__(
        self,
        dispatcher: HasPost,
        find: Callable[[], list[T]],
        handle: Callable[[T], object],
    ) -> None:
        """`find` gives the things; it is called again when they have been handled, until there are
        none. A thing may be gone when its turn comes: `handle` has to see that."""
        self._dispatcher = dispatcher
        self._find = find
        self._handle = handle
        self._things: list[T] = []
        """In reverse: each is dropped when it is handled, not all of them at the end."""

    def run(self) -> None:
        """Do one step now, and have the others done in later turns.

        If no turn will come any more, all is done here. Whatever `handle` raises, the other things
        are handled; the first exception is raised when the next step is planned.
        """
        raised: BaseException | None = None
        try:
            while True:
                try:
                    has_more = self._run_step()
                except BaseException as error:
                    raised, has_more = raised or error, True
                if not has_more or self._is_posted():
                    break
            if raised is not None:
                raise raised
        finally:
            del raised

    def _run_step(self) -> bool:
        """Handle a bounded part. False if nothing is left."""
        stops_at = time.monotonic() + STEP_S
        for _ in range(MAX_PER_STEP):
            if not self._things:
                self._things = self._find()
                self._things.reverse()
                if not self._things:
                    return False
            self._handle(self._things.pop())
            if time.monotonic() >= stops_at:
                break
        return True

    def _is_posted(self) -> bool:
        """Plan the next step; False if no turn will come any more."""
        try:
            self._dispatcher.post(self.run)
        except DispatcherClosedError:
            return False
        return True

    def __repr__(self) -> str:
        return f"<BoundedSteps of {self._handle!r}, {len(self._things)} left>"
