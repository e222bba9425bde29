"""Delivery: gives spans that have ended to functions of the user, in a thread of its own.

A span ends in the thread that ends its call, often the one that polls. No code of the user may run
there: it could block, or raise. So the spans wait in a queue of bounded length, and a daemon thread
takes them. It runs while there are functions.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from pybrpc.base.flags import WakeSignal
from pybrpc.base.guard import run_guarded
from pybrpc.base.thread_start import start_thread
from pybrpc.tracing.span import Span

SpanListener = Callable[[Span], object]

MAX_WAITING = 4096
"""Spans that wait for the functions. Further ones are dropped."""

JOIN_S = 1.0
"""Seconds that the removal of a function waits for it to have all spans."""


class Delivery:
    """The functions that get spans, and the thread that calls them. Any thread.

    `put` never blocks.
    """

    __slots__ = ("_lock", "_queue", "_thread", "_wake", "dropped", "listeners")

    def __init__(self) -> None:
        self.listeners: tuple[SpanListener, ...] = ()
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Span | threading.Event] = deque()
        """Events mark how far a `flush` waits."""
        self._wake = WakeSignal()
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Spans that the functions did not get, because they are too slow; inexact."""

    def add(self, listener: SpanListener) -> None:
        """Call `listener` with each span that ends from now on. RuntimeError if no thread can be
        started."""
        with self._lock:
            if self._thread is None:
                self._start()
            self.listeners = (*self.listeners, listener)

    def remove(self, listener: SpanListener) -> bool:
        """Don't call `listener` any more; False if it was not there. It gets the spans that have
        ended before, unless that takes more than a second."""
        if listener not in self.listeners:
            return False
        self.flush(JOIN_S)
        with self._lock:
            left = list(self.listeners)
            if listener not in left:
                return False
            left.remove(listener)
            self.listeners = tuple(left)
            thread = self._thread
            if left or thread is None:
                return True
            self._thread = None
            self._wake.set()
        if thread is not threading.current_thread():
            thread.join(JOIN_S)
        return True

    def put(self, span: Span) -> None:
        """A span has ended."""
        if not self.listeners:
            return
        if len(self._queue) >= MAX_WAITING:
            self.dropped += 1
            return
        self._queue.append(span)
        self._wake.set()
        if self._thread is None and self._lock.acquire(blocking=False):
            self._start_in_child()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all spans that have ended were given to the functions. False after
        `timeout_s` seconds, and within one of the functions."""
        thread = self._thread
        if thread is None:
            return True
        if thread is threading.current_thread():
            return False
        reached = threading.Event()
        self._queue.append(reached)
        self._wake.set()
        return reached.wait(timeout_s)

    def forget_parent(self) -> None:
        """This process was forked: the thread and the spans are those of the parent. The functions
        stay, and the next span starts a thread for them."""
        self._reset()

    def _start(self) -> None:
        """Start the thread. With the lock."""
        thread = threading.Thread(target=self._run, name="pybrpc-spans", daemon=True)
        start_thread(thread)
        self._thread = thread

    def _start_in_child(self) -> None:
        """Start the thread in a forked child. With the lock, which is released."""
        try:
            if self._thread is None and self.listeners:
                self._start()
        except RuntimeError:
            self.dropped += 1  # No thread can be started now; the next span tries it again.
        finally:
            self._lock.release()

    def _run(self) -> None:
        thread = threading.current_thread()
        while True:
            self._wake.wait()
            self._deliver()
            if self._thread is not thread and not self._is_starting():
                return

    def _deliver(self) -> None:
        """Give all that waits to the functions."""
        queue = self._queue
        while queue:
            item = queue.popleft()
            if isinstance(item, threading.Event):
                item.set()
                continue
            for listener in self.listeners:
                run_guarded(listener, item, what="a function that gets spans")

    def _is_starting(self) -> bool:
        """Whether the thread that looks has just been started, and is not noted yet."""
        with self._lock:
            return self._thread is threading.current_thread()

    def __repr__(self) -> str:
        return f"<Delivery to {len(self.listeners)} functions, {len(self._queue)} spans wait>"
