"""DirectWaiter: a thread that waits for the end of its call, and may read the connection itself.

It waits in `poll` for the descriptor of the connection, and for a descriptor of its own, to which
another thread writes that wants it to look up: the call was cancelled, or the connection closed.
"""

from __future__ import annotations

import io
import os
import select
import threading
from threading import get_ident, local
from typing import Protocol

from pybrpc.base.implementation import __impl__
from pybrpc.base.interruption import raise_if_interrupted
from pybrpc.base.waiting import MAIN_THREAD_WAIT_S
from pybrpc.transport.dispatch.fd_events import make_wake_files
from pybrpc.transport.dispatch.poller_role import Waiter

IS_COMPILED = __impl__ == "compiled"
LONGEST_WAIT_S = 3600.0
"""Longest time for which another thread than the main one waits at once."""
NO_FD = -1


class ThreadPoller:
    """Waits for one descriptor at a time, in the thread that it belongs to."""

    __slots__ = (
        "__weakref__",
        "_fd",
        "_is_main",
        "_mask",
        "_poll",
        "_wake_fd",
        "_wake_files",
        "_wake_write_fd",
        "is_taken",
    )

    def __init__(self) -> None:
        self._wake_fd = self._wake_write_fd = NO_FD
        self._wake_files: list[io.FileIO] = []
        self.is_taken = False
        """Whether a DirectWaiter has it: a call of a signal handler must not wait here then."""
        self._poll = select.poll()
        self._fd = NO_FD
        self._mask = 0
        self._is_main = threading.current_thread() is threading.main_thread()
        self._wake_files = make_wake_files()
        self._wake_fd = self._wake_files[0].fileno()
        self._wake_write_fd = self._wake_files[-1].fileno()
        self._poll.register(self._wake_fd, select.POLLIN)

    def wait(self, fd: int, mask: int, timeout_s: float) -> int:
        """Wait until `fd` is ready for one of `mask` (POLLIN, POLLOUT); return what it is ready
        for. 0 after `timeout_s` seconds, after `wake`, or now and then without a reason."""
        # A signal that comes just before the main thread waits does not end that; its handler must
        # run soon.
        timeout_s = min(timeout_s, MAIN_THREAD_WAIT_S if self._is_main else LONGEST_WAIT_S)
        if IS_COMPILED:
            found = poll_two(fd, mask, self._wake_fd, timeout_s)  # type: ignore[name-defined]  # noqa: F821 - in the .pxd
            if found >= 0:
                raise_if_interrupted()
                return found  # type: ignore[no-any-return]
            timeout_s = 0.0  # `os` takes the wake-up, and runs the handlers of signals
        if fd != self._fd or mask != self._mask:
            poll = select.poll()  # a new one: an interruption leaves no descriptor in it
            poll.register(self._wake_fd, select.POLLIN)
            poll.register(fd, mask)
            self._poll, self._fd, self._mask = poll, fd, mask
        found = 0
        for ready_fd, ready in self._poll.poll(timeout_s * 1000):
            if ready_fd == fd:
                found = ready
            else:
                os.read(self._wake_fd, 4096)
        return found

    def wake(self) -> None:
        """End the wait, or the next one. Any thread; never blocks."""
        try:
            if self._wake_write_fd != NO_FD:
                os.write(self._wake_write_fd, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            return  # it has not read the last ones yet

    def close(self) -> None:
        """Close its descriptors; nothing wakes it any more. In its own thread."""
        self._wake_fd = self._wake_write_fd = self._fd = NO_FD
        self._poll = select.poll()
        for file in self._wake_files:
            file.close()

    def __del__(self) -> None:
        self.close()


class _Pollers(local):
    """The poller of each thread, closed when the thread ends."""

    poller: ThreadPoller | None = None


_pollers = _Pollers()


def forget_poller() -> None:
    """Close the poller of the calling thread; its next wait makes a new one. In a forked child too:
    there the descriptors are shared with the parent."""
    poller, _pollers.poller = _pollers.poller, None
    if poller is not None:
        poller.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_poller)


def poller_of_thread() -> ThreadPoller:
    """The poller of the calling thread, made now if it has none. OSError without descriptors."""
    poller = _pollers.poller
    if poller is None:
        poller = _pollers.poller = ThreadPoller()
    return poller


class Turns(Protocol):
    """A DirectDispatcher, as a thread sees it that has entered."""

    def read_for(self, waiter: DirectWaiter, deadline: float) -> None: ...
    def leave(self, waiter: DirectWaiter) -> None: ...


class DirectWaiter(Waiter):
    """A Waiter whose thread may have the turns of a DirectDispatcher."""

    __slots__ = ("_poller", "entered", "is_diverted", "is_polling", "may_enter", "thread")

    def __init__(self) -> None:
        Waiter.__init__(self)
        self.thread = get_ident()
        self.entered: Turns | None = None
        """The one whose turns it has. Only its own thread changes this."""
        self.may_enter = True
        """Whether it has not begun to wait."""
        self.is_diverted = False
        """Whether its call goes on over another connection, so that it is to leave. Any thread."""
        self.is_polling = False
        """Whether the thread waits in `poll`, or is about to."""
        self._poller: ThreadPoller | None = None

    def wake(self) -> None:
        Waiter.wake(self)
        self.end_poll()

    def end_poll(self) -> None:
        """Have the thread look up, if it waits in `poll`. Any thread; never blocks."""
        poller = self._poller
        if self.is_polling and poller is not None and get_ident() != self.thread:
            poller.wake()

    def can_poll(self) -> bool:
        """Get ready to `poll`. False if the process has no descriptor left, or if another waiter of
        the thread polls: this is a call of a signal handler."""
        try:
            poller = poller_of_thread()
        except OSError:
            return False
        if poller.is_taken:
            return False
        self._poller = poller
        poller.is_taken = True
        return True

    def forget_poller(self) -> None:
        """Undo `can_poll`: errors that keep this object keep no descriptor."""
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.is_taken = False

    def poll(self, fd: int, mask: int, timeout_s: float) -> int:
        """Wait as ThreadPoller does, after `can_poll`. The caller has set `is_polling`, and then
        looked whether there is a reason not to wait ("store, then load", see base.atomic)."""
        poller = self._poller
        assert poller is not None
        return poller.wait(fd, mask, timeout_s)
