"""CallbackThreads: threads for those functions of streams that are no tasks of a loop, and for
interceptors of calls that nobody waits for.

A function that blocks keeps a thread. So the streams of one connection have a share of them at
most: a peer that reads nothing, while functions send to it, leaves threads to the others.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from pybrpc.base.flags import WakeSignal
from pybrpc.base.guard import LIBRARY, run_guarded
from pybrpc.base.limited_log import LimitedLog
from pybrpc.base.thread_start import start_thread

MAX_THREADS = 128

SHARE = 4
"""The streams of one connection have 1/SHARE of the threads at most."""

IDLE_S = 10.0
"""Seconds after which a thread that has nothing to do ends."""

busy_log = LimitedLog(LIBRARY)
"""Tells that all threads are kept."""

Entry = tuple[Callable[[], object], Any]
"""A function, and whose it is."""


class CallbackThreads:
    """Runs functions in daemon threads, which are started when needed. Any thread may put."""

    __slots__ = (
        "_held_back",
        "_idle",
        "_is_closed",
        "_lock",
        "_max_threads",
        "_running",
        "_share",
        "_threads",
        "_waiting",
    )

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._max_threads = max_threads
        self._share = max(1, max_threads // SHARE)
        self._lock = threading.Lock()
        self._waiting: deque[Entry] = deque()
        """Functions whose owner has threads left, oldest first."""
        self._running: dict[Any, int] = {}
        """Functions of each owner that wait in `_waiting`, or run."""
        self._held_back: dict[Any, deque[Callable[[], object]]] = {}
        """Functions of owners that have their share."""
        self._idle: list[WakeSignal] = []
        self._threads = 0
        self._is_closed = False

    @property
    def threads(self) -> int:
        """Threads that run now, idle ones among them."""
        return self._threads

    def put(self, function: Callable[[], object], owner: Any = None) -> None:
        """Run `function` soon. `owner`: the connection whose share it takes; `None`: nobody's.
        RuntimeError if no thread can be started, and none runs."""
        signal = None
        is_new = False
        with self._lock:
            if owner is not None and not self._takes_share(function, owner):
                return
            self._waiting.append((function, owner))
            if self._idle:
                signal = self._idle.pop()
            elif self._threads < self._max_threads:
                self._threads += 1
                is_new = True
        if signal is not None:
            signal.set()
        elif is_new:
            self._start_thread(function, owner)
        else:
            text = f"{self._max_threads} functions of streams or interceptors block: others wait"
            busy_log.warn("%s", text)

    def _start_thread(self, function: Callable[[], object], owner: Any) -> None:
        try:
            start_thread(threading.Thread(target=self._run, name="pybrpc-streams", daemon=True))
        except BaseException:
            with self._lock:
                self._threads -= 1
                if self._threads:
                    return  # those that run will take it
                if (function, owner) in self._waiting:
                    self._waiting.remove((function, owner))
                    self._give_share_back(owner)
            raise

    # --- with the lock ---

    def _takes_share(self, function: Callable[[], object], owner: Any) -> bool:
        """Count a function. False if it has to wait until another one of `owner` has ended."""
        running = self._running.get(owner, 0)
        if running >= self._share:
            self._held_back.setdefault(owner, deque()).append(function)
            return False
        self._running[owner] = running + 1
        return True

    def _give_share_back(self, owner: Any) -> None:
        """A function of `owner` has ended: the next one that was held back may run."""
        if owner is None:
            return
        held_back = self._held_back.get(owner)
        if held_back:
            self._waiting.append((held_back.popleft(), owner))
            if not held_back:
                del self._held_back[owner]
        elif self._running[owner] > 1:
            self._running[owner] -= 1
        else:
            del self._running[owner]

    # --- without it ---

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
        entry: Entry | None = None
        try:
            while True:
                with self._lock:
                    if entry is not None:
                        self._give_share_back(entry[1])
                    entry = self._waiting.popleft() if self._waiting else None
                    if entry is None:
                        if self._is_closed:
                            return
                        self._idle.append(signal)
                if entry is not None:
                    run_guarded(entry[0], what="a function of a stream", log=LIBRARY)
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
                if entry is not None:
                    self._give_share_back(entry[1])
                if signal in self._idle:
                    self._idle.remove(signal)
                if is_counted:
                    self._threads -= 1
                is_needed = bool(self._waiting) and not self._idle
            if is_needed:
                self.put(_nothing)

    def __repr__(self) -> str:
        waiting = len(self._waiting) + sum(map(len, self._held_back.values()))
        return f"<CallbackThreads {self._threads} threads, {waiting} functions waiting>"


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
