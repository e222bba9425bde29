"""FdEvents: waits until descriptors are ready, and knows the functions to run then.

It waits with epoll where there is one, else with `selectors`. A thread ends the wait of another one
by a write to an eventfd or, where there is none, to a pipe.
"""

from __future__ import annotations

import io
import os
import select
import selectors
import time
from itertools import chain, starmap
from typing import Any, Protocol

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.guard import TRANSPORT
from pybrpc.transport.dispatch.event_dispatcher import Continuation

READ = 0x001
WRITE = 0x004

END_ONCE = getattr(select, "EPOLLRDHUP", 0) | getattr(select, "EPOLLET", 0)
"""The mask of a descriptor that is silent: its end, an error or a hang-up, and each only once."""

SEAL_CHECKS = 100
SEAL_PAUSE_S = 0.001


class Epoll(Protocol):
    """`select.epoll`, or a class with the same methods."""

    def register(self, fd: int, eventmask: int) -> None: ...
    def modify(self, fd: int, eventmask: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def poll(self, timeout: float) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class SelectorEpoll:
    """The methods of `select.epoll` over `selectors`, for systems without epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, eventmask: int) -> None:
        self._selector.register(fd, _to_selector(eventmask))

    def modify(self, fd: int, eventmask: int) -> None:
        self._selector.modify(fd, _to_selector(eventmask))

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        ready = self._selector.select(None if timeout < 0 else timeout)
        return [(key.fd, _from_selector(events)) for key, events in ready]

    def close(self) -> None:
        self._selector.close()


def _to_selector(mask: int) -> int:
    reads = selectors.EVENT_READ if mask & READ else 0
    return reads | (selectors.EVENT_WRITE if mask & WRITE else 0)


def _from_selector(events: int) -> int:
    return (READ if events & selectors.EVENT_READ else 0) | (
        WRITE if events & selectors.EVENT_WRITE else 0
    )


def _make_epoll() -> Epoll:
    return select.epoll() if hasattr(select, "epoll") else SelectorEpoll()


def make_wake_files() -> list[io.FileIO]:
    """The file to poll first, the one to write to last: one eventfd, or the ends of a pipe.

    No Python code runs between the making of a descriptor and that of its file, which closes it. So
    a signal handler that raises loses none.
    """
    made: Any
    if hasattr(os, "eventfd"):
        made = starmap(os.eventfd, [(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)])
    else:
        made = chain.from_iterable(starmap(os.pipe, [()]))
    files = list(map(io.FileIO, made))
    for file in files:
        os.set_blocking(file.fileno(), False)
    return files


class FdEvents:
    """The descriptors of a dispatcher. All methods but `wake` and `seal` only in turns, or, for the
    descriptor of one connection, in the thread that has its turns (see DirectDispatcher).

    A thread in `wake` counts itself and then looks at `_is_sealed`; `seal` sets that and then looks
    at the count ("store, then load", see base.atomic). So nobody writes to a descriptor that is
    closed, the number of which may already be that of another file.
    """

    __slots__ = (
        "_epoll",
        "_is_sealed",
        "_silent",
        "_wake_write_fd",
        "_wakers",
        "readers",
        "wake_fd",
        "wake_files",
        "writers",
    )

    def __init__(self) -> None:
        self.readers: dict[int, Continuation] = {}
        self.writers: dict[int, Continuation] = {}
        self._is_sealed = False
        self._silent: set[int] = set()
        self._wakers = atomic_counter()
        self._epoll = _make_epoll()
        self.wake_files = make_wake_files()
        self.wake_fd = self.wake_files[0].fileno()
        self._wake_write_fd = self.wake_files[-1].fileno()
        self._epoll.register(self.wake_fd, READ)

    def poll(self, timeout_s: float) -> list[tuple[int, int]]:
        """Wait for ready descriptors, or `wake`: pairs of a descriptor and a mask of READ and
        WRITE.

        Errors and hang-ups are other bits of the mask; they are always reported.
        """
        return self._epoll.poll(timeout_s)

    def wake(self) -> None:
        """End the wait in `poll`, or the next one. Any thread. Never blocks."""
        try:
            self._wakers.increment_and_get(1)
            if not self._is_sealed:
                os.write(self._wake_write_fd, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            TRANSPORT.debug("%r needs no wake-up: it has not read the last ones yet", self)
        finally:
            self._wakers.decrement_and_get(1)

    def take_wakes(self) -> None:
        """Read what `wake` has written. Once `poll` has reported `wake_fd`."""
        os.read(self.wake_fd, 4096)

    def add_reader(self, fd: int, function: Continuation) -> None:
        self._set(self.readers, fd, function)

    def remove_reader(self, fd: int) -> None:
        self._silent.discard(fd)
        self._unset(self.readers, fd)

    def set_silent(self, fd: int, is_silent: bool) -> bool:
        """Whether the reader of `fd` is run only when the peer has closed, once, and not for data.

        False if this system can't. Any thread that may call the reader, instead of a turn.
        """
        if not END_ONCE:
            return False
        if is_silent:
            self._silent.add(fd)
        else:
            self._silent.discard(fd)
        self._epoll.modify(fd, self._mask(fd))
        return is_silent

    def add_writer(self, fd: int, function: Continuation) -> None:
        self._set(self.writers, fd, function)

    def remove_writer(self, fd: int) -> None:
        self._unset(self.writers, fd)

    def seal(self) -> bool:
        """Let `wake` write no more, and wait for threads inside it. False if one stays in it too
        long."""
        self._is_sealed = True
        for _ in range(SEAL_CHECKS):
            if self._wakers.get() == 0:
                return True
            time.sleep(SEAL_PAUSE_S)
        return False

    def close(self) -> None:
        """Close the descriptors. epoll forgets none: after a fork, another process uses it."""
        self._is_sealed = True
        self._epoll.close()
        for file in self.wake_files:
            file.close()

    def __del__(self) -> None:
        # `seal` fails for ever if a signal handler raised in a thread just counted in `wake`.
        for file in getattr(self, "wake_files", None) or ():
            file.close()

    def _set(self, functions: dict[int, Continuation], fd: int, function: Continuation) -> None:
        was_known = fd in self.readers or fd in self.writers
        functions[fd] = function
        (self._epoll.modify if was_known else self._epoll.register)(fd, self._mask(fd))

    def _unset(self, functions: dict[int, Continuation], fd: int) -> None:
        if functions.pop(fd, None) is None:
            return
        mask = self._mask(fd)
        try:
            if mask:
                self._epoll.modify(fd, mask)
            else:
                self._epoll.unregister(fd)
        except (OSError, ValueError):
            TRANSPORT.debug("descriptor %d was closed before it was unregistered", fd)

    def _mask(self, fd: int) -> int:
        reads = (END_ONCE if fd in self._silent else READ) if fd in self.readers else 0
        return reads | (WRITE if fd in self.writers else 0)

    def __repr__(self) -> str:
        return f"<FdEvents {len(self.readers)} readers, {len(self.writers)} writers>"
