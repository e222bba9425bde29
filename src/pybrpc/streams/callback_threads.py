"""CallbackThreads: threads for those functions of streams that are no tasks of a loop."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

from pybrpc.base.flags import WakeSignal
from pybrpc.base.guard import LIBRARY, run_guarded

MAX_THREADS = 32
"""A function that blocks keeps one of them."""

IDLE_S = 10.0
"""Seconds after which a thread that has nothing to do ends."""


class CallbackThreads:
    """Runs functions in daemon threads, which are started when needed. Any thread may put."""

    __slots__ = ("_idle", "_is_closed", "_lock", "_max_threads", "_threads", "_waiting")

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._idle: list[WakeSignal] = []
        self._threads = 0
        self._is_closed = False

    @property
    def threads(self) -> int:
        """Threads that run now, idle ones among them."""
        return self._threads

    def put(self, function: Callable[[], object]) -> None:
        """Run `function` soon. RuntimeError if no thread can be started, and none runs."""
        signal = None
        with self._lock:
            self._waiting.append(function)
            if self._idle:
                signal = self._idle.pop()
            elif self._threads < self._max_threads:
                self._threads += 1
            else:
                return
        if signal is not None:
            signal.set()
            return
        try:
            threading.Thread(target=self._run, name="pybrpc-streams", daemon=True).start()
        except BaseException:
            with self._lock:
                self._threads -= 1
                if self._threads:
                    return  # those that run will take it
                if function in self._waiting:
                    self._waiting.remove(function)
            raise

    def close(self) -> None:
        """End the threads as soon as nothing is left to be run. Never blocks."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for signal in idle:
            signal.set()

    def _run(self) -> None:
        signal = WakeSignal()
        is_counted = True
        try:
            while True:
                with self._lock:
                    function = self._waiting.popleft() if self._waiting else None
                    if function is None:
                        if self._is_closed:
                            return
                        self._idle.append(signal)
                if function is not None:
                    run_guarded(function, what="a function of a stream", log=LIBRARY)
                elif not signal.wait(IDLE_S):
                    with self._lock:
                        if signal in self._idle:
                            self._idle.remove(signal)
                            self._threads -= 1
                            is_counted = False
                            return
        finally:
            # Also if an exception was set in this thread from outside.
            with self._lock:
                if signal in self._idle:
                    self._idle.remove(signal)
                if is_counted:
                    self._threads -= 1
                is_needed = bool(self._waiting) and not self._idle
            if is_needed:
                self.put(_nothing)

    def __repr__(self) -> str:
        return f"<CallbackThreads {self._threads} threads, {len(self._waiting)} functions waiting>"


def _nothing() -> None:
    """A function to start a thread with."""


_threads = CallbackThreads()


def callback_threads() -> CallbackThreads:
    """Those of this process."""
    return _threads


def reset_callback_threads() -> None:
    """Have other threads from now on. Those of before end when nothing is left to be run."""
    global _threads
    old, _threads = _threads, CallbackThreads()
    old.close()


def _after_fork_in_child() -> None:
    global _threads
    _threads = CallbackThreads()


os.register_at_fork(after_in_child=_after_fork_in_child)
