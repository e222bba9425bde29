"""Sampler: the one thread that looks at all windowed variables, once a second.

It is started with the first of them, ends when the last one is gone, and is started again in a
forked child. A function of a user that it runs, such as that of a PassiveStatus, may raise
anything. One that blocks makes all windows wait, as in C++ (bvar/detail/sampler.cpp).
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

import pybrpc.base.renewed  # noqa: F401  its function runs first in a forked child: see the end
from pybrpc.base.guard import LIBRARY
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.thread_start import start_thread

TICK_S = 1.0
STOP_S = 1.0
"""Longest time that the end of the process waits for a function that the sampler runs."""


class Sampled(Protocol):
    """A thing that is looked at once a second."""

    def take_sample(self, now_s: float) -> bool:
        """Look at the value, at `now_s` of the sampler's clock. False: don't ask again."""


class Sampler:
    """Calls `take_sample` of each `Sampled`, which it does not keep alive.

    clock        a monotonic clock, in seconds
    has_thread   without, nothing happens but by `tick`: for tests

    All methods may be called by any thread.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, has_thread: bool = True
    ) -> None:
        self.clock = clock
        self.ticks = 0
        """Times that all were looked at."""
        self.busy_s = 0.0
        """Seconds that this has taken."""
        self._has_thread = has_thread
        self._sampled: dict[weakref.ref[Sampled], None] = {}
        self._log = LimitedLog(LIBRARY)
        self._is_stopped = False
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.RLock()  # a finalizer may come here while `start` runs
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, sampled: Sampled) -> None:
        """Look at `sampled` from the next tick on."""
        self._sampled[weakref.ref(sampled, self._forget)] = None
        self._ensure_thread()

    def _forget(self, gone: weakref.ref[Sampled]) -> None:
        self._sampled.pop(gone, None)

    def tick(self) -> None:
        """Look at all once. None of what they raise leaves this method."""
        now_s = self.clock()
        for reference in list(self._sampled):
            sampled = reference()
            if sampled is None:
                continue
            try:
                if not sampled.take_sample(now_s):
                    self._forget(reference)
            except BaseException as error:
                self._log.warn("sampling %s raised", type(sampled).__name__, reason=error)
        self.ticks += 1
        self.busy_s += self.clock() - now_s

    def is_running(self) -> bool:
        """Whether its thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def stop(self, timeout_s: float | None = None) -> bool:
        """End the thread for good, waiting at most `timeout_s` for it. False if it still runs."""
        self._is_stopped = True
        self._wake.set()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def restart_in_child(self) -> None:
        """In a forked child, which has no thread but the one that forked."""
        self._renew()
        if self._sampled:
            self._ensure_thread()

    def _ensure_thread(self) -> None:
        with self._lock:
            if not self._has_thread or self._thread is not None or self._is_stopped:
                return
            thread = threading.Thread(target=self._run, name="pybrpc-sampler", daemon=True)
            self._thread = thread
            try:
                start_thread(thread)
            except RuntimeError as error:  # no thread to be had; the next `add` tries again
                self._thread = None
                self._log.warn("the sampler can't start its thread", reason=error)

    def _run(self) -> None:
        due_s = self.clock() + TICK_S
        while not self._wake.wait(max(due_s - self.clock(), 0.0)):
            self.tick()
            # A tick that took longer than a second is not made up for.
            due_s = max(due_s + TICK_S, self.clock())
            if not self._sampled and self._end_idle():
                return

    def _end_idle(self) -> bool:
        with self._lock:
            if self._sampled:
                return False
            self._thread = None
            return True


_default: Sampler | None = None
_default_lock = threading.Lock()


def default_sampler() -> Sampler:
    """The sampler of this process, made when first needed."""
    global _default
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = Sampler()
    return _default


def replace_default_sampler(sampler: Sampler | None = None) -> Sampler | None:
    """Stop the sampler of this process, and use `sampler` from now on, or a new one when needed.

    For tests. Variables that are windowed already remain with the old one. Return that one.
    """
    global _default
    old, _default = _default, sampler
    if old is not None:
        old.stop(STOP_S)
    return old


def _stop_at_exit() -> None:
    if _default is not None:
        _default.stop(STOP_S)


def _after_fork_in_child() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    if _default is not None:
        _default.restart_in_child()


atexit.register(_stop_at_exit)
# In the order of their registration: the thread comes after `renew_in_child` has emptied all.
os.register_at_fork(after_in_child=_after_fork_in_child)
