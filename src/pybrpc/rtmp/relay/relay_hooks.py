"""The functions of users that a relay calls: never in a turn, so that they may wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from pybrpc.base.guard import SERVER, run_guarded
from pybrpc.base.renewed import renew_in_child
from pybrpc.rtmp.relay.relay_values import RelayEvent, RelayRequest
from pybrpc.rtmp.server.user_functions import deciding

MAX_EVENTS = 1000
"""Events that wait for `on_event`; more are counted and lost."""

Decision = Callable[[RelayRequest], Any]
"""Returns True to admit. Anything else refuses, and so does an exception. A plain function or an
async one."""


class EventThread:
    """Calls a function with one event after another, in a thread that begins with the first."""

    def __init__(self, function: Callable[[RelayEvent], object]) -> None:
        self.lost = 0
        self._function = function
        self._queue: queue.SimpleQueue[RelayEvent | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        renew_in_child(self)

    def renew_locks(self) -> None:
        """In a forked child, which has another thread when it needs one."""
        self._lock = threading.Lock()
        self._queue = queue.SimpleQueue()
        self._thread = None

    def put(self, event: RelayEvent) -> None:
        """Any thread; never blocks."""
        with self._lock:
            if self._is_closed:
                return
            if self._queue.qsize() < MAX_EVENTS and (self._thread is not None or self._start()):
                self._queue.put(event)
            else:
                self.lost += 1

    def _start(self) -> bool:
        """Start the thread. False if that is not possible now; it is tried with the next event."""
        thread = threading.Thread(target=self._run, name="pybrpc-rtmp-events", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            SERVER.raised("no thread for on_event of a relay", error=error)
            return False
        self._thread = thread
        return True

    def close(self, timeout_s: float = 10.0) -> None:
        """Wait until what has come was given to the function, at most `timeout_s`."""
        with self._lock:
            self._is_closed = True
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._queue.put(None)
            thread.join(timeout_s)

    @property
    def is_running(self) -> bool:
        """Whether its thread has begun, and `close` was not called."""
        return self._thread is not None

    def end_nowait(self) -> None:
        """Let the thread end, once what has come was given to the function. It takes no lock and
        waits for nothing, so that a finalizer may call it."""
        self._is_closed = True
        self._queue.put(None)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            run_guarded(self._function, event, what="on_event of a relay", log=SERVER)


def as_service_function(decide: Decision) -> Callable[[RelayRequest], Any]:
    """A function that raises RtmpRefused unless `decide` returns True; async if that is."""
    return deciding(decide, (True,), "a function that decides for a relay")
