"""OncePosted: a function is posted to an asyncio loop once at a time, and never lost for ever.

Work is queued, and a function that does it is posted to a loop unless it is posted already. In the
main thread a signal handler may raise between any two steps of Python, such as when the loop enters
the function. The loop logs that and goes on; with a plain flag, which the function clears, nobody
would ever post it again, and all that is queued would wait for ever.

So "posted" expires: after LOST_S the next thread that adds work posts again. And if nobody adds, a
timer of the loop does. It is set only while functions are posted, once in LOST_S. A function that
is run twice finds no work.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

LOST_S = 1.0
"""Seconds after which what is posted and was not begun is posted again. A loop that is busy for
longer has one function more to call."""


class OncePosted:
    """Whether the function of one queue is posted to its loop. No lock: two threads that post at
    the same moment may post both, which is harmless."""

    __slots__ = ("_expires_at", "_watched_until")

    def __init__(self) -> None:
        self._expires_at = 0.0
        """Until then it counts as posted (monotonic seconds)."""
        self._watched_until = 0.0
        """A timer was set for this time."""

    def is_posted(self) -> bool:
        """Whether nothing needs to be posted now. To be asked after the work was queued."""
        expires_at = self._expires_at
        return expires_at > 0.0 and monotonic() < expires_at

    def begin(self) -> None:
        """The posted function runs: to be called before it looks at the queue."""
        self._expires_at = 0.0

    def post(
        self, loop: AbstractEventLoop, run: Callable[[], object], has_work: Callable[[], bool]
    ) -> None:
        """Have `loop`, in which this is called, call `run` in its next round.

        `has_work()` tells whether something is queued; it is asked once, after LOST_S at most.
        """
        now = monotonic()
        if now >= self._watched_until:
            loop.call_later(LOST_S, self._on_timer, loop, run, has_work, context=Context())
            self._watched_until = now + LOST_S
        loop.call_soon(run, context=Context())
        self._expires_at = now + LOST_S

    def post_threadsafe(
        self, loop: AbstractEventLoop, run: Callable[[], object], has_work: Callable[[], bool]
    ) -> None:
        """`post` from any thread. RuntimeError if the loop is closed."""
        now = monotonic()
        # Before it is posted: then `run` may begin at once.
        self._expires_at = now + LOST_S
        try:
            loop.call_soon_threadsafe(run, context=Context())
            if now >= self._watched_until:
                self._watched_until = now + LOST_S
                loop.call_soon_threadsafe(self._watch, loop, run, has_work, context=Context())
        except RuntimeError:
            self._expires_at = 0.0
            raise

    def _watch(
        self, loop: AbstractEventLoop, run: Callable[[], object], has_work: Callable[[], bool]
    ) -> None:
        loop.call_later(LOST_S, self._on_timer, loop, run, has_work, context=Context())

    def _on_timer(
        self, loop: AbstractEventLoop, run: Callable[[], object], has_work: Callable[[], bool]
    ) -> None:
        """Post again if there is work and nothing is posted, and look again later."""
        if not has_work():
            return
        if not self.is_posted():
            self.post(loop, run, has_work)
        else:
            # At the moment in which it is known to be lost, if it is.
            later_s = max(0.0, self._expires_at - monotonic())
            loop.call_later(later_s, self._on_timer, loop, run, has_work, context=Context())

    def __repr__(self) -> str:
        return f"<OncePosted {'posted' if self.is_posted() else 'not posted'}>"
