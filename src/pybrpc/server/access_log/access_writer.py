"""AccessWriter: logs the lines of the access log in a thread of its own.

A handler of `logging` may block, for a disk or for another thread that logs, and may raise. Calls
end in the dispatcher's thread too, which has no time for that: they only put a record into a queue.
If the queue is full, records are dropped and counted.

The thread writes many lines at once, a moment after the first one. So it takes the GIL a few times
a second from the threads that serve, not once for each call.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.deadline import remaining_s
from pybrpc.base.flags import WakeSignal
from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog
from pybrpc.server.access_log.access_line import AccessRecord, json_line, text_line
from pybrpc.server.access_log.access_log import AccessLog

PAUSE_S = 0.05
"""Seconds in which lines gather."""

REPORT_S = 1.0
"""Seconds between two reports of dropped lines."""

EXIT_S = 1.0
"""Seconds that the end of the process waits for lines."""

_LINES = {"text": text_line, "json": json_line}


class AccessWriter:
    """The queue and its thread. Any thread may put."""

    __slots__ = (
        "__weakref__",
        "_closing",
        "_dropped",
        "_is_closed",
        "_is_woken",
        "_line_of",
        "_log",
        "_logger",
        "_max_waiting",
        "_report_at",
        "_reported",
        "_thread",
        "_waiting",
        "_wake",
    )

    def __init__(self, options: AccessLog) -> None:
        self._line_of = _LINES[options.format]
        self._logger = options.find_logger()
        self._max_waiting = options.max_waiting
        self._waiting: deque[AccessRecord] = deque()
        self._dropped = atomic_counter()
        self._reported = 0
        """Dropped lines that were reported."""
        self._report_at = 0.0
        self._log = LimitedLog(SERVER)
        self._wake = WakeSignal()
        self._is_woken = False
        self._closing = WakeSignal()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Lines that were dropped, since too many waited."""
        return self._dropped.get()

    def start(self) -> None:
        """Start the thread. RuntimeError if none can be started."""
        if not self._logger.isEnabledFor(logging.INFO):
            SERVER.warning(
                "The access log writes nothing: the level of the logger %s is above INFO",
                self._logger.name,
            )
        thread = threading.Thread(target=self._run, name="pybrpc-access-log", daemon=True)
        thread.start()
        self._thread = thread
        atexit.register(self._finish_at_exit)

    def put(self, record: AccessRecord) -> None:
        """Have `record` logged soon, or dropped. Never blocks."""
        if len(self._waiting) >= self._max_waiting:
            self._dropped.increment_and_get(1)
            return
        # Store, then load, on both sides (see base.atomic).
        self._waiting.append(record)
        if not self._is_woken:
            self._is_woken = True
            self._wake.set()

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

    def _finish_at_exit(self) -> None:
        """The process ends, and with it the thread, whatever it does."""
        self.close()
        self.join(time.monotonic() + EXIT_S)

    # --- in the thread ---

    def _run(self) -> None:
        while not (self._is_closed and not self._waiting):
            try:
                self._write_round()
            except BaseException as error:
                # An exception that was set in this thread from outside.
                self._log.warn("The access log was interrupted", reason=error)
        self._report_dropped()
        atexit.unregister(self._finish_at_exit)

    def _write_round(self) -> None:
        self._wake.wait()
        if not self._is_closed:
            self._closing.wait(PAUSE_S)
        self._is_woken = False
        waiting = self._waiting
        while waiting:
            self._write(waiting.popleft())
        if time.monotonic() >= self._report_at:
            self._report_dropped()

    def _write(self, record: AccessRecord) -> None:
        logger = self._logger
        try:
            if not logger.isEnabledFor(logging.INFO):
                return
            line = self._line_of(record)
            entry = logger.makeRecord(logger.name, logging.INFO, __file__, 0, line, (), None)
            entry.created = record.ended_at
            entry.msecs = int(record.ended_at % 1 * 1000) + 0.0
            logger.handle(entry)
        except BaseException as error:
            self._log.warn("The access log can't write a line", reason=error)

    def _report_dropped(self) -> None:
        dropped = self.dropped
        if dropped == self._reported:
            return
        count, self._reported = dropped - self._reported, dropped
        self._report_at = time.monotonic() + REPORT_S
        SERVER.warning(
            "The access log is too slow: %d lines were dropped, as %d waited",
            count,
            self._max_waiting,
        )

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return (
            f"<AccessWriter to {self._logger.name}, {state}, {len(self._waiting)} lines waiting, "
            f"{self.dropped} dropped>"
        )
