"""importing: imports in functions that no fork of another thread interrupts.

While a thread imports a module it holds the lock of that module. A child that is forked meanwhile
has no such thread, and would wait for the lock for ever when it imports the module itself. So a
fork waits until the imports end that this package makes late, for what is used first; and such
imports begin only after it. Imports at the top of modules come with those, or when a program
imports this package, before its threads run.
"""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from importlib import import_module
from threading import get_ident
from types import TracebackType
from typing import Any

LONGEST_WAIT_S = 10.0
"""Seconds for which a fork and an import wait for each other at most: one that takes longer may be
waiting for the other thread."""


class _BoundedLock:
    """For `with`: the lock of a Condition, for which it waits for LONGEST_WAIT_S at most. The end
    of the block is a RuntimeError if it has not got the lock.

    `with` calls functions of C here, in one step with the beginning of the block: so a signal
    handler that raises can't leave the lock held (see base.signal_safe_condition).
    """

    def __init__(self, condition: threading.Condition) -> None:
        self._condition: Any = condition

    __enter__ = property(lambda self: partial(self._condition.acquire, True, LONGEST_WAIT_S))
    __exit__ = property(lambda self: self._condition._lock.__exit__)


class ImportGate:
    """For `with`, around imports. Any thread, again within itself too."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # with an RLock
        self._depths: dict[int, int] = {}
        """The threads that import, each with the number of its blocks."""
        self._forks: int | None = None
        """The thread that forks, and has the lock."""
        self._is_before_logging = False
        """Whether a fork waits here before it takes the lock of logging."""

    def __enter__(self) -> None:
        self._count(1)
        if not self._is_before_logging:
            # logging holds its lock during a fork, and modules need it when they are imported. Of
            # the functions that a fork calls first, that which was registered last comes first.
            import_module("logging")
            self._is_before_logging = True
            self.watch_forks()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._count(-1)

    def _count(self, by: int) -> None:
        """Count this thread, after the fork that may be under way. Not for ever: that fork may wait
        for something that this thread has."""
        thread, changed = get_ident(), self._changed
        has_lock = True
        try:
            with _BoundedLock(changed) as has_lock:
                depth = self._depths.get(thread, 0) + by
                if depth > 0:
                    self._depths[thread] = depth
                else:
                    self._depths.pop(thread, None)
                if has_lock:
                    changed.notify_all()
        except RuntimeError:
            if has_lock:
                raise

    def watch_forks(self) -> None:
        """Have forks wait from now on. May be called again."""
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork_in_parent,
            after_in_child=self._after_fork_in_child,
        )

    def _before_fork(self) -> None:
        """Wait until no other thread imports, and keep others from it until the fork is over."""
        thread, ends_at = get_ident(), time.monotonic() + LONGEST_WAIT_S
        if self._forks == thread:
            return
        self._changed.acquire()
        self._forks = thread  # first: the fork goes on whatever a signal handler raises here
        while self._depths.keys() - {thread} and (left_s := ends_at - time.monotonic()) > 0:
            self._changed.wait(left_s)
        for other in self._depths.keys() - {thread}:
            del self._depths[other]  # it was interrupted, or takes too long: wait for it once

    def _after_fork_in_parent(self) -> None:
        """Let others import again."""
        if self._forks == get_ident():
            self._forks = None
            self._changed.release()

    def _after_fork_in_child(self) -> None:
        """Forget the threads of the parent."""
        thread = get_ident()
        self._changed = threading.Condition()
        self._depths = {each: depth for each, depth in self._depths.items() if each == thread}
        self._forks = None


importing = ImportGate()
importing.watch_forks()
