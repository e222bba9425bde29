"""ThreadShortage: the state in which no thread can be started.

The limit of the process or of the container is reached, and each try costs a system call and would
log a warning. So tries have growing pauses between them, and warnings come once a second.
"""

from __future__ import annotations

import threading
import time

from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.001, 1.0
"""Seconds until a thread is tried again after the first failure, and after many. Doubled each
time."""

LASTS_AFTER_S = 0.1
"""Seconds after which a shortage that goes on is taken to last."""


class ThreadShortage:
    """Starts threads. Any thread; a race may only cause one try too many."""

    __slots__ = ("_began_at", "_log", "_pause_s", "_try_at")

    def __init__(self) -> None:
        self._log = LimitedLog(SERVER)
        self._began_at: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._try_at = 0.0

    def try_start(self, thread: threading.Thread) -> bool:
        """Start `thread`. False if that is not possible, or was not a short time ago."""
        now = time.monotonic()
        if self._began_at is not None and now < self._try_at:
            return False
        try:
            thread.start()
        except (RuntimeError, MemoryError, OSError) as error:
            self._note_failure(now, error)
            return False
        self._began_at = None
        return True

    def lasts(self) -> bool:
        """Whether there has been no thread for long, and there may be none for longer."""
        began_at = self._began_at
        return began_at is not None and time.monotonic() - began_at >= LASTS_AFTER_S

    def _note_failure(self, now: float, error: BaseException) -> None:
        if self._began_at is None:
            self._began_at = now
            self._pause_s = FIRST_PAUSE_S
        self._try_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._log.warn("can't start a thread for handlers: %s", error)

    def __repr__(self) -> str:
        return f"<ThreadShortage {'none' if self._began_at is None else 'now'}>"
