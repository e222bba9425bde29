"""ShutdownQueue: functions that a dispatcher accepts while it closes, until none is left.

A connection that fails has its descriptor closed in a turn. A dispatcher that is about to close
refuses posted functions, but still runs those that were posted before. If a caller that was refused
closed the descriptor itself, it would do so while a continuation writes or reads there. So cleanup
functions are accepted until the last continuation has run. When the queue is found empty then, it
is sealed, in one atomic step: a caller that is refused from now on may run its function itself, as
nothing else runs.
"""

from __future__ import annotations

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.transport.dispatch.event_dispatcher import Continuation


class _Post:
    __slots__ = ("function", "older")

    def __init__(self, function: Continuation | None, older: _Post | None) -> None:
        self.function = function
        self.older = older


_SEALED = _Post(None, None)


class ShutdownQueue:
    """Any thread may `push`, without a lock and re-entrantly; the rest is for the last turn."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: AtomicRef[_Post | None] = atomic_ref(None)

    def push(self, function: Continuation) -> bool:
        """Add `function`. False if the queue is sealed: nothing will run any more."""
        while True:
            older = self._newest.get()
            if older is _SEALED:
                return False
            if self._newest.compare_and_set(older, _Post(function, older)):
                return True

    def take(self) -> list[Continuation]:
        """Remove and return the functions pushed so far, oldest first. Not once it is sealed."""
        taken: list[Continuation] = []
        post = self._newest.get_and_set(None)
        while post is not None:
            if post.function is not None:
                taken.append(post.function)
            post = post.older
        taken.reverse()
        return taken

    def seal_if_empty(self) -> bool:
        """Accept nothing more if the queue is empty. True if it is sealed."""
        return self._newest.compare_and_set(None, _SEALED) or self._newest.get() is _SEALED

    def seal(self) -> None:
        """Accept nothing more, and discard the functions pushed so far."""
        self._newest.get_and_set(_SEALED)
