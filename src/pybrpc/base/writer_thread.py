"""WriterThread: a queue that never blocks those who put into it, and the thread that empties it.

What is written may block, for a disk or for another thread, and may raise. Calls end in threads
that have no time for that: there they only put an item into the queue. If that is full, the
subclass drops the item, and it is counted.

The thread writes many items at once, a moment after the first one. So it takes the GIL a few times
a second from the threads that serve, not once for each item.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from typing import Generic, TypeVar

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.deadline import remaining_s
from pybrpc.base.flags import WakeSignal
from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog

REPORT_S = 1.0
"""Seconds between two reports of dropped items."""

EXIT_S = 1.0
"""Seconds that the end of the process waits for items."""

Item = TypeVar("Item")


class WriterThread(Generic[Item]):
    """The base class of writers. Any thread may put."""

    __slots__ = (
        "__weakref__",
        "_closing",
        "_dropped",
        "_is_closed",
        "_is_woken",
        "_item",
        "_log",
        "_name",
        "_pause_s",
        "_report_at",
        "_reported",
        "_thread",
        "_too_slow",
        "_waiting",
        "_wake",
        "_what",
    )

    def __init__(self, name: str, what: str, item: str, too_slow: str, pause_s: float) -> None:
        """name      of the thread
        what      is written, as the first words of texts for the log; `item` is one of them
        too_slow  the text about dropped items, with a %d for their number
        pause_s   seconds in which items gather
        """
        self._name = name
        self._what = what
        self._item = item
        self._too_slow = too_slow
        self._pause_s = pause_s
        self._waiting: deque[Item] = deque()
        self._dropped = atomic_counter()
        self._reported = 0
        """Dropped items that were reported."""
        self._report_at = 0.0
        self._log = LimitedLog(SERVER)
        self._wake = WakeSignal()
        self._is_woken = False
        self._closing = WakeSignal()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Items that were dropped, since too many waited."""
        return self._dropped.get()

    def start(self) -> None:
        """Start the thread. RuntimeError if none can be started."""
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        thread.start()
        self._thread = thread
        atexit.register(self._finish_at_exit)

    def close(self) -> None:
        """End the thread as soon as nothing waits. Never blocks."""
        self._is_closed = True
        self._closing.set()
        self._wake.set()

    def join(self, deadline: float) -> None:
        """After `close`: wait for the thread until `deadline`, in monotonic seconds."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(remaining_s(deadline))

    # --- for subclasses ---

    def _put(self, item: Item) -> None:
        """Have `item` written soon. Never blocks."""
        # Store, then load, on both sides (see base.atomic).
        self._waiting.append(item)
        if not self._is_woken:
            self._is_woken = True
            self._wake.set()

    def _drop(self) -> None:
        """Count an item that was not put, since too many wait."""
        self._dropped.increment_and_get(1)

    def _write(self, item: Item) -> None:
        """Write it. In the thread. What it raises is logged, and the next item is written."""
        raise NotImplementedError

    def _end(self) -> None:
        """Nothing more will be written. In the thread."""

    # --- inside ---

    def _finish_at_exit(self) -> None:
        """The process ends, and with it the thread, whatever it does."""
        self.close()
        self.join(time.monotonic() + EXIT_S)

    def _run(self) -> None:
        while not (self._is_closed and not self._waiting):
            try:
                self._write_round()
            except BaseException as error:
                # An exception that was set in this thread from outside.
                self._log.warn(f"{self._what} was interrupted", reason=error)
        self._report_dropped()
        atexit.unregister(self._finish_at_exit)
        try:
            self._end()
        except BaseException as error:
            SERVER.caught("%s has not ended well", self._what, error=error)

    def _write_round(self) -> None:
        self._wake.wait()
        if not self._is_closed:
            self._closing.wait(self._pause_s)
        self._is_woken = False
        waiting = self._waiting
        while waiting:
            try:
                self._write(waiting.popleft())
            except BaseException as error:
                self._log.warn(f"{self._what} can't write {self._item}", reason=error)
        if time.monotonic() >= self._report_at:
            self._report_dropped()

    def _report_dropped(self) -> None:
        dropped = self.dropped
        if dropped == self._reported:
            return
        count, self._reported = dropped - self._reported, dropped
        self._report_at = time.monotonic() + REPORT_S
        SERVER.warning(self._too_slow, count)
