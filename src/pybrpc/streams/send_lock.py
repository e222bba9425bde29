"""SendLock: the lock of all streams of one connection, which is never waited for in vain.

The thread that holds it may be interrupted by a signal handler, or by a destructor that the garbage
collector runs. If that uses a stream of the connection, it would wait for its own thread.
"""

from __future__ import annotations

import threading
from threading import get_ident

from pybrpc.errors import WouldDeadlockError


class SendLock:
    """A lock for `with`."""

    __slots__ = ("_acquire", "_owner", "_release")

    def __init__(self) -> None:
        self._owner = 0
        self.renew()

    def renew(self) -> None:
        """Make it free. In a forked child: a thread of the parent may have held it."""
        lock = threading.Lock()
        # To look these up costs as much as to call them.
        self._acquire = lock.acquire
        self._release = lock.release
        self._owner = 0

    def __enter__(self) -> SendLock:
        """WouldDeadlockError if this thread has it already."""
        if not self._acquire(False):
            self._wait()
        self._owner = get_ident()
        return self

    def _wait(self) -> None:
        if self._owner == get_ident():
            raise WouldDeadlockError(
                "a signal handler, or a destructor, uses a stream of a connection while its thread "
                "is inside of another call of one; have a thread or a loop do that"
            )
        self._acquire()

    def __exit__(self, *exception: object) -> None:
        self._owner = 0
        self._release()

    def __repr__(self) -> str:
        return f"<SendLock {'held' if self._owner else 'free'}>"
