"""ThreadWait: a thread that waits for an event of a stream, which any other thread may bring."""

from __future__ import annotations

import contextlib

from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.dispatch.poller_role import Waiter


class ThreadWait(Waiter):
    """A Waiter that also ends if its thread polls meanwhile, and the event comes from another one.

    The response of a call comes in a turn, so the thread that polls for it sees it. But another
    thread may reset the stream, close it, or write what this one waits for.
    """

    __slots__ = ("_dispatcher",)

    def __init__(self, dispatcher: EventDispatcher) -> None:
        Waiter.__init__(self)
        self._dispatcher = dispatcher

    def end(self) -> None:
        Waiter.end(self)
        dispatcher = self._dispatcher
        if not dispatcher.is_current():
            with contextlib.suppress(DispatcherClosedError):
                dispatcher.post(_end_the_poll)


def _end_the_poll() -> None:
    """A turn: the thread that polls looks afterwards whether it has what it waited for."""
