"""ShutdownQueue: what a dispatcher takes while it closes, until nothing is left.

Who fails a connection has its descriptor closed in a turn. A dispatcher that is about to close
refuses what is posted, but still runs what was posted before: who was refused and closed the
descriptor itself would do it beside a continuation that writes or reads there. So what ends
something is taken until the last continuation has run. Then, found empty, this is sealed, in one
atomic step: who is refused now is beside nobody.
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
    """`push` by any thread, without a lock and re-entrant; all else by the one that runs them."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: AtomicRef[_Post | None] = atomic_ref(None)

    def push(self, function: Continuation) -> bool:
        """False: it is sealed, nothing will run any more."""
        while True:
            older = self._newest.get()
            if older is _SEALED:
                return False
            if self._newest.compare_and_set(older, _Post(function, older)):
                return True

    def take(self) -> list[Continuation]:
        """What was pushed since, oldest first. Not once it is sealed."""
        taken: list[Continuation] = []
        post = self._newest.get_and_set(None)
        while post is not None:
            if post.function is not None:
                taken.append(post.function)
            post = post.older
        taken.reverse()
        return taken

    def seal_if_empty(self) -> bool:
        """Take nothing any more, if nothing was pushed; True if it is sealed."""
        return self._newest.compare_and_set(None, _SEALED) or self._newest.get() is _SEALED

    def seal(self) -> None:
        """Take nothing any more, and drop what was pushed."""
        self._newest.get_and_set(_SEALED)
