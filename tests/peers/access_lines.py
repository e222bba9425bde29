"""AccessLines: the access log of a server, as values."""

from __future__ import annotations

import json
import logging
from typing import Any

import pybrpc
from tests.fakes.threads import wait_until

HTTP = ("http_method", "path", "status")
"""Values of requests of HTTP."""


class AccessLines(logging.Handler):
    """Keeps the lines of a logger of its own. `option` is for `Server(access_log=)`."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        logger = logging.Logger("access", logging.INFO)
        logger.addHandler(self)
        self.option = pybrpc.AccessLog(format="json", logger=logger)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))

    def wait(self, count: int, *names: str) -> list[Any]:
        """The values of `count` lines."""
        wait_until(lambda: len(self.lines) >= count)
        assert len(self.lines) == count
        return [tuple(line[name] for name in names) for line in self.lines]
