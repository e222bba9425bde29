"""run_completion: has user code run by the dispatcher, or here once that is closed.

These functions call an EpollDispatcher, which most calls have, directly.
"""

from __future__ import annotations

import threading

from pybrpc.base.guard import TRANSPORT
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.dispatch.step_queue import Work, run_work

MAX_NESTED = 32
"""Completions of closed dispatchers that may run inside each other in one thread."""


class _Nesting(threading.local):
    depth = 0


_nesting = _Nesting()


def run_completion(dispatcher: EventDispatcher, work: Work) -> None:
    """Run `work`, which is user code, in a turn, or here if no turn will come any more.

    Never raises. Callbacks of a closed dispatcher that make calls again and again run inside each
    other: after MAX_NESTED the next one is dropped, and that is logged.
    """
    try:
        if type(dispatcher) is EpollDispatcher:
            epoll = dispatcher
            epoll.complete(work)
        else:
            dispatcher.complete(work)
    except DispatcherClosedError:
        _run_here(work)


def require_polling(dispatcher: EventDispatcher) -> None:
    """`dispatcher.require_polling()`"""
    if type(dispatcher) is EpollDispatcher:
        epoll = dispatcher
        epoll.require_polling()
    else:
        dispatcher.require_polling()


def release_polling(dispatcher: EventDispatcher) -> None:
    """`dispatcher.release_polling()`"""
    if type(dispatcher) is EpollDispatcher:
        epoll = dispatcher
        epoll.release_polling()
    else:
        dispatcher.release_polling()


def expects_writes(dispatcher: EventDispatcher) -> bool:
    """Whether `dispatcher` soon runs a turn, before which several threads are likely to write."""
    if type(dispatcher) is EpollDispatcher:
        epoll = dispatcher
        return epoll.expects_writes()
    return False


def _run_here(work: Work) -> None:
    if _nesting.depth >= MAX_NESTED:
        TRANSPORT.error(
            "%s is not called: it calls for ever, on a closed dispatcher", work.description
        )
        return
    _nesting.depth += 1
    try:
        run_work(work)
    finally:
        _nesting.depth -= 1
