"""DirectDispatcher: the turns of one connection, run by the thread that waits for its response.

Waking a thread costs more than the work of a call. A caller that has a connection for itself needs
nobody to read for it: it writes, waits in `poll` for this one descriptor, reads, and completes its
call. Everything else that happens to the connection (it is established, fails, is closed, carries
calls that nobody waits for) is done in turns of the shared dispatcher, an EpollDispatcher.

So the turns of the connection change hands, and one thread has them at a time: `_holder` is None,
a DirectWaiter whose thread has entered, or a token of the shared dispatcher while that runs a
function of this connection. What is posted while a thread has the turns waits in `_left`: that
thread is called back, leaves, and the shared dispatcher runs it. A thread that posts appends to
`_left` and then looks at `_holder`; one that leaves clears `_holder` and then looks at `_left`
("store, then load", see base.atomic).

While the turns belong to callers the shared dispatcher is `silent` for this descriptor: it notices
that the peer closes, once, and is not woken by data. It listens again, for data too, when a call
is sent that nobody reads for, or when a caller leaves before its call has ended.
"""

from __future__ import annotations

import select
import time
from collections import deque
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from pybrpc.base.atomic import AtomicRef, atomic_ref
from pybrpc.base.guard import TRANSPORT
from pybrpc.transport.dispatch.direct_waiter import NO_FD, DirectWaiter
from pybrpc.transport.dispatch.event_dispatcher import (
    Continuation,
    DispatcherClosedError,
    InlineTask,
)
from pybrpc.transport.dispatch.poller_role import NO_THREAD, Waiter
from pybrpc.transport.dispatch.step_queue import Work

if TYPE_CHECKING:
    from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
    from pybrpc.transport.dispatch.timers import Timer

READABLE = select.POLLIN
WRITABLE = select.POLLOUT
END = getattr(select, "POLLRDHUP", 0)

_SEALED = object()
"""The holder for ever, once the shared dispatcher is closed."""


