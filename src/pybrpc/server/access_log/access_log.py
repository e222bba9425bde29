"""AccessLog: the options of the access log of a server."""

from __future__ import annotations

import dataclasses
import logging
from typing import Literal

from pybrpc.base.checked_options import checked_count, shown

LOGGER_NAME = "pybrpc.access"

MAX_WAITING = 10_000
"""Lines that may wait by default: 3 MiB of memory, 35 at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class AccessLog:
    """How a server logs its calls: `Server(access_log=AccessLog(format="json"))`.

    format       "text": values with names, after time, peer, protocol and method; "json": one
                 object in a line. Requests of HTTP have their method, path and status too
    logger       that gets them, with level INFO, or its name; default: "pybrpc.access"
    max_waiting  lines that may wait for a slow handler of the logger; more are dropped, and
                 counted in a warning of "pybrpc.server"

    TypeError, ValueError.
    """

    format: Literal["text", "json"] = "text"
    logger: logging.Logger | str = LOGGER_NAME
    max_waiting: int = MAX_WAITING

    def __post_init__(self) -> None:
        if self.format not in ("text", "json"):
            raise ValueError(f'format must be "text" or "json", not {shown(self.format)}')
        if not isinstance(self.logger, logging.Logger | str):
            raise TypeError(
                f"logger must be a logging.Logger or its name, not {shown(self.logger)}"
            )
        checked_count("max_waiting", self.max_waiting, 1)

    def find_logger(self) -> logging.Logger:
        """The logger, also if it is given by its name."""
        return logging.getLogger(self.logger) if isinstance(self.logger, str) else self.logger


def checked_access_log(value: object) -> AccessLog | None:
    """The option `access_log` of a server: `True` for the defaults, `False` for none. TypeError."""
    if value is True:
        return AccessLog()
    if value is False or value is None:
        return None
    if not isinstance(value, AccessLog):
        raise TypeError(f"access_log must be True, False or a pybrpc.AccessLog, not {shown(value)}")
    return value
