"""Background: a daemon thread that runs a function again and again, with pauses.

At the end of the process all of them are ended, and at most STOP_S seconds are waited for that. In
a forked child none runs; their owners start them again there, or forget them.
"""

from __future__ import annotations

import atexit
import math
import os
import queue
import threading
import time
from collections.abc import Callable

import pybrpc.base.renewed  # noqa: F401  its function runs first in a forked child
from pybrpc.base.guard import NAMING
from pybrpc.base.thread_start import start_thread

STOP_S = 1.0
"""Longest time that the end of the process waits for these threads, all of them together."""
_MAX_WAIT_S = 3600.0


class Background:
    """A thread that calls `step` until that returns `None`, and waits as many seconds after each
    call as it returns. `math.inf`: until `wake`.

    on_exit   called at the end of the process; `step` is to return `None` soon after it
    """

    def __init__(
        self, step: Callable[[], float | None], name: str, on_exit: Callable[[], None]
    ) -> None:
        self._step = step
        self._name = name
        self.on_exit = on_exit
        # Its `put` may be called in a destructor, while this same thread is inside of the queue.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs. RuntimeError if there is none to be had."""
        if self.is_running:
            return
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        _running[self] = None
        try:
            start_thread(self._thread)
        except RuntimeError:
            _running.pop(self, None)
            raise

    def wake(self) -> None:
        """Run `step` now. Any thread, also in destructors; never blocks."""
        self._wakes.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread; False if it still runs."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        thread.join(max(timeout_s, 0.0))
        return not thread.is_alive()

    @property
    def is_running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _run(self) -> None:
        if self._thread is not threading.current_thread():
            return  # a signal handler came into `start`, and has started another one
        try:
            while (pause_s := self._guarded_step()) is not None:
                self._wait(pause_s)
        finally:
            _running.pop(self, None)

    def _guarded_step(self) -> float | None:
        try:
            return self._step()
        except BaseException as error:
            NAMING.caught("the thread %s raised", self._name, error=error)
            return 1.0

    def _wait(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                self._wakes.get(timeout=min(left_s, _MAX_WAIT_S))
            except queue.Empty:
                continue
            break
        while not self._wakes.empty():
            self._wakes.get_nowait()


_running: dict[Background, None] = {}
FOREVER = math.inf


def _stop_at_exit() -> None:
    running = list(_running)
    for background in running:
        try:
            background.on_exit()
            background.wake()
        except BaseException as error:
            NAMING.caught("the end of a naming service raised", error=error)
    end_s = time.monotonic() + STOP_S
    for background in running:
        background.join(end_s - time.monotonic())


atexit.register(_stop_at_exit)
# In the order of their registration: owners start their threads again after this.
os.register_at_fork(after_in_child=_running.clear)
