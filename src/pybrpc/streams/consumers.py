"""Consumers: call the functions of a stream's options, one at a time.

What they call is code of the user: it runs in threads made for it, or in tasks, never in a turn,
and may raise anything. If `on_messages` raises, the stream is reset, unless it has ended before.
`on_closed` is called last, once, after all messages.
"""

from __future__ import annotations

import inspect
from contextvars import Context, copy_context
from threading import get_ident
from typing import Any

from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import LIBRARY, deliver_interrupt
from pybrpc.base.lazy_modules import asyncio
from pybrpc.errors import InternalServerError, RpcCanceledError, RpcError
from pybrpc.rpc.serving import set_current_call
from pybrpc.streams.callback_threads import callback_threads
from pybrpc.streams.core import StreamCore
from pybrpc.streams.loop_calls import calls_of

MAX_BATCHES = 8
"""Batches of one stream, after which other streams have their turn in a thread."""


class ConsumerBase:
    """The state that both forms have."""

    def __init__(self, core: StreamCore, stream: Any) -> None:
        """`stream`: what the functions get."""
        options = core.options
        self._core = core
        self._stream: Any = stream
        self._on_messages = options.on_messages
        self._on_closed = options.on_closed
        self._on_idle_timeout = options.on_idle_timeout
        self._most = options.messages_in_batch
        self.takes_messages = options.on_messages is not None
        self._is_scheduled = OnceFlag()
        self._is_begun = False
        """Whether functions may be called: the call that opened the stream has been answered."""
        self._is_over = False
        self._is_idle = False
        self._has_closed = False

    def begin(self) -> None:
        self._is_begun = True
        if self._core.is_over:
            self._is_over = True
        self._schedule()

    def on_readable(self) -> None:
        self._schedule()

    def on_over(self) -> None:
        self._is_over = True
        self._schedule()

    def on_idle(self) -> None:
        """The idle timeout has passed once more."""
        self._is_idle = True
        self._schedule()

    def _schedule(self) -> None:
        if self._is_begun and self._has_work() and self._is_scheduled.try_set():
            self._start()

    def _has_work(self) -> bool:
        core = self._core
        if self.takes_messages and (core.unread or (core.has_ended and not core.is_over)):
            return True
        if self._is_idle and self._on_idle_timeout is not None:
            return True
        return self._is_over and not self._has_closed

    def is_current(self) -> bool:
        """Whether this is called by one of the functions."""
        raise NotImplementedError

    def _start(self) -> None:
        """Have the functions called soon."""
        raise NotImplementedError

    def _rest(self) -> None:
        """Nothing is left to do, or it was done for long enough."""
        self._is_scheduled.clear()
        # Store, then load: the thread that adds work sees the flag cleared, or this sees the work.
        self._schedule()

    def _next_call(self) -> tuple[str, Any, tuple[Any, ...]] | None:
        """The next function to call: its name, itself, its arguments. `None`: nothing now."""
        core, stream = self._core, self._stream
        if self._is_idle:
            self._is_idle = False
            if self._on_idle_timeout is not None and not core.has_ended:
                return "on_idle_timeout", self._on_idle_timeout, (stream,)
        if self.takes_messages:
            batch = core.take_batch(self._most)
            if batch:
                return "on_messages", self._on_messages, (stream, batch)
            if core.has_ended:
                core.finish_consumed()
        if self._is_over and not self._has_closed:
            self._has_closed = True
            self._stream = None
            if self._on_closed is not None:
                return "on_closed", self._on_closed, (stream, core.failure)
        return None

    def _on_raised(self, name: str, error: BaseException) -> None:
        core = self._core
        if isinstance(error, RpcError) and core.has_ended and name != "on_closed":
            # Mostly it says so: the peer was gone when the function sent something. What has come
            # before is still the function's.
            LIBRARY.debug("%s of %s has ended: %s", name, core.described, error)
            return
        LIBRARY.raised("%s of %s raised", name, core.described, error=error)
        if name == "on_messages":
            core.reset(InternalServerError(f"on_messages raised {type(error).__name__}"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._core!r}>"


class ThreadConsumer(ConsumerBase):
    """Calls plain functions in the callback threads."""

    _thread: int | None = None
    """The number of the thread that calls them just now."""

    def is_current(self) -> bool:
        return self._thread == get_ident()

    def _start(self) -> None:
        try:
            callback_threads().put(self._run, self._core.queue)
        except BaseException as error:
            self._is_scheduled.clear()
            LIBRARY.raised("no thread for the functions of %s", self._core.described, error=error)
            # Both come back here, once more each.
            if not self._core.has_ended:
                self._core.reset(InternalServerError("no thread for the functions of a stream"))
            elif not self._core.is_over:
                self._core.finish_consumed()

    def _run(self) -> None:
        interrupt: BaseException | None = None
        self._thread = get_ident()
        try:
            for _ in range(MAX_BATCHES):
                due = self._next_call()
                if due is None:
                    break
                name, function, arguments = due
                try:
                    result = function(*arguments)
                    if inspect.iscoroutine(result):
                        result.close()
                        raise TypeError(f"{name} must be a plain function here, not an async one")
                except BaseException as error:
                    self._on_raised(name, error)
                    interrupt = error
                if name == "on_messages":
                    self._core.note_consumed()
        finally:
            self._thread = None
            self._rest()
        if interrupt is not None:
            deliver_interrupt(interrupt)


class LoopConsumer(ConsumerBase):
    """Calls functions, async ones too, in a task of a loop. Made in the loop."""

    def __init__(self, core: StreamCore, stream: Any) -> None:
        super().__init__(core, stream)
        self._loop = asyncio.get_running_loop()
        self._calls = calls_of(self._loop)
        self._context: Context = copy_context()
        self._context.run(set_current_call, None)
        self._task: asyncio.Task[None] | None = None

    def is_current(self) -> bool:
        return self._task is not None and asyncio.current_task() is self._task

    def _schedule(self) -> None:
        if self._loop.is_closed():
            self._give_up()
        else:
            super()._schedule()

    def _start(self) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._start_task()
        else:
            self._calls.put(self._start_task)

    def _give_up(self) -> None:
        """The loop is closed, so nothing takes the messages: don't keep them, nor the stream."""
        self.takes_messages = False
        self._stream = None
        self._core.reset(RpcCanceledError("the loop of its functions is closed"))

    def _start_task(self) -> None:
        self._task = task = self._loop.create_task(self._run(), context=self._context)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if self._task is task:  # it was cancelled before its first step
            self._task = None
            self._core.reset(RpcCanceledError("the task for its functions was cancelled"))
            self._core.finish_consumed()
            self._rest()

    async def _run(self) -> None:
        cancelled: BaseException | None = None
        try:
            while (due := self._next_call()) is not None:
                name, function, arguments = due
                try:
                    result = function(*arguments)
                    if inspect.isawaitable(result):
                        await result
                    elif name != "on_closed":
                        await asyncio.sleep(0)  # others have their turn
                except asyncio.CancelledError as error:
                    # `on_closed` is called here: a loop that ends would not run another task.
                    self._core.reset(RpcCanceledError(f"the task that ran {name} was cancelled"))
                    cancelled = error
                except (KeyboardInterrupt, SystemExit) as error:
                    self._on_raised(name, error)
                    raise
                except BaseException as error:
                    if isinstance(error, GeneratorExit) and self._loop.is_closed():
                        raise  # the loop was closed, and its tasks are collected
                    self._on_raised(name, error)
                if name == "on_messages":
                    self._core.note_consumed()
            if cancelled is not None:
                raise cancelled
        finally:
            cancelled = None
            self._task = None
            self._rest()
