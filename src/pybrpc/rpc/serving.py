"""ServedCall: the call that a running handler serves, as the calls see it that the handler makes.

A call that a handler makes inherits the deadline of the served call, and ends at once when that is
canceled. It finds the served call in one of two places:

- An async handler has it in its context (`set_current_call`). So it is found also in tasks that the
  handler starts, and in `asyncio.to_thread`.
- A plain handler has it in its thread (`HandlerThread.served`). To set a context variable would
  cost a plain call 4 percent, and to set a field costs nothing that one can measure.

Neither holds once the handler has ended: a background task keeps the context of the handler that
started it, but not its deadline.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import partial
from threading import get_ident
from typing import Protocol

from pybrpc.base.deadline import NEVER
from pybrpc.base.guard import run_guarded
from pybrpc.base.implementation import __impl__
from pybrpc.base.thread_usage import thread_usage

MAX_CANCELED_AT_ONCE = 64
"""The most nested calls that are canceled in one step."""

USAGES = 4096
"""How often in a row a thread asks for its usage of the processor, which costs a twentieth of a
fast call, while no handler takes long. The first one that does so later counts as slow, even if
only the thread was displaced."""

NO_IDS = (None, None)

_HAS_SETS = __impl__ == "python"

Post = Callable[[Callable[[], None]], object]
"""Runs a function soon, such as `dispatcher.post`."""


class NestedCall(Protocol):
    """A call that a handler makes, as the ServedCall sees it."""

    def on_handler_canceled(self, reason: str) -> None:
        """The served call was canceled. May come twice, and when the call has ended. Any thread."""


class ServedCall:
    """The call that a handler serves, while the handler runs. Any thread. Made by
    `new_served_call`."""

    __slots__ = ("_generation", "_nested", "cancel_reason", "deadline", "ids", "is_over")

    deadline: float
    """The deadline of the request in monotonic seconds, or `base.deadline.NEVER`."""
    cancel_reason: str
    """Why the call was canceled, as the end of a sentence; "" if it was not."""
    ids: tuple[int | None, str | None] | None
    """log_id and request_id of the request, if it has one of them."""
    is_over: bool
    """Whether the handler has ended."""
    _generation: int
    """The `_generation` of the process that serves it."""
    _nested: set[NestedCall] | None
    """The calls in flight that the handler has made. `None`: it is over; compiled, also: there were
    none yet."""

    def add(self, call: NestedCall) -> bool:
        """Note that `call` begins. False if the served call was canceled: then `call` must end."""
        nested = self._nested
        if nested is None:
            nested = self._new_nested()
        nested.add(call)
        # Store, then load, on both sides (see base.atomic): `cancel` sees `call`, or this sees it.
        if self.cancel_reason:
            nested.discard(call)
            return False
        return True

    def discard(self, call: NestedCall) -> None:
        """Note that `call` has ended."""
        nested = self._nested
        if nested is not None:
            nested.discard(call)

    def cancel(self, reason: str, post: Post) -> None:
        """Cancel the nested calls in flight, and those to come. Not the handler itself.

        It cancels a bounded number of calls at once; `post` runs the rest later.
        """
        self.cancel_reason = reason
        self._cancel_nested(post)

    def end(self) -> None:
        """The handler has ended. Nested calls in flight go on, with the deadline that they have."""
        self.is_over = True
        self._nested = None

    def _new_nested(self) -> set[NestedCall]:
        made: set[NestedCall] = set()
        # Compiled, the rest is one step: see base.gil_atomic. Plain Python begins with a set.
        nested = self._nested
        if nested is None:
            nested = self._nested = made
        return nested

    def _cancel_nested(self, post: Post) -> None:
        nested = self._nested
        if nested is None:
            return
        for _ in range(MAX_CANCELED_AT_ONCE):
            try:
                call = nested.pop()
            except KeyError:
                return
            run_guarded(call.on_handler_canceled, self.cancel_reason, what="a nested call")
        post(partial(self._cancel_nested, post))

    def __repr__(self) -> str:
        state = "over" if self.is_over else "canceled" if self.cancel_reason else "running"
        return f"<ServedCall {state}, {len(self._nested or ())} nested calls>"


def new_served_call(deadline: float) -> ServedCall:
    """Make a ServedCall. A typed function costs a compiled caller less than a constructor."""
    served = ServedCall.__new__(ServedCall)
    served.deadline = deadline
    served.cancel_reason = ""
    served.ids = None
    served.is_over = False
    served._generation = _generation
    served._nested = set() if _HAS_SETS else None
    return served


class HandlerThread:
    """A thread that runs plain handlers."""

    __slots__ = ("_usage", "_usages_left", "served")

    def __init__(self) -> None:
        self.served: ServedCall | None = None
        """The call whose handler runs in the thread just now."""
        self._usage: tuple[int, float] | None = None
        """Its usage of the processor when `begin` was called; `None`: not known."""
        self._usages_left = USAGES
        """How often `begin` still asks for it, unless a handler takes long."""

    def begin(self) -> None:
        """It runs handlers from now on. In the thread itself, as are the next two."""
        self._usage = None
        if self._usages_left > 0:
            self._usages_left -= 1
            self._usage = thread_usage()

    def was_displaced(self) -> bool:
        """Whether, since `begin`, it was displaced from its processor, and has not waited: then
        time has passed that tells nothing of a handler. False if that is not known."""
        self._usages_left = USAGES
        before, now = self._usage, thread_usage()
        return before is not None and now is not None and before[0] == now[0]

    def own_s(self, seconds: float) -> float:
        """The part of `seconds`, the last ones, that the handler has taken itself: all of them,
        unless the thread was displaced from its processor meanwhile. Then it begins anew."""
        self._usages_left = USAGES
        before, now = self._usage, thread_usage()
        self._usage = now
        if before is None or now is None or before[0] != now[0]:
            return seconds
        return min(seconds, now[1] - before[1])


_current: ContextVar[ServedCall | None] = ContextVar("pybrpc_served_call", default=None)
_get_current = _current.get
_set_current = _current.set
_threads: dict[int, HandlerThread] = {}
"""By the number of the thread."""
_has_served = False
"""Whether a handler may have run in this process. Until then no call looks for one."""
_generation = 0
"""How often this process was forked from one that had this module."""


def current_call() -> ServedCall | None:
    """The call that the running handler serves. `None` outside of handlers, in `detached()`, once
    the handler has ended, and in a process that the handler has forked."""
    if not _has_served:
        return None
    served = _get_current()
    if served is None:
        thread = _threads.get(get_ident())
        if thread is None:
            return None
        served = thread.served
        if served is None:
            return None
    if served.is_over or served._generation != _generation:
        return None
    return served


def current_ids() -> tuple[int | None, str | None]:
    """log_id and request_id of the request that the running handler serves, for logs. Also once the
    handler has ended, where its context is kept."""
    if not _has_served:
        return NO_IDS
    served = _get_current()
    if served is None:
        thread = _threads.get(get_ident())
        served = None if thread is None else thread.served
    ids = None if served is None else served.ids
    return NO_IDS if ids is None else ids


def set_current_call(served: ServedCall | None) -> Token[ServedCall | None]:
    """Make `served` the call of the running context, which should be a handler's own."""
    global _has_served
    _has_served = True
    return _set_current(served)


def handler_thread() -> HandlerThread:
    """The HandlerThread of the calling thread."""
    global _has_served
    _has_served = True
    number = get_ident()
    thread = _threads.get(number)
    if thread is None:
        thread = _threads[number] = HandlerThread()
    return thread


def forget_handler_thread() -> None:
    """The calling thread runs no more handlers."""
    _threads.pop(get_ident(), None)


def detached() -> contextlib.AbstractContextManager[None]:
    """Let calls made inside outlive the request that the running handler serves.

        with pybrpc.detached():
            task = asyncio.create_task(write_back(entry))

    A call made inside has its own timeout only: neither the deadline nor the cancellation of the
    request reaches it. The same holds for all that a task does that is created inside. Outside of
    handlers it has no effect.
    """
    return _Detached()


def _after_fork_in_child() -> None:
    """The parent serves the calls of its handlers, not the child; and the child's threads are
    others, which may have the same numbers."""
    global _generation
    _generation += 1
    _threads.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)

_DETACHED = new_served_call(NEVER)
_DETACHED.end()


class _Detached(contextlib.AbstractContextManager[None]):
    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _current.set(_DETACHED)

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._token)