class DirectDispatcher:
    """An EventDispatcher of one connection, over the shared one."""

    __slots__ = (
        "__weakref__",
        "_fd",
        "_has_missed",
        "_holder",
        "_is_recalled",
        "_is_silent",
        "_left",
        "_own_posts",
        "_own_writer",
        "_reader",
        "_shared",
        "_turn_thread",
        "_wants_listening",
        "_writers",
    )

    budget = None
    flushes_at_turn_end = True

    def __init__(self, shared: EpollDispatcher) -> None:
        self._shared = shared
        self._holder: AtomicRef[Any] = atomic_ref(None)
        self._turn_thread = NO_THREAD
        """The caller's thread while it runs a function of the connection."""
        self._fd = NO_FD
        """The descriptor that `_reader` reads."""
        self._reader: Continuation | None = None
        self._writers: dict[int, Continuation] = {}
        """Those that the shared dispatcher runs. While there are any, no caller enters."""
        self._own_writer: Continuation | None = None
        """That of the caller that has the turns."""
        self._own_posts: deque[Continuation] = deque()
        """Functions that the caller that has the turns has posted, and will run itself."""
        self._left: deque[Continuation] = deque()
        """Functions that are left to the shared dispatcher."""
        self._is_silent = False
        self._is_recalled = False
        """Whether the caller that has the turns is to leave."""
        self._has_missed = False
        """Whether the shared dispatcher was notified of an event while a caller had the turns."""
        self._wants_listening = False
        """Whether the shared dispatcher is to read, once nobody has the turns."""

    # --- a caller ---

    def try_enter(self, waiter: DirectWaiter) -> bool:
        """Take the turns for the thread of `waiter`, which calls this, sends its call, and then
        calls `read_for` or `leave`. False if the connection is not established, if another thread
        has the turns, if the shared dispatcher needs them, or if no descriptor is left."""
        if self._reader is None or not self._holder.compare_and_set(None, waiter):
            return False
        waiter.entered = self
        waiter.is_diverted = False
        self._is_recalled = False
        # Again: it may have been closed meanwhile, and its descriptor be another connection's.
        is_needed = self._reader is None or self._left or self._has_missed or self._writers
        if is_needed or not waiter.can_poll() or not self._be_silent():
            self.leave(waiter)
            return False
        return True

    def read_for(self, waiter: DirectWaiter, deadline: float) -> None:
        """Run turns until `waiter.is_over`, the deadline (monotonic seconds) has passed, or the
        turns are needed elsewhere. Then leave.

        The thread has entered. Raises what was set in it from outside meanwhile.
        """
        try:
            while not (waiter.is_over or self._is_recalled or waiter.is_diverted):
                if self._own_posts:
                    self._run(waiter, self._own_posts.popleft())
                    continue
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                self._wait_and_run(waiter, left_s)
            for _ in range(len(self._own_posts)):
                self._run(waiter, self._own_posts.popleft())
        finally:
            waiter.is_polling = False
            self.leave(waiter)

    def leave(self, waiter: DirectWaiter) -> None:
        """Give the turns back, if `waiter`, whose thread calls this, has them. If its call has not
        ended, the shared dispatcher reads on."""
        if self._holder.get() is not waiter:
            return
        self._turn_thread = NO_THREAD
        waiter.entered = None
        waiter.forget_poller()
        writer, self._own_writer = self._own_writer, None
        try:
            if writer is not None:
                self._writers[self._fd] = writer
                self._shared.add_writer(self._fd, writer)
            while self._own_posts:
                self._left.append(self._own_posts.popleft())
            if not waiter.is_over or writer is not None or self._wants_listening:
                self._listen()
        finally:
            self._holder.compare_and_set(waiter, None)
        self._look_after_release()

    def has_ended(self) -> bool:
        """Whether the peer has closed, and nobody has read that yet. Any thread."""
        fd = self._fd
        if not self._is_silent or fd == NO_FD:
            return False
        poll = select.poll()
        poll.register(fd, END)
        return bool(poll.poll(0))

    def require_reader(self) -> None:
        """Have the shared dispatcher read from now on: something is to come for which nobody else
        reads. A thread that has the turns leaves. Any thread, also that one."""
        if not self._is_silent:
            return
        self._wants_listening = True
        token = object()
        try:
            if self._holder.compare_and_set(None, token):
                self._listen()
            else:
                self._recall()
        finally:
            if self._holder.compare_and_set(token, None):
                self._look_after_release()

    def _wait_and_run(self, waiter: DirectWaiter, left_s: float) -> None:
        mask = 0 if self._reader is None else READABLE
        if self._own_writer is not None:
            mask |= WRITABLE
        waiter.is_polling = True
        ready = 0
        if not (waiter.is_over or self._is_recalled or waiter.is_diverted):
            ready = waiter.poll(self._fd, mask, left_s)
        waiter.is_polling = False
        if ready & ~WRITABLE and self._reader is not None:
            self._run(waiter, self._reader)
        if ready & ~READABLE and self._own_writer is not None:
            self._run(waiter, self._own_writer)

    def _run(self, waiter: DirectWaiter, function: Continuation) -> None:
        self._turn_thread = waiter.thread
        try:
            function()
        finally:
            self._turn_thread = NO_THREAD

    def has_entered(self) -> bool:
        """Whether the calling thread has the turns."""
        holder = self._holder.get()
        if not isinstance(holder, DirectWaiter):
            return False
        waiter: DirectWaiter = holder
        return waiter.thread == get_ident()

    def _recall(self) -> None:
        """Have the caller leave that has the turns, if there is one. Any thread."""
        self._is_recalled = True
        holder = self._holder.get()
        if isinstance(holder, DirectWaiter):
            holder.end_poll()

    def _be_silent(self) -> bool:
        if not self._is_silent:
            try:
                self._is_silent = self._shared.set_silent(self._fd, True)
            except (OSError, ValueError):
                return False  # the shared dispatcher is closed
        return self._is_silent

    def _listen(self) -> None:
        """For the thread that has the turns."""
        self._wants_listening = False
        if self._is_silent:
            self._is_silent = False
            try:
                self._shared.set_silent(self._fd, False)
            except (OSError, ValueError):
                TRANSPORT.debug("%r: nobody reads, as the shared dispatcher is closed", self)

    def _look_after_release(self) -> None:
        if self._left or self._has_missed or self._wants_listening:
            self._drain_soon()

    # --- turns of the shared dispatcher ---

    def _on_readable(self) -> None:
        self._has_missed = True
        self._drain()

    def _run_soon(self, function: Continuation) -> None:
        self._left.append(function)
        self._drain()

    def _drain(self) -> None:
        """Run what is left to the shared dispatcher, or recall the caller that has the turns, which
        looks for it when it has left. In a turn, or in any thread if there are no turns any more.
        """
        token = object()
        try:
            while self._left or self._has_missed or self._wants_listening:
                if not self._holder.compare_and_set(None, token):
                    if not self._left and not self._wants_listening:
                        return  # the caller reads
                    self._recall()
                    if not self._holder.compare_and_set(None, token):
                        return
                self._run_left()
                self._holder.compare_and_set(token, None)
        finally:
            if self._holder.compare_and_set(token, None):  # something was raised
                self._look_after_release()

    def _run_left(self) -> None:
        if self._wants_listening:
            self._listen()
        while self._left:
            self._left.popleft()()
        if self._has_missed:
            self._has_missed = False
            if self._reader is not None:
                self._reader()

    def _drain_soon(self) -> None:
        try:
            self._shared.post_cleanup(self._drain)
        except DispatcherClosedError:
            self._drain()

    # --- the interface of EventDispatcher ---

    @property
    def is_callers_turn(self) -> bool:
        """Whether the calling code runs in a turn of a caller, which is to get what is raised."""
        return get_ident() == self._turn_thread

    def is_current(self) -> bool:
        return get_ident() == self._turn_thread or self._shared.is_current()

    def post(self, function: Continuation) -> None:
        if self.has_entered():
            self._own_posts.append(function)
            return
        self._left.append(function)
        try:
            self._shared.post(self._drain)
        except DispatcherClosedError:
            if self._withdraw(function):
                raise

    def post_cleanup(self, function: Continuation) -> None:
        """As in EventDispatcher. A caller that has the turns leaves them."""
        self._left.append(function)
        try:
            self._shared.post_cleanup(self._drain)
        except DispatcherClosedError:
            if self._seal() and self._withdraw(function):
                raise
        if self.has_entered():
            self._is_recalled = True

    def _seal(self) -> bool:
        """The shared dispatcher is closed: let no caller enter any more. False if one has entered,
        which will run what is left."""
        self._holder.compare_and_set(None, _SEALED)
        is_sealed = self._holder.get() is _SEALED
        if not is_sealed:
            self._recall()
        return is_sealed

    def _withdraw(self, function: Continuation) -> bool:
        """False if it was run, or is being run."""
        try:
            self._left.remove(function)
        except (ValueError, IndexError):
            return False
        return True

    def complete(self, work: Work) -> None:
        self._shared.complete(work)

    def post_costly(self, work: Work) -> None:
        self._shared.post_costly(work)

    def call_at(self, deadline: float, function: Continuation) -> Timer:
        return self._shared.call_at(deadline, partial(self._run_soon, function))

    def add_reader(self, fd: int, function: Continuation) -> None:
        self._fd = fd
        self._reader = function
        self._is_silent = False
        self._shared.add_reader(fd, self._on_readable)
        if self.has_entered():
            self._be_silent()

    def remove_reader(self, fd: int) -> None:
        if fd == self._fd:
            self._reader = None
            self._is_silent = False
        self._shared.remove_reader(fd)

    def add_writer(self, fd: int, function: Continuation) -> None:
        if self.has_entered():
            self._own_writer = function
        else:
            self._writers[fd] = function
            self._shared.add_writer(fd, function)

    def remove_writer(self, fd: int) -> None:
        if fd == self._fd:
            self._own_writer = None
        if self._writers.pop(fd, None) is not None:
            self._shared.remove_writer(fd)

    def run_after_turn(self, task: InlineTask) -> bool:
        return False

    def require_polling(self) -> None:
        self._shared.require_polling()

    def release_polling(self) -> None:
        self._shared.release_polling()

    def wait(self, waiter: Waiter, deadline: float) -> bool:
        return self._shared.wait(waiter, deadline)

    def __repr__(self) -> str:
        holder = self._holder.get()
        if isinstance(holder, DirectWaiter):
            state = f"read by thread {holder.thread}"
        else:
            state = "silent" if self._is_silent else "read by the shared dispatcher"
        return f"<DirectDispatcher of descriptor {self._fd}, {state}>"
