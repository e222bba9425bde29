"""StopHooks: the functions that an application has for the beginning and the end of a stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from functools import partial

from pybrpc.server.lifecycle.hook_calls import HookCalls
from pybrpc.server.lifecycle.hooks import LifecycleHooks
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

STOPPING_S = 0.5
"""Seconds that the functions for the beginning have at least, if the grace is shorter."""

SHUTDOWN_S = 3.0
"""Seconds after the grace of a stop in which the functions for the end have to end. A supervisor
kills a worker somewhat later."""


class StopHooks:
    """The functions of one run of a server: `prepare`, then `begin`, then `end`.

    The end waits for the functions of the beginning, which may use what those of the end close.
    Without `prepare` none is called. `begin` and `end` are turns of the dispatcher, unless that is
    closed.
    """

    def __init__(
        self,
        hooks: LifecycleHooks,
        context: Context,
        dispatcher: EventDispatcher,
        bound_loop: asyncio.AbstractEventLoop | None,
        loop_of: Callable[[], asyncio.AbstractEventLoop],
        on_done: Callable[[], None],
    ) -> None:
        """`on_done` is called when the functions for the end have ended; with each `end` if there
        are none."""
        self._hooks = hooks
        self._context = context
        self._new_calls = partial(HookCalls, dispatcher, bound_loop, loop_of)
        self._on_done = on_done
        self._grace_end = 0.0
        self._begun_at: float | None = None
        self._is_ending = False
        self._stopping: HookCalls | None = None
        self._shutdown: HookCalls | None = None

    def prepare(self) -> None:
        """The functions for the start have done their work."""
        hooks = self._hooks
        if hooks.on_stopping:
            # A context can't be entered twice, and late functions may still run at the end.
            context = self._context.copy()
            self._stopping = self._new_calls(
                "the beginning of the stop", hooks.on_stopping, context, self._on_stopping_done
            )
        if hooks.on_shutdown:
            last_first = hooks.on_shutdown[::-1]
            self._shutdown = self._new_calls("the end", last_first, self._context, self._on_done)

    def begin(self, grace_end: float) -> None:
        """The stop begins, or its end is brought forward. `grace_end`: when its grace is over."""
        if self._stopping is None:
            return
        if self._begun_at is None:
            self._begun_at = time.monotonic()
        self._stopping.begin(max(grace_end, self._begun_at + STOPPING_S))

    def end(self, grace_end: float) -> None:
        """No connection is left, or the end is brought forward."""
        self._grace_end = grace_end
        self._is_ending = True
        # Store, then load: the other thread may be at the end of the functions for the beginning.
        if self._stopping is None or self._begun_at is None or self._stopping.is_done:
            self._shut_down()
        else:
            self.begin(grace_end)

    def is_current(self) -> bool:
        """Whether this thread runs the functions. Any thread."""
        return any(
            calls is not None and calls.is_current() for calls in (self._stopping, self._shutdown)
        )

    def _on_stopping_done(self) -> None:
        if self._is_ending:
            self._shut_down()

    def _shut_down(self) -> None:
        if self._shutdown is None:
            self._on_done()
        else:
            self._shutdown.begin(max(self._grace_end, time.monotonic()) + SHUTDOWN_S)
