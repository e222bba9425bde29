"""LimitedLog: limits warnings that a peer can cause at any rate to one per second."""

from __future__ import annotations

import time

from pybrpc.base.guard import Log

PAUSE_S = 1.0


class LimitedLog:
    """Warnings of one kind. The first is logged at once; the next one says how many were omitted.

    For one thread at a time; a race would only make the count wrong.
    """

    __slots__ = ("_left_out", "_log", "_quiet_until")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._left_out = 0
        self._quiet_until = 0.0

    def warn(self, text: str, *values: object, reason: BaseException | None = None) -> None:
        """Log `text % values`, with the traceback of `reason` if there is one."""
        now = time.monotonic()
        if now < self._quiet_until:
            self._left_out += 1
            return
        if self._left_out:
            text, values = f"{text} (and %d more like it)", (*values, self._left_out)
        self._left_out = 0
        self._quiet_until = now + PAUSE_S
        self._log.warning(text, *values, error=reason)
