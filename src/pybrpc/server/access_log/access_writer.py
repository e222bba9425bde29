"""AccessWriter: logs the lines of the access log in a thread of its own.

A handler of `logging` may block, for a disk or for another thread that logs, and may raise.
"""

from __future__ import annotations

import logging

from pybrpc.base.guard import SERVER
from pybrpc.base.writer_thread import WriterThread
from pybrpc.server.access_log.access_line import AccessRecord, json_line, text_line
from pybrpc.server.access_log.access_log import AccessLog

PAUSE_S = 0.05
"""Seconds in which lines gather."""

_LINES = {"text": text_line, "json": json_line}


class AccessWriter(WriterThread[AccessRecord]):
    """The queue and its thread. Any thread may put."""

    __slots__ = ("_line_of", "_logger", "_max_waiting")

    def __init__(self, options: AccessLog) -> None:
        limit = options.max_waiting
        too_slow = f"The access log is too slow: %d lines were dropped, as {limit} waited"
        super().__init__("pybrpc-access-log", "The access log", "a line", too_slow, PAUSE_S)
        self._line_of = _LINES[options.format]
        self._logger = options.find_logger()
        self._max_waiting = limit

    def start(self) -> None:
        """Start the thread. RuntimeError if none can be started."""
        if not self._logger.isEnabledFor(logging.INFO):
            SERVER.warning(
                "The access log writes nothing: the level of the logger %s is above INFO",
                self._logger.name,
            )
        super().start()

    def put(self, record: AccessRecord) -> None:
        """Have `record` logged soon, or dropped. Never blocks."""
        if len(self._waiting) >= self._max_waiting:
            self._drop()
        else:
            self._put(record)

    def _write(self, record: AccessRecord) -> None:
        logger = self._logger
        if not logger.isEnabledFor(logging.INFO):
            return
        line = self._line_of(record)
        entry = logger.makeRecord(logger.name, logging.INFO, __file__, 0, line, (), None)
        entry.created = record.ended_at
        entry.msecs = int(record.ended_at % 1 * 1000) + 0.0
        logger.handle(entry)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return (
            f"<AccessWriter to {self._logger.name}, {state}, {len(self._waiting)} lines waiting, "
            f"{self.dropped} dropped>"
        )
