"""Logging of `pybrpc serve`: to the standard error, each line with its process."""

from __future__ import annotations

import logging

LEVELS = ("debug", "info", "warning", "error")
FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"


def set_up_logging(level: str) -> None:
    """Log from `level` on, unless the application has set logging up; "" does nothing."""
    if level:
        logging.basicConfig(level=level.upper(), format=FORMAT)
